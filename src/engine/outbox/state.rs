//! The fold of the outbox's facts: what waits, what is on its way, and what was sent of late.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::{Fact, Item, Limit};
use crate::base::Timestamp;
use crate::engine::event::{Event, Record};

/// So many batches that are gone are kept for people to look at; the journal has all of them.
const CLOSED: usize = 200;
/// As many as a limit may be: further back no window looks.
const REMEMBERED: usize = 10_000;
/// Groups and threads of so many runs are remembered for each channel; whoever is older begins anew.
const KEPT: usize = 1_000;

/// A message that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    pub item: Item,
    pub taken_at: Timestamp,
}

/// Messages that go out as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub channel: String,
    /// By their numbers, the oldest first.
    pub items: Vec<(u64, Item)>,
    pub group: Option<String>,
    /// What was told before in the message of the group: run and subject.
    pub before: Vec<(String, String)>,
    /// What the channel gave back with the message that this one goes on from.
    pub thread: Option<String>,
}

/// A batch that is gone, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Closed {
    pub batch: u64,
    pub at: Timestamp,
    pub channel: String,
    /// Number, run, occasion and subject of each message in it.
    pub messages: Vec<(u64, String, String, String)>,
    pub delivered: Option<String>,
    pub error: Option<String>,
    pub attempts: u32,
}

/// A message that tells of several runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Group {
    opened_at: Timestamp,
    told: Vec<(String, String)>,
    thread: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Channel {
    pub waiting: BTreeMap<u64, Waiting>,
    /// By their numbers.
    pub on_its_way: BTreeMap<u64, Batch>,
    /// Batches that were on their way when the program died.
    pub again: BTreeMap<u64, Batch>,
    /// When the latest messages were sent, the oldest first.
    sent: VecDeque<Timestamp>,
    groups: BTreeMap<String, Group>,
    /// What the channel gave back with the first message of a run.
    threads: BTreeMap<String, String>,
}

/// The state of the outbox.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outbox {
    /// The number of the last event of its stream.
    pub seq: u64,
    pub(super) last_number: u64,
    pub(super) last_batch: u64,
    pub(super) channels: BTreeMap<String, Channel>,
    closed: VecDeque<Closed>,
}

impl Outbox {
    /// The outbox as a program finds it that has just started: what was on its way is to be sent once more.
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut outbox = Outbox::default();
        for record in records {
            outbox.seq = record.seq;
            // Only facts of the outbox are ever written to its stream.
            if let Event::Outbox(fact) = &record.event {
                outbox.apply(record.at, fact);
            }
        }
        for channel in outbox.channels.values_mut() {
            channel.again.append(&mut channel.on_its_way);
        }
        outbox
    }

    /// Says which batches this very program is sending.
    #[must_use]
    pub fn going_on_with(mut self, sending: &BTreeSet<u64>) -> Self {
        for channel in self.channels.values_mut() {
            let (ours, again) =
                std::mem::take(&mut channel.again).into_iter().partition(|(one, _)| sending.contains(one));
            (channel.on_its_way, channel.again) = (ours, again);
        }
        self
    }

    /// Takes up a fact of the moment `at`.
    pub fn apply(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::Taken { number, item } => {
                self.last_number = *number;
                let waiting = Waiting { item: (**item).clone(), taken_at: at };
                self.channels.entry(item.channel.clone()).or_default().waiting.insert(*number, waiting);
            }
            Fact::Sending { batch, channel, .. } => {
                self.last_batch = self.last_batch.max(*batch);
                self.channels.entry(channel.clone()).or_default().send(at, fact);
            }
            Fact::Sent { .. } => self.close(at, fact),
        }
    }

    fn close(&mut self, at: Timestamp, fact: &Fact) {
        let Fact::Sent { batch: number, delivered, error, attempts, thread } = fact else { return };
        let Some(channel) = self.channels.values_mut().find(|channel| channel.on_its_way.contains_key(number)) else {
            return;
        };
        let Some(batch) = channel.on_its_way.remove(number) else { return };
        channel.keep(&batch, thread.as_ref());
        let message = |(number, item): (u64, Item)| (number, item.about, item.on, item.subject);
        self.closed.push_back(Closed {
            batch: *number,
            at,
            channel: batch.channel,
            messages: batch.items.into_iter().map(message).collect(),
            delivered: delivered.clone(),
            error: error.clone(),
            attempts: *attempts,
        });
        if self.closed.len() > CLOSED {
            self.closed.pop_front();
        }
    }

    /// Every message that waits, by its number.
    pub fn waiting(&self) -> BTreeMap<u64, &Waiting> {
        self.channels.values().flat_map(|channel| &channel.waiting).map(|(number, one)| (*number, one)).collect()
    }

    /// A batch that is on its way.
    pub fn on_its_way(&self, batch: u64) -> Option<&Batch> {
        self.channels.values().find_map(|channel| channel.on_its_way.get(&batch))
    }

    /// Whether nothing waits and nothing is on its way.
    pub fn is_empty(&self) -> bool {
        let empty =
            |channel: &Channel| channel.waiting.is_empty() && channel.on_its_way.is_empty() && channel.again.is_empty();
        self.channels.values().all(empty)
    }

    /// The latest batches that are gone, the oldest first.
    pub fn closed(&self) -> impl Iterator<Item = &Closed> {
        self.closed.iter()
    }
}

