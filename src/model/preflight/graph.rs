//! Names and operators of a model's graph and of the graphs nested in it.

use std::collections::HashSet;

use super::Limits;
use crate::model::protobuf::{GraphProto, ModelProto, NodeProto};
use crate::model::{FaultKind, ModelFault};

/// More findings of one kind than this help nobody.
const MOST_NAMED: usize = 5;

/// Calls `visit` with a graph and every graph below it.
pub fn walk<'a>(graph: &'a GraphProto, visit: &mut impl FnMut(&'a GraphProto)) {
    visit(graph);
    for inner in graph.node.iter().flat_map(nested) {
        walk(inner, visit);
    }
}

fn nested(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

pub fn check(faults: &mut Vec<ModelFault>, model: &ModelProto, top: &GraphProto, limits: &Limits) {
    check_operators(faults, model, top, limits);
    let (mut repeated, mut dangling) = (Vec::new(), Vec::new());
    check_duplicates(&mut repeated, top);
    check_names(&mut dangling, top, &HashSet::new());
    tell(faults, FaultKind::DuplicateName, repeated);
    tell(faults, FaultKind::DanglingName, dangling);
}

fn tell(faults: &mut Vec<ModelFault>, kind: FaultKind, mut details: Vec<String>) {
    let rest = details.len().saturating_sub(MOST_NAMED);
    details.truncate(MOST_NAMED);
    if rest > 0 {
        details.push(format!("{rest} more faults of this kind"));
    }
    faults.extend(details.into_iter().map(|detail| ModelFault::new(kind, detail)));
}

fn check_operators(faults: &mut Vec<ModelFault>, model: &ModelProto, top: &GraphProto, limits: &Limits) {
    let defined_here =
        |node: &NodeProto| model.functions.iter().any(|own| own.domain == node.domain && own.name == node.op_type);
    let mut unknown = Vec::new();
    walk(top, &mut |graph| {
        for node in graph.node.iter().filter(|node| !limits.domains.contains(&&*node.domain) && !defined_here(node)) {
            let name = format!("{}:{}", node.domain, node.op_type);
            if !unknown.contains(&name) {
                unknown.push(name);
            }
        }
    });
    if unknown.is_empty() {
        return;
    }
    let rest = unknown.len().saturating_sub(MOST_NAMED);
    unknown.truncate(MOST_NAMED);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    let detail = format!("the model uses operators that are not known here: {}{more}", unknown.join(", "));
    faults.push(ModelFault::new(FaultKind::UnsupportedOperator, detail));
}

fn check_duplicates(broken: &mut Vec<String>, top: &GraphProto) {
    let inputs = top.input.iter().map(|value| &*value.name);
    let outputs = top.output.iter().map(|value| &*value.name);
    let made = top.node.iter().flat_map(|node| &node.output).map(|name| &**name).filter(|name| !name.is_empty());
    broken.extend(repeated(inputs).map(|name| format!("two inputs have the name '{name}'")));
    broken.extend(repeated(outputs).map(|name| format!("two outputs have the name '{name}'")));
    broken.extend(repeated(made).map(|name| format!("two nodes make the value '{name}'")));
}

fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let mut seen = HashSet::new();
    names.filter(move |name| !seen.insert(*name))
}

/// Every name that is read must be made somewhere. The order of nodes is not judged: engines sort them.
fn check_names<'a>(broken: &mut Vec<String>, graph: &'a GraphProto, outer: &HashSet<&'a str>) {
    let mut known = outer.clone();
    known.extend(graph.input.iter().map(|value| &*value.name));
    known.extend(graph.initializer.iter().map(|weight| &*weight.name));
    known.extend(graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref()).map(|part| &*part.name));
    known.extend(graph.node.iter().flat_map(|node| &node.output).map(|name| &**name));
    for (index, node) in graph.node.iter().enumerate() {
        // An empty name stands for an optional input that is left out.
        for name in node.input.iter().filter(|name| !name.is_empty() && !known.contains(&***name)) {
            broken.push(format!("{} reads '{name}', which nothing makes", show(node, index)));
        }
        nested(node).for_each(|inner| check_names(broken, inner, &known));
    }
    for output in graph.output.iter().filter(|output| !known.contains(&*output.name)) {
        broken.push(format!("the output '{}' is made by no node", output.name));
    }
}

fn show(node: &NodeProto, index: usize) -> String {
    if node.name.is_empty() {
        format!("node {index} ({})", node.op_type)
    } else {
        format!("node '{}' ({})", node.name, node.op_type)
    }
}
