//! What follows from what the world reports. Each fact is decided from the facts before it and a moment alone.

use std::collections::BTreeSet;

use super::state::{Case, Cases};
use super::{BEGINS_WITHIN, End, Fact, IN_DOUBT_AFTER, Input, What, Words};
use crate::base::{RunId, Timestamp};

/// Takes up inputs in order, and returns the facts that became true; they are applied to `cases` already.
pub fn advance(cases: &mut Cases, inputs: &[Input]) -> Vec<Fact> {
    let mut facts = Vec::new();
    for Input { at, what } in inputs {
        let news = decide(cases, *at, what);
        take(cases, *at, news, &mut facts);
        // One at a time, so that each is decided from all before it.
        while let Some(fact) = due(cases, *at) {
            take(cases, *at, vec![fact], &mut facts);
        }
    }
    facts
}

fn take(cases: &mut Cases, at: Timestamp, news: Vec<Fact>, facts: &mut Vec<Fact>) {
    news.iter().for_each(|fact| cases.apply(at, fact));
    facts.extend(news);
}

fn decide(cases: &Cases, at: Timestamp, what: &What) -> Vec<Fact> {
    let mut facts = Vec::new();
    if cases.began_at.is_none() && cases.seq == 0 {
        facts.push(Fact::Began {});
    }
    facts.extend(match what {
        What::Proceed => Vec::new(),
        What::Follow { case, subject, updates } => match cases.get(case) {
            Some(known) if known.updates.is_some() || known.closed.is_some() => Vec::new(),
            _ => vec![Fact::Followed { case: case.clone(), subject: subject.clone(), updates: updates.clone() }],
        },
        What::Raise { .. } => raise(cases, at, what),
        What::Seen { case, status, end } => with(cases, case, |case| seen(case, status, end.as_ref())),
        What::Acknowledge { case, by, reason, way } => with(cases, case, |case| acknowledge(case, by, reason, way)),
        What::Next { case } => with(cases, case, next),
        What::Close { case, why } => with(cases, case, |case| close(case, why, true, &BTreeSet::new())),
        What::Told { case, notice, channel, .. } => {
            with(cases, case, |case| told(case, *notice, channel, what).into_iter().collect())
        }
    });
    facts
}

fn with(cases: &Cases, run: &RunId, decide: impl FnOnce(&Case) -> Vec<Fact>) -> Vec<Fact> {
    cases.get(run).map_or_else(Vec::new, decide)
}

/// Once for a run. While the same fault waits for an answer already, or somebody is at it, nobody is told of it a
/// second time; a case that came to nothing makes way for the new one.
fn raise(cases: &Cases, at: Timestamp, what: &What) -> Vec<Fact> {
    let What::Raise { case, since, subject, policy, why, ladder } = what else { return Vec::new() };
    let is_history = cases.began_at.is_some_and(|began| since.plus(BEGINS_WITHIN) < began);
    if is_history || cases.knows(case) {
        return Vec::new();
    }
    let same =
        || cases.open_cases().filter(|other| other.climb.is_some() && other.subject.incident == subject.incident);
    if let Some(other) = same().find(|other| other.is_in_hand(at)) {
        return vec![Fact::Joined { case: case.clone(), into: other.run.clone() }];
    }
    let why_over = format!("run {case} escalates the same fault anew");
    let over = same().map(|other| Fact::Closed { case: other.run.clone(), why: why_over.clone(), gone: false });
    let (policy, why, ladder) = (policy.clone(), why.clone(), ladder.clone());
    let raised = Fact::Raised { case: case.clone(), subject: subject.clone(), policy, why, ladder };
    over.chain(std::iter::once(raised)).collect()
}

fn seen(case: &Case, status: &str, end: Option<&End>) -> Vec<Fact> {
    if case.closed.is_some() {
        return Vec::new();
    }
    let mut facts = Vec::new();
    if let Some(updates) = &case.updates
        && updates.last.as_ref().is_none_or(|(_, last)| last != status)
    {
        facts.push(tell(case, 0, Words::Update { status: status.to_owned() }, updates.follow.to.clone()));
    }
    // An escalation outlives its run until the fault is gone.
    let over = end.filter(|end| end.gone || case.climb.is_none());
    if let Some(end) = over {
        facts.extend(closing(case, facts.len(), &end.why, end.gone, &end.told));
    }
    facts
}

fn acknowledge(case: &Case, by: &str, reason: &str, way: &str) -> Vec<Fact> {
    if case.climb.is_none() || case.acknowledged.is_some() || case.closed.is_some() {
        return Vec::new();
    }
    let (by, reason, way) = (by.to_owned(), reason.to_owned(), way.to_owned());
    let acknowledged = Fact::Acknowledged { case: case.run.clone(), by, reason, way };
    let to = case.asked();
    let told = (!to.is_empty()).then(|| tell(case, 0, Words::Acknowledged, to));
    std::iter::once(acknowledged).chain(told).collect()
}

