//! The timekeeper: the one writer of the stream of schedules and watches. What is due is written down first, then
//! handed to the desk, which takes each tick once for ever; what was not handed in before a kill is handed in later.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::health::Beat;
use super::schedules::{Armed, demand, next_wake};
use crate::base::{Clock, Redacted, RunId, Timestamp};
use crate::engine::intake::What;
use crate::engine::schedule::{Fact, STREAM, Timetable, observe, plan};
use crate::engine::{Event, Record};
use crate::journal::JournalError;
use crate::playbook::inputs;
use crate::runtime::{Host, Look, orders};
use crate::trigger::{Looks, Timed, Timer};

/// The longest sleep: a wall clock that somebody sets, and a machine that slept, are noticed within it.
const GLANCE: Duration = Duration::from_secs(5);
/// While something waits to be handed in, or could not be written.
const SOON: Duration = Duration::from_millis(500);
/// Looks at the same time: they must not crowd out runs.
const LOOKS: usize = 8;

/// What the timekeeper knows, for whoever looks on.
#[derive(Clone, Default)]
pub(super) struct Table(Arc<Mutex<Timetable>>);

impl Table {
    pub(super) fn look<T>(&self, look: impl FnOnce(&Timetable) -> T) -> T {
        look(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Timetable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Source = Box<dyn Fn() -> Arc<Vec<Armed>> + Send + Sync>;

pub(super) struct Timekeeper {
    host: Arc<Host>,
    desk: Desk,
    armed: Source,
    table: Table,
    beat: Beat,
    looked: (mpsc::UnboundedSender<Looked>, mpsc::UnboundedReceiver<Looked>),
    /// Watches that are being looked at.
    looking: HashSet<String>,
    /// Watches that wait for the end of a silence.
    silent: HashSet<String>,
    /// When each watch was last looked at, by the clock of the process, which nobody sets.
    last_looks: HashMap<String, Timestamp>,
}

/// A look that is over.
struct Looked {
    key: String,
    came_to: Look,
}

fn stream() -> RunId {
    RunId::from(STREAM.to_owned())
}

impl Timekeeper {
    pub(super) fn open(
        host: Arc<Host>,
        desk: Desk,
        armed: impl Fn() -> Arc<Vec<Armed>> + Send + Sync + 'static,
        beat: Beat,
    ) -> Result<Self, JournalError> {
        let timetable = Timetable::replay(&host.journal.read(&stream())?);
        let table = Table(Arc::new(Mutex::new(timetable)));
        // Unbounded is bounded here: one message for each watch.
        let looked = mpsc::unbounded_channel();
        let (looking, silent, last_looks) = (HashSet::new(), HashSet::new(), HashMap::new());
        Ok(Timekeeper { host, desk, armed: Box::new(armed), table, beat, looked, looking, silent, last_looks })
    }

    pub(super) fn table(&self) -> Table {
        self.table.clone()
    }

    pub(super) async fn run(mut self, stopping: CancellationToken) {
        let mut looked = Vec::new();
        while !stopping.is_cancelled() {
            let armed: Vec<Armed> = (self.armed)().iter().filter(|armed| armed.problem.is_none()).cloned().collect();
            let wait = match self.turn(&armed, std::mem::take(&mut looked)).await {
                Ok(wait) => {
                    self.beat.strike();
                    wait
                }
                Err(error) => {
                    tracing::error!(%error, "what is due cannot be written down; it starts when it can be");
                    SOON
                }
            };
            tokio::select! {
                Some(look) = self.looked.1.recv() => looked.push(look),
                () = tokio::time::sleep(wait) => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    /// Does what is due, and tells how long there is nothing to do.
    async fn turn(&mut self, armed: &[Armed], looked: Vec<Looked>) -> Result<Duration, JournalError> {
        // Read anew: the clock of a process goes on from where it began when somebody sets that of the machine.
        let now = Clock::start().now();
        self.catch_up(armed);
        let mut facts = Vec::new();
        self.table.look(|table| {
            for Armed { timer, .. } in armed {
                if let Timed::Schedule(schedule, _) = &timer.timed {
                    facts.extend(plan(schedule, table, now));
                }
            }
        });
        for look in looked {
            self.looking.remove(&look.key);
            facts.extend(self.seen(armed, &look, now));
        }
        self.write(&facts, now).await?;
        self.take_back(&facts).await;
        let waits = self.hand_in(armed).await;
        let next_look = self.look(armed);
        let due = self.table.look(|table| next_wake(armed, table)).map_or(GLANCE, |due| due.since(now));
        let wait = due.min(next_look).min(GLANCE);
        Ok(if waits { wait.min(SOON) } else { wait })
    }

    /// Takes note of what has reached the desk.
    fn catch_up(&self, armed: &[Armed]) {
        for Armed { timer, .. } in armed {
            let latest = self.desk.look(|intake| intake.latest(&timer.key).map(|latest| latest.tick));
            if let Some(tick) = latest {
                self.table.lock().reached(&timer.key, tick);
            }
        }
    }

    fn seen(&self, armed: &[Armed], look: &Looked, now: Timestamp) -> Vec<Fact> {
        let watch = armed.iter().find(|armed| armed.timer.key == look.key).map(|armed| &armed.timer.timed);
        let Some(Timed::Watch(Looks { flapping, .. })) = watch else { return Vec::new() };
        match &look.came_to {
            Look::Holds(holds) => self.table.look(|table| observe(table, &look.key, *flapping, now, *holds)),
            Look::Unknown(why) => {
                tracing::warn!(watch = look.key, "the detection could not be evaluated: {why}");
                Vec::new()
            }
        }
    }

    async fn write(&self, facts: &[Fact], at: Timestamp) -> Result<(), JournalError> {
        if facts.is_empty() {
            return Ok(());
        }
        let first = self.table.look(|table| table.seq) + 1;
        let record =
            |(seq, fact): (u64, &Fact)| Record { run: stream(), seq, at, event: Event::Schedule(fact.clone()) };
        let records: Vec<Record> = (first..).zip(facts).map(record).collect();
        let last = first + records.len() as u64 - 1;
        self.host.journal.append(&stream(), Redacted::of(records)?).await?;
        let mut table = self.table.lock();
        facts.iter().for_each(|fact| table.apply(at, fact));
        table.seq = last;
        drop(table);
        facts.iter().for_each(say);
        Ok(())
    }

    /// What no longer holds needs no run any more, if none has started.
    async fn take_back(&self, facts: &[Fact]) {
        let over = facts.iter().filter_map(|fact| match fact {
            Fact::Changed { key, holds: false } => Some(What::Resolved { identity: key.clone(), since: None }),
            _ => None,
        });
        let over: Vec<What> = over.collect();
        if !over.is_empty()
            && let Err(error) = self.desk.take(over).await
        {
            // A run that starts in spite of it looks first and finds nothing.
            tracing::warn!(%error, "what is over is not taken back");
        }
    }

    /// Hands in what is pending. Tells whether something has to wait.
    async fn hand_in(&mut self, armed: &[Armed]) -> bool {
        let mut waits = false;
        for Armed { timer, .. } in armed {
            while let Some(tick) = self.next_for_the_desk(timer, &mut waits) {
                if self.is_silent(timer, tick) {
                    break;
                }
                match self.desk.take(vec![What::Offered(Box::new(demand(timer, tick)))]).await {
                    Ok(_) => self.table.lock().reached(&timer.key, tick),
                    Err(error) => {
                        tracing::warn!(timer = timer.key, %error, "not taken yet");
                        waits = true;
                        break;
                    }
                }
            }
        }
        waits
    }

    /// Whether what a watch sees waits for the end of a silence. The time of a schedule is missed instead: it passes,
    /// and what a watch sees stays.
    fn is_silent(&mut self, timer: &Timer, tick: Timestamp) -> bool {
        let demand = demand(timer, tick);
        let silent = matches!(timer.timed, Timed::Watch(_))
            && orders::standing(self.host.journal.as_ref())
                .is_ok_and(|all| all.silence_of(&demand.playbook, &demand.labels, Clock::start().now()).is_some());
        match silent {
            true if self.silent.insert(timer.key.clone()) => {
                tracing::info!(watch = timer.key, "silenced: a run starts after it if the detection still holds");
            }
            true => {}
            false => drop(self.silent.remove(&timer.key)),
        }
        silent
    }

    fn next_for_the_desk(&self, timer: &Timer, waits: &mut bool) -> Option<Timestamp> {
        let (wanted, pending) = self.table.look(|table| {
            let pending = table.schedule(&timer.key).and_then(|progress| progress.pending.front().copied());
            (table.watch(&timer.key).and_then(|seen| seen.wanted), pending)
        });
        let (tick, is_made_up_for) = pending.or(wanted.map(|wanted| (wanted, false)))?;
        // One after the other, whatever overlap says: it is about what is due, not about what was missed.
        if is_made_up_for && !self.desk.look(|intake| intake.is_free(&demand(timer, tick))) {
            *waits = true;
            return None;
        }
        Some(tick)
    }

    /// Starts the looks that are due, and tells when the next one is.
    fn look(&mut self, armed: &[Armed]) -> Duration {
        let now = self.host.clock.now();
        let mut next = GLANCE;
        for Armed { timer, .. } in armed {
            let Timed::Watch(Looks { every, .. }) = timer.timed else { continue };
            let left = self.last_looks.get(&timer.key).map_or(Duration::ZERO, |last| last.plus(every).since(now));
            if !left.is_zero() {
                next = next.min(left);
            } else if !self.looking.contains(&timer.key) && self.looking.len() < LOOKS {
                self.last_looks.insert(timer.key.clone(), now);
                self.looking.insert(timer.key.clone());
                self.begin_look(timer);
                next = next.min(every);
            }
        }
        next
    }

    fn begin_look(&self, timer: &Timer) {
        let (host, told, key) = (self.host.clone(), self.looked.0.clone(), timer.key.clone());
        let (playbook, given) = (timer.playbook.clone(), inputs::given(&timer.with));
        tokio::spawn(async move {
            let came_to = match host.library.find(&playbook) {
                Ok(playbook) => {
                    host.look(playbook, &given).await.unwrap_or_else(|error| Look::Unknown(error.to_string()))
                }
                Err(_) => Look::Unknown("its playbook is gone".into()),
            };
            // Without a timekeeper the server has ended.
            let _ = told.send(Looked { key, came_to });
        });
    }
}

/// What people should find in the log.
fn say(fact: &Fact) {
    match fact {
        Fact::Missed { key, count, why, runs, .. } => {
            tracing::warn!(schedule = key, missed = count, made_up_for = runs.len(), "{why}");
        }
        Fact::Flapping { key, changes } => {
            tracing::warn!(watch = key, changes, "the detection changes too often: one run more, then it is held back");
        }
        Fact::Calm { key } => tracing::info!(watch = key, "the detection is calm again"),
        Fact::Began { .. } | Fact::Due { .. } | Fact::Changed { .. } => {}
    }
}
