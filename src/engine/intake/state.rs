//! The fold of the intake's facts: what waits, what is live, and what must not be taken twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use utoipa::ToSchema;

use super::{Demand, Fact, REMEMBERED};
use crate::base::{RunId, Timestamp};
use crate::engine::event::{Event, Outcome, Record};

/// So many tickets that are gone are kept for people to look at; the journal has all of them.
const CLOSED: usize = 200;

/// Old memories are dropped when there are this many, and again whenever their number has doubled.
const FEW: usize = 1_024;

/// Playbook and target.
type Key = (String, String);
/// Playbook, target, identity and since.
type Episode = (String, String, String, String);

/// An accepted event that may become a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Ticket {
    pub demand: Demand,
    pub stage: Stage,
    pub accepted_at: Timestamp,
    /// What it stands for that still lasts: identity and since, its own and those that joined.
    #[serde(skip)]
    pub(super) lasting: BTreeSet<(String, String)>,
    /// When each event that it stands for came.
    #[serde(skip)]
    pub(super) arrivals: Vec<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "stage", rename_all = "lowercase")]
pub enum Stage {
    Accepted,
    Held { until: Timestamp },
    Queued,
    Live { run: RunId, stopping: bool },
}

/// A ticket that is gone, and how.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ClosedTicket)]
pub struct Closed {
    pub ticket: u64,
    pub playbook: String,
    pub target: String,
    pub at: Timestamp,
    pub run: Option<RunId>,
    pub outcome: Option<Outcome>,
    pub why: String,
}

/// The latest that time itself asked for under one identity, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latest {
    pub tick: Timestamp,
    pub ticket: u64,
    pub run: Option<RunId>,
    /// `None` while it goes on, and when no run came of it.
    pub outcome: Option<Outcome>,
    /// Why it came to what it came to; empty while it goes on.
    pub why: String,
}

/// The state of the intake.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Intake {
    /// The number of the last event of its stream.
    pub seq: u64,
    pub(super) last_ticket: u64,
    tickets: BTreeMap<u64, Ticket>,
    episodes: BTreeMap<Episode, Timestamp>,
    resolved: BTreeMap<(String, String), Timestamp>,
    deliveries: BTreeMap<String, Timestamp>,
    started: BTreeMap<Key, Timestamp>,
    closed: VecDeque<Closed>,
    /// By identity: as many as there are schedules and watches, so nothing of it is forgotten.
    ticks: BTreeMap<String, Latest>,
    remembered: usize,
}

