//! The loop of one run: decide, append durably, apply, carry out, report.

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::answers::{Answer, Approver, Question};
use super::attempt::{self, Way};
use super::egress;
use super::guards::Guards;
use super::host::{Host, Prepared, RuntimeError};
use super::messages::Messages;
use super::receipts::Receipts;
use crate::base::{Clock, Redacted, RunId, StepKey, Timestamp, entropy};
use crate::engine::escalating;
use crate::engine::event::{AttemptResult, Event, Outcome, Phase, Resolution, Role};
use crate::engine::graph::Repeat;
use crate::engine::{Answered, Command, Graph, Input, Record, RunState, What, advance_all, commands_for};
use crate::journal::JournalError;
use crate::kind::{Context, KindEntry, Left, Subject};
use crate::playbook::registry;

/// How a run came to its end, or to a stop.
#[derive(Debug)]
pub struct Ended {
    pub run: RunId,
    /// `None` for a run that only looked.
    pub outcome: Option<Outcome>,
    pub state: RunState,
    pub graph: Graph,
}

pub(super) struct Driver {
    host: Arc<Host>,
    prepared: Prepared,
    state: RunState,
    /// The clock of this run, which never goes back behind what is recorded.
    clock: Clock,
    /// The moment of the last decision.
    decided_at: Timestamp,
    approver: Arc<dyn Approver>,
    sender: mpsc::UnboundedSender<What>,
    inputs: mpsc::UnboundedReceiver<What>,
    attempts: HashMap<(StepKey, Role), CancellationToken>,
    messages: Messages,
    guards: Guards,
    queued: Vec<What>,
    receipts: Receipts,
}

/// The name under which the program itself settles what it can tell for certain.
const SELF: &str = "runbook";

impl Driver {
    pub(super) fn new(host: Arc<Host>, prepared: Prepared, state: RunState, approver: Arc<dyn Approver>) -> Self {
        // Unbounded is bounded here: every message answers something that this driver started.
        let (sender, inputs) = mpsc::unbounded_channel();
        let receipts = Receipts::of(&prepared.run, &host.services().site.state);
        let guards = host.guards(&prepared);
        let messages = Messages::new(host.clone(), prepared.notify().cloned(), sender.clone());
        let clock = host.clock.not_before(state.at);
        Driver {
            host,
            prepared,
            state,
            clock,
            decided_at: Timestamp::default(),
            approver,
            sender,
            inputs,
            attempts: HashMap::new(),
            messages,
            guards,
            queued: Vec::new(),
            receipts,
        }
    }

    /// In a resumed run: tells what was written down and not told.
    pub(super) fn catch_up(&mut self, records: &[Record]) {
        self.messages.catch_up(records, &self.prepared);
    }

    /// Inputs to take up right after the first one.
    pub(super) fn queue(&mut self, inputs: Vec<What>) {
        self.queued.extend(inputs);
    }

    /// In a resumed run: attempts without an end that go on are watched from here on. One that certainly had
    /// not begun may begin anew.
    pub(super) fn take_over(&mut self, open: Vec<Command>) -> BTreeSet<(StepKey, Role)> {
        let mut goes_on = BTreeSet::new();
        for command in open {
            let Command::StartAttempt { ref key, role, attempt, .. } = command else { continue };
            let Some(kind) = self.kind_of(key, role) else { continue };
            match (kind.left)(&self.receipts.place(key, role, attempt)) {
                Left::Nothing => {}
                Left::NotBegun => self.queued.push(What::DoubtResolved {
                    key: key.clone(),
                    resolution: Resolution::Retry,
                    by: SELF.into(),
                    reason: "it had not begun when the program died".into(),
                }),
                Left::Attempt => {
                    goes_on.insert((key.clone(), role));
                    self.begin(Way::TakenOver, command);
                }
            }
        }
        goes_on
    }

