//! `onnx_provider`: does a model compute on the hardware it is meant for?
//!
//! ONNX Runtime gives what an execution provider does not take to its CPU, and goes on without a provider that its
//! library cannot use. So each provider is asked for by itself, and which one ran each node is read from the engine's
//! profile of a run (the ONNX Runtime documentation: "Execution Providers", "Profiling Tools").

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::onnx::{Bench, Broken, Data, Feed, MOST_ITEMS, at_bench, check_count, load_error};
use crate::kind::{Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::preflight::Inspection;
use crate::model::provider::{PlacedNode, Placing, PlacingError, Provider, Sound};
use crate::model::{EngineIdentity, LoadOptions, Tensor, Workbench};

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model file.
    #[schemars(extend("x-encode" = "path"))]
    model: PathBuf,
    /// The execution provider that must run every node, such as `cuda`; the step fails when another one runs any of them.
    /// In place of `preferred`.
    #[serde(default)]
    required: Option<Provider>,
    /// Execution providers, the best first, such as `[tensorrt, cuda, cpu]`. They are tried one after another until one
    /// runs at least one node; that one serves. The step fails when none does, and passes when a later one does:
    /// `fell_back` tells it. Write `cpu` last if the CPU will do. In place of `required`.
    #[serde(default)]
    preferred: Option<Vec<Provider>>,
    /// The rows to run. Default: numbers that are made up, the same each time.
    #[serde(default)]
    inputs: Option<Data>,
    /// Rows in the run, 1 by default. Some providers refuse shapes that others take: give the rows that the service gives.
    #[serde(default = "default_rows")]
    rows: usize,
    /// The engine that must judge. Only `onnxruntime` has execution providers; without it this step is an error, since
    /// what a service would do with ONNX Runtime cannot be told by another engine.
    #[serde(default)]
    require_engine: Option<EngineName>,
}

