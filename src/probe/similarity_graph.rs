//! `similarity_graph`: which things are alike, and does the graph of them hold together?
//!
//! The graph diagnostics of a column classifier: a node for each column (a row of features), an edge between two that are
//! alike. A column with NaN or infinity is like nothing, an empty table has no graph and needs none, and a table of one
//! column neither; those are the inputs on which such code is known to break.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blocking::{Stop, run_blocking};
use super::onnx::{Data, MOST_ITEMS};
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};

/// Pairs grow with the square: this many rows of 376 features take a few seconds.
const MOST_ROWS: usize = 4000;

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The features of each node, one node a row.
    data: Data,
    /// The least cosine similarity of two nodes with an edge, from -1 to 1, 0.7 by default.
    #[serde(default = "default_threshold")]
    threshold: f64,
    /// How many nodes there must be, such as the number of columns of the table. Default: not judged.
    #[serde(default)]
    nodes: Option<usize>,
    /// The least number of edges. Default: not judged.
    #[serde(default)]
    min_edges: Option<usize>,
    /// How many nodes may be without an edge, when there are two nodes or more. Default: not judged.
    #[serde(default)]
    max_isolated: Option<usize>,
}

fn default_threshold() -> f64 {
    0.7
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `sound`; `empty` or `single` (no graph is needed, which is no fault); or the first fault: `invalid_features`,
    /// `wrong_nodes`, `too_few_edges`, `isolated`.
    verdict: String,
    /// Nodes, one for each row.
    nodes: usize,
    /// Pairs that are at least as alike as the threshold.
    edges: usize,
    /// Nodes without an edge.
    isolated: usize,
    /// Nodes with NaN, infinity, or nothing but zeros: they are like nothing.
    invalid: usize,
    /// Groups of nodes that are connected, isolated nodes included.
    components: usize,
    /// Nodes of the largest group.
    largest_component: usize,
    /// Edges as a share of all pairs; 0 below two nodes.
    density: f64,
    /// The mean similarity over all pairs of valid nodes; null without a pair.
    mean_similarity: Option<f64>,
    /// The largest similarity of a pair; null without one.
    max_similarity: Option<f64>,
    /// The first 16 isolated nodes, counted from 0.
    isolated_nodes: Vec<usize>,
    /// The first 16 invalid nodes, counted from 0.
    invalid_nodes: Vec<usize>,
}

impl Kind for Step {
    const NAME: &'static str = "similarity_graph";
    const SUMMARY: &'static str =
        "Builds the similarity graph of feature vectors and judges its nodes, edges and isolated nodes.";
    const EXAMPLE: &'static str =
        "similarity_graph: {data: {file: columns.json}, threshold: 0.7, nodes: 3, max_isolated: 1}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        if !(-1.0..=1.0).contains(&config.threshold) {
            return Err(StepError::new(format!("threshold is {}", config.threshold)).help("a cosine is from -1 to 1"));
        }
        run_blocking(&context, move |stop| {
            let rows = config.data.read_rows(None, "features")?;
            check_rows(&rows)?;
            let output = describe(&config, &Graph::of(&rows, config.threshold, stop)?);
            let why = failure(&config, &output);
            Ok(Outcome::judged(output, why))
        })
        .await
    }
}

fn check_rows(rows: &[Vec<f64>]) -> Result<(), StepError> {
    if rows.len() > MOST_ROWS {
        return Err(StepError::new(format!("{} nodes are too many", rows.len()))
            .help(format!("pairs grow with the square of the nodes; give at most {MOST_ROWS}")));
    }
    if rows.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
        return Err(StepError::new("the nodes differ in their number of features")
            .help("a `feature_check` step tells which ones"));
    }
    Ok(())
}

struct Graph {
    /// The number of edges of each node.
    degrees: Vec<usize>,
    /// The group that each node is in, by the smallest node of it.
    groups: Vec<usize>,
    invalid: Vec<usize>,
    edges: usize,
    /// Sum, largest and number of similarities.
    similarities: (f64, f64, usize),
}

