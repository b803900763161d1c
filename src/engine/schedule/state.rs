//! The fold of the facts: how far each schedule is, and what each watch has seen.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::Fact;
use crate::base::Timestamp;
use crate::engine::event::{Event, Record};

/// So many changes of a watch are kept; no sensible limit of changes is higher.
const CHANGES: usize = 1_000;

/// How far a schedule is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// Every tick up to this moment is decided about.
    pub upto: Timestamp,
    /// Ticks that the intake has yet to be asked about, the oldest first, and whether each is made up for.
    #[serde(skip)]
    pub pending: VecDeque<(Timestamp, bool)>,
    /// Ticks that were missed, ever, and did not run.
    pub missed: u64,
    /// The latest that were missed.
    pub last_missed: Option<Timestamp>,
}

/// What a watch has seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Seen {
    pub holds: bool,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Why no run starts although it may hold: it changes too often.
    pub held_back: bool,
    /// The beginning of what a run is wanted for.
    #[serde(skip)]
    pub wanted: Option<Timestamp>,
    #[serde(skip)]
    pub changes: VecDeque<Timestamp>,
}

/// The state of all schedules and watches.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timetable {
    /// The number of the last event of its stream.
    pub seq: u64,
    schedules: BTreeMap<String, Progress>,
    watches: BTreeMap<String, Seen>,
}

impl Timetable {
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut timetable = Timetable::default();
        for record in records {
            timetable.seq = record.seq;
            // Only facts of schedules and watches are ever written to the stream.
            if let Event::Schedule(fact) = &record.event {
                timetable.apply(record.at, fact);
            }
        }
        timetable
    }

    pub fn schedule(&self, key: &str) -> Option<&Progress> {
        self.schedules.get(key)
    }

    pub fn watch(&self, key: &str) -> Option<&Seen> {
        self.watches.get(key)
    }

    /// Takes up a fact of the moment `at`.
    pub fn apply(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::Began { key } => {
                let progress = Progress { upto: at, pending: VecDeque::new(), missed: 0, last_missed: None };
                self.schedules.insert(key.clone(), progress);
            }
            Fact::Due { key, tick } => self.due(key, *tick),
            Fact::Missed { key, count, last, runs, .. } => self.missed(key, *count, *last, runs),
            Fact::Changed { key, holds } => self.changed(at, key, *holds),
            Fact::Flapping { key, .. } => self.seen(key).held_back = true,
            Fact::Calm { key } => {
                let seen = self.seen(key);
                seen.held_back = false;
                seen.wanted = seen.holds.then_some(at);
            }
        }
    }

    fn due(&mut self, key: &str, tick: Timestamp) {
        if let Some(progress) = self.schedules.get_mut(key) {
            progress.upto = progress.upto.max(tick);
            progress.pending.push_back((tick, false));
        }
    }

    fn missed(&mut self, key: &str, count: u64, last: Timestamp, runs: &[Timestamp]) {
        if let Some(progress) = self.schedules.get_mut(key) {
            progress.upto = progress.upto.max(last);
            progress.pending.extend(runs.iter().map(|tick| (*tick, true)));
            progress.missed += count.saturating_sub(runs.len() as u64);
            progress.last_missed = Some(last);
        }
    }

    fn changed(&mut self, at: Timestamp, key: &str, holds: bool) {
        let seen = self.seen(key);
        (seen.holds, seen.since) = (holds, Some(at));
        seen.wanted = (holds && !seen.held_back).then_some(at);
        seen.changes.push_back(at);
        if seen.changes.len() > CHANGES {
            seen.changes.pop_front();
        }
    }

    fn seen(&mut self, key: &str) -> &mut Seen {
        self.watches.entry(key.to_owned()).or_default()
    }

    /// Ticks up to this one have reached the intake.
    pub fn reached(&mut self, key: &str, tick: Timestamp) {
        if let Some(progress) = self.schedules.get_mut(key) {
            progress.pending.retain(|(pending, _)| *pending > tick);
        }
        if let Some(seen) = self.watches.get_mut(key) {
            seen.wanted = seen.wanted.filter(|wanted| *wanted > tick);
        }
    }
}
