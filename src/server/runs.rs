//! The runs of this server: each is begun or gone on with once, and lives until its end is known, also while it
//! waits for a person, who may answer here or with another `runbook` on this machine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio_util::task::TaskTracker;

use super::turns::Turns;
use crate::base::{RunId, Timestamp};
use crate::engine::event::Outcome;
use crate::engine::intake::Demand;
use crate::engine::{Event, Record, RunState, What};
use crate::journal::JournalError;
use crate::playbook::inputs;
use crate::runtime::{Ended, Host, Nobody, Prepared, RuntimeError, Spoken};

/// How often a run that is out of this server's hands is looked at: a person has just answered, and looks on.
const GLANCE: Duration = Duration::from_secs(2);

/// The end of a ticket's run.
#[derive(Debug)]
pub(super) struct Finished {
    pub ticket: u64,
    pub outcome: Option<Outcome>,
    pub why: String,
}

/// How to reach a live run.
struct Handle {
    /// While it goes on here.
    stop: Option<mpsc::UnboundedSender<bool>>,
    /// While it waits.
    tell: mpsc::UnboundedSender<Said>,
}

/// What somebody says to a run that waits.
#[derive(Clone)]
struct Said {
    /// It, or one that it called.
    run: RunId,
    words: Vec<What>,
}

pub(super) struct Runs {
    host: Arc<Host>,
    live: Mutex<HashMap<RunId, Handle>>,
    finished: mpsc::UnboundedSender<Finished>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Finished>>>,
    going_on: TaskTracker,
    answering: Turns,
}

/// How one stretch of a run ended.
enum Stretch {
    /// For good.
    Over(Option<Outcome>, String),
    /// A person is waited for.
    Waits,
    /// Another program goes on with it; what it was to be told is told when that one has let it go.
    Elsewhere(Option<Said>),
    /// The journal could not be written: it can go on from what is written.
    Failed,
}

impl Runs {
    pub(super) fn new(host: Arc<Host>) -> Arc<Self> {
        // Unbounded is bounded here: one message for each live run.
        let (finished, receiver) = mpsc::unbounded_channel();
        let receiver = Mutex::new(Some(receiver));
        Arc::new(Runs {
            host,
            live: Mutex::default(),
            finished,
            receiver,
            going_on: TaskTracker::new(),
            answering: Turns::default(),
        })
    }

    /// Where ends are told; for the desk, once.
    pub(super) fn finished(&self) -> mpsc::UnboundedReceiver<Finished> {
        let kept = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.unwrap_or_else(|| mpsc::unbounded_channel().1)
    }

    /// Begins the run of a ticket, or goes on with it.
    pub(super) fn begin(self: &Arc<Self>, ticket: u64, run: RunId, demand: Demand) {
        let (tell, told) = mpsc::unbounded_channel();
        self.lock().insert(run.clone(), Handle { stop: None, tell });
        let runs = self.clone();
        tokio::spawn(async move {
            let (outcome, why) = runs.live_through(ticket, &run, &demand, told).await;
            runs.lock().remove(&run);
            // Without a desk the server has ended.
            let _ = runs.finished.send(Finished { ticket, outcome, why });
        });
    }

    async fn live_through(
        &self,
        ticket: u64,
        run: &RunId,
        demand: &Demand,
        mut told: mpsc::UnboundedReceiver<Said>,
    ) -> (Option<Outcome>, String) {
        let mut said = None;
        loop {
            let busy = self.going_on.token();
            let stretch = self.stretch(ticket, run, demand, said.take()).await;
            drop(busy);
            match stretch {
                Stretch::Over(outcome, why) => return (outcome, why),
                Stretch::Failed => tokio::time::sleep(GLANCE).await,
                Stretch::Elsewhere(untold) => {
                    tokio::time::sleep(GLANCE).await;
                    said = untold.or_else(|| told.try_recv().ok());
                }
                Stretch::Waits => said = self.wait(run, &mut told).await,
            }
        }
    }

