//! What the end of an attempt means for its step.

use std::time::Duration;

use serde_json::Value;

use super::event::{AttemptResult, Event, Phase, Role, StepStatus};
use super::graph::{Graph, Repeat, Retry, SideAction, Step, StepIndex};
use super::input::{Input, What};
use super::scope::RunScope;
use super::state::{Item, ItemState, RunState, UndoState};
use crate::base::value::show;
use crate::base::{StepKey, Timestamp};
use crate::language::{Expression, Truth};

/// What ends the same step this often ends it every time, such as a limit on memory: trying on would never end.
const MOST_INTERRUPTIONS: u32 = 3;
const OFTEN_INTERRUPTED: &str = "something ends the process of this step; look for limits on memory or time, and into \
     the log of the machine, then go on with `runbook rerun RUN --from STEP`";

/// The fact that an attempt ended, with what its check found; none for an attempt that is not running,
/// which a runtime may report late or twice.
pub(super) fn attempt_ended(graph: &Graph, state: &RunState, input: &Input) -> Vec<Event> {
    let (What::Ended { key, role, attempt, result }
    | What::Lost { key, role, attempt, result }
    | What::Suspended { key, role, attempt, result }) = &input.what
    else {
        return Vec::new();
    };
    let (role, attempt) = (*role, *attempt);
    let ended = Event::AttemptEnded { key: key.clone(), role, attempt, result: result.clone() };
    if role == Role::Undo {
        let is_this = |undo: &UndoState| undo.running.as_ref() == Some(key) && undo.attempts == attempt;
        let running = |undo: &UndoState| is_this(undo) && !undo.doubtful && undo.ended.is_none();
        return if state.undo.as_ref().is_some_and(running) { vec![ended] } else { Vec::new() };
    }
    let Some((index, number)) = state.find(key) else { return Vec::new() };
    let Some(item) = state.steps[index].items.get(number as usize) else { return Vec::new() };
    // A precondition is asked for the attempt that follows; a check is about the one before.
    let expected = if role == Role::Precondition { item.attempts + 1 } else { item.attempts };
    if item.state != (ItemState::Running { role }) || expected != attempt {
        return Vec::new();
    }
    let mut events = vec![ended];
    let judge = Judge::new(graph, state, input, key, index, item);
    match role {
        Role::Check => events.extend(judge.check(result)),
        Role::Precondition => events.extend(judge.precondition(result)),
        Role::Main | Role::Undo => {}
    }
    events
}

/// The fact that an attempt is in doubt, which is no error: a retry might do a second time what was done. What is
/// harmless to repeat has ended like any other, because only its `retry` bounds how often it is repeated.
pub(super) fn attempt_lost(graph: &Graph, state: &RunState, input: &Input) -> Vec<Event> {
    let ended = attempt_ended(graph, state, input);
    let Some(Event::AttemptEnded { key, role, attempt, .. }) = ended.first() else { return ended };
    let step = graph.step(&key.step).map(|(_, step)| step);
    let repeat = match role {
        Role::Main => step.map(|step| step.repeat),
        Role::Undo => step.and_then(|step| step.undo.as_ref()).map(|action| action.repeat),
        Role::Check | Role::Precondition => None,
    };
    if repeat != Some(Repeat::Unknown) {
        return ended;
    }
    vec![Event::AttemptInterrupted { key: key.clone(), role: *role, attempt: *attempt }]
}

/// The fact that an attempt waits for a person. Nobody is waited for when the run was told to stop.
pub(super) fn attempt_suspended(graph: &Graph, state: &RunState, input: &Input) -> Vec<Event> {
    let ended = attempt_ended(graph, state, input);
    match ended.first() {
        Some(Event::AttemptEnded {
            key,
            role: Role::Main,
            attempt,
            result: AttemptResult::Error { message, help, .. },
        }) if state.cancelled.is_none() => vec![Event::AttemptSuspended {
            key: key.clone(),
            attempt: *attempt,
            why: message.clone(),
            help: help.clone(),
        }],
        _ => ended,
    }
}

/// What the attempts that have ended mean for their steps. This follows from the state alone, so that
/// a crash right after an attempt's end loses neither its result nor its verdict.
pub(super) fn verdicts(graph: &Graph, state: &RunState, input: &Input) -> Vec<Event> {
    if let Some(undo) = &state.undo
        && let (Some(key), Some(result)) = (&undo.running, &undo.ended)
    {
        return vec![undo_finished(key, result)];
    }
    let judge = |(index, number): &(StepIndex, u32)| {
        let item = &state.steps[*index].items[*number as usize];
        let ItemState::Ended { result } = &item.state else { return Vec::new() };
        Judge::new(graph, state, input, &state.key(*index, *number), *index, item).main(result)
    };
    // One at a time: a verdict may read the outputs that an earlier one has just settled.
    state.ended.first().map(judge).unwrap_or_default()
}

