//! The desk: the one writer of the intake's stream. What comes in while the disk writes is decided about together
//! and becomes durable in one append; only then is anybody answered and any run started.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::health::Beat;
use super::metrics::Metrics;
use super::runs::{Finished, Runs};
use crate::base::{Redacted, RunId, Timestamp};
use crate::engine::intake::{self, Demand, Fact, Input, Intake, Limits, STREAM, Stage, What};
use crate::engine::standing::Standing;
use crate::engine::{Event, Record};
use crate::journal::JournalError;
use crate::runtime::{Host, orders};

/// Requests that wait for the desk; more are told to come again.
const WAITING: usize = 1_024;
/// As many as one append should hold: the first of them waits for all.
const TOGETHER: usize = 256;
/// After a write that failed: soon enough for people, seldom enough for a full disk.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest sleep: whoever watches the server sees that the desk still turns.
const ROUND: Duration = Duration::from_secs(5);

/// Why something was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum NotTaken {
    #[error("the queue is full")]
    Full,
    #[error("the server is stopping")]
    Stopping,
    #[error("it could not be written down")]
    Journal(#[from] JournalError),
}

type Reply = oneshot::Sender<Result<Vec<Fact>, NotTaken>>;

struct Message {
    whats: Vec<What>,
    reply: Reply,
}

/// Where things are handed in.
#[derive(Clone)]
pub(super) struct Desk {
    entrance: mpsc::Sender<Message>,
    intake: Arc<Mutex<Intake>>,
    closed: CancellationToken,
}

impl Desk {
    /// Hands something in, all of it or nothing; durable when this returns.
    pub(super) async fn take(&self, whats: Vec<What>) -> Result<Vec<Fact>, NotTaken> {
        let (reply, answer) = oneshot::channel();
        // Not waited for: a sender that can come again is better off than one that hangs.
        self.entrance.try_send(Message { whats, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotTaken::Full,
            mpsc::error::TrySendError::Closed(_) => NotTaken::Stopping,
        })?;
        answer.await.unwrap_or(Err(NotTaken::Stopping))
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Intake) -> T) -> T {
        look(&lock(&self.intake))
    }

    /// Writes down what has come in, and takes nothing more.
    pub(super) async fn close(&self) {
        self.closed.cancel();
    }
}

/// Who is told that the desk turns, and what it wrote.
pub(super) struct Told {
    pub beat: Beat,
    pub metrics: Metrics,
}

/// What the desk does.
pub(super) struct Work {
    host: Arc<Host>,
    runs: Arc<Runs>,
    intake: Arc<Mutex<Intake>>,
    messages: mpsc::Receiver<Message>,
    finished: mpsc::UnboundedReceiver<Finished>,
    /// Ends that could not be written down yet.
    owed: Vec<What>,
    stopping: CancellationToken,
    closed: CancellationToken,
    told: Told,
    standing: Standing,
}

fn stream() -> RunId {
    RunId::from(STREAM.to_owned())
}

fn lock(intake: &Mutex<Intake>) -> MutexGuard<'_, Intake> {
    intake.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads what the intake knows, and opens.
pub(super) fn open(
    host: Arc<Host>,
    runs: Arc<Runs>,
    stopping: CancellationToken,
    told: Told,
) -> Result<(Desk, Work), JournalError> {
    let intake = Arc::new(Mutex::new(Intake::replay(&host.journal.read(&stream())?)));
    let (entrance, messages) = mpsc::channel(WAITING);
    let closed = CancellationToken::new();
    let desk = Desk { entrance, intake: intake.clone(), closed: closed.clone() };
    let finished = runs.finished();
    Ok((
        desk,
        Work {
            host,
            runs,
            intake,
            messages,
            finished,
            owed: Vec::new(),
            stopping,
            closed,
            told,
            standing: Standing::default(),
        },
    ))
}

impl Work {
    pub(super) async fn run(mut self) {
        self.go_on_with_runs();
        // What an earlier server left queued starts without waiting for news.
        let mut pause = Some(Duration::ZERO);
        loop {
            let failed = self.turn(pause.take()).await;
            if failed {
                pause = Some(PAUSE);
            }
            if self.closed.is_cancelled() && self.messages.is_empty() && self.finished.is_empty() {
                return;
            }
        }
    }

    /// Runs that an earlier server started and that have not ended.
    fn go_on_with_runs(&self) {
        let live: Vec<_> =
            lock(&self.intake).live().map(|(ticket, run, demand)| (ticket, run.clone(), demand.clone())).collect();
        for (ticket, run, demand) in live {
            self.runs.begin(ticket, run, demand);
        }
    }

    /// Takes up what has come in. Tells whether it could not be written down.
    async fn turn(&mut self, pause: Option<Duration>) -> bool {
        let messages = self.next(pause).await;
        let at = self.host.clock.now();
        while let Ok(ended) = self.finished.try_recv() {
            self.owed.push(What::Ended { ticket: ended.ticket, outcome: ended.outcome, why: ended.why });
        }
        self.look_at_orders();
        let (facts, replies) = self.decide(messages, at);
        let written = self.write(&facts, at).await;
        match &written {
            Ok(()) => {
                self.owed.clear();
                self.told.metrics.desk_wrote(&facts, &lock(&self.intake));
                self.told.beat.strike();
                self.carry_out(&facts);
            }
            Err(error) => {
                tracing::error!(%error, "the intake cannot be written down; senders are told to come again");
                self.forget();
            }
        }
        for (reply, facts) in replies {
            // Whoever asked may have gone.
            let _ = reply.send(written.clone().map(|()| facts).map_err(NotTaken::from));
        }
        written.is_err()
    }