    /// Runs to the end, or until a person is needed. An event that this version panics over is the end of this
    /// run's turn only: its journal stays as it is, and the program goes on.
    pub(super) async fn run(
        self,
        first: What,
        stops: Option<mpsc::UnboundedReceiver<bool>>,
    ) -> Result<Ended, RuntimeError> {
        let run = self.prepared.run.to_string();
        // Of the highest level, so that whatever is said in the run has its name.
        let span = tracing::error_span!("run", %run, playbook = self.prepared.graph.header.playbook);
        let ended = AssertUnwindSafe(self.pump(first, stops)).catch_unwind().instrument(span).await;
        ended.unwrap_or(Err(RuntimeError::Panicked { run }))
    }

    async fn pump(
        mut self,
        first: What,
        mut stops: Option<mpsc::UnboundedReceiver<bool>>,
    ) -> Result<Ended, RuntimeError> {
        // One for all runs of this process: a child's entries are the parent's trail.
        let _beside = if self.prepared.run.is_child() { None } else { self.host.anchoring.beside() };
        self.messages.follow(&self.prepared);
        let mut batch = vec![first];
        batch.append(&mut self.queued);
        // A resumed run asks its open questions again, whatever this first turn adds.
        let open = self.open_questions();
        self.turn(batch).await?;
        open.into_iter().for_each(|key| self.ask(key));
        while !self.is_over() {
            let batch = self.next_inputs(&mut stops).await;
            self.turn(batch).await?;
        }
        self.messages.end().await;
        if !self.prepared.run.is_child() {
            self.host.anchoring.finish().await?;
            self.host.show(|reporter| reporter.finish());
        }
        Ok(Ended {
            run: self.prepared.run,
            outcome: self.state.finished,
            state: self.state,
            graph: self.prepared.graph,
        })
    }

    /// Everything that has come in is decided about in memory and becomes durable in one append; only
    /// then is it carried out and shown.
    async fn turn(&mut self, batch: Vec<What>) -> Result<(), RuntimeError> {
        for what in &batch {
            if let What::Ended { key, role, .. } | What::Lost { key, role, .. } | What::Suspended { key, role, .. } =
                what
            {
                self.attempts.remove(&(key.clone(), *role));
            }
        }
        let at = self.clock.now();
        self.decided_at = at;
        // Freezes and windows are set by the clock on the wall.
        let hold = self.guards.hold(self.state.phase, self.host.clock.now()).await?;
        let input = |what| Input { at, entropy: entropy::random(), hold: hold.clone(), what };
        let inputs: Vec<Input> = batch.into_iter().map(input).collect();
        let records: Vec<Record> = advance_all(&self.prepared.graph, &mut self.state, &self.prepared.run, &inputs)?;
        if records.is_empty() {
            return Ok(());
        }
        let records = Redacted::of(records).map_err(JournalError::from)?;
        self.make_receipts(&records);
        self.host.journal.append(&self.prepared.run, records.clone()).await?;
        self.forget_receipts(&records);
        let refusal = self.host.anchoring.before_effects(&records).await.err();
        for record in records.iter() {
            match (commands_for(&record.event), &refusal) {
                (Some(command), Some(why)) if record.event.is_remediation_intent() => self.refuse(command, why),
                (Some(command), _) => self.carry_out(command),
                (None, _) => {}
            }
        }
        self.host.show(|reporter| records.iter().for_each(|record| reporter.report(record)));
        records.iter().for_each(|record| self.messages.after(record, &self.prepared, &self.state));
        Ok(())
    }

    /// Before the intent is journaled, so that an intent without such a folder is known to have left nothing.
    fn make_receipts(&self, records: &[Record]) {
        for record in records {
            if let Event::AttemptStarted { key, role, attempt, request, .. } = &record.event
                && self.leaves_receipt(key, *role, request)
            {
                // Without the folder the attempt says so, and starts nothing.
                drop(self.receipts.make(key, *role, *attempt));
            }
        }
    }

    /// After the end is durable, since the receipt is what tells it until then.
    fn forget_receipts(&self, records: &[Record]) {
        for record in records {
            match &record.event {
                Event::AttemptEnded { key, role, attempt, .. } => self.receipts.forget(key, *role, *attempt),
                Event::RunFinished { outcome, .. } if *outcome != Outcome::Parked => self.receipts.forget_all(),
                _ => {}
            }
        }
    }