fn default_rows() -> usize {
    1
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `first_choice` (the first provider runs every node), `partly` (the first one runs some nodes), `fell_back` (a later
    /// one serves) or `unavailable` (none runs any node).
    verdict: String,
    /// The provider that serves; null when none does.
    provider: Option<Provider>,
    /// Whether anything runs elsewhere than on the first choice.
    fell_back: bool,
    /// Each provider that was tried, in order, and how it went.
    attempts: Vec<Attempt>,
    /// Nodes that ran. The engine fuses and folds nodes first, and a provider may take many as one, so that the
    /// file often has more.
    nodes: usize,
    /// Nodes by the provider that ran them, such as `{cuda: 41, cpu: 3}`.
    nodes_by_provider: BTreeMap<String, usize>,
    /// How many nodes ran on another provider than the one that serves.
    fallen_back_nodes: usize,
    /// The nodes that ran on another provider than the one that serves; at most 16.
    fallen_back: Vec<FallenBack>,
    #[serde(flatten)]
    engine: EngineIdentity,
    /// What lowers the weight of this verdict.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Attempt {
    /// The provider.
    provider: Provider,
    /// `all` (it ran every node), `some`, `none` (the engine took the provider and gave it no node), `not_registered` (the
    /// library cannot use it), `load_failed` or `run_failed`.
    outcome: String,
    /// Nodes that it ran.
    nodes: usize,
    /// Why it did not run the model, in the engine's words; null when it did.
    why: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct FallenBack {
    /// The node's name.
    node: String,
    /// Its operator, such as `Gather`.
    operator: String,
    /// The provider that ran it.
    provider: String,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_provider";
    const SUMMARY: &'static str =
        "Tells which execution provider (GPU, CPU) runs each node of a model, and why not another.";
    const EXAMPLE: &'static str = "onnx_provider: {model: models/column-classifier/model.onnx, preferred: [cuda, cpu]}";
    const IN_CHILD: bool = true;
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        check_count("rows", config.rows)?;
        let order = order(&config)?;
        let require = config.require_engine;
        at_bench(require, &context, move |bench| judge(&config, &order, bench)).await
    }
}

/// The providers to try.
fn order(config: &Config) -> Result<Vec<Provider>, StepError> {
    match (config.required, config.preferred.as_deref()) {
        (Some(provider), None) => Ok(vec![provider]),
        (None, Some(providers @ [_, ..])) => Ok(providers.to_vec()),
        (Some(_), Some(_)) => Err(StepError::new("both `required` and `preferred` are given").help(
            "`required` names the one provider that must run every node, `preferred` an order: give one of them",
        )),
        _ => Err(StepError::new("no execution provider is named")
            .help("write `required: cuda`, or an order such as `preferred: [cuda, cpu]`")),
    }
}

fn judge(config: &Config, order: &[Provider], bench: Bench<'_>) -> StepResult<Output> {
    let Bench { bench, mut warnings, abandoned } = bench;
    let placing = bench.engine().placing().ok_or_else(|| no_providers(&bench))?;
    let mut inspection = bench.inspect(&config.model);
    warnings.append(&mut inspection.warnings);
    inspection.first_fault().map_err(|fault| load_error(&fault))?;
    let feed = Feed::of(&inspection.file.inputs, config.inputs.as_ref(), &config.model, config.rows)?;
    let batch = feed.limited(config.rows).first_batch()?;
    let model = Sound { path: &config.model, file: &inspection.file, bytes: &inspection.bytes };
    let tried = try_each(placing, order, model, &batch, |provider| match abandoned() {
        true => Err(Broken::Stopped.into()),
        false => {
            bench.phase(format!("trying the execution provider {}", provider.name()));
            Ok(())
        }
    })?;
    if tried.nodes.is_empty() && tried.attempts.iter().any(|attempt| attempt.outcome.ends_with("_failed")) {
        is_sound_elsewhere(&bench, config, inspection, &batch)?;
    }
    let why = failure(config, order, &tried);
    Ok(Outcome::judged(output(order, tried, bench.identity(), warnings), why))
}

fn no_providers(bench: &Workbench) -> StepError {
    let engine = bench.identity().engine;
    StepError::new(format!(
        "the embedded engine ({engine}) has no execution providers: it computes everything on the CPU itself, so where \
         ONNX Runtime would run this model cannot be told"
    ))
    .help(
        "`sh scripts/get-onnxruntime.sh` brings a library for the CPU; for a GPU name the library of the service with \
           `models: {onnxruntime: PATH}` in the site file",
    )
}

/// No provider ran a model that at least one of them refused: is the provider to blame, or the model?
fn is_sound_elsewhere(
    bench: &Workbench,
    config: &Config,
    inspection: Inspection,
    batch: &[(String, Tensor)],
) -> Result<(), StepError> {
    let loaded = bench.load_inspected(&config.model, inspection, &LoadOptions::default());
    let model = loaded.map_err(|fault| load_error(&fault))?;
    bench.phase("running the model");
    model.compute(batch).map_err(|fault| Broken::Fault(fault).into())
}

/// What was tried; the nodes are those of the last attempt if it served, else there are none.
#[derive(Debug, Default)]
struct Tried {
    attempts: Vec<Attempt>,
    nodes: Vec<PlacedNode>,
}

impl Tried {
    /// The provider that serves.
    fn provider(&self) -> Option<Provider> {
        self.attempts.last().filter(|_| !self.nodes.is_empty()).map(|attempt| attempt.provider)
    }

    fn elsewhere(&self) -> impl Iterator<Item = &PlacedNode> {
        let name = self.provider().map_or("", Provider::name);
        self.nodes.iter().filter(move |node| node.provider != name)
    }
}

/// Tries one provider after another until one runs a node.
fn try_each(
    placing: &dyn Placing,
    order: &[Provider],
    model: Sound<'_>,
    batch: &[(String, Tensor)],
    mut before: impl FnMut(Provider) -> Result<(), StepError>,
) -> Result<Tried, StepError> {
    let mut tried = Tried::default();
    for &provider in order {
        before(provider)?;
        let ran = placing.run_on(provider, model, batch, &LoadOptions::default());
        let (attempt, nodes) = attempt(provider, ran)?;
        let serves = attempt.nodes > 0;
        tried.attempts.push(attempt);
        if serves {
            tried.nodes = nodes;
            break;
        }
    }
    Ok(tried)
}

/// How one attempt went, and the nodes if the model ran.
fn attempt(
    provider: Provider,
    ran: Result<Vec<PlacedNode>, PlacingError>,
) -> Result<(Attempt, Vec<PlacedNode>), StepError> {
    let refused = |outcome: &str, why: String| {
        Ok((Attempt { provider, outcome: outcome.to_owned(), nodes: 0, why: Some(why) }, Vec::new()))
    };
    match ran {
        Ok(nodes) => Ok((took(provider, &nodes), nodes)),
        Err(PlacingError::NotRegistered(why)) => refused("not_registered", why),
        Err(PlacingError::Load(fault)) => refused("load_failed", fault.detail),
        Err(PlacingError::Run(fault)) => refused("run_failed", fault.detail),
        Err(error @ PlacingError::Trace(_)) => Err(trace_error(&error)),
    }
}

fn took(provider: Provider, placed: &[PlacedNode]) -> Attempt {
    let nodes = placed.iter().filter(|node| node.provider == provider.name()).count();
    let (outcome, why) = match nodes {
        0 if placed.is_empty() => ("none", Some("nothing of the model is left to run after the engine folded it")),
        0 => ("none", Some("the engine gave it no node of this model")),
        nodes if nodes == placed.len() => ("all", None),
        _ => ("some", None),
    };
    Attempt { provider, outcome: outcome.to_owned(), nodes, why: why.map(str::to_owned) }
}

fn trace_error(error: &PlacingError) -> StepError {
    let told = match std::error::Error::source(error) {
        Some(cause) => StepError::because(error, cause),
        None => StepError::new(error.to_string()),
    };
    told.help("the engine writes a profile into the folder for temporary files: look at its space and its permissions")
}

fn output(order: &[Provider], tried: Tried, engine: EngineIdentity, warnings: Vec<String>) -> Output {
    let provider = tried.provider();
    let fallen_back = || {
        tried.elsewhere().map(|PlacedNode { node, operator, provider }| FallenBack {
            node: node.clone(),
            operator: operator.clone(),
            provider: provider.clone(),
        })
    };
    let mut nodes_by_provider = BTreeMap::new();
    for node in &tried.nodes {
        *nodes_by_provider.entry(node.provider.clone()).or_default() += 1;
    }
    let verdict = match provider {
        None => "unavailable",
        Some(provider) if provider != order[0] => "fell_back",
        Some(_) if tried.elsewhere().next().is_some() => "partly",
        Some(_) => "first_choice",
    };
    Output {
        verdict: verdict.to_owned(),
        provider,
        fell_back: verdict != "first_choice",
        nodes: tried.nodes.len(),
        nodes_by_provider,
        fallen_back_nodes: tried.elsewhere().count(),
        fallen_back: fallen_back().take(MOST_ITEMS).collect(),
        attempts: tried.attempts,
        engine,
        warnings,
    }
}

fn failure(config: &Config, order: &[Provider], tried: &Tried) -> Option<String> {
    let Some(provider) = tried.provider() else { return Some(unavailable(order, tried)) };
    let (elsewhere, all) = (tried.elsewhere().count(), tried.nodes.len());
    if config.required.is_none() || elsewhere == 0 {
        return None;
    }
    let shown = |node: &PlacedNode| format!("{} '{}' on {}", node.operator, node.node, node.provider);
    /// Enough to see a pattern; the output has more.
    const NAMED: usize = 3;
    let named: Vec<String> = tried.elsewhere().take(NAMED).map(shown).collect();
    let more = if elsewhere > NAMED { ", …" } else { "" };
    let name = provider.name();
    Some(format!("{elsewhere} of {all} nodes do not run on {name}: {}{more}", named.join(", ")))
}

fn unavailable(order: &[Provider], tried: &Tried) -> String {
    let told = |attempt: &Attempt| {
        let why = attempt.why.as_deref().unwrap_or_default();
        format!("{}: {} ({why})", attempt.provider.name(), attempt.outcome.replace('_', " "))
    };
    let reasons: Vec<String> = tried.attempts.iter().map(told).collect();
    let names: Vec<&str> = order.iter().map(|provider| provider.name()).collect();
    format!(
        "no node runs on {}, and a service that asks for it computes on the CPU; {}",
        names.join(" or "),
        reasons.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::model::preflight::ModelFile;
    use crate::model::{FaultKind, ModelFault};
    use crate::probe::onnx::testing::{fixture, model};

    /// An engine whose library has CUDA for all but one operator, TensorRT without a driver, and no OpenVINO.
    struct Library;

    impl Placing for Library {
        fn run_on(
            &self,
            provider: Provider,
            _model: Sound<'_>,
            _inputs: &[(String, Tensor)],
            _options: &LoadOptions,
        ) -> Result<Vec<PlacedNode>, PlacingError> {
            let node = |node: &str, operator: &str, provider: Provider| PlacedNode {
                node: node.into(),
                operator: operator.into(),
                provider: provider.name().into(),
            };
            match provider {
                Provider::Cuda => Ok(vec![
                    node("first", "Gemm", Provider::Cuda),
                    node("second", "Gemm", Provider::Cuda),
                    node("tokens", "Gather", Provider::Cpu),
                ]),
                Provider::Tensorrt => {
                    Err(PlacingError::Load(ModelFault::new(FaultKind::InvalidGraph, "no CUDA-capable device")))
                }
                Provider::Openvino => Err(PlacingError::NotRegistered("not enabled in this build".into())),
                Provider::Qnn => Err(PlacingError::Trace(std::io::Error::other("the disk is full"))),
                _ => Ok(vec![node("all", "Gemm", Provider::Cpu)]),
            }
        }
    }

    fn judged(config: Value) -> (Output, Option<String>) {
        let config: Config = serde_json::from_value(config).unwrap();
        let order = order(&config).unwrap();
        let tried = tried(&order).unwrap();
        let why = failure(&config, &order, &tried);
        (output(&order, tried, Workbench::embedded().identity(), Vec::new()), why)
    }

    fn tried(order: &[Provider]) -> Result<Tried, StepError> {
        let file = ModelFile::default();
        let model = Sound { path: Path::new("model.onnx"), file: &file, bytes: &[] };
        try_each(&Library, order, model, &[], |_| Ok(()))
    }

    fn outcomes(output: &Output) -> Vec<(Provider, &str, usize)> {
        output.attempts.iter().map(|attempt| (attempt.provider, &*attempt.outcome, attempt.nodes)).collect()
    }

    #[test]
    fn a_required_provider_runs_every_node_or_the_step_fails() {
        let (output, why) = judged(json!({"model": "model.onnx", "required": "cuda"}));
        assert_eq!((&*output.verdict, output.provider, output.fell_back), ("partly", Some(Provider::Cuda), true));
        assert_eq!((output.nodes, output.fallen_back_nodes), (3, 1));
        assert_eq!(output.nodes_by_provider, BTreeMap::from([("cpu".to_owned(), 1), ("cuda".to_owned(), 2)]));
        assert_eq!((&*output.fallen_back[0].node, &*output.fallen_back[0].operator), ("tokens", "Gather"));
        assert_eq!(why.unwrap(), "1 of 3 nodes do not run on cuda: Gather 'tokens' on cpu");
        let (output, why) = judged(json!({"model": "model.onnx", "required": "cpu"}));
        assert_eq!((&*output.verdict, output.fell_back, why), ("first_choice", false, None));
    }

    #[test]
    fn a_provider_that_cannot_be_had_is_told_and_the_cpu_does_not_hide_it() {
        let (output, why) = judged(json!({"model": "model.onnx", "required": "openvino"}));
        assert_eq!((&*output.verdict, output.provider), ("unavailable", None));
        assert!(why.unwrap().ends_with("openvino: not registered (not enabled in this build)"));
        let (output, why) = judged(json!({"model": "model.onnx", "preferred": ["xnnpack", "tensorrt"]}));
        assert_eq!(outcomes(&output), [(Provider::Xnnpack, "none", 0), (Provider::Tensorrt, "load_failed", 0)]);
        let why = why.unwrap();
        assert!(why.starts_with("no node runs on xnnpack or tensorrt"), "{why}");
        assert!(why.contains("load failed (no CUDA-capable device)"), "{why}");
    }

    #[test]
    fn an_order_ends_at_the_first_provider_that_serves() {
        let order = json!(["openvino", "tensorrt", "cuda", "cpu"]);
        let (output, why) = judged(json!({"model": "model.onnx", "preferred": order}));
        assert_eq!((&*output.verdict, output.provider, why), ("fell_back", Some(Provider::Cuda), None));
        assert_eq!(
            outcomes(&output),
            [
                (Provider::Openvino, "not_registered", 0),
                (Provider::Tensorrt, "load_failed", 0),
                (Provider::Cuda, "some", 2)
            ]
        );
        assert_eq!(output.attempts[1].why.as_deref(), Some("no CUDA-capable device"));
        let (output, why) = judged(json!({"model": "model.onnx", "preferred": ["cuda", "cpu"]}));
        assert_eq!((&*output.verdict, output.fell_back, why), ("partly", true, None));
    }

    #[test]
    fn where_nothing_can_be_told_is_an_error_and_no_fallback() {
        let error = tried(&[Provider::Qnn, Provider::Cpu]).unwrap_err();
        assert!(error.message.contains("cannot tell which provider ran each node: the disk is full"), "{error}");
        assert!(error.help.unwrap().contains("temporary files"));
    }

    #[test]
    fn one_way_to_name_providers_is_needed() {
        let refused = |config: Value| order(&serde_json::from_value(config).unwrap()).unwrap_err().message;
        assert_eq!(refused(json!({"model": "m"})), "no execution provider is named");
        assert_eq!(refused(json!({"model": "m", "preferred": []})), "no execution provider is named");
        let both = json!({"model": "m", "required": "cpu", "preferred": ["cpu"]});
        assert_eq!(refused(both), "both `required` and `preferred` are given");
    }

    #[tokio::test]
    async fn the_embedded_engine_cannot_tell() {
        for file in [model(), fixture("bad_empty")] {
            let config = serde_json::from_value(json!({"model": file, "required": "cpu"})).unwrap();
            let error = Step::run(config, Context::for_tests()).await.unwrap_err();
            assert!(error.message.contains("the embedded engine (rten) has no execution providers"), "{error}");
            assert!(error.help.unwrap().contains("get-onnxruntime.sh"));
        }
    }
}