fn close(case: &Case, why: &str, gone: bool, told: &BTreeSet<String>) -> Vec<Fact> {
    if case.closed.is_some() { Vec::new() } else { closing(case, 0, why, gone, told) }
}

/// The end of a case, and the word of it to those who were asked and have not heard of it; `before` messages of
/// the same decision come first.
fn closing(case: &Case, before: usize, why: &str, gone: bool, told: &BTreeSet<String>) -> Vec<Fact> {
    let closed = Fact::Closed { case: case.run.clone(), why: why.to_owned(), gone };
    let to: BTreeSet<String> = case.asked().difference(told).cloned().collect();
    let told = (!to.is_empty()).then(|| tell(case, before, Words::Closed, to));
    std::iter::once(closed).chain(told).collect()
}

/// Whoever asks for the next level does not wait for the answer of this one.
fn next(case: &Case) -> Vec<Fact> {
    if case.is_climbing() { climb(case).into_iter().collect() } else { Vec::new() }
}

fn told(case: &Case, notice: u64, channel: &str, what: &What) -> Option<Fact> {
    let What::Told { delivered, error, attempts, thread, .. } = what else { return None };
    case.pending().find(|(pending, to)| pending.notice == notice && *to == channel)?;
    Some(Fact::Told {
        case: case.run.clone(),
        notice,
        channel: channel.to_owned(),
        delivered: delivered.clone(),
        error: error.clone(),
        attempts: *attempts,
        thread: thread.clone(),
    })
}

/// The next thing that time alone makes true.
fn due(cases: &Cases, now: Timestamp) -> Option<Fact> {
    let due = |case| {
        let level = || overdue_level(case, now).or_else(|| anew(case, now));
        doubt(case, now).or_else(|| again(case)).or_else(level)
    };
    cases.all().find_map(|case| due(case).or_else(|| update(case, now)))
}

fn doubt(case: &Case, now: Timestamp) -> Option<Fact> {
    let (told, channel) = case.pending().find(|(told, _)| told.at.plus(IN_DOUBT_AFTER) <= now)?;
    Some(Fact::Doubted { case: case.run.clone(), notice: told.notice, channel: channel.clone() })
}

/// The first level again, when no channel has taken any message so far.
fn anew(case: &Case, now: Timestamp) -> Option<Fact> {
    case.begins_anew_at().filter(|at| *at <= now)?;
    let (round, first) = case.climb.as_ref().and_then(|climb| Some((climb.round, climb.ladder.levels.first()?)))?;
    Some(tell(case, 0, Words::Level { level: 1, round }, first.to.clone()))
}

/// The last message of a ladder once more, when nobody may have it.
fn again(case: &Case) -> Option<Fact> {
    let doubted = case.last_in_doubt()?;
    let (notice, to) = (case.notices.len() as u64 + 1, doubted.to.keys().cloned().collect());
    let (case, words) = (case.run.clone(), doubted.words.clone());
    Some(Fact::Tell { case, notice, words, to, repeats: Some(doubted.notice) })
}

fn overdue_level(case: &Case, now: Timestamp) -> Option<Fact> {
    case.next_level_at().filter(|due| *due <= now).and_then(|_| climb(case))
}

/// The next level, or after the last one the word to those at the very end.
fn climb(case: &Case) -> Option<Fact> {
    let climb = case.climb.as_ref()?;
    if let Some((level, round)) = climb.next() {
        let to = climb.ladder.levels.get(level as usize - 1)?.to.clone();
        return Some(tell(case, 0, Words::Level { level, round }, to));
    }
    let told = case.notices.iter().any(|notice| notice.words == Words::Final);
    match climb.ladder.last.is_empty() || told {
        true => Some(Fact::Exhausted { case: case.run.clone() }),
        false => Some(tell(case, 0, Words::Final, climb.ladder.last.clone())),
    }
}

fn update(case: &Case, now: Timestamp) -> Option<Fact> {
    let updates = case.updates.as_ref()?;
    case.next_update_at().filter(|due| *due <= now)?;
    let (_, status) = updates.last.as_ref()?;
    Some(tell(case, 0, Words::Update { status: status.clone() }, updates.follow.to.clone()))
}

fn tell(case: &Case, before: usize, words: Words, to: BTreeSet<String>) -> Fact {
    let notice = (case.notices.len() + before) as u64 + 1;
    Fact::Tell { case: case.run.clone(), notice, words, to, repeats: None }
}
