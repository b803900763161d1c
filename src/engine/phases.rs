//! What has become possible: the phases in their order, each with what ends it.
//!
//! ```text
//! detect ── holds ──► diagnose ─► causes ─► remediate ─► verify (detection again, then its steps)
//!    │                                          │            │
//!    │ does not hold, or cannot be told         │ nothing    │ still holds
//!    ▼                                          ▼ was done   ▼
//! finally ◄──────────────────────────────────────────────── undo
//! ```

use serde_json::Value;

use super::event::{Cause, Event, Finding, Outcome, Phase, Severity, StepStatus};
use super::graph::{Detection, Graph, StepIndex, Verdict};
use super::input::Input;
use super::scope::RunScope;
use super::state::{ItemState, RECHECK, RunState};
use super::{escalating, impact, judge, outcome, rollback, steps};
use crate::base::value::show;
use crate::language::{Expression, Truth};

pub(super) fn proceed(graph: &Graph, state: &RunState, input: &Input) -> Vec<Event> {
    if state.header.is_none() || state.finished.is_some() {
        return Vec::new();
    }
    let verdicts = judge::verdicts(graph, state, input);
    if !verdicts.is_empty() {
        return verdicts;
    }
    if let Some(events) = cancellation(state) {
        return events;
    }
    let Some(phase) = state.phase else { return vec![start_phase(first_phase(graph))] };
    if graph.look_only.is_some_and(|end| phase >= end) {
        return Vec::new();
    }
    if let Some(escalation) = escalating::before_the_end(graph, state, input.at) {
        return vec![escalation];
    }
    let events = early_decision(graph, state, phase);
    if !events.is_empty() {
        return events;
    }
    let events = steps::progress(graph, state, input, phase);
    if !events.is_empty() {
        return events;
    }
    let events = match phase {
        Phase::Detect => after_detection(graph, state),
        Phase::Diagnose => after_diagnosis(graph, state),
        Phase::Remediate => after_remediation(graph, state),
        Phase::Verify => verification(graph, state, input),
        Phase::Undo => rollback::undo(graph, state, input),
        Phase::Finally => after_all(graph, state, input),
    };
    if events.is_empty() { park(state, input) } else { events }
}

fn start_phase(phase: Phase) -> Event {
    Event::PhaseStarted { phase }
}

fn first_phase(graph: &Graph) -> Phase {
    if graph.detection.is_some() { Phase::Detect } else { Phase::Diagnose }
}

/// Asked to stop softly, the run lets what is running end, then cleans up; asked hard, it ends as soon
/// as the killed attempts are gone.
fn cancellation(state: &RunState) -> Option<Vec<Event>> {
    let hard = state.cancelled?;
    if hard {
        let over = state.running == 0;
        return Some(if over {
            vec![finish(state, Outcome::Cancelled, "cancelled at once; nothing was cleaned up".into())]
        } else {
            Vec::new()
        });
    }
    match state.phase {
        Some(Phase::Finally) => None,
        _ if state.running > 0 => Some(Vec::new()),
        _ => Some(vec![start_phase(Phase::Finally)]),
    }
}

fn finish(state: &RunState, outcome: Outcome, why: String) -> Event {
    Event::RunFinished { outcome, severity: state.severity.unwrap_or(Severity::Info), why }
}

/// What a probe says once it has ended; unknown before.
fn verdict(state: &RunState, step: StepIndex) -> Verdict {
    let step = &state.steps[step];
    match step.status {
        Some(StepStatus::Skipped) => Verdict::Absent,
        Some(StepStatus::Passed) => step.output["holds"].as_bool().map_or(Verdict::Unknown, Verdict::Holds),
        _ => Verdict::Unknown,
    }
}

fn findings(graph: &Graph, state: &RunState, detection: &Detection<StepIndex>) -> Vec<Finding> {
    let finding = |index: StepIndex| {
        let step = &graph.steps[index];
        let measured = state.steps[index].status == Some(StepStatus::Passed);
        let condition = step.expect.as_ref();
        Finding {
            name: step.id.rsplit('.').next().unwrap_or(&step.id).to_owned(),
            holds: verdict(state, index).known(),
            condition: condition.map_or_else(String::new, |condition| condition.text().to_owned()),
            values: condition
                .filter(|_| measured)
                .map(|condition| measured_values(graph, state, index, condition))
                .unwrap_or_default(),
            why: state.steps[index].reason.clone(),
        }
    };
    detection.probes().into_iter().map(finding).collect()
}

