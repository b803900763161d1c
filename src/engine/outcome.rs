//! How a run ended, and why in one sentence.

use super::event::{Outcome, Phase, StepStatus};
use super::graph::Graph;
use super::phases::acted;
use super::state::RunState;
use super::steps::is_bad;

pub(super) fn of(graph: &Graph, state: &RunState) -> (Outcome, String) {
    if state.cancelled.is_some() {
        return (Outcome::Cancelled, "it was cancelled".into());
    }
    match state.detected {
        Some(Some(false)) => return (Outcome::Healthy, "nothing was detected".into()),
        Some(None) => return (Outcome::Error, undecided(graph, state)),
        _ => {}
    }
    match (acted(state), state.rechecked) {
        (true, Some(Some(false))) => cleared(graph, state),
        (true, Some(Some(true))) => not_cleared(state),
        (true, Some(None)) => (Outcome::Unresolved, "whether the fault still exists could not be told".into()),
        (_, None) if graph.detection.is_none() => without_detection(graph, state),
        _ => nothing_done(graph, state),
    }
}

fn undecided(graph: &Graph, state: &RunState) -> String {
    let silent = state.steps_of(Phase::Detect).find(|step| state.steps[*step].status == Some(StepStatus::Error));
    match silent {
        Some(step) => {
            let why = state.steps[step].reason.as_deref().unwrap_or("no reason was given");
            format!("whether the fault exists could not be told: {}: {why}", graph.steps[step].id)
        }
        None => "whether the fault exists could not be told: no probe applies here".into(),
    }
}

fn cleared(graph: &Graph, state: &RunState) -> (Outcome, String) {
    match failed_step(graph, state, Phase::Verify).or_else(|| failed_step(graph, state, Phase::Remediate)) {
        Some(step) => (Outcome::Mitigated, format!("the detection no longer holds, but {step} did not succeed")),
        None => (Outcome::Resolved, "the detection no longer holds".into()),
    }
}

/// Somebody who rejects a step decides that the fault stays, whatever was done before that step.
fn not_cleared(state: &RunState) -> (Outcome, String) {
    let undo_failed = state.undo.as_ref().is_some_and(|undo| undo.error.is_some());
    match &state.rejected {
        Some(why) if !undo_failed => (Outcome::Rejected, why.clone()),
        _ => (Outcome::Unresolved, still_holds(state)),
    }
}

fn still_holds(state: &RunState) -> String {
    match &state.undo {
        None => "the detection still holds after the fix".into(),
        Some(undo) => match &undo.error {
            None => "the detection still held after the fix, which was undone".into(),
            Some(error) => format!("the detection still holds, and undoing the fix failed: {error}"),
        },
    }
}

/// The first step of a phase that ended badly.
pub(super) fn failed_step<'a>(graph: &'a Graph, state: &RunState, phase: Phase) -> Option<&'a str> {
    let mut steps = state.steps_of(phase).filter(|step| !graph.steps[*step].probe);
    steps.find(|step| is_bad(state.steps[*step].status)).map(|step| graph.steps[step].id.as_str())
}

/// A playbook that only acts, or only looks: judged by its own steps.
fn without_detection(graph: &Graph, state: &RunState) -> (Outcome, String) {
    if let Some(why) = &state.rejected {
        return (Outcome::Rejected, why.clone());
    }
    if let Some(why) = &state.withheld {
        return (Outcome::Unresolved, withheld(state, why));
    }
    // A precondition that did not hold keeps a step from acting, and it has failed all the same.
    if let Some(step) = failed_step(graph, state, Phase::Remediate) {
        return (Outcome::Unresolved, format!("{step} did not succeed"));
    }
    let found = found_causes(state);
    if acted(state) {
        return match failed_step(graph, state, Phase::Verify) {
            Some(step) => (Outcome::Unresolved, format!("{step} did not succeed")),
            None => (Outcome::Resolved, "every step that was called for succeeded".into()),
        };
    }
    let silent = state.steps_of(Phase::Diagnose).find(|step| state.steps[*step].status == Some(StepStatus::Error));
    match (silent, found.is_empty()) {
        (Some(step), _) => (Outcome::Error, format!("{} could not be checked", graph.steps[step].id)),
        (None, false) => (Outcome::Unresolved, format!("found, and nothing here fixes it: {}", found.join(", "))),
        (None, true) => {
            match failed_step(graph, state, Phase::Diagnose).or_else(|| failed_step(graph, state, Phase::Verify)) {
                Some(step) => (Outcome::Unresolved, format!("{step} failed")),
                None => (Outcome::Healthy, "every check passed".into()),
            }
        }
    }
}

fn withheld(state: &RunState, why: &str) -> String {
    let what = if acted(state) { "remediation was cut short" } else { "nothing was remediated" };
    format!("{what}: {why}")
}

fn found_causes(state: &RunState) -> Vec<String> {
    let held = state.causes.iter().flatten().filter(|cause| cause.finding.holds == Some(true));
    held.map(|cause| cause.title.clone()).collect()
}

fn nothing_done(graph: &Graph, state: &RunState) -> (Outcome, String) {
    if let Some(why) = &state.rejected {
        return (Outcome::Rejected, why.clone());
    }
    if let Some(why) = &state.withheld {
        return (Outcome::Unresolved, withheld(state, why));
    }
    let found = found_causes(state);
    if let Some(step) = failed_step(graph, state, Phase::Remediate) {
        return (Outcome::Unresolved, format!("{step} could not be started"));
    }
    let undecided: Vec<&str> = state
        .causes
        .iter()
        .flatten()
        .filter(|cause| cause.finding.holds.is_none())
        .map(|cause| cause.title.as_str())
        .collect();
    let why = match (found.is_empty(), undecided.is_empty()) {
        (false, _) => format!("nothing here fixes: {}", found.join(", ")),
        (true, false) => format!("no cause was found; not decided: {}", undecided.join(", ")),
        (true, true) => "the fault was detected, but no cause was found".to_owned(),
    };
    (Outcome::Unresolved, why)
}