impl Graph {
    fn of(rows: &[Vec<f64>], threshold: f64, stop: &Stop) -> Result<Graph, StepError> {
        let units: Vec<Option<Vec<f64>>> = rows.iter().map(|row| unit(row)).collect();
        let mut graph = Graph {
            degrees: vec![0; rows.len()],
            groups: (0..rows.len()).collect(),
            invalid: (0..rows.len()).filter(|node| units[*node].is_none()).collect(),
            edges: 0,
            similarities: (0.0, f64::NEG_INFINITY, 0),
        };
        for (node, features) in units.iter().enumerate() {
            stop.check()?;
            let Some(features) = features else { continue };
            for (other, others) in units.iter().enumerate().skip(node + 1) {
                let Some(others) = others else { continue };
                let cosine: f64 = features.iter().zip(others).map(|(left, right)| left * right).sum();
                graph.pair(node, other, cosine, threshold);
            }
        }
        Ok(graph)
    }

    fn pair(&mut self, node: usize, other: usize, cosine: f64, threshold: f64) {
        let (sum, largest, count) = self.similarities;
        self.similarities = (sum + cosine, largest.max(cosine), count + 1);
        // Two equal vectors have a cosine a rounding away from 1.
        if cosine >= threshold - 1e-12 {
            self.edges += 1;
            self.degrees[node] += 1;
            self.degrees[other] += 1;
            let (left, right) = (self.root(node), self.root(other));
            self.groups[left.max(right)] = left.min(right);
        }
    }

    /// The smallest node of the group.
    fn root(&mut self, mut node: usize) -> usize {
        while self.groups[node] != node {
            // Each look shortens the way of the next one.
            self.groups[node] = self.groups[self.groups[node]];
            node = self.groups[node];
        }
        node
    }
}

/// The vector with length 1; `None` when it has no direction.
fn unit(row: &[f64]) -> Option<Vec<f64>> {
    // Scaled by the largest first, so that no square overflows.
    let largest = row.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    if row.iter().any(|value| !value.is_finite()) || largest == 0.0 {
        return None;
    }
    let scaled = || row.iter().map(|value| value / largest);
    let length = scaled().map(|value| value * value).sum::<f64>().sqrt();
    Some(scaled().map(|value| value / length).collect())
}

fn describe(config: &Config, graph: &Graph) -> Output {
    let nodes = graph.degrees.len();
    let mut sizes = vec![0; nodes];
    for node in 0..nodes {
        let mut root = node;
        while graph.groups[root] != root {
            root = graph.groups[root];
        }
        sizes[root] += 1;
    }
    let isolated: Vec<usize> = (0..nodes).filter(|node| graph.degrees[*node] == 0).collect();
    let pairs = nodes * nodes.saturating_sub(1) / 2;
    let (sum, largest, count) = graph.similarities;
    let mut output = Output {
        verdict: String::new(),
        nodes,
        edges: graph.edges,
        isolated: isolated.len(),
        invalid: graph.invalid.len(),
        components: sizes.iter().filter(|size| **size > 0).count(),
        largest_component: sizes.iter().copied().max().unwrap_or(0),
        density: if pairs == 0 { 0.0 } else { graph.edges as f64 / pairs as f64 },
        mean_similarity: (count > 0).then(|| sum / count as f64),
        max_similarity: (count > 0).then_some(largest),
        isolated_nodes: isolated.into_iter().take(MOST_ITEMS).collect(),
        invalid_nodes: graph.invalid.iter().take(MOST_ITEMS).copied().collect(),
    };
    output.verdict = verdict(config, &output).to_owned();
    output
}

fn verdict(config: &Config, output: &Output) -> &'static str {
    if output.invalid > 0 {
        "invalid_features"
    } else if config.nodes.is_some_and(|nodes| nodes != output.nodes) {
        "wrong_nodes"
    } else if config.min_edges.is_some_and(|least| output.edges < least) {
        "too_few_edges"
    } else if output.nodes > 1 && config.max_isolated.is_some_and(|most| output.isolated > most) {
        "isolated"
    } else {
        match output.nodes {
            0 => "empty",
            1 => "single",
            _ => "sound",
        }
    }
}