fn undo_finished(key: &StepKey, result: &AttemptResult) -> Event {
    let error = match result {
        AttemptResult::Measured { failure, .. } => failure.clone(),
        AttemptResult::Error { message, .. } => Some(message.clone()),
        AttemptResult::Cancelled => Some("cancelled".to_owned()),
    };
    Event::UndoFinished { key: key.clone(), error }
}

struct Judge<'a> {
    graph: &'a Graph,
    state: &'a RunState,
    input: &'a Input,
    step: &'a Step,
    key: &'a StepKey,
    item: &'a Item,
}

impl<'a> Judge<'a> {
    fn new(
        graph: &'a Graph,
        state: &'a RunState,
        input: &'a Input,
        key: &'a StepKey,
        index: StepIndex,
        item: &'a Item,
    ) -> Self {
        Judge { graph, state, input, step: &graph.steps[index], key, item }
    }

    fn main(&self, result: &AttemptResult) -> Vec<Event> {
        match result {
            AttemptResult::Cancelled => self.finish(StepStatus::Cancelled, Value::Null, Some("cancelled".into()), None),
            AttemptResult::Error { message, help, code } => {
                let retries = |retry: &Retry| retry.on_error || code.is_some_and(|code| retry.codes.contains(&code));
                self.retry(message, retries)
                    .unwrap_or_else(|| self.finish(StepStatus::Error, Value::Null, Some(message.clone()), help.clone()))
            }
            AttemptResult::Measured { output, failure } => self.measured(output, failure.as_deref()),
        }
    }

    fn measured(&self, output: &Value, failure: Option<&str>) -> Vec<Event> {
        if self.step.probe {
            return self.probe(output);
        }
        let failure = match (failure, &self.step.expect) {
            (Some(why), _) => Some(why.to_owned()),
            (None, Some(expect)) => match self.expectation(expect, output) {
                Ok(failure) => failure,
                Err(why) => return self.finish(StepStatus::Error, output.clone(), Some(why), None),
            },
            (None, None) => None,
        };
        match failure {
            None => self.finish(StepStatus::Passed, output.clone(), None, None),
            Some(why) => self
                .retry(&why, |retry| {
                    retry.on_failed
                        || output["status"]
                            .as_u64()
                            .is_some_and(|code| retry.codes.iter().any(|wanted| u64::from(*wanted) == code))
                })
                .unwrap_or_else(|| self.finish(StepStatus::Failed, output.clone(), Some(why), None)),
        }
    }

    fn scope<'b>(&'b self, own: &'b Value) -> RunScope<'b> {
        RunScope::of_step(self.graph, self.state, self.step, self.item.value.as_ref()).with_own(own)
    }

    /// `None` when the expectation holds, else why not; an error when it cannot be decided.
    fn expectation(&self, expect: &Expression, output: &Value) -> Result<Option<String>, String> {
        let scope = self.scope(output);
        match expect.truth(&scope) {
            Truth::True => Ok(None),
            Truth::False => Ok(Some(format!("expected {}, but {}", expect.text(), evidence(expect, &scope)))),
            Truth::Unknown(why) => Err(format!("cannot tell whether {}: {why}", expect.text())),
        }
    }

    fn probe(&self, output: &Value) -> Vec<Event> {
        let Some(condition) = &self.step.expect else {
            return self.finish(StepStatus::Passed, output.clone(), None, None);
        };
        let holds = match condition.truth(&self.scope(output)) {
            Truth::Unknown(why) => {
                let why = format!("cannot tell whether {}: {why}", condition.text());
                return self
                    .retry(&why, |retry| retry.on_error)
                    .unwrap_or_else(|| self.finish(StepStatus::Error, output.clone(), Some(why), None));
            }
            known => known == Truth::True,
        };
        if let (true, Some(hold)) = (holds, self.step.hold) {
            let since = self.item.holds_since.unwrap_or(self.input.at);
            if self.input.at.since(since) < hold {
                return vec![Event::HoldScheduled { key: self.key.clone(), at: self.next_look(since, hold), since }];
            }
        }
        let mut output = output.clone();
        if let Value::Object(fields) = &mut output {
            fields.insert("holds".into(), holds.into());
        }
        self.finish(StepStatus::Passed, output, None, None)
    }

    /// A condition that must go on holding is looked at four times in its duration, at least every
    /// half minute and at most once a second, and a last time exactly when the duration is over.
    fn next_look(&self, since: Timestamp, hold: Duration) -> Timestamp {
        let pause = (hold / 4).clamp(Duration::from_secs(1), Duration::from_secs(30));
        self.input.at.plus(pause).min(since.plus(hold).max(self.input.at.plus(Duration::from_millis(1))))
    }

    /// Why what a side action found is not as it should be; `None` when it is, an error when it cannot be told.
    fn objection(&self, side: &SideAction, output: &Value, failure: Option<&String>) -> Result<Option<String>, String> {
        match (failure, &side.expect) {
            (Some(why), _) => Ok(Some(why.clone())),
            (None, None) => Ok(None),
            (None, Some(expect)) => self.expectation(expect, output),
        }
    }