/// The values a probe was judged by; of one that fans out, those of the items that gave the answer.
fn measured_values(graph: &Graph, state: &RunState, index: StepIndex, condition: &Expression) -> Vec<(String, Value)> {
    let (planned, step) = (&graph.steps[index], &state.steps[index]);
    if planned.for_each.is_none() {
        return condition.values(&RunScope::of_step(graph, state, planned, None).with_own(&step.output));
    }
    let told = step.items.iter().filter(|item| item.output["holds"] == step.output["holds"]);
    let mut values: Vec<(String, Value)> = Vec::new();
    for item in told {
        let target = item.value.clone().unwrap_or_default();
        let scope = RunScope::of_step(graph, state, planned, Some(item)).with_own(&item.output);
        for (name, value) in condition.values(&scope) {
            let label = if name.starts_with("inputs.") { name } else { format!("{name}[{}]", show(&target)) };
            if !values.iter().any(|(known, _)| *known == label) {
                values.push((label, value));
            }
        }
    }
    values
}

/// Once the answer is clear, probes that have not begun or only wait for another look are dropped.
fn early_decision(graph: &Graph, state: &RunState, phase: Phase) -> Vec<Event> {
    let open = phase == Phase::Detect && !state.phase_is_over(phase);
    let Some(detection) = graph.detection.as_ref().filter(|_| open) else { return Vec::new() };
    match detection.evaluate(&|step| verdict(state, step)) {
        Verdict::Holds(_) => steps::drop_waiting(state, phase, "the detection was already decided"),
        _ => Vec::new(),
    }
}

fn after_detection(graph: &Graph, state: &RunState) -> Vec<Event> {
    let Some(detection) = &graph.detection else { return vec![start_phase(Phase::Diagnose)] };
    if let Some(detected) = state.detected {
        let next = if detected == Some(true) { Phase::Diagnose } else { Phase::Finally };
        return if state.running == 0 { vec![start_phase(next)] } else { Vec::new() };
    }
    if !state.phase_is_over(Phase::Detect) {
        return Vec::new();
    }
    let holds = detection.evaluate(&|step| verdict(state, step)).known();
    vec![Event::DetectionSettled { recheck: false, holds, evidence: findings(graph, state, detection) }]
}

fn after_diagnosis(graph: &Graph, state: &RunState) -> Vec<Event> {
    if !state.phase_is_over(Phase::Diagnose) {
        return Vec::new();
    }
    if state.causes.is_some() {
        return vec![start_phase(Phase::Remediate)];
    }
    let scope = RunScope::new(graph, state);
    let causes: Vec<Cause> = graph
        .causes
        .iter()
        .map(|rule| {
            let truth = rule.when.truth(&scope);
            let why = match &truth {
                Truth::Unknown(why) => Some(why.clone()),
                _ => None,
            };
            let finding = Finding {
                name: rule.name.clone(),
                holds: truth.known(),
                condition: rule.when.text().to_owned(),
                values: rule.when.values(&scope),
                why,
            };
            Cause { title: rule.title.clone(), finding }
        })
        .collect();
    // What is said of the fault may ask for causes, which are facts only after this event: it is looked at in a copy
    // of the state that already has them.
    let mut known = state.clone();
    known.causes = Some(causes.clone());
    let (severity, impact) = (severity(graph, &known), impact::stated(graph, &known));
    vec![Event::CausesFound { causes, severity, impact }]
}

/// The first rule that holds.
fn severity(graph: &Graph, known: &RunState) -> Severity {
    if graph.severity.is_empty() {
        return Severity::Medium;
    }
    let scope = RunScope::new(graph, known);
    let applies = |(when, _): &&(Option<Expression>, Severity)| {
        when.as_ref().is_none_or(|when| when.truth(&scope) == Truth::True)
    };
    graph.severity.iter().find(applies).map_or(Severity::Medium, |(_, severity)| *severity)
}

/// Whether any remediation began, so that there is something to verify.
pub(super) fn acted(state: &RunState) -> bool {
    state.steps_of(Phase::Remediate).any(|step| state.steps[step].items.iter().any(|item| item.attempts > 0))
}

