//! What is due, and what was missed. No clock: the moment comes with the question.

use std::time::Duration;

use super::{Calendar, Fact, Missed, ON_TIME, Schedule, Timetable};
use crate::base::Timestamp;
use crate::base::units::show_duration;

/// Missed ticks are counted up to this: what a year of a rhythm in seconds comes to interests nobody.
pub const COUNTED: u64 = 10_000;

/// What becomes of the ticks of a schedule up to `now`, in the order in which it is to be written down.
pub fn plan(schedule: &Schedule, timetable: &Timetable, now: Timestamp) -> Vec<Fact> {
    let key = &schedule.key;
    let Some(progress) = timetable.schedule(key) else { return vec![Fact::Began { key: key.clone() }] };
    let on_time = on_time(schedule, progress.upto, now);
    let missed_until = on_time.first().map_or(now, |tick| Timestamp(tick.0 - 1));
    let mut facts: Vec<Fact> = missed(schedule, progress.upto, missed_until, now, on_time.is_empty());
    let is_made_up_for = |(_, made_up_for): &(Timestamp, bool)| *made_up_for;
    let is_behind = progress.pending.iter().any(is_made_up_for)
        || progress.pending.len() >= schedule.catch_up
        || facts.iter().any(makes_up);
    facts.extend(on_time.into_iter().map(|tick| match is_behind {
        false => Fact::Due { key: key.clone(), tick },
        // Otherwise what is made up for would grow faster than it is worked off.
        true => Fact::Missed {
            key: key.clone(),
            count: 1,
            first: tick,
            last: tick,
            runs: Vec::new(),
            why: "earlier ones still wait to start".into(),
        },
    }));
    facts
}

fn makes_up(fact: &Fact) -> bool {
    matches!(fact, Fact::Missed { runs, .. } if !runs.is_empty())
}

/// When the next tick after `upto` is to start its run.
pub fn next_release(schedule: &Schedule, upto: Timestamp) -> Option<Timestamp> {
    schedule.calendar.next(upto).map(|tick| release(schedule, tick))
}

fn release(schedule: &Schedule, tick: Timestamp) -> Timestamp {
    tick.plus(put_off(&schedule.key, tick, schedule.jitter))
}

/// The part of the jitter that is a tick's own: the same for everybody who asks, also after a restart.
fn put_off(key: &str, tick: Timestamp, jitter: Duration) -> Duration {
    let bytes = key.bytes().chain(tick.0.to_le_bytes());
    // FNV-1a: short, well spread, and the same for ever, which the hasher of the standard library does not promise.
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let most = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(hash.checked_rem(most).unwrap_or(0))
}

/// The ticks that start their runs now.
fn on_time(schedule: &Schedule, upto: Timestamp, now: Timestamp) -> Vec<Timestamp> {
    // No tick up to this can be on time, whatever its jitter.
    let longest = ON_TIME.as_millis() as i64 + schedule.jitter.as_millis() as i64;
    let from = Timestamp(now.0 - longest - 1).max(upto);
    let is_released = |tick: &Timestamp| release(schedule, *tick) <= now;
    // In their order: one that is put off puts off those after it.
    let released = schedule.calendar.between(from, now).take_while(is_released);
    released.skip_while(|tick| now.since(release(schedule, *tick)) > ON_TIME).collect()
}

fn missed(schedule: &Schedule, after: Timestamp, until: Timestamp, now: Timestamp, last_runs: bool) -> Vec<Fact> {
    let too_late = |tick: &Timestamp| now.since(release(schedule, *tick)) > ON_TIME;
    let mut ticks = schedule.calendar.between(after, until).take_while(too_late);
    let Some(first) = ticks.next() else { return Vec::new() };
    let (mut count, mut last) = (1, first);
    for tick in ticks.take(COUNTED as usize - 1) {
        (count, last) = (count + 1, tick);
    }
    let mut latest = vec![last];
    if count == COUNTED || schedule.missed == Missed::RunAll {
        latest = latest_of(&schedule.calendar, after, until, schedule.catch_up.max(1));
        latest.retain(too_late);
        last = latest.last().copied().unwrap_or(last);
    }
    let runs = match schedule.missed {
        Missed::Skip => Vec::new(),
        // One that is on time runs for those before it.
        Missed::RunOnce if !last_runs => Vec::new(),
        Missed::RunOnce => vec![last],
        Missed::RunAll => latest,
    };
    let why = format!("nobody was there for {}", show_duration(now.since(first)));
    vec![Fact::Missed { key: schedule.key.clone(), count, first, last, runs, why }]
}

/// The last ticks of a stretch of time, found without walking through all of it.
fn latest_of(calendar: &Calendar, after: Timestamp, until: Timestamp, most: usize) -> Vec<Timestamp> {
    let mut span = Duration::from_secs(60);
    loop {
        let from = Timestamp(until.0.saturating_sub(span.as_millis() as i64)).max(after);
        let ticks: Vec<Timestamp> = calendar.between(from, until).collect();
        if ticks.len() >= most || from == after {
            return ticks[ticks.len().saturating_sub(most)..].to_vec();
        }
        span *= 2;
    }
}