impl Channel {
    fn send(&mut self, at: Timestamp, fact: &Fact) {
        let Fact::Sending { batch: number, channel, numbers, group, goes_on } = fact else { return };
        self.sent.push_back(at);
        if self.sent.len() > REMEMBERED {
            self.sent.pop_front();
        }
        if let Some(batch) = self.again.remove(number).or_else(|| self.on_its_way.remove(number)) {
            self.on_its_way.insert(*number, batch);
            return;
        }
        let taken = |number: &u64| Some((*number, self.waiting.remove(number)?.item));
        let items: Vec<(u64, Item)> = numbers.iter().filter_map(taken).collect();
        let (before, thread) = match group {
            Some(name) => self.go_on_with(name, *goes_on, at, &items),
            None => (Vec::new(), None),
        };
        let mut batch = Batch { channel: channel.clone(), items, group: group.clone(), before, thread };
        if batch.is_of_one_run() {
            batch.thread = self.thread_of(&batch.items);
        }
        self.on_its_way.insert(*number, batch);
    }

    /// What was told of the group before, and the thread of its message.
    fn go_on_with(
        &mut self,
        name: &str,
        goes_on: bool,
        at: Timestamp,
        items: &[(u64, Item)],
    ) -> (Vec<(String, String)>, Option<String>) {
        let mut group = self.groups.remove(name).filter(|_| goes_on).unwrap_or_default();
        let before = group.told.clone();
        if before.is_empty() {
            group.opened_at = at;
        }
        group.told.extend(items.iter().map(|(_, item)| (item.about.clone(), item.subject.clone())));
        let thread = group.thread.clone();
        bound(&mut self.groups);
        self.groups.insert(name.to_owned(), group);
        (before, thread)
    }

    fn thread_of(&self, items: &[(u64, Item)]) -> Option<String> {
        let (_, item) = items.last()?;
        self.threads.get(&item.about).or(item.thread.as_ref()).cloned()
    }

    /// Remembers where a later message goes on from.
    fn keep(&mut self, batch: &Batch, thread: Option<&String>) {
        let (Some(thread), Some((_, first))) = (thread, batch.items.first()) else { return };
        if batch.is_of_one_run() {
            bound(&mut self.threads);
            self.threads.insert(first.about.clone(), thread.clone());
        } else if let Some(group) = batch.group.as_ref().and_then(|name| self.groups.get_mut(name)) {
            group.thread = Some(thread.clone());
        }
    }

    /// Whether a group began so recently that what comes now still belongs to it.
    pub fn lasts(&self, group: &str, within: Duration, at: Timestamp) -> bool {
        self.groups.get(group).is_some_and(|group| at.since(group.opened_at) < within)
    }

    /// How many messages were sent in the window that ends now.
    pub fn used(&self, limit: Limit, at: Timestamp) -> usize {
        self.sent.iter().rev().take_while(|sent| at.since(**sent) < limit.within).count()
    }

    /// When the oldest message leaves the window.
    pub fn frees_at(&self, limit: Limit, at: Timestamp) -> Option<Timestamp> {
        let oldest = self.sent.iter().rev().take_while(|sent| at.since(**sent) < limit.within).last()?;
        Some(oldest.plus(limit.within))
    }
}

impl Batch {
    /// Whether it is a message of one run and not one that lists several.
    pub fn is_of_one_run(&self) -> bool {
        self.before.is_empty() && self.items.iter().all(|(_, item)| item.about == self.items[0].1.about)
    }
}

/// Runs are named by their time, so the first ones are the oldest.
fn bound<T>(kept: &mut BTreeMap<String, T>) {
    while kept.len() >= KEPT {
        kept.pop_first();
    }
}
