//! Decides what goes out, and when. Time comes with the input.

use std::collections::{BTreeMap, BTreeSet};

use super::state::Channel;
use super::{Fact, Item, Limit, Outbox, Rules};
use crate::base::Timestamp;

/// Batches of one channel that may be on their way at the same time: enough that one slow answer holds nobody up,
/// few enough not to be a load test of the service.
const AT_ONCE: usize = 8;

/// Something that happened to the outbox.
#[derive(Debug, Clone)]
pub struct Input {
    pub at: Timestamp,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Offered(Box<Item>),
    /// A batch was delivered, or could not be.
    Ended {
        batch: u64,
        delivered: Option<String>,
        error: Option<String>,
        attempts: u32,
        thread: Option<String>,
    },
    /// Nothing new: something may be due, or there may be room.
    Proceed,
}

/// Decides about an input, and takes up what was decided.
pub fn advance(outbox: &mut Outbox, rules: &Rules, input: Input) -> Vec<Fact> {
    let at = input.at;
    let mut facts: Vec<Fact> = taken_in(outbox, input.what).into_iter().collect();
    facts.iter().for_each(|fact| outbox.apply(at, fact));
    // One at a time: each that goes changes what may go next.
    while let Some(sending) = next(outbox, rules, at) {
        outbox.apply(at, &sending);
        facts.push(sending);
    }
    facts
}

impl Outbox {
    /// The fact that a batch has arrived or could not be delivered, if it was on its way.
    pub fn ended(&self, what: What) -> Option<Fact> {
        match what {
            What::Ended { .. } => taken_in(self, what),
            What::Offered(_) | What::Proceed => None,
        }
    }
}

fn taken_in(outbox: &Outbox, what: What) -> Option<Fact> {
    match what {
        What::Offered(item) => Some(Fact::Taken { number: outbox.last_number + 1, item }),
        What::Ended { batch, delivered, error, attempts, thread } => {
            outbox.on_its_way(batch)?;
            Some(Fact::Sent { batch, delivered, error, attempts, thread })
        }
        What::Proceed => None,
    }
}

/// The next batch that goes out on any channel.
fn next(outbox: &Outbox, rules: &Rules, at: Timestamp) -> Option<Fact> {
    let batch = outbox.last_batch + 1;
    outbox.channels.iter().find_map(|(name, channel)| {
        let look = Look { channel, rules, at, limit: rules.limit_of(name) };
        if let Some((again, earlier)) = channel.again.first_key_value().filter(|_| look.places(true) > 0) {
            let numbers = earlier.items.iter().map(|(number, _)| *number).collect();
            let (channel, group) = (name.clone(), earlier.group.clone());
            return Some(Fact::Sending { batch: *again, channel, numbers, group, goes_on: false });
        }
        let (numbers, group) = look.next()?;
        let lasts = |group: &String| rules.group.is_some_and(|(_, within)| channel.lasts(group, within, at));
        let goes_on = group.as_ref().is_some_and(lasts);
        Some(Fact::Sending { batch, channel: name.clone(), numbers, group, goes_on })
    })
}

/// One channel at one moment.
struct Look<'a> {
    channel: &'a Channel,
    rules: &'a Rules,
    at: Timestamp,
    limit: Option<Limit>,
}