    /// Goes on until the run ends or cannot go on here.
    async fn stretch(&self, ticket: u64, run: &RunId, demand: &Demand, said: Option<Said>) -> Stretch {
        let records = match self.host.journal.read(run) {
            Ok(records) => records,
            Err(error) => return stopped(run, &error),
        };
        let position = position(&records);
        match position {
            Position::Over(outcome) => {
                // It may have ended right before this server died.
                match self.host.tell_the_rest(run).await {
                    Ok(()) | Err(RuntimeError::RunsElsewhere(_)) => {}
                    Err(error) => tracing::warn!(%run, "who was told of its end is not known: {}", told(&error)),
                }
                return Stretch::Over(Some(outcome), why(&records));
            }
            Position::Parked if said.is_none() => return Stretch::Waits,
            Position::New | Position::Open | Position::Parked => {}
        }
        let (stop, stops) = mpsc::unbounded_channel();
        self.reach(run, Some(stop));
        let ended = match (position, said.clone()) {
            (Position::New, _) => self.start(ticket, run, demand, stops).await,
            (_, None) => self.host.resume(run, Vec::new(), Arc::new(Nobody), Some(stops)).await,
            (_, Some(Said { run, words })) => self.host.go_on(&run, words, Arc::new(Nobody), Some(stops)).await,
        };
        self.reach(run, None);
        match ended {
            // It has taken none of them.
            Err(RuntimeError::RunsElsewhere(_)) => Stretch::Elsewhere(said),
            ended => self.judge(run, ended),
        }
    }

    async fn start(
        &self,
        ticket: u64,
        run: &RunId,
        demand: &Demand,
        stops: mpsc::UnboundedReceiver<bool>,
    ) -> Result<Ended, RuntimeError> {
        self.host.run(self.prepare(ticket, run, demand)?, Arc::new(Nobody), Some(stops)).await
    }

    fn judge(&self, run: &RunId, ended: Result<Ended, RuntimeError>) -> Stretch {
        match ended {
            Ok(Ended { outcome: Some(Outcome::Parked), .. }) => Stretch::Waits,
            Ok(Ended { outcome, .. }) => Stretch::Over(
                outcome,
                self.host.journal.read(run).map_or_else(|error| error.to_string(), |all| why(&all)),
            ),
            Err(RuntimeError::Journal(error)) => stopped(run, &error),
            Err(error) => {
                tracing::error!(%run, "{}", told(&error));
                Stretch::Over(None, told(&error))
            }
        }
    }

    fn prepare(&self, ticket: u64, run: &RunId, demand: &Demand) -> Result<Prepared, RuntimeError> {
        let playbook = self.host.library.find(&demand.playbook).map_err(RuntimeError::Playbook)?;
        let trigger = format!("{} since {}, ticket {ticket}", demand.identity, demand.since);
        let given = inputs::given(&demand.inputs);
        let mut prepared = self.host.prepare(playbook, &given, &demand.source, &trigger)?;
        prepared.run = run.clone();
        if demand.is_seen() {
            prepared.graph.detect_at_once();
        }
        prepared.graph.header.withheld = demand.withheld.clone();
        prepared.graph.header.from_outside = demand.from_outside.clone();
        prepared.graph.header.labels = demand.labels.clone();
        Ok(prepared)
    }

    /// Until somebody tells it something, or it turns out to have moved without this server.
    async fn wait(&self, run: &RunId, told: &mut mpsc::UnboundedReceiver<Said>) -> Option<Said> {
        let calls_after = |then| self.host.escalates_at(run, then).ok().flatten();
        let mut calls_at = calls_after(Timestamp::default());
        loop {
            tokio::select! {
                Some(said) = told.recv() => return Some(said),
                () = tokio::time::sleep(GLANCE) => {}
            }
            let now = self.host.clock.now();
            if calls_at.is_some_and(|at| at <= now) {
                self.call_for_help(run).await;
                calls_at = calls_after(now);
            }
            match self.host.journal.read(run).map(|records| position(&records)) {
                Ok(Position::Parked) => {}
                // Somebody has answered elsewhere; whether it goes on there or was left behind, its lock tells.
                Ok(_) => return None,
                Err(error) => tracing::warn!(%run, %error, "the run cannot be looked at"),
            }
        }
    }

    async fn call_for_help(&self, run: &RunId) {
        match self.host.tell_the_rest(run).await {
            // Whoever goes on with it knows the time, too.
            Ok(()) | Err(RuntimeError::RunsElsewhere(_)) => {}
            Err(error) => tracing::error!(%run, "nobody is called for help: {}", self::told(&error)),
        }
    }

