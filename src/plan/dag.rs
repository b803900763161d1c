//! Edges between steps of a phase: written as `needs`, or implied by the use of an output.

use std::collections::HashMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::step_route;
use crate::base::{Diagnostic, suggestion};
use crate::engine::graph::StepIndex;
use crate::playbook::{Playbook, Step};

/// For each step the steps of its phase that must end before it, each once, in order.
pub(super) fn edges(playbook: &Playbook) -> Vec<Vec<StepIndex>> {
    let index = index(playbook);
    playbook.steps.iter().enumerate().map(|(position, step)| needs(step, position, &index)).collect()
}

/// The word of the phase and the name of a step, as references write them, to its place.
type Index<'a> = HashMap<(&'static str, &'a str), StepIndex>;

fn index(playbook: &Playbook) -> Index<'_> {
    let steps = playbook.steps.iter().enumerate();
    steps.map(|(position, step)| ((step.phase.label(), step.name.as_str()), position)).collect()
}

fn needs(step: &Step, position: StepIndex, index: &Index<'_>) -> Vec<StepIndex> {
    let phase = step.phase.label();
    let implied = references(step).filter_map(|name| {
        let mut parts = name.split('.');
        let (head, step_name) = (parts.next()?, parts.next()?);
        (head == phase).then_some(step_name)
    });
    let names = step.keys.needs.iter().map(String::as_str).chain(implied);
    let mut needs: Vec<StepIndex> = names.filter_map(|name| index.get(&(phase, name)).copied()).collect();
    needs.retain(|need| *need != position);
    needs.sort_unstable();
    needs.dedup();
    needs
}

/// Every dotted name that must have a value when the step starts or is judged.
fn references(step: &Step) -> impl Iterator<Item = &str> {
    let fan = step.for_each.as_ref();
    let looked_for = step.precondition.as_ref().and_then(|(_, expect)| expect.as_ref());
    let conditions = [
        step.when.as_ref(),
        step.expect.as_ref(),
        fan.map(|fan| &fan.list),
        fan.and_then(|fan| fan.of.as_ref()),
        looked_for,
    ];
    let in_conditions = conditions.into_iter().flatten().flat_map(|condition| condition.references());
    let before = step.precondition.iter().flat_map(|(action, _)| action.request.references());
    in_conditions.chain(before).chain(step.action.request.references()).map(String::as_str)
}

/// Unknown needs, needs of oneself, cycles.
pub(super) fn check(playbook: &Playbook) -> Vec<Diagnostic> {
    let index = index(playbook);
    let mut problems: Vec<Diagnostic> =
        playbook.steps.iter().flat_map(|step| unknown_needs(playbook, &index, step)).collect();
    problems.extend(cycles(playbook));
    problems
}

fn unknown_needs(playbook: &Playbook, index: &Index<'_>, step: &Step) -> Vec<Diagnostic> {
    let problem = |(position, name): (usize, &String)| {
        let message = match name {
            name if *name == step.name => format!("'{name}' needs itself"),
            name if !index.contains_key(&(step.phase.label(), name.as_str()))
                && !playbook.is_written(step.phase.label(), name) =>
            {
                format!("there is no step '{name}' in {}", step.phase)
            }
            _ => return None,
        };
        let span = playbook.root.locate(&step_route(step, "needs").index(position));
        let peers = playbook.steps.iter().filter(|other| other.phase == step.phase && other.name != step.name);
        let others: Vec<&str> = peers.map(|peer| peer.name.as_str()).collect();
        Some(
            Diagnostic::error("unknown-step", message)
                .at(&playbook.source, span)
                .help(suggestion::did_you_mean(name, others)),
        )
    };
    step.keys.needs.iter().enumerate().filter_map(problem).collect()
}

fn cycles(playbook: &Playbook) -> Vec<Diagnostic> {
    let mut graph: DiGraph<(), ()> = DiGraph::with_capacity(playbook.steps.len(), playbook.steps.len());
    for _ in &playbook.steps {
        graph.add_node(());
    }
    for (step, needs) in edges(playbook).iter().enumerate() {
        for need in needs {
            graph.add_edge(NodeIndex::new(*need), NodeIndex::new(step), ());
        }
    }
    let rings = tarjan_scc(&graph).into_iter().filter(|ring| ring.len() > 1);
    rings.map(|ring| cycle_problem(playbook, ring)).collect()
}

fn cycle_problem(playbook: &Playbook, ring: Vec<NodeIndex>) -> Diagnostic {
    let mut members: Vec<&Step> = ring.iter().map(|node| &playbook.steps[node.index()]).collect();
    members.sort_by_key(|step| playbook.root.locate_key(&step.route).start);
    let names: Vec<&str> = members.iter().map(|step| step.name.as_str()).collect();
    let span = playbook.root.locate_key(&members[0].route);
    Diagnostic::error("cycle", format!("steps wait for each other: {}", names.join(", ")))
        .at(&playbook.source, span)
        .help("remove one of the `needs` or references between them".to_owned())
}
