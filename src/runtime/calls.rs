//! Playbooks called by steps: a run of its own, in the same journal, under its parent's name.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};

use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::answers::Approver;
use super::driver::Ended;
use super::host::{Host, Prepared, RuntimeError};
use super::spoken::Spoken;
use crate::base::{RunId, StepKey};
use crate::engine::event::{Event, Outcome, Phase};
use crate::engine::state::ItemState;
use crate::engine::{RunState, What};
use crate::kind::{PlaybookCall, PlaybookResult, Playbooks, StepError};
use crate::language::Given;
use crate::playbook::Playbook;

/// Playbooks that call playbooks that call … end here.
const MAX_DEPTH: usize = 5;

pub(super) struct Calls {
    host: Weak<Host>,
    approver: Arc<dyn Approver>,
}

impl Calls {
    pub(super) fn new(host: Weak<Host>, approver: Arc<dyn Approver>) -> Self {
        Calls { host, approver }
    }

    async fn run(&self, call: PlaybookCall) -> Result<PlaybookResult, StepError> {
        let host = self.host.upgrade().ok_or_else(|| StepError::new("the program is ending"))?;
        if call.run.as_str().matches('/').count() > MAX_DEPTH {
            return Err(StepError::new(format!("playbooks call each other more than {MAX_DEPTH} deep")));
        }
        let stops = stop_with(&call);
        let ended = match unfinished(&host, &call)? {
            Some(run) => host.resume(&run, host.said.take(&run), self.approver.clone(), Some(stops)).await,
            None => {
                let (prepared, first) = prepare(&host, &call)?;
                host.run_from(prepared, first, self.approver.clone(), Some(stops)).await
            }
        };
        ended.map(result).map_err(|error| runtime_error(&call.name, &error))
    }
}

impl Playbooks for Calls {
    fn call(&self, call: PlaybookCall) -> Pin<Box<dyn Future<Output = Result<PlaybookResult, StepError>> + Send + '_>> {
        Box::pin(self.run(call))
    }
}

/// Ends the called run when its caller is told to stop.
fn stop_with(call: &PlaybookCall) -> mpsc::UnboundedReceiver<bool> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let cancel = call.cancel.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = cancel.cancelled() => drop(sender.send(true)),
            () = sender.closed() => {}
        }
    });
    receiver
}

/// The run of an earlier attempt of this step that did not come to its end. An attempt that goes on with it has no
/// run of its own.
fn unfinished(host: &Host, call: &PlaybookCall) -> Result<Option<RunId>, StepError> {
    let Some(prefix) = call.run.as_str().rsplit_once('.').map(|(prefix, _)| prefix) else { return Ok(None) };
    for before in (1..call.attempt).rev() {
        let run = RunId::from(format!("{prefix}.{before}"));
        let records =
            host.journal.read(&run).map_err(|error| StepError::because("the journal cannot be read", &error))?;
        let state =
            RunState::replay(&records).map_err(|error| StepError::because("the called run is damaged", &error))?;
        if state.header.is_some() {
            return Ok(is_open(&state).then_some(run));
        }
    }
    Ok(None)
}

fn is_open(state: &RunState) -> bool {
    state.finished.is_none_or(|outcome| outcome == Outcome::Parked)
}

/// What people said to called runs, until their callers go on with them.
#[derive(Default)]
pub(super) struct Said(Mutex<BTreeMap<RunId, Vec<What>>>);

impl Said {
    fn keep(&self, run: &RunId, words: Vec<What>) {
        if let Ok(mut said) = self.0.lock() {
            said.insert(run.clone(), words);
        }
    }

    fn take(&self, run: &RunId) -> Vec<What> {
        self.0.lock().ok().and_then(|mut said| said.remove(run)).unwrap_or_default()
    }
}

impl Host {
    /// Goes on with an unfinished run, beginning with what somebody said; with the run that called it, when that one
    /// waits for it.
    pub async fn go_on(
        self: &Arc<Self>,
        run: &RunId,
        first: impl Into<Spoken>,
        approver: Arc<dyn Approver>,
        stops: Option<mpsc::UnboundedReceiver<bool>>,
    ) -> Result<Ended, RuntimeError> {
        let first = first.into();
        let Some(caller) = self.waiting_caller(run)? else { return self.resume(run, first, approver, stops).await };
        let Spoken { words, held } = first;
        let something = !words.is_empty();
        self.said.keep(run, words);
        let ended = self.resume(&caller, Spoken { words: Vec::new(), held }, approver, stops).await?;
        // A freeze, for example, keeps the caller from going on with it.
        if self.said.take(run).is_empty() || !something {
            return Ok(ended);
        }
        Err(RuntimeError::Unheard { run: run.to_string(), caller: caller.to_string() })
    }

    /// For one fault people are called once: a called run leaves that to those who called it, if one of them does.
    pub(super) fn leave_escalation(&self, prepared: &mut Prepared) {
        let escalates = |caller: &RunId| {
            let (header, ..) = self.history_of(caller)?;
            Ok::<_, RuntimeError>(self.pinned(caller, &header)?.header.escalate.is_some())
        };
        let mut callers = prepared.run.with_callers().filter(|caller| *caller != prepared.run);
        // Of a caller that cannot be read nobody knows that it does: then rather twice than not at all.
        if callers.any(|caller| escalates(&caller).unwrap_or(false)) {
            prepared.graph.escalation = None;
        }
    }

