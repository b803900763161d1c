//! Steps of the current phase: which are skipped, asked for, started, and ended as a whole.

use serde_json::{Value, json};

use super::event::{ApprovalVerdict, Event, NOT_CALLED_FOR, Phase, Role, StepStatus};
use super::fan;
use super::graph::{Graph, Repeat, Step, StepIndex};
use super::input::Input;
use super::judge::evidence;
use super::phases::is_recheck;
use super::scope::RunScope;
use super::state::{Item, ItemState, RunState};
use crate::base::StepKey;
use crate::language::Truth;

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

/// What a step's needs say about it.
enum Gate {
    Open,
    Skip(String),
    Error(String),
}

/// An attempt that may come next.
struct Candidate<'a> {
    step: &'a Step,
    key: &'a StepKey,
    item: Option<&'a Value>,
    attempt: u32,
}

struct Turn<'a> {
    graph: &'a Graph,
    state: &'a RunState,
    input: &'a Input,
    phase: Phase,
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
                self.ask_or_start(&first, false, may_start)
            }
        }
    }

    fn gate(&self, step: &Step) -> Gate {
        if let Some(withheld) = &self.graph.withheld
            && self.phase == Phase::Remediate
        {
            return Gate::Skip(withheld.clone());
        }
        if let Some(why) = self.stop(step) {
            return Gate::Skip(why);
        }
        match self.needs(step) {
            Gate::Open => {}
            closed => return closed,
        }
        if let Some(reason) = self.no_cause(step) {
            return Gate::Skip(reason);
        }
        let scope = self.scope(step, None);
        match step.when.as_ref().map(|when| (when, when.truth(&scope))) {
            None | Some((_, Truth::True)) => Gate::Open,
            Some((when, Truth::False)) => Gate::Skip(format!("only when {}; {}", when.text(), evidence(when, &scope))),
            Some((when, Truth::Unknown(why))) => Gate::Error(format!("cannot tell whether {}: {why}", when.text())),
        }
    }

    /// Why nothing more starts in this phase: somebody said no, or a step ended badly that stops all others.
    fn stop(&self, step: &Step) -> Option<String> {
        if let Some(stopped) = &self.state.stopped
            && self.phase == Phase::Remediate
        {
            return Some(format!("not started: {stopped}"));
        }
        let stops = |index: &&StepIndex| {
            let other = &self.graph.steps[**index];
            other.phase == self.phase && other.stop_on_error && other.id != step.id
        };
        let stopper = self.state.bad.iter().find(stops)?;
        Some(format!("not started: {} did not succeed", self.graph.steps[*stopper].id))
    }

    fn needs(&self, step: &Step) -> Gate {
        let mut skipped_needs = 0;
        for need in &step.needs {
            let other = &self.graph.steps[*need];
            let status = self.state.steps[*need].status;
            if is_bad(status) && !other.tolerated {
                let reason = format!("it needs {}, which {}", other.id, ended_as(status));
                // A probe that was never measured must not look like one that does not apply.
                return if step.probe { Gate::Error(reason) } else { Gate::Skip(reason) };
            }
            skipped_needs += usize::from(status == Some(StepStatus::Skipped));
        }
        let all_skipped = skipped_needs > 0 && skipped_needs == step.needs.len();
        match self.phase {
            Phase::Remediate if all_skipped && step.fixes.is_empty() => {
                Gate::Skip(format!("{NOT_CALLED_FOR}none of the steps it needs ran"))
            }
            Phase::Remediate => Gate::Open,
            _ if skipped_needs > 0 => Gate::Skip("a step it needs was skipped".into()),
            _ => Gate::Open,
        }
    }

    /// Why a remediation is not called for by the diagnosis.
    fn no_cause(&self, step: &Step) -> Option<String> {
        if self.phase != Phase::Remediate || self.graph.causes.is_empty() {
            return None;
        }
        let found = |name: Option<&String>| {
            let holds = |cause: &&super::event::Cause| {
                cause.finding.holds == Some(true) && name.is_none_or(|name| *name == cause.finding.name)
            };
            self.state.causes.iter().flatten().find(holds).is_some()
        };
        if !step.fixes.is_empty() {
            let wanted = step.fixes.iter().any(|name| found(Some(name)));
            return (!wanted).then(|| format!("{NOT_CALLED_FOR}it fixes {}", step.fixes.join(" or ")));
        }
        (!found(None)).then(|| format!("{NOT_CALLED_FOR}no cause was found"))
    }

    fn fan_out(&self, step: &Step) -> Event {
        let key = StepKey::plain(step.id.clone());
        let Some(for_each) = &step.for_each else { return error(&key, "bug: nothing to fan out over".into()) };
        match for_each.list.value(&self.scope(step, None)) {
            // An empty set of targets must never read as "nothing was wrong with any of them".
            Ok(Value::Array(items)) if items.is_empty() && (step.probe || self.phase == Phase::Remediate) => {
                error(&key, format!("the list {} is empty, so there is nothing to do it for", for_each.list.text()))
            }
            Ok(Value::Array(items)) => Event::FannedOut { step: step.id.clone(), items },
            Ok(_) => error(&key, format!("{} is not a list", for_each.list.text())),
            Err(why) => error(&key, format!("cannot tell what to run it for: {why}")),
        }
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
        let next = Candidate { step, key: &key, item: item.value.as_ref(), attempt: item.attempts + 1 };
        let not_begun = matches!(item.state, ItemState::Waiting | ItemState::Asked { .. } | ItemState::Approved)
            && item.attempts == 0;
        if not_begun && let Some(why) = self.stop(step) {
            return vec![skipped(&key, why)];
        }
        match item.state {
            ItemState::Waiting if self.fan_is_full(index) => Vec::new(),
            ItemState::Waiting => self.ask_or_start(&next, false, may_start),
            ItemState::Approved => self.ask_or_start(&next, true, may_start),
            ItemState::Retrying { at } | ItemState::Holding { at } if at <= self.input.at => {
                self.ask_or_start(&next, true, may_start)
            }
            ItemState::Asked { expires_at: Some(at), .. } if at <= self.input.at => vec![Event::ApprovalSettled {
                key: key.clone(),
                verdict: ApprovalVerdict::TimedOut,
                by: "nobody".into(),
                reason: String::new(),
            }],
            ItemState::Refused { ref why } => vec![skipped(&key, why.clone())],
            ItemState::Doubtful { asked } => self.doubtful(step, &key, item, may_start && !asked),
            _ => Vec::new(),
        }
    }

    fn fan_is_full(&self, index: StepIndex) -> bool {
        let Some(for_each) = &self.graph.steps[index].for_each else { return false };
        let busy = |state: &ItemState| !matches!(state, ItemState::Waiting | ItemState::Done);
        let in_progress = self.state.steps[index].items.iter().filter(|item| busy(&item.state)).count();
        in_progress >= for_each.limit as usize
    }

    /// The rule for interrupted attempts: repeat what is safe to repeat, ask the check, else wait for a person.
    fn doubtful(&self, step: &Step, key: &StepKey, item: &Item, may_ask: bool) -> Vec<Event> {
        if step.repeat == Repeat::Safe {
            return vec![Event::RetryScheduled {
                key: key.clone(),
                role: Role::Main,
                attempt: item.attempts + 1,
                at: self.input.at,
                why: "it was interrupted, and repeating it is harmless".to_owned(),
            }];
        }
        let Some(check) = step.check.as_ref().filter(|_| may_ask) else { return Vec::new() };
        match check.request.render(&self.scope(step, item.value.as_ref())) {
            Ok(request) => vec![self.attempt(step, key, Role::Check, item.attempts, request)],
            // A check that cannot be asked leaves the step to a person.
            Err(_) => Vec::new(),
        }
    }

    fn scope<'b>(&'b self, step: &'b Step, item: Option<&'b Value>) -> RunScope<'b> {
        RunScope::of_step(self.graph, self.state, step, item)
    }

    fn ask_or_start(&self, candidate: &Candidate<'_>, approved: bool, may_start: bool) -> Vec<Event> {
        let Candidate { step, key, item, attempt } = candidate;
        let asks = !approved && self.must_ask(step);
        // Hundreds of steps may wait for a free place at every turn, so what they would do is worked
        // out when they get one.
        if !asks && !may_start {
            return Vec::new();
        }
        let request = match step.request.render(&self.scope(step, *item)) {
            Ok(request) => request,
            Err(problem) => return vec![error(key, problem.message)],
        };
        if asks {
            return vec![self.ask(step, key, request)];
        }
        vec![self.attempt(step, key, Role::Main, *attempt, request)]
    }

    fn must_ask(&self, step: &Step) -> bool {
        step.approval.is_some() || (step.phase == Phase::Remediate && step.risk >= self.graph.ask_from)
    }

    fn ask(&self, step: &Step, key: &StepKey, request: Value) -> Event {
        let timeout = step.approval.as_ref().and_then(|approval| approval.timeout);
        Event::ApprovalAsked {
            key: key.clone(),
            summary: step.help.clone().unwrap_or_else(|| format!("{} by {}", step.id, step.kind)),
            request: json!({ step.kind.as_str(): request }),
            risk: step.risk,
            expires_at: timeout.map(|timeout| self.input.at.plus(timeout)),
        }
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
        Event::ApprovalSettled { .. } => true,
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

fn ended_as(status: Option<StepStatus>) -> &'static str {
    match status {
        Some(StepStatus::Failed) => "failed",
        Some(StepStatus::Cancelled) => "was cancelled",
        _ => "could not be done",
    }
}