impl Intake {
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut intake = Intake::default();
        for record in records {
            intake.seq = record.seq;
            // Only facts of the intake are ever written to its stream.
            if let Event::Intake(fact) = &record.event {
                intake.apply(record.at, fact);
            }
        }
        intake
    }

    /// Takes up a fact of the moment `at`.
    pub fn apply(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::Accepted { ticket, demand } => self.accept(at, *ticket, demand),
            Fact::Held { ticket, until } => self.move_to(*ticket, Stage::Held { until: *until }),
            Fact::Queued { ticket } => self.move_to(*ticket, Stage::Queued),
            Fact::Joined { ticket, into } => self.join(*ticket, *into),
            Fact::Started { ticket, run } => self.start(at, *ticket, run),
            Fact::Resolved { identity, since } => self.resolve(at, identity, since.as_deref()),
            Fact::StopAsked { ticket, .. } => self.stop(*ticket),
            Fact::Ended { ticket, outcome, why } => self.close(at, *ticket, *outcome, why),
            Fact::Cancelled { ticket, why } => self.close(at, *ticket, None, why),
            Fact::Skipped { ticket, why } => self.skip(at, *ticket, why),
        }
    }

    fn accept(&mut self, at: Timestamp, number: u64, demand: &Demand) {
        self.forget_old(at);
        self.last_ticket = number;
        self.episodes.insert(episode(demand), at);
        if let Some(delivery) = &demand.delivery {
            self.deliveries.insert(delivery.clone(), at);
        }
        if let Some(tick) = demand.tick {
            let latest = Latest { tick, ticket: number, run: None, outcome: None, why: String::new() };
            self.ticks.insert(demand.identity.clone(), latest);
        }
        let lasting = BTreeSet::from([(demand.identity.clone(), demand.since.clone())]);
        let (demand, arrivals) = (demand.clone(), vec![at]);
        self.tickets.insert(number, Ticket { demand, stage: Stage::Accepted, accepted_at: at, lasting, arrivals });
    }

    fn move_to(&mut self, number: u64, stage: Stage) {
        if let Some(ticket) = self.tickets.get_mut(&number) {
            ticket.stage = stage;
        }
    }

    fn join(&mut self, number: u64, into: u64) {
        let Some(joined) = self.tickets.remove(&number) else { return };
        if let Some(latest) = self.latest_of(&joined.demand, number) {
            // What becomes of the other one becomes of both.
            latest.ticket = into;
        }
        if let Some(ticket) = self.tickets.get_mut(&into) {
            ticket.lasting.extend(joined.lasting);
            ticket.arrivals.extend(joined.arrivals);
            ticket.demand.policy.priority = ticket.demand.policy.priority.max(joined.demand.policy.priority);
            // One event whose extent is not known makes the extent of all of them unknown.
            let withheld = ticket.demand.withheld.take();
            ticket.demand.withheld = withheld.or(joined.demand.withheld);
        }
    }

    fn start(&mut self, at: Timestamp, number: u64, run: &RunId) {
        if let Some(ticket) = self.tickets.get_mut(&number) {
            self.started.insert(key(&ticket.demand), at);
            ticket.stage = Stage::Live { run: run.clone(), stopping: false };
        }
        for latest in self.ticks.values_mut().filter(|latest| latest.ticket == number) {
            latest.run = Some(run.clone());
        }
    }

    fn resolve(&mut self, at: Timestamp, identity: &str, since: Option<&str>) {
        let over = |(what, from): &(String, String)| what == identity && since.is_none_or(|since| since == from);
        self.tickets.values_mut().for_each(|ticket| ticket.lasting.retain(|event| !over(event)));
        if let Some(since) = since {
            self.resolved.insert((identity.to_owned(), since.to_owned()), at);
        }
    }

    fn stop(&mut self, number: u64) {
        if let Some(Stage::Live { stopping, .. }) = self.tickets.get_mut(&number).map(|ticket| &mut ticket.stage) {
            *stopping = true;
        }
    }

    /// What was skipped may be sent again, and is looked at anew then.
    fn skip(&mut self, at: Timestamp, number: u64, why: &str) {
        if let Some(ticket) = self.tickets.get(&number) {
            self.episodes.remove(&episode(&ticket.demand));
        }
        self.close(at, number, None, why);
    }

    fn close(&mut self, at: Timestamp, number: u64, outcome: Option<Outcome>, why: &str) {
        let Some(Ticket { demand, stage, .. }) = self.tickets.remove(&number) else { return };
        let run = match stage {
            Stage::Live { run, .. } => Some(run),
            _ => None,
        };
        for latest in self.ticks.values_mut().filter(|latest| latest.ticket == number) {
            (latest.outcome, latest.why) = (outcome, why.to_owned());
        }
        let (playbook, target, why) = (demand.playbook, demand.target, why.to_owned());
        self.closed.push_back(Closed { ticket: number, playbook, target, at, run, outcome, why });
        if self.closed.len() > CLOSED {
            self.closed.pop_front();
        }
    }

    fn latest_of(&mut self, demand: &Demand, number: u64) -> Option<&mut Latest> {
        self.ticks.get_mut(&demand.identity).filter(|latest| latest.ticket == number)
    }

    fn forget_old(&mut self, at: Timestamp) {
        let size = self.episodes.len() + self.resolved.len() + self.deliveries.len() + self.started.len();
        if size < FEW.max(2 * self.remembered) {
            return;
        }
        let fresh = |moment: &Timestamp| at.since(*moment) < REMEMBERED;
        self.episodes.retain(|_, moment| fresh(moment));
        self.resolved.retain(|_, moment| fresh(moment));
        self.deliveries.retain(|_, moment| fresh(moment));
        self.started.retain(|_, moment| fresh(moment));
        self.remembered = self.episodes.len() + self.resolved.len() + self.deliveries.len() + self.started.len();
    }

    /// Every ticket that is not gone, by its number.
    pub fn tickets(&self) -> &BTreeMap<u64, Ticket> {
        &self.tickets
    }

    /// The latest tickets that are gone, the oldest first.
    pub fn closed(&self) -> impl Iterator<Item = &Closed> {
        self.closed.iter()
    }

    /// Tickets with a run, and the run.
    pub fn live(&self) -> impl Iterator<Item = (u64, &RunId, &Demand)> {
        self.tickets.iter().filter_map(|(number, ticket)| match &ticket.stage {
            Stage::Live { run, .. } => Some((*number, run, &ticket.demand)),
            _ => None,
        })
    }

    /// How many wait, held or queued.
    pub fn waiting(&self) -> usize {
        self.tickets.values().filter(|ticket| ticket.waits()).count()
    }

    /// How many of these would have to wait and do not share the place of another one.
    pub fn newcomers<'d>(&self, demands: impl Iterator<Item = &'d Demand>, now: Timestamp) -> usize {
        let new = demands.filter(|demand| !self.knows(demand, now) && self.waiting_for(demand).is_none());
        new.map(key).collect::<BTreeSet<Key>>().len()
    }

    /// The ticket that waits for this playbook and target.
    pub(super) fn waiting_for(&self, demand: &Demand) -> Option<(u64, &Ticket)> {
        let mut same = self.tickets.iter().filter(|(_, ticket)| ticket.waits() && ticket.is_about(demand));
        same.next().map(|(number, ticket)| (*number, ticket))
    }

    pub(super) fn live_for(&self, demand: &Demand) -> Option<(u64, &Ticket)> {
        let mut same = self.tickets.iter().filter(|(_, ticket)| ticket.is_live() && ticket.is_about(demand));
        same.next().map(|(number, ticket)| (*number, ticket))
    }

    /// Whether this very event was taken before, or is over already.
    pub fn knows(&self, demand: &Demand, now: Timestamp) -> bool {
        if let Some(tick) = demand.tick {
            return self.ticks.get(&demand.identity).is_some_and(|latest| latest.tick >= tick);
        }
        let fresh = |moment: &Timestamp| now.since(*moment) < REMEMBERED;
        let over = (demand.identity.clone(), demand.since.clone());
        self.episodes.get(&episode(demand)).is_some_and(fresh) || self.resolved.get(&over).is_some_and(fresh)
    }

    /// Whether this very end was told before.
    pub(super) fn knows_end(&self, identity: &str, since: Option<&str>) -> bool {
        since.is_some_and(|since| self.resolved.contains_key(&(identity.to_owned(), since.to_owned())))
    }

    /// The latest that time itself asked for under this identity.
    pub fn latest(&self, identity: &str) -> Option<&Latest> {
        self.ticks.get(identity)
    }

    /// Whether nothing for this playbook and target waits or is live.
    pub fn is_free(&self, demand: &Demand) -> bool {
        self.waiting_for(demand).is_none() && self.live_for(demand).is_none()
    }

    /// Whether a delivery of this name was taken before.
    pub fn knows_delivery(&self, delivery: &str, now: Timestamp) -> bool {
        self.deliveries.get(delivery).is_some_and(|moment| now.since(*moment) < REMEMBERED)
    }

    pub(super) fn last_started(&self, demand: &Demand) -> Option<Timestamp> {
        self.started.get(&key(demand)).copied()
    }

    /// When something is due by itself.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let due = self.tickets.values().filter_map(|ticket| match ticket.stage {
            Stage::Held { until } => Some(until),
            _ => None,
        });
        due.min()
    }
}

impl Ticket {
    fn waits(&self) -> bool {
        matches!(self.stage, Stage::Accepted | Stage::Held { .. } | Stage::Queued)
    }

    pub fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live { .. })
    }

    pub(super) fn is_about(&self, demand: &Demand) -> bool {
        self.demand.playbook == demand.playbook && self.demand.target == demand.target
    }
}

fn key(demand: &Demand) -> Key {
    (demand.playbook.clone(), demand.target.clone())
}

fn episode(demand: &Demand) -> Episode {
    (demand.playbook.clone(), demand.target.clone(), demand.identity.clone(), demand.since.clone())
}
