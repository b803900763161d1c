//! What comes next in a run, for people outside of operations: in the words of the playbook, without commands.

use crate::engine::RunState;
use crate::engine::event::{Outcome, Phase, RunStarted};
use crate::engine::graph::StepIndex;
use crate::engine::state::ItemState;

/// Nothing once the fault is gone.
pub(super) fn told(header: &RunStarted, state: &RunState) -> Vec<String> {
    let next = match state.finished {
        Some(outcome) if outcome != Outcome::Parked => after_the_run(outcome, state.escalated),
        _ => return while_it_goes_on(header, state),
    };
    next.map(str::to_owned).into_iter().collect()
}

fn after_the_run(outcome: Outcome, escalated: bool) -> Option<&'static str> {
    match outcome {
        Outcome::Healthy | Outcome::Resolved => None,
        Outcome::Mitigated => Some("Fix what is left of it"),
        _ if escalated => Some("Those on call take over"),
        _ => Some("Somebody has to look into it"),
    }
}

fn while_it_goes_on(header: &RunStarted, state: &RunState) -> Vec<String> {
    let mut next = Vec::new();
    match state.phase {
        Some(Phase::Detect | Phase::Diagnose) | None => next.push("Find the cause".to_owned()),
        _ => next.extend(fixes(state).map(|step| remediation(header, state, step))),
    }
    if matches!(state.phase, Some(Phase::Remediate | Phase::Verify)) {
        next.push("Make sure that the fault is gone".to_owned());
    }
    next
}

/// Remediations that are called for and have not ended: what nothing calls for was skipped when their phase began.
pub(super) fn fixes(state: &RunState) -> impl Iterator<Item = StepIndex> + '_ {
    let open = state.steps_of(Phase::Remediate).filter(|step| state.steps[*step].status.is_none());
    open.filter(|_| state.phase == Some(Phase::Remediate))
}

fn remediation(header: &RunStarted, state: &RunState, step: StepIndex) -> String {
    let outline = &header.steps[step];
    let words = outline.help.as_deref().unwrap_or(&outline.id).trim();
    let asks = state.steps[step].items.iter().any(|item| matches!(item.state, ItemState::Asked { .. }));
    if asks { format!("{words} (somebody has to agree to that)") } else { words.to_owned() }
}