    fn reach(&self, run: &RunId, stop: Option<mpsc::UnboundedSender<bool>>) {
        if let Some(handle) = self.lock().get_mut(run) {
            handle.stop = stop;
        }
    }

    /// Asks a run to stop, as Ctrl-C does. Tells whether it lives here.
    pub(super) fn stop(&self, run: &RunId, by: &str) -> bool {
        let live = self.lock();
        let Some(handle) = live.get(run) else { return false };
        match &handle.stop {
            Some(stop) => stop.send(false).is_ok(),
            None => {
                let words = vec![What::CancelAsked { by: by.to_owned(), hard: false }];
                handle.tell.send(Said { run: run.clone(), words }).is_ok()
            }
        }
    }

    /// Says something to a run that waits here, or that one called which waits here. Tells whether it was said.
    pub(super) fn tell(&self, run: &RunId, words: Vec<What>) -> bool {
        let live = self.lock();
        let handle = live.get(&outermost(run)).filter(|handle| handle.stop.is_none());
        handle.is_some_and(|handle| handle.tell.send(Said { run: run.clone(), words }).is_ok())
    }

    /// Waits until nobody else is answering this run, or one of those that it is part of.
    pub(super) async fn turn(&self, run: &RunId) -> OwnedMutexGuard<()> {
        self.answering.take(&outermost(run)).await
    }

    /// The same; a run that was started elsewhere goes on here.
    pub(super) fn answer(self: &Arc<Self>, run: &RunId, answers: Spoken) -> bool {
        let outermost = outermost(run);
        if self.lock().contains_key(&outermost) {
            return self.tell(run, answers.into_words());
        }
        let (stop, stops) = mpsc::unbounded_channel();
        let (tell, _) = mpsc::unbounded_channel();
        self.lock().insert(outermost.clone(), Handle { stop: Some(stop), tell });
        let (runs, run) = (self.clone(), run.clone());
        tokio::spawn(async move {
            let _busy = runs.going_on.token();
            if let Err(error) = runs.host.go_on(&run, answers, Arc::new(Nobody), Some(stops)).await {
                tracing::error!(%run, "{}", told(&error));
            }
            runs.lock().remove(&outermost);
        });
        true
    }

    /// How many go on here, and how many wait for a person or are in other hands.
    pub(super) fn count(&self) -> (usize, usize) {
        let live = self.lock();
        let going_on = live.values().filter(|handle| handle.stop.is_some()).count();
        (going_on, live.len() - going_on)
    }

    /// Until no run goes on; those that wait for a person are not waited for.
    pub(super) async fn all_ended(&self) {
        self.going_on.close();
        self.going_on.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Handle>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The run that a called run is part of, or the run itself.
fn outermost(run: &RunId) -> RunId {
    run.with_callers().next().unwrap_or_else(|| run.clone())
}

/// Where a run stands, by its journal.
enum Position {
    New,
    Open,
    Parked,
    Over(Outcome),
}

fn position(records: &[Record]) -> Position {
    if records.is_empty() {
        return Position::New;
    }
    match RunState::replay(records).map(|state| state.finished) {
        Ok(Some(Outcome::Parked)) => Position::Parked,
        Ok(Some(outcome)) => Position::Over(outcome),
        // One that does not make sense is said when it is gone on with.
        Ok(None) | Err(_) => Position::Open,
    }
}

fn why(records: &[Record]) -> String {
    let last = records.iter().rev().find_map(|record| match &record.event {
        Event::RunFinished { why, .. } => Some(why.clone()),
        _ => None,
    });
    last.unwrap_or_default()
}

fn stopped(run: &RunId, error: &JournalError) -> Stretch {
    match error {
        JournalError::Conflict { .. } => Stretch::Elsewhere(None),
        _ => {
            tracing::error!(%run, %error, "the run goes on when the journal can be written again");
            Stretch::Failed
        }
    }
}

/// The whole of an error, in one line.
fn told(error: &RuntimeError) -> String {
    match error {
        RuntimeError::Playbook(problems) => {
            let all: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
            format!("{error}: {}", all.join("; "))
        }
        RuntimeError::Inputs(problems) => {
            let all: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
            format!("{error}: {}", all.join("; "))
        }
        _ => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}
