//! The fold of the facts about escalations: who was told what, who has answered, what is due when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::{Fact, Follow, IN_DOUBT_AFTER, Ladder, Level, Subject, Words};
use crate::base::{RunId, Timestamp};
use crate::engine::event::{Event, Record};

/// Long enough for a network to come back, short enough for a fault that nobody knows of.
const ANEW_AFTER: Duration = Duration::from_secs(5 * 60);
/// After a day somebody has noticed by other means, and what takes no message by then never will.
const ANEW_WITHIN: Duration = Duration::from_secs(24 * 3_600);

/// Whoever took over is at it for a shift; after that a fault that is still there needs somebody anew.
const SHIFT: Duration = Duration::from_secs(8 * 3_600);

/// Every case, by its run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cases {
    /// The number of the last event of the stream.
    pub seq: u64,
    /// When the stream began; what escalated before is history.
    pub began_at: Option<Timestamp>,
    cases: BTreeMap<RunId, Case>,
    /// Runs whose escalation a case of the same fault stands for.
    joined: BTreeMap<RunId, RunId>,
}

/// What is known of one run that people are told about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    pub run: RunId,
    #[serde(flatten)]
    pub subject: Subject,
    pub climb: Option<Climb>,
    pub updates: Option<Updates>,
    pub notices: Vec<Notice>,
    /// When, by whom, why and how somebody has taken over.
    pub acknowledged: Option<Acknowledgement>,
    pub closed: Option<Closing>,
    /// Where each channel goes on from.
    #[serde(skip)]
    pub threads: BTreeMap<String, String>,
}

/// Where an escalation stands on its ladder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Climb {
    pub policy: String,
    pub why: String,
    pub ladder: Ladder,
    pub raised_at: Timestamp,
    /// The level that was told last, counted from 1; 0 before the first one.
    pub level: u32,
    pub round: u32,
    pub level_at: Timestamp,
    pub exhausted: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Updates {
    #[serde(flatten)]
    pub follow: Follow,
    pub last: Option<(Timestamp, String)>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Acknowledgement {
    pub at: Timestamp,
    pub by: String,
    pub reason: String,
    pub way: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Closing {
    pub at: Timestamp,
    pub why: String,
    pub gone: bool,
}

/// One message to some channels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notice {
    pub notice: u64,
    pub at: Timestamp,
    #[serde(flatten)]
    pub words: Words,
    /// The message that this one tells again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u64>,
    pub to: BTreeMap<String, Sent>,
}

/// What became of a message to one channel.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "sent", rename_all = "snake_case")]
pub enum Sent {
    /// Somebody is at it.
    Pending,
    Delivered {
        receipt: String,
    },
    Failed {
        error: String,
    },
    /// The program died; it may have been sent.
    Doubtful,
}

impl Cases {
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut cases = Cases::default();
        for record in records {
            cases.seq = record.seq;
            // Only facts of escalations are ever written to their stream.
            if let Event::Escalation(fact) = &record.event {
                cases.apply(record.at, fact);
            }
        }
        cases
    }

    /// Takes up a fact of the moment `at`.
    pub fn apply(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::Began {} => self.began_at = self.began_at.or(Some(at)),
            Fact::Followed { case, subject, updates } => {
                let updates = Updates { follow: updates.clone(), last: None };
                self.open(case, subject).updates = Some(updates);
            }
            Fact::Raised { case, subject, policy, why, ladder } => {
                let climb = Climb::begun(at, policy, why, ladder);
                let opened = self.open(case, subject);
                (opened.climb, opened.closed) = (Some(climb), None);
            }
            Fact::Joined { case, into } => drop(self.joined.insert(case.clone(), into.clone())),
            Fact::Tell { case, .. }
            | Fact::Told { case, .. }
            | Fact::Doubted { case, .. }
            | Fact::Acknowledged { case, .. }
            | Fact::Exhausted { case }
            | Fact::Closed { case, .. } => {
                if let Some(known) = self.cases.get_mut(case) {
                    known.apply(at, fact);
                }
            }
        }
    }

    fn open(&mut self, run: &RunId, subject: &Subject) -> &mut Case {
        let case = self.cases.entry(run.clone()).or_insert_with(|| Case::new(run, subject));
        case.subject = subject.clone();
        case
    }

    /// The case of a run.
    pub fn get(&self, run: &RunId) -> Option<&Case> {
        self.cases.get(run)
    }

    /// The case that stands for a run: its own, or the one that it joined.
    pub fn standing_for(&self, run: &RunId) -> Option<&Case> {
        self.cases.get(run).filter(|case| case.climb.is_some()).or_else(|| self.cases.get(self.joined.get(run)?))
    }

    /// Whether the escalation of a run was taken up.
    pub fn knows(&self, run: &RunId) -> bool {
        self.joined.contains_key(run) || self.cases.get(run).is_some_and(|case| case.climb.is_some())
    }

    /// All of them, the newest last.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Case> {
        self.cases.values()
    }

    pub fn open_cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.values().filter(|case| case.closed.is_none())
    }

    /// When something is due by itself.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.cases.values().filter_map(Case::next_wake).min()
    }
}

