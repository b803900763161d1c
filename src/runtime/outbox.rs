//! The outbox of this process: takes messages of runs, keeps what has to wait in the journal, and sends what is due.
//! It is the only writer of its stream, as the server is the only one of its state folder.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::host::Host;
use super::messages::attempt;
use crate::base::{Redacted, RunId, Timestamp};
use crate::engine::outbox::{self, Batch, Fact, Input, Item, Limit, Outbox, Rules, STREAM, What};
use crate::engine::{Event, Record};
use crate::journal::{Journal, JournalError};
use crate::notify::{Message, gather};
use crate::site::Notifications;

/// After a write that failed: soon enough for people, seldom enough for a full disk.
const PAUSE: Duration = Duration::from_secs(1);

/// Longer than the waits between the attempts of one delivery.
const LAST_WORDS: Duration = Duration::from_secs(10);

enum Said {
    Take(Box<Item>, oneshot::Sender<Result<u64, JournalError>>),
    Ended(What),
    Close(oneshot::Sender<()>),
}

/// Where messages are handed in.
pub(super) struct Entrance(mpsc::UnboundedSender<Said>);

impl Entrance {
    /// Hands a message in; it is durable when this returns its number.
    pub(super) async fn take(&self, item: Item) -> Option<Result<u64, JournalError>> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Said::Take(Box::new(item), reply)).ok()?;
        answer.await.ok()
    }
}

fn stream() -> RunId {
    RunId::from(STREAM.to_owned())
}

/// What the outbox knows by its journal.
pub fn read(journal: &dyn Journal) -> Result<Outbox, JournalError> {
    Ok(Outbox::replay(&journal.read(&stream())?))
}

/// The rules of a site as the outbox knows them.
fn rules(notify: &Notifications) -> Rules {
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let limit =
        |limit: &crate::site::notify::Limit| Limit { messages: limit.messages as usize, within: limit.window() };
    Rules {
        group: notify.group.map(|group| (seconds(group.wait), seconds(group.within))),
        limit: notify.limit.as_ref().map(limit),
        limits: notify.limits.iter().map(|(channel, one)| (channel.clone(), limit(one))).collect(),
    }
}

struct Work {
    host: Arc<Host>,
    outbox: Arc<Mutex<Outbox>>,
    rules: Rules,
    said: mpsc::UnboundedReceiver<Said>,
    sender: mpsc::UnboundedSender<Said>,
    /// Ends that could not be written down yet.
    owed: Vec<What>,
    /// What this program is sending.
    sending: BTreeSet<u64>,
    on_their_way: TaskTracker,
}

impl Host {
    /// Opens the outbox, if the site asks for one or an earlier program left something in it. Messages of the runs of
    /// this process go through it from now on, and what was left goes out.
    pub fn open_outbox(self: &Arc<Self>) -> Result<(), JournalError> {
        let notify = &self.services().site.notify;
        let outbox = read(self.journal.as_ref())?;
        if !notify.holds_back() && outbox.is_empty() {
            return Ok(());
        }
        // Unbounded is bounded here: one message for each channel and occasion of a live run.
        let (sender, said) = mpsc::unbounded_channel();
        let work = Work {
            host: self.clone(),
            outbox: Arc::new(Mutex::new(outbox)),
            rules: rules(notify),
            said,
            sender: sender.clone(),
            owed: Vec::new(),
            sending: BTreeSet::new(),
            on_their_way: TaskTracker::new(),
        };
        // A second outbox in one process would write the same stream.
        if self.outbox.set(Entrance(sender)).is_ok() {
            tokio::spawn(work.run());
        }
        Ok(())
    }

    /// Lets what is on its way arrive. What waits goes out at the next start.
    pub async fn close_outbox(&self) {
        let Some(Entrance(sender)) = self.outbox.get() else { return };
        let (closed, done) = oneshot::channel();
        if sender.send(Said::Close(closed)).is_ok() {
            // Whatever has not arrived by then is sent once more at the next start, under the same name.
            let _ = tokio::time::timeout(LAST_WORDS, done).await;
        }
    }
}

impl Work {
    async fn run(mut self) {
        let mut pause = Some(Duration::ZERO);
        loop {
            let (said, closing) = self.next(pause.take()).await;
            if self.turn(said).await.is_err() {
                pause = Some(PAUSE);
            }
            if let Some(closed) = closing {
                return self.finish(closed).await;
            }
        }
    }

    async fn next(&mut self, pause: Option<Duration>) -> (Option<Said>, Option<oneshot::Sender<()>>) {
        let now = self.host.clock.now();
        let wait = match (pause, self.lock().next_wake(&self.rules, now)) {
            (Some(pause), _) => pause,
            (None, Some(due)) => due.since(now),
            // Far enough to be never, near enough for every timer implementation.
            (None, None) => Duration::from_secs(86_400),
        };
        tokio::select! {
            said = self.said.recv() => match said {
                Some(Said::Close(closed)) => (None, Some(closed)),
                said => (said, None),
            },
            () = tokio::time::sleep(wait) => (None, None),
        }
    }