    /// The outermost caller of a called run, if it waits for it.
    pub(super) fn waiting_caller(&self, run: &RunId) -> Result<Option<RunId>, RuntimeError> {
        let Some(caller) = run.with_callers().next().filter(|_| run.is_child()) else { return Ok(None) };
        let state = RunState::replay(&self.journal.read(&caller)?)
            .map_err(|source| RuntimeError::Damaged { run: caller.to_string(), source })?;
        let waits = |item: &ItemState| matches!(item, ItemState::Suspended { .. } | ItemState::Running { .. });
        let is_called_by = |key: StepKey| run.as_str().starts_with(&format!("{caller}/{key}."));
        let waits_for_it = state.items_where(waits).any(|(step, item)| is_called_by(state.key(step, item)));
        Ok((is_open(&state) && waits_for_it).then_some(caller))
    }
}

fn prepare(host: &Host, call: &PlaybookCall) -> Result<(Prepared, What), StepError> {
    let failed = |error: RuntimeError| runtime_error(&call.name, &error);
    let Some((earlier, from)) = host.called_anew(call).map_err(failed)? else {
        return Ok((prepare_text(host, call, find(host, &call.name)?)?, What::Start));
    };
    // The text of the earlier run, as its caller is pinned to its own.
    let mut prepared = prepare_text(host, call, earlier.playbook.clone())?;
    let first = earlier.done_anew(&mut prepared.graph, from.starting_point()).map_err(failed)?;
    Ok((prepared, first))
}

fn find(host: &Host, name: &str) -> Result<Playbook, StepError> {
    host.library.find(name).map_err(|problems| {
        let first = problems.first().map_or_else(String::new, |problem| problem.message.clone());
        StepError::new(format!("playbook '{name}' cannot be used: {first}"))
    })
}

fn prepare_text(host: &Host, call: &PlaybookCall, playbook: Playbook) -> Result<Prepared, StepError> {
    if call.read_only && playbook.steps.iter().any(|step| step.phase == Phase::Remediate) {
        let help = "call it under remediate, or split it";
        return Err(StepError::new(format!("'{}' remediates, but this step only observes", call.name)).help(help));
    }
    let given: BTreeMap<String, Given> = match &call.inputs {
        Value::Object(entries) => {
            entries.iter().map(|(name, value)| (name.clone(), Given::Passed(value.clone()))).collect()
        }
        _ => BTreeMap::new(),
    };
    let parent = call.run.as_str().split('/').next().unwrap_or_default().to_owned();
    let by = starter(host, &RunId::from(parent.clone()))?;
    let prepared = host.prepare(playbook, &given, &by, &format!("run {parent}"));
    let mut prepared = prepared.map_err(|error| runtime_error(&call.name, &error))?;
    prepared.run = call.run.clone();
    prepared.graph.header.from_outside = call.from_outside.clone();
    host.leave_escalation(&mut prepared);
    Ok(prepared)
}

/// Who started the calling run. Whoever goes on with it has not, and what they call is not theirs: otherwise the
/// starter could approve in the called run what they may not approve in their own.
fn starter(host: &Host, parent: &RunId) -> Result<String, StepError> {
    let records =
        host.journal.read(parent).map_err(|error| StepError::because("the journal cannot be read", &error))?;
    let started = records.into_iter().find_map(|record| match record.event {
        Event::RunStarted(header) => Some(header.by),
        _ => None,
    });
    started.ok_or_else(|| StepError::new(format!("bug: the calling run {parent} is not in the journal")))
}

fn runtime_error(name: &str, error: &RuntimeError) -> StepError {
    match error {
        RuntimeError::Inputs(problems) => {
            let all: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
            StepError::new(format!("playbook '{name}': {}", all.join("; ")))
        }
        RuntimeError::Playbook(problems) => {
            let first = problems.first().map_or("it is not valid", |problem| problem.message.as_str());
            StepError::new(format!("playbook '{name}': {first}")).help("`runbook validate` shows all of its problems")
        }
        other => StepError::because(format!("playbook '{name}'"), other),
    }
}

fn result(ended: Ended) -> PlaybookResult {
    let causes = ended.state.causes.iter().flatten().filter(|cause| cause.finding.holds == Some(true));
    let causes = causes.map(|cause| cause.finding.name.clone()).collect();
    let mut steps = Map::new();
    for (planned, state) in ended.graph.steps.iter().zip(&ended.state.steps) {
        let Some((phase, name)) = planned.id.split_once('.') else { continue };
        let phase = steps.entry(phase).or_insert_with(|| Value::Object(Map::new()));
        phase[name] = state.output.clone();
    }
    PlaybookResult {
        run: ended.run,
        outcome: ended.outcome.map_or("error", Outcome::label).to_owned(),
        severity: ended.state.severity.map_or("info", |severity| severity.label()).to_owned(),
        causes,
        steps: Value::Object(steps),
    }
}