    fn leaves_receipt(&self, key: &StepKey, role: Role, request: &serde_json::Value) -> bool {
        let Some((_, step)) = self.prepared.graph.step(&key.step) else { return false };
        let repeat = match role {
            Role::Main => Some(step.repeat),
            // These only look.
            Role::Precondition | Role::Check => Some(Repeat::Safe),
            Role::Undo => step.undo.as_ref().map(|undo| undo.repeat),
        };
        let leaves = |kind: &KindEntry| (kind.leaves_receipt)(request, repeat == Some(Repeat::Safe));
        self.kind_of(key, role).is_some_and(leaves)
    }

    fn is_over(&self) -> bool {
        let idle = self.state.running == 0 && self.state.next_wake(self.decided_at).is_none();
        let looked = self.prepared.graph.look_only.is_some() && idle && self.inputs.is_empty();
        (self.state.finished.is_some() || looked) && self.messages.all_delivered()
    }

    /// The next thing that happens, and everything that has happened meanwhile.
    async fn next_inputs(&mut self, stops: &mut Option<mpsc::UnboundedReceiver<bool>>) -> Vec<What> {
        let (graph, decided) = (&self.prepared.graph, self.decided_at);
        let due =
            self.state.next_wake(decided).into_iter().chain(escalating::next_wake(graph, &self.state, decided)).min();
        let wait = match due.filter(|_| self.state.finished.is_none()) {
            Some(at) => at.since(self.clock.now()),
            // Far enough to be never, near enough for every timer implementation.
            None => Duration::from_secs(86_400),
        };
        let mut batch = Vec::new();
        tokio::select! {
            Some(what) = self.inputs.recv() => batch.push(what),
            hard = next_stop(stops) => batch.push(What::CancelAsked { by: crate::base::environment::user(), hard }),
            () = tokio::time::sleep(wait) => batch.push(What::Proceed),
        }
        while let Ok(what) = self.inputs.try_recv() {
            batch.push(what);
        }
        let delivered = batch.iter().filter(|what| matches!(what, What::Notified(_))).count();
        self.messages.delivered(delivered);
        batch
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::StartAttempt { .. } => self.begin(Way::New, command),
            Command::AskApproval { key } => self.ask(key),
            Command::KillAttempts => self.attempts.values().for_each(CancellationToken::cancel),
        }
    }

    /// Ends an attempt that must not start, as an error: it could not be done.
    fn refuse(&self, command: Command, why: &str) {
        if let Command::StartAttempt { key, role, attempt, .. } = command {
            let message = format!("not started: {why}");
            let help = Some("mend the anchor, or make it not `required` in the site file".to_owned());
            let result = AttemptResult::Error { message, help, code: None };
            // The receiver lives as long as this driver.
            let _ = self.sender.send(What::Ended { key, role, attempt, result });
        }
    }

    fn begin(&mut self, way: Way, command: Command) {
        let Command::StartAttempt { key, role, attempt, request, time_limit_ms } = command else { return };
        let cancel = CancellationToken::new();
        self.attempts.insert((key.clone(), role), cancel.clone());
        let sender = self.sender.clone();
        let may = self.may_start(&key, role, way).and_then(|kind| {
            let egress = &self.host.services().site.egress;
            egress::check(&self.prepared.graph, &key, role, &request, egress).map(|()| kind)
        });
        let kind = match may {
            Ok(kind) => kind,
            Err((message, help)) => {
                let result = AttemptResult::Error { message, help, code: None };
                // The receiver lives as long as this driver.
                let _ = sender.send(What::Ended { key, role, attempt, result });
                return;
            }
        };
        let receipt = self.leaves_receipt(&key, role, &request).then(|| self.receipts.place(&key, role, attempt));
        let context = Context {
            run: self.prepared.run.clone(),
            idempotency_key: idempotency_key(&self.prepared.run, &key),
            step: key.clone(),
            attempt,
            time_limit: Duration::from_millis(time_limit_ms),
            cancel,
            subject: self.subject(&key, role),
            receipt,
            from_outside: egress::passed_on(&self.prepared.graph, &key),
            services: self.host.services().clone(),
        };
        let span = tracing::error_span!("step", step = %key, attempt);
        let attempted = async move {
            tracing::debug!(kind = kind.name, "an attempt begins");
            let end = attempt::run(kind, way, request, context).await;
            tracing::debug!(kind = kind.name, "an attempt has ended");
            let _ = sender.send(end.told(key, role, attempt));
        };
        tokio::spawn(attempted.instrument(span));
    }

    /// The last look before anything is changed: writing the intent took a moment in which somebody may
    /// have frozen everything. Otherwise the kind that does it.
    fn may_start(&self, key: &StepKey, role: Role, way: Way) -> Result<&'static KindEntry, (String, Option<String>)> {
        let kind = self.kind_of(key, role).ok_or(("bug: the step's kind is not known".to_owned(), None))?;
        let remediates = || self.prepared.graph.step(&key.step).is_some_and(|(_, step)| step.phase == Phase::Remediate);
        let changes = role == Role::Undo || (role == Role::Main && remediates());
        if changes && way == Way::New {
            let help = || Some("`runbook unfreeze --reason …` lifts it".to_owned());
            match self.guards.frozen(self.host.clock.now()) {
                Ok(None) => {}
                Ok(Some(why)) => return Err((format!("not started: {why}"), help())),
                Err(error) => return Err((format!("not started: whether it may is not known: {error}"), None)),
            }
        }
        Ok(kind)
    }

    fn kind_of(&self, key: &StepKey, role: Role) -> Option<&'static KindEntry> {
        let (_, step) = self.prepared.graph.step(&key.step)?;
        let name = match role {
            Role::Main => &step.kind,
            Role::Precondition => &step.precondition.as_ref()?.kind,
            Role::Check => &step.check.as_ref()?.kind,
            Role::Undo => &step.undo.as_ref()?.kind,
        };
        registry::find(name)
    }

    fn subject(&self, key: &StepKey, role: Role) -> Option<Subject> {
        if matches!(role, Role::Main | Role::Precondition) {
            return None;
        }
        let (step, item) = self.state.find(key)?;
        let item = self.state.steps[step].items.get(item as usize)?;
        Some(Subject { request: item.request.clone(), output: item.output.clone() })
    }

    /// Puts a question to the person; questions of all runs wait for each other's answers.
    fn ask(&mut self, key: StepKey) {
        let Some(question) = Question::about(&self.prepared, &self.state, key) else { return };
        let (host, approver, sender) = (self.host.clone(), self.approver.clone(), self.sender.clone());
        tokio::spawn(async move {
            let key = question.key.clone();
            let digest = Some(question.digest.clone());
            let Answer { verdict, by, reason, break_glass, answers } = host.ask(approver.as_ref(), question).await;
            // The run may have ended meanwhile; then nobody waits for the answer.
            let _ = sender.send(What::Answered(Answered { key, verdict, by, reason, digest, break_glass, answers }));
        });
    }

    /// In a resumed run: what was asked before and has no answer yet.
    fn open_questions(&self) -> Vec<StepKey> {
        use crate::engine::state::ItemState;
        let waiting = self.state.items_where(|item| matches!(item, ItemState::Asked { .. }));
        waiting.map(|(step, item)| self.state.key(step, item)).collect()
    }
}

async fn next_stop(stops: &mut Option<mpsc::UnboundedReceiver<bool>>) -> bool {
    if let Some(receiver) = stops
        && let Some(hard) = receiver.recv().await
    {
        return hard;
    }
    std::future::pending().await
}

/// The same for every attempt of a step in a run, and for no other step or run.
fn idempotency_key(run: &RunId, key: &StepKey) -> String {
    hex::encode(&Sha256::digest(format!("{run}\n{key}"))[..16])
}
