//! Steps of the current phase: which are skipped, asked for, started, and ended as a whole.

use serde_json::{Value, json};

use super::event::{Answers, ApprovalVerdict, Event, Phase, Role, StepStatus};
use super::gate::Gate;
use super::graph::{Graph, Repeat, Step, StepIndex};
use super::input::Input;
use super::phases::is_recheck;
use super::scope::RunScope;
use super::state::{Item, ItemState, RunState};
use super::{approval, fan, targets};
use crate::base::StepKey;

/// One move of the phase's steps; empty when nothing can move.
pub(super) fn progress(graph: &Graph, state: &RunState, input: &Input, phase: Phase) -> Vec<Event> {
    let turn = Turn { graph, state, input, phase };
    let events = turn.ready_steps();
    if !events.is_empty() {
        return events;
    }
    let events = turn.active_items();
    if !events.is_empty() {
        return events;
    }
    turn.whole_steps()
}

/// Ends every step of the phase that has not begun or only waits for another measurement.
pub(super) fn drop_waiting(state: &RunState, phase: Phase, why: &str) -> Vec<Event> {
    let idle = |step: &StepIndex| {
        let step = &state.steps[*step];
        step.status.is_none() && !step.items.iter().any(|item| matches!(item.state, ItemState::Running { .. }))
    };
    state
        .steps_of(phase)
        .filter(idle)
        .map(|step| Event::StepSkipped { key: StepKey::plain(state.key(step, 0).step), reason: why.to_owned() })
        .collect()
}

/// An attempt that may come next.
struct Candidate<'a> {
    step: &'a Step,
    key: &'a StepKey,
    item: Option<&'a Item>,
    attempt: u32,
}

/// What an attempt has already been given of what it needs before it starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Given {
    Nothing,
    /// A person agreed, or nobody had to.
    Approval,
    /// Its precondition holds as well.
    Clearance,
}

pub(super) struct Turn<'a> {
    pub(super) graph: &'a Graph,
    pub(super) state: &'a RunState,
    pub(super) input: &'a Input,
    pub(super) phase: Phase,
}