fn after_remediation(graph: &Graph, state: &RunState) -> Vec<Event> {
    if !state.phase_is_over(Phase::Remediate) {
        return Vec::new();
    }
    let observes_only = graph.detection.is_none() && state.steps_of(Phase::Remediate).next().is_none();
    let next = if acted(state) || observes_only { Phase::Verify } else { Phase::Finally };
    vec![start_phase(next)]
}

fn verification(graph: &Graph, state: &RunState, input: &Input) -> Vec<Event> {
    if let (Some(recheck), None) = (&graph.recheck, state.rechecked) {
        return recheck_ended(graph, state, input, recheck);
    }
    let cleared = graph.recheck.is_none() || state.rechecked == Some(Some(false));
    if !cleared {
        let waiting = steps::drop_waiting(state, Phase::Verify, "the fault was not fixed");
        if !waiting.is_empty() {
            return waiting;
        }
    }
    if !state.phase_is_over(Phase::Verify) {
        return Vec::new();
    }
    // Without a detection of its own a playbook is judged by its verification.
    let still_broken = match state.rechecked {
        Some(holds) => holds == Some(true),
        None => outcome::failed_step(graph, state, Phase::Verify).is_some(),
    };
    let undoes = still_broken && !rollback::undoable(graph, state).is_empty();
    vec![start_phase(if undoes { Phase::Undo } else { Phase::Finally })]
}

fn recheck_ended(graph: &Graph, state: &RunState, input: &Input, recheck: &Detection<StepIndex>) -> Vec<Event> {
    let over = recheck.probes().into_iter().all(|step| state.steps[step].status.is_some());
    if !over {
        return Vec::new();
    }
    let answer = recheck.evaluate(&|step| verdict(state, step));
    let waited = input.at.since(state.phase_started_at);
    if answer != Verdict::Holds(false) && waited < graph.recovery.within {
        return vec![Event::RecheckScheduled { at: input.at.plus(graph.recovery.every) }];
    }
    vec![Event::DetectionSettled { recheck: true, holds: answer.known(), evidence: findings(graph, state, recheck) }]
}

fn after_all(graph: &Graph, state: &RunState, input: &Input) -> Vec<Event> {
    if !state.phase_is_over(Phase::Finally) {
        return Vec::new();
    }
    let (outcome, why) = outcome::of(graph, state);
    let end = finish(state, outcome, why);
    match escalating::at_the_end(graph, state, input.at, outcome) {
        Some(escalation) if !state.escalated => vec![escalation, end],
        _ => vec![end],
    }
}

/// When nothing runs, no timer is set, no question is open, and something waits for a person, the run
/// parks. What an earlier, cancelled phase left behind waits for nobody.
fn park(state: &RunState, input: &Input) -> Vec<Event> {
    if state.running > 0 || state.next_wake(input.at).is_some() {
        return Vec::new();
    }
    let first = |wanted: fn(&ItemState) -> bool| {
        let place = state.items_where(wanted).find(|(step, _)| state.phase_of(*step) == state.phase);
        place.map(|(step, item)| state.key(step, item))
    };
    if first(|item| matches!(item, ItemState::Asked { parked: false, .. })).is_some() {
        return Vec::new();
    }
    let asked = first(|item| matches!(item, ItemState::Asked { .. }));
    let doubtful = first(|item| matches!(item, ItemState::Doubtful { .. }));
    let suspended = first(|item| matches!(item, ItemState::Suspended { .. }));
    let undo = state.undo.as_ref().filter(|undo| undo.doubtful && state.phase == Some(Phase::Undo));
    let unknown = |what: &str| format!("{what} was interrupted, and whether it was done is not known");
    let undo = undo.and_then(|undo| undo.running.clone());
    let why = asked.map(|key| format!("{key} waits for approval"));
    let why = why.or_else(|| doubtful.map(|key| unknown(&key.to_string())));
    let why = why.or_else(|| suspended.map(|key| format!("{key} calls a playbook that waits for a person")));
    let Some(why) = why.or_else(|| undo.map(|key| unknown(&format!("the undo of {key}")))) else {
        return Vec::new();
    };
    vec![finish(state, Outcome::Parked, why)]
}

/// Whether a step belongs to the detection that is evaluated again.
pub(super) fn is_recheck(graph: &Graph, step: StepIndex) -> bool {
    graph.steps[step].id.starts_with(RECHECK)
}
