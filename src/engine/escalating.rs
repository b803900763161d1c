//! Whether a run calls people for help: at its end, and before it when a time has passed.
//!
//! Before the end nobody knows how it will end, so `unresolved`, `mitigated` and `error` are unknown then, and a
//! condition holds only if it does whatever they will be: `unresolved || run_elapsed > 15m` after a quarter of an hour.

use std::time::Duration;

use serde_json::{Value, json};

use super::event::{Event, Outcome, Phase};
use super::graph::Graph;
use super::judge;
use super::scope::RunScope;
use super::state::RunState;
use crate::base::Timestamp;
use crate::language::{Expression, Truth};

const RUN: &str = "run_elapsed";
const PHASE: &str = "phase_elapsed";

/// What is raised when the run comes to this outcome.
pub(super) fn at_the_end(graph: &Graph, state: &RunState, at: Timestamp, outcome: Outcome) -> Option<Event> {
    let escalation = graph.escalation.as_ref()?;
    let unresolved = outcome == Outcome::Unresolved;
    let Some(when) = &escalation.when else {
        let why = "the fault is not resolved".to_owned();
        return unresolved.then(|| Event::EscalationRaised { policy: escalation.policy.clone(), why });
    };
    let known = [
        ("unresolved", json!(unresolved)),
        ("mitigated", json!(outcome == Outcome::Mitigated)),
        ("error", json!(outcome == Outcome::Error)),
    ];
    raised(graph, state, &escalation.policy, when, &[&known[..], &times(state, at)[..]].concat())
}

/// What is raised while the run still works on a fault, or waits for somebody.
pub(super) fn before_the_end(graph: &Graph, state: &RunState, at: Timestamp) -> Option<Event> {
    let when = may_still(graph, state)?;
    raised(graph, state, &graph.escalation.as_ref()?.policy, when, &times(state, at))
}

/// When time alone may make the condition hold: the first moment after `decided` at which a time that is written in
/// it has passed. It is also judged whenever something happens.
pub fn next_wake(graph: &Graph, state: &RunState, decided: Timestamp) -> Option<Timestamp> {
    let when = may_still(graph, state)?;
    let reads = |name: &str| when.references().iter().any(|read| read == name);
    let begins = [(RUN, state.started_at), (PHASE, state.phase_started_at)];
    let begins = begins.into_iter().filter(|(name, _)| reads(name)).map(|(_, begin)| begin);
    // The first millisecond at which more than that has passed.
    let after = |begin: Timestamp, seconds: f64| Some(begin.plus(Duration::try_from_secs_f64(seconds + 0.001).ok()?));
    let moments = begins.flat_map(|begin| when.numbers().into_iter().filter_map(move |seconds| after(begin, seconds)));
    moments.filter(|at| *at > decided).min()
}

/// The condition, as long as the run can raise it before its end: after a fault was found, once.
fn may_still<'a>(graph: &'a Graph, state: &RunState) -> Option<&'a Expression> {
    let works = matches!(state.phase, Some(Phase::Diagnose | Phase::Remediate | Phase::Verify | Phase::Undo));
    let goes_on = matches!(state.finished, None | Some(Outcome::Parked)) && state.cancelled.is_none();
    let when = graph.escalation.as_ref()?.when.as_ref()?;
    (works && goes_on && !state.escalated && graph.look_only.is_none()).then_some(when)
}

fn times(state: &RunState, at: Timestamp) -> [(&'static str, Value); 2] {
    [
        (PHASE, json!(at.since(state.phase_started_at).as_secs_f64())),
        (RUN, json!(at.since(state.started_at).as_secs_f64())),
    ]
}

fn raised(
    graph: &Graph,
    state: &RunState,
    policy: &str,
    when: &Expression,
    extra: &[(&'static str, Value)],
) -> Option<Event> {
    let scope = RunScope::new(graph, state).with_extra(extra);
    let why = format!("{} ({})", when.text(), judge::evidence(when, &scope));
    (when.truth(&scope) == Truth::True).then(|| Event::EscalationRaised { policy: policy.to_owned(), why })
}