impl Climb {
    fn begun(at: Timestamp, policy: &str, why: &str, ladder: &Ladder) -> Self {
        let (policy, why, ladder) = (policy.to_owned(), why.to_owned(), ladder.clone());
        Climb { policy, why, ladder, raised_at: at, level: 0, round: 1, level_at: at, exhausted: false }
    }

    /// The level that was told last.
    pub fn current(&self) -> Option<&Level> {
        self.ladder.levels.get((self.level as usize).checked_sub(1)?)
    }

    /// Level and round of what comes after the current one, if anything does.
    pub fn next(&self) -> Option<(u32, u32)> {
        match self.level as usize {
            level if level < self.ladder.levels.len() => Some((self.level + 1, self.round)),
            _ if self.round <= self.ladder.repeat => Some((1, self.round + 1)),
            _ => None,
        }
    }
}

impl Notice {
    /// Whether it asks somebody to take over.
    fn asks(&self) -> bool {
        matches!(self.words, Words::Level { .. } | Words::Final)
    }

    /// Whether nobody is known to have it, and nobody sends it any more.
    fn is_unheard(&self) -> bool {
        self.to.values().all(|sent| matches!(sent, Sent::Failed { .. } | Sent::Doubtful))
    }
}

impl Case {
    fn new(run: &RunId, subject: &Subject) -> Self {
        Case {
            run: run.clone(),
            subject: subject.clone(),
            climb: None,
            updates: None,
            notices: Vec::new(),
            acknowledged: None,
            closed: None,
            threads: BTreeMap::new(),
        }
    }