    /// What held when the plan was made need not hold any more: nothing is done then.
    fn precondition(&self, result: &AttemptResult) -> Vec<Event> {
        let Some(precondition) = &self.step.precondition else { return Vec::new() };
        let unknown = |why: &str| format!("its precondition could not be checked: {why}");
        match result {
            AttemptResult::Cancelled => self.finish(StepStatus::Cancelled, Value::Null, Some("cancelled".into()), None),
            AttemptResult::Error { message, help, .. } => {
                self.finish(StepStatus::Error, Value::Null, Some(unknown(message)), help.clone())
            }
            AttemptResult::Measured { output, failure } => {
                match self.objection(precondition, output, failure.as_ref()) {
                    Ok(None) => vec![Event::PreconditionMet { key: self.key.clone() }],
                    Ok(Some(why)) => {
                        let why = format!("not done: its precondition does not hold: {why}");
                        self.finish(StepStatus::Failed, Value::Null, Some(why), None)
                    }
                    Err(why) => self.finish(StepStatus::Error, Value::Null, Some(unknown(&why)), None),
                }
            }
        }
    }

    fn check(&self, result: &AttemptResult) -> Vec<Event> {
        let AttemptResult::Measured { output, failure } = result else { return Vec::new() };
        let Some(check) = &self.step.check else { return Vec::new() };
        match self.objection(check, output, failure.as_ref()).map(|objection| objection.is_none()) {
            Ok(true) => self.finish(
                StepStatus::Passed,
                output.clone(),
                Some("done before the interruption, as its check found".into()),
                None,
            ),
            Ok(false) if self.item.interruptions >= MOST_INTERRUPTIONS => {
                let why = format!("interrupted {MOST_INTERRUPTIONS} times, and its check found that it was not done");
                self.finish(StepStatus::Error, Value::Null, Some(why), Some(OFTEN_INTERRUPTED.to_owned()))
            }
            Ok(false) => vec![self.again("its check found that it was not done")],
            Err(_) => Vec::new(),
        }
    }

    fn again(&self, why: &str) -> Event {
        Event::RetryScheduled {
            key: self.key.clone(),
            role: Role::Main,
            attempt: self.item.attempts + 1,
            at: self.input.at,
            why: why.to_owned(),
        }
    }

    fn retry(&self, why: &str, wanted: impl Fn(&Retry) -> bool) -> Option<Vec<Event>> {
        let tried = self.item.attempts - self.item.looks;
        let retry = self.step.retry.as_ref().filter(|retry| wanted(retry) && tried < retry.attempts)?;
        // Cleaning up goes on after a cancellation; everything else is not begun again.
        if self.state.cancelled.is_some() && self.step.phase != Phase::Finally {
            return None;
        }
        let at = self.input.at.plus(pause(retry, tried, self.input.entropy));
        Some(vec![Event::RetryScheduled {
            key: self.key.clone(),
            role: Role::Main,
            attempt: self.item.attempts + 1,
            at,
            why: why.to_owned(),
        }])
    }

    fn finish(&self, status: StepStatus, output: Value, reason: Option<String>, help: Option<String>) -> Vec<Event> {
        let mut events = Vec::new();
        let bad = matches!(status, StepStatus::Failed | StepStatus::Error);
        // Before the end of the step: after it nothing would tell that the severity is still to be raised.
        if let (true, Some(severity)) = (bad, self.step.severity)
            && self.state.severity < Some(severity)
        {
            events.push(Event::SeverityRaised { severity, why: format!("{} {status}", self.key) });
        }
        events.push(Event::StepFinished { key: self.key.clone(), status, output, reason, help });
        events
    }
}

/// The values an expression saw: `size = 0, exists = true`.
pub(super) fn evidence(expression: &Expression, scope: &RunScope<'_>) -> String {
    let values = expression.values(scope);
    let shown: Vec<String> = values.iter().map(|(name, value)| format!("{name} = {}", shorten(value))).collect();
    if shown.is_empty() { "it does not hold".to_owned() } else { shown.join(", ") }
}

/// Evidence is read, not parsed: a long value is cut.
fn shorten(value: &Value) -> String {
    const LONG: usize = 120;
    let text = if value.is_string() { format!("{:?}", show(value)) } else { value.to_string() };
    match text.char_indices().nth(LONG) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

/// The pause before the attempt after `attempt`: exponential with a cap, a share of it random.
fn pause(retry: &Retry, attempt: u32, entropy: u64) -> Duration {
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = retry.backoff.as_secs_f64() * retry.factor.powi(exponent);
    let capped = grown.min(retry.max.as_secs_f64());
    // The upper 53 bits make a uniform number in [0, 1).
    let random = (entropy >> 11) as f64 / (1_u64 << 53) as f64;
    Duration::from_secs_f64(capped * (1.0 - retry.jitter * random))
}