impl Turn<'_> {
    fn free(&self) -> usize {
        self.graph.parallel.saturating_sub(self.state.running)
    }

    /// In the verify phase the detection comes first; its own steps wait for the verdict.
    fn belongs_now(&self, step: StepIndex) -> bool {
        if self.phase != Phase::Verify || self.graph.recheck.is_none() {
            return true;
        }
        if is_recheck(self.graph, step) {
            return self.state.recheck_at.is_none_or(|at| at <= self.input.at);
        }
        self.state.rechecked == Some(Some(false))
    }

    fn ready_steps(&self) -> Vec<Event> {
        let mut free = self.free();
        let mut events = Vec::new();
        for step in
            self.state.ready.get(&self.phase).into_iter().flatten().copied().filter(|step| self.belongs_now(*step))
        {
            let decided = self.begin(step, free > 0);
            free -= usize::from(matches!(decided.last(), Some(Event::AttemptStarted { .. }))).min(free);
            let stop = may_stop_others(&decided);
            events.extend(decided);
            if stop {
                break;
            }
        }
        events
    }

    /// The first decision about a step whose needs have ended.
    fn begin(&self, index: StepIndex, may_start: bool) -> Vec<Event> {
        let step = &self.graph.steps[index];
        let key = StepKey::plain(step.id.clone());
        match self.gate(step) {
            Gate::Skip(reason) => vec![Event::StepSkipped { key, reason }],
            Gate::Error(reason) => vec![error(&key, reason)],
            Gate::Open if step.for_each.is_some() => vec![self.fan_out(step)],
            Gate::Open => {
                let first = Candidate { step, key: &key, item: None, attempt: 1 };
                self.ask_or_start(&first, Given::Nothing, may_start)
            }
        }
    }

    fn fan_out(&self, step: &Step) -> Event {
        let key = StepKey::plain(step.id.clone());
        targets::resolve(step, &self.scope(step, None)).unwrap_or_else(|why| error(&key, why))
    }

    fn active_items(&self) -> Vec<Event> {
        let mut free = self.free();
        let mut events = Vec::new();
        for (step, item) in self.state.active.iter().copied() {
            if self.graph.steps[step].phase != self.phase || self.graph.steps[step].id.is_empty() {
                continue;
            }
            let decided = self.item(step, item, free > 0);
            free -= usize::from(matches!(decided.last(), Some(Event::AttemptStarted { .. }))).min(free);
            let stop = may_stop_others(&decided);
            events.extend(decided);
            // A fan-out's limit counts what this very turn starts, so one start of it per turn.
            if stop || (self.state.steps[step].fanned && !events.is_empty()) {
                break;
            }
        }
        events
    }

    fn item(&self, index: StepIndex, number: u32, may_start: bool) -> Vec<Event> {
        let step = &self.graph.steps[index];
        let item = &self.state.steps[index].items[number as usize];
        let key = self.state.key(index, number);
        let cancelled = self.state.cancelled.is_some() && self.phase != Phase::Finally;
        if cancelled {
            return Vec::new();
        }
        let next = Candidate { step, key: &key, item: Some(item), attempt: item.attempts + 1 };
        let not_begun = matches!(
            item.state,
            ItemState::Waiting | ItemState::Asked { .. } | ItemState::Approved | ItemState::Cleared
        ) && item.attempts == 0;
        if not_begun && let Some(why) = self.stop(step) {
            return vec![skipped(&key, why)];
        }
        if item.state == ItemState::Waiting
            && let Some(for_each) = &step.for_each
        {
            if let Some(why) = targets::given_up(for_each, &self.state.steps[index]) {
                return vec![skipped(&key, why)];
            }
            if targets::is_full(for_each, &self.state.steps[index]) {
                return Vec::new();
            }
        }
        match item.state {
            ItemState::Waiting => self.ask_or_start(&next, Given::Nothing, may_start),
            ItemState::Approved => self.ask_or_start(&next, Given::Approval, may_start),
            ItemState::Cleared => self.ask_or_start(&next, Given::Clearance, may_start),
            ItemState::Retrying { at } | ItemState::Holding { at } if at <= self.input.at => {
                self.ask_or_start(&next, Given::Approval, may_start)
            }
            ItemState::Asked { expires_at: Some(at), .. } if at <= self.input.at => vec![Event::ApprovalSettled {
                key: key.clone(),
                verdict: ApprovalVerdict::TimedOut,
                by: "nobody".into(),
                reason: String::new(),
                answers: Answers::new(),
            }],
            ItemState::Refused { ref why } => vec![skipped(&key, why.clone())],
            ItemState::Suspended { again: true } => {
                vec![self.again(&key, item, "what it waited for may have been answered")]
            }
            ItemState::Doubtful { asked } => self.doubtful(step, &key, item, may_start && !asked),
            _ => Vec::new(),
        }
    }

    fn again(&self, key: &StepKey, item: &Item, why: &str) -> Event {
        Event::RetryScheduled {
            key: key.clone(),
            role: Role::Main,
            attempt: item.attempts + 1,
            at: self.input.at,
            why: why.to_owned(),
        }
    }

    /// The rule for interrupted attempts: repeat what is safe to repeat, ask the check, else wait for a person.
    fn doubtful(&self, step: &Step, key: &StepKey, item: &Item, may_ask: bool) -> Vec<Event> {
        if step.repeat == Repeat::Safe {
            return vec![self.again(key, item, "it was interrupted, and repeating it is harmless")];
        }
        let Some(check) = step.check.as_ref().filter(|_| may_ask) else { return Vec::new() };
        match check.request.render(&self.scope(step, Some(item))) {
            Ok(request) => vec![self.attempt(step, key, Role::Check, item.attempts, request)],
            // A check that cannot be asked leaves the step to a person.
            Err(_) => Vec::new(),
        }
    }

    pub(super) fn scope<'b>(&'b self, step: &'b Step, item: Option<&'b Item>) -> RunScope<'b> {
        RunScope::of_step(self.graph, self.state, step, item)
    }

    fn ask_or_start(&self, candidate: &Candidate<'_>, given: Given, may_start: bool) -> Vec<Event> {
        let Candidate { step, key, item, attempt } = candidate;
        let asks = given == Given::Nothing && self.must_ask(step);
        // Hundreds of steps may wait for a free place at every turn, so what they would do is worked
        // out when they get one.
        if !asks && !may_start {
            return Vec::new();
        }
        let shown = match step.request.render(&self.scope(step, *item).asking()) {
            Ok(shown) => shown,
            Err(problem) => return vec![error(key, problem.message)],
        };
        // Nobody is asked for what must not be done anyway.
        if let Some(held) = self.held(key) {
            return vec![held];
        }
        if asks {
            return vec![self.ask(step, key, shown)];
        }
        // What was agreed to is done, and nothing else: an answer does not stretch to another request.
        let agreed = self.agreed(key);
        if agreed.is_some_and(|agreed| agreed != approval::digest(self.graph, key, &self.shown(step, &shown))) {
            return vec![self.ask(step, key, shown)];
        }
        match &step.precondition {
            Some(precondition) if given < Given::Clearance => {
                match precondition.request.render(&self.scope(step, *item)) {
                    Ok(request) => vec![self.attempt(step, key, Role::Precondition, *attempt, request)],
                    Err(problem) => vec![error(key, problem.message)],
                }
            }
            _ if step.answers().is_empty() => vec![self.attempt(step, key, Role::Main, *attempt, shown)],
            // The same once more, with what was said in place of the placeholders.
            _ => match step.request.render(&self.scope(step, *item)) {
                Ok(request) => vec![self.attempt(step, key, Role::Main, *attempt, request)],
                Err(problem) => vec![error(key, problem.message)],
            },
        }
    }

    /// What follows when nothing may be remediated now: the run is told once, and a step that was to be
    /// tried again ends.
    fn held(&self, key: &StepKey) -> Option<Event> {
        if self.phase != Phase::Remediate {
            return None;
        }
        // Once withheld, a run stays so: what it knows of the fault is old when the hold is lifted.
        if let Some(why) = &self.state.withheld {
            return Some(error(key, format!("not tried again: {why}")));
        }
        let hold = self.input.hold.as_ref()?;
        Some(Event::RemediationWithheld { why: hold.why.clone() })
    }

    fn must_ask(&self, step: &Step) -> bool {
        self.graph.asks(step)
    }

    fn ask(&self, step: &Step, key: &StepKey, request: Value) -> Event {
        let timeout = step.approval.as_ref().and_then(|approval| approval.timeout);
        let request = self.shown(step, &request);
        Event::ApprovalAsked {
            key: key.clone(),
            summary: step.help.clone().unwrap_or_else(|| format!("{} by {}", step.id, step.kind)),
            digest: approval::digest(self.graph, key, &request),
            request,
            risk: step.risk,
            expires_at: Some(self.input.at.plus(timeout.unwrap_or(approval::DEFAULT_TIMEOUT))),
            quorum: step.approval.as_ref().and_then(|approval| approval.quorum),
            by: step.approval.as_ref().map(|approval| approval.by.clone()).unwrap_or_default(),
            answers: step.answers().iter().map(approval::asked).collect(),
        }
    }

    /// A request as a person is shown it.
    fn shown(&self, step: &Step, request: &Value) -> Value {
        json!({ step.kind.as_str(): request })
    }

    /// The digest that people agreed to, if they were asked.
    fn agreed(&self, key: &StepKey) -> Option<&str> {
        let (step, item) = self.state.find(key)?;
        let item = self.state.steps[step].items.get(item as usize)?;
        (!item.digest.is_empty()).then_some(item.digest.as_str())
    }

    fn attempt(&self, step: &Step, key: &StepKey, role: Role, attempt: u32, request: Value) -> Event {
        let time_limit_ms = u64::try_from(step.time_limit.as_millis()).unwrap_or(u64::MAX);
        Event::AttemptStarted { key: key.clone(), role, attempt, request, time_limit_ms }
    }

    /// Steps that fanned out and whose items have all ended.
    fn whole_steps(&self) -> Vec<Event> {
        let done = |step: &&StepIndex| self.state.steps[**step].open == 0;
        self.state.fans.iter().filter(done).map(|step| self.whole_step(*step)).collect()
    }

    fn whole_step(&self, index: StepIndex) -> Event {
        let (status, output, reason) = fan::whole(&self.graph.steps[index], &self.state.steps[index].items);
        Event::StepFinished {
            key: StepKey::plain(self.graph.steps[index].id.clone()),
            status,
            output,
            reason,
            help: None,
        }
    }
}

/// After such events the other steps must be looked at anew: perhaps none of them may start any more.
fn may_stop_others(events: &[Event]) -> bool {
    events.iter().any(|event| match event {
        Event::ApprovalSettled { .. } | Event::RemediationWithheld { .. } => true,
        Event::StepFinished { status, .. } => is_bad(Some(*status)),
        _ => false,
    })
}

fn skipped(key: &StepKey, reason: String) -> Event {
    // An item of a step that fans out ends by itself; only whole steps are skipped.
    match key.item {
        None => Event::StepSkipped { key: key.clone(), reason },
        Some(_) => Event::StepFinished {
            key: key.clone(),
            status: StepStatus::Skipped,
            output: Value::Null,
            reason: Some(reason),
            help: None,
        },
    }
}

fn error(key: &StepKey, reason: String) -> Event {
    Event::StepFinished {
        key: key.clone(),
        status: StepStatus::Error,
        output: Value::Null,
        reason: Some(reason),
        help: None,
    }
}

pub(super) fn is_bad(status: Option<StepStatus>) -> bool {
    matches!(status, Some(StepStatus::Failed | StepStatus::Error | StepStatus::Cancelled))
}