    fn apply(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::Tell { notice, words, to, repeats, .. } => {
                let to = to.iter().map(|channel| (channel.clone(), Sent::Pending)).collect();
                self.tell(Notice { notice: *notice, at, words: words.clone(), repeats: *repeats, to });
            }
            Fact::Told { notice, channel, delivered, error, thread, .. } => {
                self.threads.extend(thread.iter().map(|thread| (channel.clone(), thread.clone())));
                let sent = match delivered {
                    Some(receipt) => Sent::Delivered { receipt: receipt.clone() },
                    None => Sent::Failed { error: error.clone().unwrap_or_default() },
                };
                self.settle(*notice, channel, sent);
            }
            Fact::Doubted { notice, channel, .. } => self.settle(*notice, channel, Sent::Doubtful),
            Fact::Acknowledged { by, reason, way, .. } => {
                let (by, reason, way) = (by.clone(), reason.clone(), way.clone());
                self.acknowledged = Some(Acknowledgement { at, by, reason, way });
            }
            Fact::Exhausted { .. } => {
                if let Some(climb) = &mut self.climb {
                    climb.exhausted = true;
                }
            }
            Fact::Closed { why, gone, .. } => self.closed = Some(Closing { at, why: why.clone(), gone: *gone }),
            Fact::Began {} | Fact::Followed { .. } | Fact::Raised { .. } | Fact::Joined { .. } => {}
        }
    }

    fn tell(&mut self, notice: Notice) {
        match (&notice.words, &mut self.climb, &mut self.updates) {
            (Words::Level { level, round }, Some(climb), _) => {
                (climb.level, climb.round, climb.level_at) = (*level, *round, notice.at);
                climb.exhausted = false;
            }
            (Words::Update { status }, _, Some(updates)) => updates.last = Some((notice.at, status.clone())),
            _ => {}
        }
        self.notices.push(notice);
    }

    fn settle(&mut self, notice: u64, channel: &str, end: Sent) {
        let told = self.notices.iter_mut().find(|told| told.notice == notice);
        if let Some(sent) = told.and_then(|told| told.to.get_mut(channel)) {
            *sent = end;
        }
    }

    /// Whether somebody still has to answer.
    pub fn is_climbing(&self) -> bool {
        let waits = self.climb.as_ref().is_some_and(|climb| !climb.exhausted);
        waits && self.acknowledged.is_none() && self.closed.is_none()
    }

    /// Whether a further run of the same fault is news to nobody: it is being told, or somebody has taken over.
    pub(super) fn is_in_hand(&self, now: Timestamp) -> bool {
        let recent = |answer: &Acknowledgement| now.since(answer.at) < SHIFT;
        self.is_climbing() || (self.closed.is_none() && self.acknowledged.as_ref().is_some_and(recent))
    }

    /// The channels that were asked to take over; those that may have been are among them.
    pub fn asked(&self) -> BTreeSet<String> {
        let asked = self.notices.iter().filter(|told| told.asks());
        let reached = asked.flat_map(|told| told.to.iter().filter(|(_, sent)| !matches!(sent, Sent::Failed { .. })));
        reached.map(|(channel, _)| channel.clone()).collect()
    }

    /// Messages without an end.
    pub(super) fn pending(&self) -> impl Iterator<Item = (&Notice, &String)> {
        self.notices.iter().flat_map(|told| {
            told.to.iter().filter(|(_, sent)| **sent == Sent::Pending).map(move |(channel, _)| (told, channel))
        })
    }

    /// Whether nobody of the current level was certainly reached, and nobody is at it any more.
    fn is_unheard(&self) -> bool {
        let level = self.notices.iter().rev().find(|told| matches!(told.words, Words::Level { .. }));
        level.is_some_and(Notice::is_unheard)
    }

    /// Where it stands, if somebody should still take over; also after everybody was told.
    fn unanswered(&self) -> Option<&Climb> {
        self.climb.as_ref().filter(|_| self.acknowledged.is_none() && self.closed.is_none())
    }

    /// The last request to take over, if it may have reached nobody and nobody comes after it who could be told at
    /// once. What is a repeat itself is not told again: whatever kills the program each time must not call people
    /// for ever.
    pub(super) fn last_in_doubt(&self) -> Option<&Notice> {
        let climb = self.unanswered()?;
        let asked = self.notices.iter().rev().find(|told| told.asks())?;
        let is_last = match asked.words {
            Words::Level { level, .. } => level as usize == climb.ladder.levels.len(),
            _ => true,
        };
        let is_in_doubt = asked.is_unheard() && asked.to.values().any(|sent| *sent == Sent::Doubtful);
        (is_last && is_in_doubt && asked.repeats.is_none()).then_some(asked)
    }

    /// When the ladder is begun anew because not a single request has reached anybody: a network that is down for some
    /// minutes must not use up every level.
    pub fn begins_anew_at(&self) -> Option<Timestamp> {
        let climb = self.unanswered()?;
        let asked = || self.notices.iter().filter(|told| told.asks());
        let last = asked().next_back()?;
        let is_refused = |told: &Notice| told.to.values().all(|sent| matches!(sent, Sent::Failed { .. }));
        let at_the_end = climb.level as usize == climb.ladder.levels.len() && asked().any(|told| !told.to.is_empty());
        let at = last.at.plus(ANEW_AFTER);
        (at_the_end && asked().all(is_refused) && at.since(climb.raised_at) < ANEW_WITHIN).then_some(at)
    }

    /// When the next level is due by itself, if it is.
    pub fn next_level_at(&self) -> Option<Timestamp> {
        let climb = self.climb.as_ref().filter(|_| self.is_climbing())?;
        let Some(current) = climb.current() else { return Some(climb.raised_at) };
        // The last level of a round is waited for all the same: nobody comes after it who could be told at once.
        let further = (climb.level as usize) < climb.ladder.levels.len();
        if further && self.is_unheard() {
            return Some(climb.level_at);
        }
        Some(climb.level_at.plus(Duration::from_millis(current.within_ms?)))
    }

    /// When the next update is due by itself, if one is.
    pub(super) fn next_update_at(&self) -> Option<Timestamp> {
        let updates = self.updates.as_ref().filter(|_| self.closed.is_none())?;
        let (last, _) = updates.last.as_ref()?;
        Some(last.plus(Duration::from_millis(updates.follow.every_ms)))
    }

    fn next_wake(&self) -> Option<Timestamp> {
        let doubts = self.pending().map(|(told, _)| told.at.plus(IN_DOUBT_AFTER));
        doubts.chain(self.next_level_at()).chain(self.begins_anew_at()).chain(self.next_update_at()).min()
    }
}
