//! The calendar against brute force over zones and changes, and what becomes of what was missed.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp as Moment;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::engine::event::{Event, Record};

/// Zones with changes of an hour and of half an hour, in both halves of the year, at midnight, far from UTC, with
/// negative saving, with a whole day left out, and without any change.
const ZONES: &[&str] = &[
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Africa/Cairo",
    "Asia/Tehran",
    "Pacific/Apia",
    "Europe/Dublin",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "America/Havana",
    "Antarctica/Troll",
    "UTC",
];

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<Moment>().expect("a moment").as_millisecond())
}

fn cron(text: &str, zone: &str) -> Calendar {
    Calendar::cron(text, TimeZone::get(zone).expect("a zone")).expect("an expression")
}

fn between(calendar: &Calendar, from: &str, until: &str) -> Vec<String> {
    calendar.between(at(from), at(until)).map(|tick| tick.to_string().replace(":00.000Z", "Z")).collect()
}

#[test]
fn a_time_that_does_not_exist_is_due_once_after_the_gap() {
    let (from, until) = ("2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
    assert_eq!(between(&cron("30 2 * * *", "Europe/Berlin"), from, until), ["2026-03-29T01:00Z", "2026-03-30T00:30Z"]);
    assert_eq!(
        between(&cron("0,30 2,3 29 3 *", "Europe/Berlin"), from, until),
        ["2026-03-29T01:00Z", "2026-03-29T01:30Z"],
        "two times of the gap and the one right after it are one"
    );
    assert_eq!(
        between(&cron("0 12 30 12 *", "Pacific/Apia"), "2011-12-29T00:00:00Z", "2012-01-02T00:00:00Z"),
        ["2011-12-30T10:00Z"]
    );
}

#[test]
fn a_time_that_exists_twice_is_due_once_the_first_time() {
    let (from, until) = ("2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
    assert_eq!(between(&cron("30 2 * * *", "Europe/Berlin"), from, until), ["2026-10-25T00:30Z", "2026-10-26T01:30Z"]);
    // Asked in the middle of the second time, as after a restart.
    assert_eq!(between(&cron("30 2 * * *", "Europe/Berlin"), "2026-10-25T01:10:00Z", until), ["2026-10-26T01:30Z"]);
}

#[test]
fn a_rhythm_keeps_its_distances_over_both_changes() {
    for (from, until) in
        [("2026-03-29T00:00:00Z", "2026-03-29T04:00:00Z"), ("2026-10-25T00:00:00Z", "2026-10-25T04:00:00Z")]
    {
        assert_eq!(between(&cron("*/20 * * * *", "Europe/Berlin"), from, until).len(), 12, "{from}");
    }
}

#[test]
fn seconds_are_optional() {
    let every_ten = cron("*/10 * * * * *", "UTC");
    assert_eq!(every_ten.between(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:01:00Z")).count(), 6);
    let next = every_ten.next(Timestamp(at("2026-01-01T00:00:10Z").0 + 1)).expect("one");
    assert_eq!(next, at("2026-01-01T00:00:20Z"));
}

#[test]
fn what_is_no_expression_or_never_due_is_refused() {
    for text in ["", "* * *", "61 * * * *", "0 0 * * fun", "* * * * * * *", "@reboot"] {
        let refused = Calendar::cron(text, TimeZone::UTC);
        assert!(matches!(refused, Err(BadCalendar::Cron { .. })), "{text}: {refused:?}");
    }
    assert!(matches!(Calendar::cron("0 0 30 2 *", TimeZone::UTC), Err(BadCalendar::Never { .. })));
    assert!(Calendar::cron("0 0 29 2 *", TimeZone::UTC).is_ok());
    assert_eq!(Calendar::every(Duration::from_millis(999)).unwrap_err(), BadCalendar::TooOften);
}

#[test]
fn an_interval_counts_from_midnight_utc() {
    let calendar = Calendar::every(Duration::from_secs(900)).expect("an interval");
    assert_eq!(
        between(&calendar, "2026-01-01T00:01:00Z", "2026-01-01T00:30:00Z"),
        ["2026-01-01T00:15Z", "2026-01-01T00:30Z"]
    );
}

/// Minutes and hours that are due, and whether every hour is.
#[derive(Debug, Clone)]
struct Times {
    minutes: BTreeSet<i8>,
    hours: BTreeSet<i8>,
    weekdays: Option<BTreeSet<i8>>,
}

fn list(values: &BTreeSet<i8>) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl Times {
    fn text(&self) -> String {
        let weekdays = self.weekdays.as_ref().map_or("*".to_owned(), list);
        let hours = if self.hours.len() == 24 { "*".to_owned() } else { list(&self.hours) };
        format!("{} {hours} * * {weekdays}", list(&self.minutes))
    }

    fn fits(&self, clock: DateTime) -> bool {
        let weekday = clock.weekday().to_sunday_zero_offset();
        let day = self.weekdays.as_ref().is_none_or(|days| days.contains(&weekday));
        clock.second() == 0 && day && self.minutes.contains(&clock.minute()) && self.hours.contains(&clock.hour())
    }

    /// Every minute of the stretch is looked at by itself.
    fn by_force(&self, zone: &TimeZone, from: Moment, minutes: i64) -> Vec<i64> {
        let moments = (1..=minutes).map(|minute| from + jiff::SignedDuration::from_mins(minute));
        let rhythm = self.hours.len() == 24;
        let due = moments.filter(|moment| {
            let clock = zone.to_datetime(*moment);
            let before = zone.to_datetime(*moment - jiff::SignedDuration::from_mins(1));
            let is_first = zone.to_ambiguous_timestamp(clock).earlier().is_ok_and(|first| first == *moment);
            let shown = self.fits(clock) && (rhythm || is_first);
            shown || (!rhythm && self.any_between(before, clock))
        });
        due.map(|moment| moment.as_millisecond()).collect()
    }

    /// Whether a time that the clock leaves out between two minutes fits.
    fn any_between(&self, before: DateTime, clock: DateTime) -> bool {
        let next = |at: &DateTime| at.checked_add(jiff::SignedDuration::from_mins(1)).ok();
        std::iter::successors(next(&before), next).take_while(|at| *at < clock).any(|at| self.fits(at))
    }
}

fn times() -> impl Strategy<Value = Times> {
    let hours = prop_oneof![
        2 => prop::collection::btree_set(0_i8..5, 1..4),
        2 => prop::collection::btree_set(0_i8..24, 1..6),
        1 => Just((0..24).collect::<BTreeSet<i8>>()),
    ];
    let weekdays = prop::option::weighted(0.3, prop::collection::btree_set(0_i8..7, 1..5));
    (prop::collection::btree_set(0_i8..60, 1..5), hours, weekdays).prop_map(|(minutes, hours, weekdays)| Times {
        minutes,
        hours,
        weekdays,
    })
}

/// Three days around each change of the zone from 2009 to 2037, and around as many moments without one.
fn changes(zone: &TimeZone) -> Vec<Moment> {
    let (from, until) =
        ("2009-01-01T00:00:00Z".parse().expect("a moment"), "2037-01-01T00:00:00Z".parse().expect("a moment"));
    let changes: Vec<Moment> =
        zone.following(from).map(|change| change.timestamp()).take_while(|at| *at < until).collect();
    if changes.is_empty() { vec![from] } else { changes }
}

/// Against an oracle that looks at every minute.
#[test]
fn the_calendar_is_what_brute_force_finds_in_every_zone_at_every_change() {
    let mut runner = prop::test_runner::TestRunner::deterministic();
    let (mut ticks, mut stretches) = (0_usize, 0_usize);
    for name in ZONES {
        let zone = TimeZone::get(name).expect("a zone");
        for change in changes(&zone) {
            let times = times().new_tree(&mut runner).expect("a value").current();
            let from = change - jiff::SignedDuration::from_hours(36);
            let calendar = Calendar::cron(&times.text(), zone.clone()).expect("an expression");
            let (start, end) = (Timestamp(from.as_millisecond()), Timestamp(from.as_millisecond() + 72 * 3_600_000));
            let planned: Vec<i64> = calendar.between(start, end).map(|tick| tick.0).collect();
            assert_eq!(planned, times.by_force(&zone, from, 72 * 60), "{} in {name} around {change}", times.text());
            (ticks, stretches) = (ticks + planned.len(), stretches + 1);
        }
    }
    assert!(stretches > 500 && ticks > 5_000, "{stretches} {ticks}");
}

proptest! {
    /// Wherever one asks from, the next tick is the next of the same list: a restart changes nothing.
    #[test]
    fn asking_from_anywhere_gives_the_same_ticks(times in times(), zone in 0..ZONES.len(), which in 0_usize..500, offset in 0_i64..259_200_000) {
        let zone = TimeZone::get(ZONES[zone]).expect("a zone");
        let changes = changes(&zone);
        let start = Timestamp(changes[which % changes.len()].as_millisecond() - 129_600_000);
        let calendar = Calendar::cron(&times.text(), zone).expect("an expression");
        let all: Vec<Timestamp> = calendar.between(start, start.plus(Duration::from_secs(4 * 86_400))).collect();
        let from = Timestamp(start.0 + offset);
        prop_assert_eq!(calendar.next(from), all.iter().copied().find(|tick| *tick > from).or_else(|| calendar.next(*all.last().unwrap_or(&from).max(&from))));
    }
}

fn schedule(missed: Missed) -> Schedule {
    let calendar = Calendar::every(Duration::from_secs(60)).expect("an interval");
    Schedule { key: "p: every 1m".into(), calendar, jitter: Duration::ZERO, missed, catch_up: 3 }
}

/// A timetable that is written down and read back after each step.
#[derive(Default)]
struct World {
    records: Vec<Record>,
}

impl World {
    fn timetable(&self) -> Timetable {
        Timetable::replay(&self.records)
    }

    fn take(&mut self, at: Timestamp, facts: Vec<Fact>) {
        let mut live = self.timetable();
        for fact in facts {
            live.apply(at, &fact);
            let (run, seq) = (crate::base::RunId::from(STREAM.to_owned()), self.records.len() as u64 + 1);
            let record = Record { run, seq, at, event: Event::Schedule(fact) };
            // As it stands in the journal.
            let text = serde_json::to_string(&record).expect("JSON");
            self.records.push(serde_json::from_str(&text).expect("the same"));
        }
        live.seq = self.records.len() as u64;
        assert_eq!(live, self.timetable());
    }

    fn plan(&mut self, schedule: &Schedule, at: Timestamp) -> Vec<Timestamp> {
        let facts = plan(schedule, &self.timetable(), at);
        self.take(at, facts);
        let pending = self.timetable().schedule(&schedule.key).map(|progress| progress.pending.clone());
        pending.unwrap_or_default().into_iter().map(|(tick, _)| tick).collect()
    }
}

fn minute(number: i64) -> Timestamp {
    Timestamp(at("2026-06-01T00:00:00Z").0 + number * 60_000)
}

#[test]
fn t11_after_downtime_what_was_missed_is_skipped_run_once_or_run_up_to_the_cap() {
    let late = minute(4_320).plus(Duration::from_secs(30));
    for (missed, runs) in [
        (Missed::Skip, vec![]),
        (Missed::RunOnce, vec![minute(4_320)]),
        (Missed::RunAll, vec![minute(4_318), minute(4_319), minute(4_320)]),
    ] {
        let mut world = World::default();
        assert!(world.plan(&schedule(missed), minute(0)).is_empty(), "what was due before it was known is not its own");
        assert_eq!(world.plan(&schedule(missed), late), runs, "{missed:?}");
        assert_eq!(world.plan(&schedule(missed), late.plus(Duration::from_secs(1))), runs, "asked twice: {missed:?}");
        let timetable = world.timetable();
        let progress = timetable.schedule("p: every 1m").expect("it is known");
        assert_eq!(progress.missed, 4_320 - runs.len() as u64);
        assert_eq!(progress.last_missed, Some(minute(4_320)));
    }
}

#[test]
fn a_tick_on_time_is_due_once_and_stands_for_those_before_it() {
    for missed in [Missed::Skip, Missed::RunOnce] {
        let mut world = World::default();
        world.plan(&schedule(missed), minute(0));
        assert_eq!(world.plan(&schedule(missed), minute(5)), [minute(5)], "{missed:?}");
        assert_eq!(world.plan(&schedule(missed), minute(5).plus(Duration::from_secs(5))), [minute(5)]);
    }
    let mut world = World::default();
    world.plan(&schedule(Missed::RunAll), minute(0));
    assert_eq!(world.plan(&schedule(Missed::RunAll), minute(5)), [minute(2), minute(3), minute(4)], "the cap");
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_due_again() {
    let mut world = World::default();
    world.plan(&schedule(Missed::RunAll), minute(0));
    assert_eq!(world.plan(&schedule(Missed::RunAll), minute(1)), [minute(1)]);
    for earlier in [0, -600, 1] {
        assert_eq!(world.plan(&schedule(Missed::RunAll), minute(earlier)), [minute(1)]);
    }
}

#[test]
fn years_of_missed_seconds_are_counted_to_a_limit_and_the_last_run() {
    let calendar = Calendar::every(Duration::from_secs(1)).expect("an interval");
    let every_second = Schedule { calendar, ..schedule(Missed::RunAll) };
    let mut world = World::default();
    world.plan(&every_second, minute(0));
    let late = minute(600_000);
    let runs = world.plan(&every_second, late);
    let last: Vec<Timestamp> = (11..=13).rev().map(|before| Timestamp(late.0 - before * 1_000)).collect();
    assert_eq!(runs, last, "those that are on time run as one of them");
}

#[test]
fn jitter_puts_each_tick_off_by_its_own_part_and_never_twice() {
    let jittery = Schedule { jitter: Duration::from_secs(50), catch_up: 100, ..schedule(Missed::RunAll) };
    let mut world = World::default();
    world.plan(&jittery, minute(0));
    let (mut delays, mut seen) = (BTreeSet::new(), 0);
    for second in 0..3_600 {
        let now = minute(0).plus(Duration::from_secs(second));
        let ticks = world.plan(&jittery, now);
        if ticks.len() > seen {
            delays.insert(now.since(*ticks.last().expect("one")).as_secs());
            assert_eq!(ticks.len(), seen + 1);
            seen = ticks.len();
            let next = next_release(&jittery, *ticks.last().expect("one")).expect("one more");
            assert!(next > now);
        }
    }
    assert!(seen >= 59 && delays.len() > 20 && delays.iter().all(|delay| *delay <= 50), "{seen} {delays:?}");
    assert_eq!(world.timetable().schedule(&jittery.key).map(|progress| progress.missed), Some(0));
}

fn look(world: &mut World, at: Timestamp, holds: bool) -> Option<Timestamp> {
    let facts = observe(&world.timetable(), "p: watch", Flapping { changes: 4, within: 3_600.0 }, at, holds);
    world.take(at, facts);
    world.timetable().watch("p: watch").and_then(|seen| seen.wanted)
}

#[test]
fn a_watch_wants_one_run_for_as_long_as_it_holds() {
    let mut world = World::default();
    assert_eq!(look(&mut world, minute(0), false), None);
    assert!(world.records.is_empty(), "nothing is written down while nothing holds");
    assert_eq!(look(&mut world, minute(1), true), Some(minute(1)));
    assert_eq!(look(&mut world, minute(2), true), Some(minute(1)));
    assert_eq!(world.records.len(), 1);
    assert_eq!(look(&mut world, minute(3), false), None);
}

#[test]
fn t52_a_watch_that_flaps_gets_three_runs_and_is_held_back_until_it_is_calm() {
    let mut world = World::default();
    let mut wanted = BTreeSet::new();
    for number in 0..20 {
        // Read anew each time: a restart in between changes nothing.
        wanted.extend(look(&mut world, minute(number), number % 2 == 0));
    }
    assert_eq!(wanted.len(), 3, "{wanted:?}");
    assert!(world.timetable().watch("p: watch").is_some_and(|seen| seen.held_back));
    assert_eq!(look(&mut world, minute(25), true), None, "held back");
    assert_eq!(look(&mut world, minute(80), true), Some(minute(80)), "calm, and it holds");
    assert_eq!(look(&mut world, minute(200), false), None);
    assert_eq!(look(&mut world, minute(201), true), Some(minute(201)));
}
