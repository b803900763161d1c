//! Undoing completed remediations, last first. A failed undo stops the undoing: what is left then needs
//! a person, not another automatic change.

use super::event::{Event, Phase, Role};
use super::graph::{Graph, Repeat};
use super::input::Input;
use super::scope::RunScope;
use super::state::RunState;
use crate::base::StepKey;

/// Completed remediations that declare how they are undone, in the order of their completion reversed.
/// Steps that changed nothing (`changed: false`) leave nothing to undo.
pub(super) fn undoable(graph: &Graph, state: &RunState) -> Vec<StepKey> {
    let declares = |key: &&StepKey| {
        let Some((step, item)) = state.find(key) else { return false };
        let changed = state.steps[step].items.get(item as usize).is_none_or(|item| item.output["changed"] != false);
        graph.steps[step].undo.is_some() && changed
    };
    state.completed.iter().rev().filter(declares).cloned().collect()
}

/// The next undo, or the end of undoing.
pub(super) fn undo(graph: &Graph, state: &RunState, input: &Input) -> Vec<Event> {
    let Some(undo) = &state.undo else { return begin(graph, state) };
    if let Some(key) = &undo.running {
        let safe = graph
            .step(&key.step)
            .and_then(|(_, step)| step.undo.as_ref())
            .is_some_and(|action| action.repeat == Repeat::Safe);
        return if undo.doubtful && safe && state.running == 0 { start(graph, state, input, key) } else { Vec::new() };
    }
    match undo.left.last() {
        Some(key) if state.running == 0 => start(graph, state, input, key),
        Some(_) => Vec::new(),
        None => vec![Event::PhaseStarted { phase: Phase::Finally }],
    }
}

fn begin(graph: &Graph, state: &RunState) -> Vec<Event> {
    let steps = undoable(graph, state);
    if steps.is_empty() {
        return vec![Event::PhaseStarted { phase: Phase::Finally }];
    }
    vec![Event::UndoStarted { steps }]
}

fn start(graph: &Graph, state: &RunState, input: &Input, key: &StepKey) -> Vec<Event> {
    let failed = |why: String| vec![Event::UndoFinished { key: key.clone(), error: Some(why) }];
    if let Some(hold) = input.hold.as_ref().filter(|hold| hold.undo) {
        return failed(hold.why.clone());
    }
    let Some((step, item)) = state.find(key) else { return failed("the step is not part of the plan".into()) };
    let planned = &graph.steps[step];
    let Some(action) = &planned.undo else { return failed("it declares no undo".into()) };
    let scope = RunScope::of_step(graph, state, planned, state.steps[step].items.get(item as usize));
    match action.request.render(&scope) {
        Ok(request) => {
            let attempt = state.undo.as_ref().map_or(1, |undo| undo.attempts + 1);
            let time_limit_ms = u64::try_from(planned.time_limit.as_millis()).unwrap_or(u64::MAX);
            vec![Event::AttemptStarted { key: key.clone(), role: Role::Undo, attempt, request, time_limit_ms }]
        }
        Err(problem) => failed(problem.message),
    }
}