    async fn next(&mut self, pause: Option<Duration>) -> Vec<Message> {
        let wait = match (pause, lock(&self.intake).next_wake()) {
            (Some(pause), _) => pause,
            (None, due) => due.map_or(ROUND, |due| due.since(self.host.clock.now()).min(ROUND)),
        };
        let mut messages = Vec::new();
        tokio::select! {
            Some(message) = self.messages.recv() => messages.push(message),
            Some(ended) = self.finished.recv() => {
                self.owed.push(What::Ended { ticket: ended.ticket, outcome: ended.outcome, why: ended.why });
            }
            () = tokio::time::sleep(wait) => {}
            () = self.closed.cancelled(), if pause.is_none() => {}
        }
        while messages.len() < TOGETHER
            && let Ok(message) = self.messages.try_recv()
        {
            messages.push(message);
        }
        messages
    }

    /// What stands at this moment. When it cannot be read, what was known last counts.
    fn look_at_orders(&mut self) {
        match orders::standing(self.host.journal.as_ref()) {
            // Patterns that were compiled are kept as long as nothing new was ordered.
            Ok(standing) if standing.seq == self.standing.seq => {}
            Ok(standing) => self.standing = standing,
            Err(error) => tracing::error!(%error, "whether something is silenced cannot be read"),
        }
    }

    /// Why something that nobody asked for by hand starts no run now.
    fn silenced(&self, demand: &Demand, at: Timestamp) -> Option<String> {
        let silence = self.standing.silence_of(&demand.playbook, &demand.labels, at).filter(|_| !demand.by_hand)?;
        let until = silence.until.to_rfc3339();
        Some(format!("silenced until {until} by {}: {} (silence {})", silence.by, silence.reason, silence.number))
    }

    /// What waits and was silenced meanwhile.
    fn silence_what_waits(&self, at: Timestamp) -> Vec<What> {
        let intake = lock(&self.intake);
        let waiting = intake.tickets().iter().filter(|(_, ticket)| !ticket.is_live());
        waiting
            .filter_map(|(ticket, waits)| {
                Some(What::Silenced { ticket: *ticket, why: self.silenced(&waits.demand, at)? })
            })
            .collect()
    }

    fn heard(&self, what: What, at: Timestamp) -> What {
        match what {
            What::Offered(demand) => match self.silenced(&demand, at) {
                Some(why) => What::Refused { demand, why },
                None => What::Offered(demand),
            },
            other => other,
        }
    }

    /// The facts of all, and those of each that is to be answered.
    fn decide(&self, messages: Vec<Message>, at: Timestamp) -> (Vec<Fact>, Vec<(Reply, Vec<Fact>)>) {
        let serve = &self.host.services().site.serve;
        let live = if self.stopping.is_cancelled() { 0 } else { serve.runs };
        let silenced = self.silence_what_waits(at);
        let mut intake = lock(&self.intake);
        let news = self.owed.iter().cloned().chain(silenced).chain([What::Proceed]);
        let mut facts = advance(&mut intake, live, at, news);
        let mut replies = Vec::new();
        for Message { whats, reply } in messages {
            if has_room(&intake, &whats, serve.queue, at) {
                let own = advance(&mut intake, live, at, whats.into_iter().map(|what| self.heard(what, at)));
                facts.extend(own.iter().cloned());
                replies.push((reply, own));
            } else {
                let _ = reply.send(Err(NotTaken::Full));
            }
        }
        (facts, replies)
    }

    async fn write(&self, facts: &[Fact], at: Timestamp) -> Result<(), JournalError> {
        if facts.is_empty() {
            return Ok(());
        }
        let first = lock(&self.intake).seq + 1;
        let record = |(seq, fact): (u64, &Fact)| Record { run: stream(), seq, at, event: Event::Intake(fact.clone()) };
        let records: Vec<Record> = (first..).zip(facts).map(record).collect();
        let last = first + records.len() as u64 - 1;
        self.host.journal.append(&stream(), Redacted::of(records)?).await?;
        lock(&self.intake).seq = last;
        Ok(())
    }

    /// What was decided did not become true: what the journal has is what is known.
    fn forget(&self) {
        match self.host.journal.read(&stream()) {
            Ok(records) => *lock(&self.intake) = Intake::replay(&records),
            Err(error) => tracing::error!(%error, "the intake cannot be read again"),
        }
    }

    fn carry_out(&self, facts: &[Fact]) {
        for fact in facts {
            match fact {
                Fact::Started { ticket, run } => {
                    let demand = lock(&self.intake).tickets().get(ticket).map(|ticket| ticket.demand.clone());
                    if let Some(demand) = demand {
                        self.runs.begin(*ticket, run.clone(), demand);
                    }
                }
                Fact::StopAsked { ticket, .. } => {
                    let stage = lock(&self.intake).tickets().get(ticket).map(|ticket| ticket.stage.clone());
                    if let Some(Stage::Live { run, .. }) = stage {
                        self.runs.stop(&run, "a newer event");
                    }
                }
                _ => {}
            }
        }
    }
}

fn advance(intake: &mut Intake, live: usize, at: Timestamp, whats: impl Iterator<Item = What>) -> Vec<Fact> {
    let inputs: Vec<Input> = whats.map(|what| Input { at, what }).collect();
    intake::advance(intake, Limits { live }, &inputs)
}

/// Whether what would have to wait finds a place.
fn has_room(intake: &Intake, whats: &[What], most: usize, at: Timestamp) -> bool {
    let demands = whats.iter().filter_map(|what| match what {
        What::Offered(demand) => Some(demand.as_ref()),
        _ => None,
    });
    match intake.newcomers(demands, at) {
        0 => true,
        new => intake.waiting() + new <= most,
    }
}