    async fn finish(mut self, closed: oneshot::Sender<()>) {
        self.on_their_way.close();
        self.on_their_way.wait().await;
        while let Ok(said) = self.said.try_recv() {
            // What goes out now would not arrive.
            if let Said::Ended(ended) = said {
                self.owed.push(ended);
            }
        }
        let at = self.host.clock.now();
        let ends = std::mem::take(&mut self.owed);
        let facts: Vec<Fact> = ends.into_iter().filter_map(|end| self.lock().ended(end)).collect();
        if let Err(error) = self.write(&facts, at).await {
            tracing::warn!(%error, "what was sent last is sent once more at the next start");
        }
        let _ = closed.send(());
    }

    /// Takes up what was said; what it leads to is durable before anything is sent.
    async fn turn(&mut self, said: Option<Said>) -> Result<(), JournalError> {
        let at = self.host.clock.now();
        let (what, reply) = match said {
            Some(Said::Take(item, reply)) => (What::Offered(item), Some(reply)),
            Some(Said::Ended(ended)) => {
                self.owed.push(ended);
                (What::Proceed, None)
            }
            Some(Said::Close(_)) | None => (What::Proceed, None),
        };
        let facts = self.decide(what, at);
        let written = self.write(&facts, at).await;
        match &written {
            Ok(()) => self.owed.clear(),
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be written down");
                self.forget();
            }
        }
        if let Some(reply) = reply {
            let number = facts.iter().find_map(|fact| match fact {
                Fact::Taken { number, .. } => Some(*number),
                _ => None,
            });
            // The run may have gone.
            let _ = reply.send(written.clone().map(|()| number.unwrap_or_default()));
        }
        if written.is_ok() {
            facts.iter().for_each(|fact| self.carry_out(fact));
        }
        written
    }

    fn decide(&self, what: What, at: Timestamp) -> Vec<Fact> {
        let mut outbox = self.lock();
        let all = self.owed.iter().cloned().chain([what]);
        all.flat_map(|what| outbox::advance(&mut outbox, &self.rules, Input { at, what })).collect()
    }

    async fn write(&self, facts: &[Fact], at: Timestamp) -> Result<(), JournalError> {
        if facts.is_empty() {
            return Ok(());
        }
        let first = self.lock().seq + 1;
        let record = |(seq, fact): (u64, &Fact)| Record { run: stream(), seq, at, event: Event::Outbox(fact.clone()) };
        let records: Vec<Record> = (first..).zip(facts).map(record).collect();
        let last = first + records.len() as u64 - 1;
        self.host.journal.append(&stream(), Redacted::of(records)?).await?;
        self.lock().seq = last;
        Ok(())
    }

    /// What was decided did not become true. What is on its way in this process stays so.
    fn forget(&self) {
        match self.host.journal.read(&stream()) {
            Ok(records) => *self.lock() = Outbox::replay(&records).going_on_with(&self.sending),
            Err(error) => tracing::error!(%error, "the outbox cannot be read again"),
        }
    }

    fn carry_out(&mut self, fact: &Fact) {
        let number = match fact {
            Fact::Sending { batch, .. } => batch,
            Fact::Sent { batch, .. } => {
                self.sending.remove(batch);
                return;
            }
            Fact::Taken { .. } => return,
        };
        self.sending.insert(*number);
        let Some(batch) = self.lock().on_its_way(*number).cloned() else { return };
        let (host, sender, number) = (self.host.clone(), self.sender.clone(), *number);
        self.on_their_way.spawn(async move {
            let ended = send(&host, number, batch).await;
            // Without a worker the program ends, and sends it once more when it starts.
            let _ = sender.send(Said::Ended(ended));
        });
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(host: &Host, number: u64, batch: Batch) -> What {
    let (attempts, result) = match message(host, number, &batch) {
        Some(message) => attempt(host, &batch.channel, message).await,
        None => (0, Err("the kept message cannot be read".to_owned())),
    };
    let (delivered, error, thread) = match result {
        Ok(receipt) => (Some(receipt.text), None, receipt.thread),
        Err(error) => (None, Some(error), None),
    };
    if let Some(error) = &error {
        tracing::warn!("message {number} to {} is not delivered: {error}", batch.channel);
    }
    What::Ended { batch: number, delivered, error, attempts, thread }
}

fn message(host: &Host, number: u64, batch: &Batch) -> Option<Message> {
    let read = |(_, item): &(u64, Item)| serde_json::from_value::<Message>(item.message.clone()).ok();
    let messages: Vec<Message> = batch.items.iter().filter_map(read).collect();
    let overview = host.services().site.url.as_ref().map(|url| format!("{}/runs", url.trim_end_matches('/')));
    let message = gather::gather(number, &messages, &batch.before, overview.as_deref())?;
    Some(Message { thread: batch.thread.clone(), ..message })
}