impl Look<'_> {
    /// How many messages may go now. The last place is kept for what needs a person at once.
    fn places(&self, urgent: bool) -> usize {
        let room = AT_ONCE.saturating_sub(self.channel.on_its_way.len());
        let Some(limit) = self.limit else { return room };
        let most = if urgent || limit.messages == 1 { limit.messages } else { limit.messages - 1 };
        room.min(most.saturating_sub(self.channel.used(limit, self.at)))
    }

    fn next(&self) -> Option<(Vec<u64>, Option<String>)> {
        if let Some(urgent) = self.urgent() {
            return Some((urgent, None)).filter(|_| self.places(true) > 0);
        }
        let (ready, places) = (self.ready(), self.places(false));
        let first = ready.values().min_by_key(|(numbers, _)| numbers.first().copied())?;
        if places == 0 {
            return None;
        }
        // What the limit would hold back for long is told at once, in one message.
        let crowd: BTreeSet<u64> = ready
            .values()
            .flat_map(|(numbers, _)| numbers)
            .copied()
            .filter(|number| self.item(*number).merges)
            .collect();
        let beyond_limit = self.limit.is_some() && ready.len() > places;
        if beyond_limit && crowd.len() > 1 {
            return Some((crowd.into_iter().collect(), None));
        }
        Some((first.0.iter().copied().collect(), first.1.clone()))
    }

    /// The oldest message that needs a person at once, with what waits of its run.
    fn urgent(&self) -> Option<Vec<u64>> {
        let mut urgent = self.channel.waiting.iter().filter(|(_, waiting)| waiting.item.urgent);
        let (number, waiting) = urgent.find(|(_, waiting)| !self.is_busy(&waiting.item))?;
        let earlier = self.earlier(*number, &waiting.item);
        match earlier.first() {
            // A service that keeps messages apart gets them in their order.
            Some(first) if !waiting.item.merges => Some(vec![*first]),
            _ => Some(earlier.into_iter().chain([*number]).collect()),
        }
    }

    /// What may go now, by its group; a message that belongs to none is by itself.
    fn ready(&self) -> BTreeMap<String, (BTreeSet<u64>, Option<String>)> {
        let mut ready: BTreeMap<String, (BTreeSet<u64>, Option<String>)> = BTreeMap::new();
        for (number, waiting) in &self.channel.waiting {
            let item = &waiting.item;
            if item.urgent || self.is_busy(item) || self.due(*number).is_none_or(|due| due > self.at) {
                continue;
            }
            let earlier = self.earlier(*number, item);
            if !item.merges && !earlier.is_empty() {
                continue;
            }
            let group = self.group_of(item).cloned();
            let name = group.clone().unwrap_or_else(|| number.to_string());
            let (numbers, _) = ready.entry(name).or_insert((BTreeSet::new(), group));
            numbers.insert(*number);
            numbers.extend(earlier);
        }
        // A message that goes along with another one does not go a second time.
        let mut seen = BTreeSet::new();
        ready.values_mut().for_each(|(numbers, _)| numbers.retain(|number| seen.insert(*number)));
        ready.retain(|_, (numbers, _)| !numbers.is_empty());
        ready
    }

    /// What waits of the same run and came before.
    fn earlier(&self, number: u64, item: &Item) -> Vec<u64> {
        let before = self.channel.waiting.range(..number);
        before.filter(|(_, other)| other.item.about == item.about).map(|(number, _)| *number).collect()
    }

    /// When a message may go as far as its group is concerned.
    fn due(&self, number: u64) -> Option<Timestamp> {
        let waiting = self.channel.waiting.get(&number)?;
        let (Some(group), Some((wait, _))) = (self.group_of(&waiting.item), self.rules.group) else {
            return Some(waiting.taken_at);
        };
        let of_group = self.channel.waiting.values().filter(|other| self.group_of(&other.item) == Some(group));
        of_group.map(|other| other.taken_at).min().map(|first| first.plus(wait))
    }

    fn group_of<'i>(&self, item: &'i Item) -> Option<&'i String> {
        item.group.as_ref().filter(|_| self.rules.group.is_some() && !item.urgent)
    }

    fn item(&self, number: u64) -> &Item {
        &self.channel.waiting[&number].item
    }

    /// Whether something is on its way that has to arrive before.
    fn is_busy(&self, item: &Item) -> bool {
        let mut others = self.channel.on_its_way.values().chain(self.channel.again.values());
        others.any(|batch| {
            let same_group = batch.group.is_some() && batch.group.as_ref() == self.group_of(item);
            same_group || batch.items.iter().any(|(_, other)| other.about == item.about)
        })
    }

    /// When to look again.
    fn wake(&self) -> Option<Timestamp> {
        let channel = self.channel;
        if channel.waiting.is_empty() && channel.again.is_empty() {
            return None;
        }
        let due = channel.waiting.keys().filter_map(|number| self.due(*number)).filter(|due| *due > self.at).min();
        let frees = self.limit.and_then(|limit| channel.frees_at(limit, self.at));
        [due, frees].into_iter().flatten().min()
    }
}

impl Outbox {
    /// When something may have become due.
    pub fn next_wake(&self, rules: &Rules, at: Timestamp) -> Option<Timestamp> {
        let look = |(name, channel): (&String, _)| Look { channel, rules, at, limit: rules.limit_of(name) }.wake();
        self.channels.iter().filter_map(look).min()
    }
}
