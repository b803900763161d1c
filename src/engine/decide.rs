//! `decide`: what follows from an input, as facts. Nothing here changes anything.

use std::collections::BTreeSet;

use super::event::{Event, Outcome, Record, Resolution, Role, StepStatus};
use super::graph::Graph;
use super::input::{Input, What};
use super::state::{IllegalTransition, ItemState, RunState};
use super::{approval, escalating, judge, phases};
use crate::base::{RunId, StepKey};
use serde_json::Value;

/// The facts that follow from `input` in this state. With [`What::Proceed`] it answers what has become
/// possible; an empty answer means that the run waits for the world.
pub fn decide(graph: &Graph, state: &RunState, input: &Input) -> Vec<Event> {
    if !is_open_for(state, &input.what) {
        return Vec::new();
    }
    match &input.what {
        What::Start => vec![Event::RunStarted(Box::new(graph.header.clone()))],
        What::StartAnew(taken) => start_anew(graph, taken),
        What::Ended { .. } => judge::attempt_ended(graph, state, input),
        What::Lost { .. } => judge::attempt_lost(graph, state, input),
        What::Suspended { .. } => judge::attempt_suspended(graph, state, input),
        What::Answered(answer) => approval::answered(graph, state, input.at, answer),
        What::CancelAsked { by, hard } => cancel_asked(state, by, *hard),
        What::Resumed { by, goes_on } => resumed(state, by, goes_on),
        What::DoubtResolved { key, resolution, by, reason } => doubt_resolved(state, key, *resolution, by, reason),
        What::Notified(event) => vec![event.clone()],
        What::Proceed if state.finished == Some(Outcome::Parked) => {
            escalating::before_the_end(graph, state, input.at).into_iter().collect()
        }
        What::Proceed => phases::proceed(graph, state, input),
    }
}

fn start_anew(graph: &Graph, taken: &[Event]) -> Vec<Event> {
    let mut events = vec![Event::RunStarted(Box::new(graph.header.clone()))];
    events.extend_from_slice(taken);
    events
}

/// Before its start a run can only start, and after its end only be told of deliveries; a parked run can
/// go on. Anything else comes too late and changes nothing.
fn is_open_for(state: &RunState, what: &What) -> bool {
    match (what, state.finished) {
        (What::Start | What::StartAnew(_), _) => state.header.is_none(),
        (What::Notified(_), _) => state.header.is_some(),
        // A parked run records who tried to answer and may not; what may count has to resume it.
        // And people are called when nobody answers.
        (What::Answered(_) | What::Proceed, Some(Outcome::Parked)) => state.header.is_some(),
        (What::Resumed { .. }, outcome) => state.header.is_some() && matches!(outcome, None | Some(Outcome::Parked)),
        (_, outcome) => state.header.is_some() && outcome.is_none(),
    }
}

/// Decides and applies until the run waits for the world. The records are in order and not yet durable:
/// append them before any command they call for is carried out.
pub fn advance(
    graph: &Graph,
    state: &mut RunState,
    run: &RunId,
    input: &Input,
) -> Result<Vec<Record>, IllegalTransition> {
    advance_all(graph, state, run, std::slice::from_ref(input))
}

/// Takes in everything that has happened before it looks at what became possible, so that an answer
/// that arrives together with a resumption counts before the run parks for want of it.
pub fn advance_all(
    graph: &Graph,
    state: &mut RunState,
    run: &RunId,
    inputs: &[Input],
) -> Result<Vec<Record>, IllegalTransition> {
    let mut records = Vec::new();
    for input in inputs {
        let events = decide(graph, state, input);
        take(state, run, input, events, &mut records)?;
    }
    let Some(last) = inputs.last() else { return Ok(records) };
    let proceed = Input { what: What::Proceed, ..last.clone() };
    loop {
        let events = decide(graph, state, &proceed);
        if events.is_empty() {
            return Ok(records);
        }
        take(state, run, &proceed, events, &mut records)?;
    }
}

fn take(
    state: &mut RunState,
    run: &RunId,
    input: &Input,
    events: Vec<Event>,
    records: &mut Vec<Record>,
) -> Result<(), IllegalTransition> {
    for event in events {
        let record = state.record(run, input.at, event);
        state.apply(&record)?;
        records.push(record);
    }
    Ok(())
}

fn cancel_asked(state: &RunState, by: &str, hard: bool) -> Vec<Event> {
    let nothing_new = state.cancelled == Some(true) || (state.cancelled == Some(false) && !hard);
    if nothing_new { Vec::new() } else { vec![Event::CancelRequested { by: by.to_owned(), hard }] }
}

/// Everything that was running when the program died and does not go on without it is interrupted; what
/// happens to it then is the ordinary rule for doubtful items.
fn resumed(state: &RunState, by: &str, goes_on: &BTreeSet<(StepKey, Role)>) -> Vec<Event> {
    let mut events = vec![Event::Resumed { by: by.to_owned() }];
    for (step, number) in state.items_where(|item| matches!(item, ItemState::Running { .. })) {
        let item = &state.steps[step].items[number as usize];
        let key = state.key(step, number);
        if let ItemState::Running { role } = item.state
            && !goes_on.contains(&(key.clone(), role))
        {
            events.push(Event::AttemptInterrupted { key, role, attempt: item.attempts });
        }
    }
    if let Some(undo) = state.undo.as_ref().filter(|undo| !undo.doubtful && undo.ended.is_none())
        && let Some(key) = &undo.running
        && !goes_on.contains(&(key.clone(), Role::Undo))
    {
        events.push(Event::AttemptInterrupted { key: key.clone(), role: Role::Undo, attempt: undo.attempts });
    }
    events
}

fn doubt_resolved(state: &RunState, key: &StepKey, resolution: Resolution, by: &str, reason: &str) -> Vec<Event> {
    let settled = Event::DoubtResolved { key: key.clone(), resolution, by: by.to_owned(), reason: reason.to_owned() };
    let told = |what: &str| Some(format!("{by} says it was {what}: {reason}"));
    if state.undo.as_ref().is_some_and(|undo| undo.doubtful && undo.running.as_ref() == Some(key)) {
        return match resolution {
            Resolution::Retry => vec![settled],
            Resolution::Done => vec![settled, Event::UndoFinished { key: key.clone(), error: None }],
            Resolution::Abort => vec![settled, Event::UndoFinished { key: key.clone(), error: told("not done") }],
        };
    }
    let doubtful = state.find(key).and_then(|(step, item)| state.steps[step].items.get(item as usize));
    if !doubtful.is_some_and(|item| matches!(item.state, ItemState::Doubtful { .. })) {
        return Vec::new();
    }
    let finished =
        |status, reason| Event::StepFinished { key: key.clone(), status, output: Value::Null, reason, help: None };
    match resolution {
        Resolution::Retry => vec![settled],
        Resolution::Done => vec![settled, finished(StepStatus::Passed, told("done"))],
        Resolution::Abort => vec![settled, finished(StepStatus::Error, told("not done"))],
    }
}