fn failure(config: &Config, output: &Output) -> Option<String> {
    let Output { nodes, edges, isolated, invalid, .. } = output;
    let wanted = |limit: Option<usize>| limit.unwrap_or(0);
    match &*output.verdict {
        "invalid_features" => Some(format!(
            "{invalid} of {nodes} nodes have features without a direction (NaN, infinity or all zero); node {} is the first",
            output.invalid_nodes.first().copied().unwrap_or(0)
        )),
        "wrong_nodes" => Some(format!("the graph has {nodes} nodes, expected are {}", wanted(config.nodes))),
        "too_few_edges" => Some(format!("the graph has {edges} edges, {} is the least", wanted(config.min_edges))),
        "isolated" => Some(format!(
            "{isolated} of {nodes} nodes are like no other at {}; {} may be",
            config.threshold,
            wanted(config.max_isolated)
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    async fn graph(text: &str, more: Value) -> StepResult<Output> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("columns.json");
        std::fs::write(&file, text).unwrap();
        let mut config = json!({"data": {"file": file}});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
    }

    #[tokio::test]
    async fn like_things_are_connected() {
        let outcome =
            graph("[[1, 0], [2, 0.1], [0, 5], [-1, 0]]", json!({"nodes": 4, "max_isolated": 2})).await.unwrap();
        assert_eq!(outcome.failure, None);
        let output = outcome.output;
        assert_eq!((&*output.verdict, output.nodes, output.edges, output.isolated), ("sound", 4, 1, 2));
        assert_eq!((output.components, output.largest_component, output.isolated_nodes), (3, 2, vec![2, 3]));
        assert!(output.max_similarity.unwrap() > 0.99 && output.density < 0.2);
    }

    #[tokio::test]
    async fn empty_and_single_inputs_need_no_graph() {
        let empty = graph("[]", json!({"max_isolated": 0})).await.unwrap();
        assert_eq!((&*empty.output.verdict, empty.output.nodes, empty.failure), ("empty", 0, None));
        let single = graph("[[1, 2]]", json!({"max_isolated": 0})).await.unwrap();
        assert_eq!((&*single.output.verdict, single.output.components, single.failure), ("single", 1, None));
        let expected = graph("[]", json!({"nodes": 3})).await.unwrap();
        assert_eq!(expected.failure.unwrap(), "the graph has 0 nodes, expected are 3");
    }

    #[tokio::test]
    async fn each_fault_has_its_verdict() {
        let three = "[[1, 0], [0, 1], [1, 1]]";
        let verdict = async |text: &str, more: Value| graph(text, more).await.unwrap().output.verdict;
        assert_eq!(verdict("[[1, null], [1, 1]]", json!({})).await, "invalid_features");
        assert_eq!(verdict("[[0, 0], [1, 1]]", json!({})).await, "invalid_features");
        assert_eq!(verdict(three, json!({"nodes": 2})).await, "wrong_nodes");
        assert_eq!(verdict(three, json!({"min_edges": 3})).await, "too_few_edges");
        assert_eq!(verdict(three, json!({"threshold": 0.9, "max_isolated": 0})).await, "isolated");
        assert_eq!(verdict(three, json!({"threshold": 0.7, "max_isolated": 0})).await, "sound");
    }

    #[tokio::test]
    async fn what_is_no_table_is_an_error() {
        assert!(graph("[[1, 2], [3]]", json!({})).await.unwrap_err().help.unwrap().contains("feature_check"));
        assert!(graph("[[1]]", json!({"threshold": 2})).await.is_err());
    }

    proptest! {
        #[test]
        fn the_graph_does_not_depend_on_scale_or_order(
            rows in prop::collection::vec(prop::collection::vec(0.1..9.0_f64, 3), 2..12),
            scale in 0.1..100.0_f64,
        ) {
            let graph = |rows: &[Vec<f64>]| Graph::of(rows, 0.9, &Stop::never()).unwrap();
            let before = graph(&rows);
            let mut turned: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().map(|value| value * scale).collect()).collect();
            turned.reverse();
            let mut after = graph(&turned);
            after.degrees.reverse();
            prop_assert_eq!((before.edges, &before.degrees), (after.edges, &after.degrees));
            prop_assert_eq!(before.degrees.iter().sum::<usize>(), 2 * before.edges);
        }
    }
}
