//! Decides what happens to what comes in. Time comes with the input.

use std::time::Duration;

use super::{Concurrency, Demand, Fact, Intake, Stage, Throttle, Ticket};
use crate::base::units::show_duration;
use crate::base::{RunId, Timestamp};
use crate::engine::event::Outcome;

/// Something that happened to the intake.
#[derive(Debug, Clone)]
pub struct Input {
    pub at: Timestamp,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Offered(Box<Demand>),
    /// It asks for something that cannot be: it is kept and starts nothing.
    Refused {
        demand: Box<Demand>,
        why: String,
    },
    /// What was reported is over. Without `since`, whenever it began.
    Resolved {
        identity: String,
        since: Option<String>,
    },
    /// The run of a ticket has come to an end, or could not begin.
    Ended {
        ticket: u64,
        outcome: Option<Outcome>,
        why: String,
    },
    /// What a ticket that has not started waits for is silenced.
    Silenced {
        ticket: u64,
        why: String,
    },
    /// A person takes a ticket back that has not started.
    Withdrawn {
        ticket: u64,
        by: String,
    },
    /// Nothing new: a ticket may be due, or there may be room.
    Proceed,
}

/// What bounds the intake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Runs at the same time.
    pub live: usize,
}

/// Decides about the inputs one after the other, and takes up what was decided.
pub fn advance(intake: &mut Intake, limits: Limits, inputs: &[Input]) -> Vec<Fact> {
    let mut all = Vec::new();
    for input in inputs {
        take_up(intake, input.at, decide(intake, input), &mut all);
        // One at a time: each start changes which one may be next.
        while let Some(start) = next_start(intake, limits, input.at) {
            take_up(intake, input.at, vec![start], &mut all);
        }
    }
    all
}

fn take_up(intake: &mut Intake, at: Timestamp, facts: Vec<Fact>, all: &mut Vec<Fact>) {
    facts.iter().for_each(|fact| intake.apply(at, fact));
    all.extend(facts);
}

/// What follows from an input, before anything is started.
pub fn decide(intake: &Intake, input: &Input) -> Vec<Fact> {
    match &input.what {
        What::Offered(demand) => offered(intake, demand, input.at),
        What::Refused { demand, why } => refused(intake, demand, why, input.at),
        What::Resolved { identity, since } => resolved(intake, identity, since.as_deref()),
        What::Ended { ticket, outcome, why } => {
            let is_live = intake.tickets().get(ticket).is_some_and(Ticket::is_live);
            let ended = Fact::Ended { ticket: *ticket, outcome: *outcome, why: why.clone() };
            is_live.then_some(ended).into_iter().collect()
        }
        What::Silenced { ticket, why } => {
            let waits = intake.tickets().get(ticket).is_some_and(|ticket| !ticket.is_live());
            waits.then(|| Fact::Skipped { ticket: *ticket, why: why.clone() }).into_iter().collect()
        }
        What::Withdrawn { ticket, by } => {
            let waits = intake.tickets().get(ticket).is_some_and(|ticket| !ticket.is_live());
            let cancelled = Fact::Cancelled { ticket: *ticket, why: format!("withdrawn by {by}") };
            waits.then_some(cancelled).into_iter().collect()
        }
        What::Proceed => due(intake, input.at),
    }
}

fn offered(intake: &Intake, demand: &Demand, at: Timestamp) -> Vec<Fact> {
    if intake.knows(demand, at) {
        return Vec::new();
    }
    let ticket = intake.last_ticket + 1;
    let mut facts = vec![Fact::Accepted { ticket, demand: Box::new(demand.clone()) }];
    if let Some((into, waiting)) = intake.waiting_for(demand) {
        facts.push(Fact::Joined { ticket, into });
        facts.extend(enough(waiting, at).then_some(Fact::Queued { ticket: into }));
        return facts;
    }
    if let Some((live, _)) = intake.live_for(demand) {
        match demand.policy.concurrency {
            Concurrency::Queue => {}
            Concurrency::Replace => {
                facts.push(Fact::StopAsked { ticket: live, why: format!("ticket {ticket} replaces it") });
            }
            Concurrency::Skip | Concurrency::Fail => {
                facts.push(Fact::Skipped { ticket, why: "a run for the same target is live".into() });
                return facts;
            }
        }
    }
    facts.push(place(intake, ticket, demand, at));
    facts
}

fn refused(intake: &Intake, demand: &Demand, why: &str, at: Timestamp) -> Vec<Fact> {
    if intake.knows(demand, at) {
        return Vec::new();
    }
    let ticket = intake.last_ticket + 1;
    let accepted = Fact::Accepted { ticket, demand: Box::new(demand.clone()) };
    vec![accepted, Fact::Skipped { ticket, why: why.to_owned() }]
}

/// Where a ticket that stands alone goes.
fn place(intake: &Intake, ticket: u64, demand: &Demand, at: Timestamp) -> Fact {
    let hold = match demand.policy.throttle {
        Some(Throttle::Mute(seconds)) => {
            let mute = Duration::from_secs_f64(seconds);
            let muted = intake.last_started(demand).filter(|started| at.since(*started) < mute);
            if muted.is_some() {
                let why = format!("a run for the same target started less than {} ago", show_duration(mute));
                return Fact::Skipped { ticket, why };
            }
            Duration::ZERO
        }
        Some(Throttle::Collect(seconds)) => Duration::from_secs_f64(seconds),
        Some(Throttle::Count(count)) => Duration::from_secs_f64(count.within),
        None => Duration::ZERO,
    };
    let hold = hold.max(Duration::from_millis(demand.policy.hold_ms)).max(group_wait(intake, ticket, demand, at));
    match hold {
        Duration::ZERO => Fact::Queued { ticket },
        hold => Fact::Held { ticket, until: at.plus(hold) },
    }
}

/// What is left of the time that the group of a ticket waits. It began with the first one that still waits, so that
/// a storm puts off its beginning once.
fn group_wait(intake: &Intake, ticket: u64, demand: &Demand, at: Timestamp) -> Duration {
    let wait = Duration::from_millis(demand.policy.group_wait_ms);
    let group = intake.tickets().iter().filter(|(number, other)| {
        let belongs = other.demand.playbook == demand.playbook && other.demand.source == demand.source;
        **number != ticket && belongs && matches!(other.stage, Stage::Held { .. })
    });
    let passed = group.map(|(_, other)| at.since(other.accepted_at)).filter(|passed| *passed < wait).max();
    wait.saturating_sub(passed.unwrap_or_default())
}

/// Whether one more makes a ticket that counts complete.
fn enough(waiting: &Ticket, at: Timestamp) -> bool {
    let Some(Throttle::Count(count)) = waiting.demand.policy.throttle else { return false };
    let within = Duration::from_secs_f64(count.within);
    let recent = waiting.arrivals.iter().filter(|arrival| at.since(**arrival) < within).count();
    matches!(waiting.stage, Stage::Held { .. }) && recent + 1 >= count.events as usize
}

fn resolved(intake: &Intake, identity: &str, since: Option<&str>) -> Vec<Fact> {
    if intake.knows_end(identity, since) {
        return Vec::new();
    }
    let concerns = |event: &(String, String)| event.0 == identity && since.is_none_or(|since| since == event.1);
    let mut facts = vec![Fact::Resolved { identity: identity.to_owned(), since: since.map(str::to_owned) }];
    for (number, ticket) in intake.tickets().iter().filter(|(_, ticket)| !ticket.is_live()) {
        if ticket.lasting.iter().any(concerns) && ticket.lasting.iter().all(concerns) {
            facts.push(Fact::Cancelled { ticket: *number, why: "resolved before a run started".into() });
        }
    }
    facts
}

fn due(intake: &Intake, at: Timestamp) -> Vec<Fact> {
    let held = intake.tickets().iter().filter(|(_, ticket)| match ticket.stage {
        Stage::Held { until } => until <= at,
        _ => false,
    });
    held.map(|(number, ticket)| match ticket.demand.policy.throttle {
        Some(Throttle::Count(count)) => {
            let (came, wanted) = (ticket.arrivals.len(), count.events);
            Fact::Skipped { ticket: *number, why: format!("{came} of {wanted} events came in their window") }
        }
        _ => Fact::Queued { ticket: *number },
    })
    .collect()
}

/// The next one to start: the most urgent, then the oldest, if there is room and its target is free.
fn next_start(intake: &Intake, limits: Limits, at: Timestamp) -> Option<Fact> {
    if intake.live().count() >= limits.live {
        return None;
    }
    let queued = intake.tickets().iter().filter(|(_, ticket)| ticket.stage == Stage::Queued);
    let free = queued.filter(|(_, ticket)| intake.live_for(&ticket.demand).is_none());
    let (ticket, _) = free.max_by_key(|(number, ticket)| (ticket.demand.policy.priority, u64::MAX - *number))?;
    Some(Fact::Started { ticket: *ticket, run: run_name(*ticket, at) })
}

/// A name that no other ticket's run has, however many start in one second.
fn run_name(ticket: u64, at: Timestamp) -> RunId {
    // Without a common factor with the number of endings that a name has (28 to the power of 4), so that it is a
    // permutation of them; neighbours look different.
    const STRIDE: u64 = 123_457;
    RunId::new(at, ticket.wrapping_mul(STRIDE))
}
