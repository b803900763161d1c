//! What the intake promises, whatever comes in and in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::engine::{Event, Record};

const LIMITS: Limits = Limits { live: 4 };

/// The intake, with what it has written down.
#[derive(Default)]
struct World {
    intake: Intake,
    records: Vec<Record>,
    now: i64,
}

impl World {
    fn take(&mut self, what: What) -> Vec<Fact> {
        let at = Timestamp(self.now);
        let facts = advance(&mut self.intake, LIMITS, &[Input { at, what }]);
        for fact in &facts {
            let (run, seq) = (RunId::from(STREAM.to_owned()), self.records.len() as u64 + 1);
            self.records.push(Record { run, seq, at, event: Event::Intake(fact.clone()) });
        }
        self.intake.seq = self.records.len() as u64;
        facts
    }

    fn offer(&mut self, demand: Demand) -> Vec<Fact> {
        self.take(What::Offered(Box::new(demand)))
    }

    fn resolve(&mut self, identity: &str) -> Vec<Fact> {
        self.take(What::Resolved { identity: identity.into(), since: Some("s".into()) })
    }

    fn end(&mut self, ticket: u64) -> Vec<Fact> {
        self.take(What::Ended { ticket, outcome: Some(Outcome::Resolved), why: "fixed".into() })
    }

    fn after(&mut self, milliseconds: i64) -> Vec<Fact> {
        self.now += milliseconds;
        self.take(What::Proceed)
    }
}

fn demand(identity: &str, target: &str) -> Demand {
    Demand {
        source: "alertmanager".into(),
        delivery: None,
        identity: identity.into(),
        since: "s".into(),
        playbook: "p".into(),
        target: target.into(),
        inputs: BTreeMap::new(),
        from_outside: BTreeSet::new(),
        labels: BTreeMap::new(),
        policy: Policy::default(),
        withheld: None,
        tick: None,
        by_hand: false,
    }
}

fn with(identity: &str, policy: Policy) -> Demand {
    Demand { policy, ..demand(identity, "t") }
}

fn starts(facts: &[Fact]) -> usize {
    facts.iter().filter(|fact| matches!(fact, Fact::Started { .. })).count()
}

fn skips(facts: &[Fact]) -> usize {
    facts.iter().filter(|fact| matches!(fact, Fact::Skipped { .. })).count()
}

#[test]
fn t45_a_copy_starts_nothing_and_neither_does_one_that_is_over() {
    let mut world = World::default();
    assert_eq!(starts(&world.offer(demand("a", "t"))), 1);
    assert_eq!(world.offer(demand("a", "t")), [], "a copy of a live one");
    world.end(1);
    assert_eq!(world.offer(demand("a", "t")), [], "a reminder, hours later");
    world.resolve("b");
    assert_eq!(world.offer(demand("b", "t")), [], "resolved came before firing");
    world.now += REMEMBERED.as_millis() as i64;
    assert_eq!(starts(&world.offer(demand("a", "t"))), 1, "a day later it is news again");
}

#[test]
fn one_run_of_a_target_is_live_and_one_waits_for_all_others() {
    let mut world = World::default();
    world.offer(demand("a", "t"));
    world.offer(demand("b", "t"));
    assert!(matches!(world.offer(demand("c", "t"))[..], [Fact::Accepted { .. }, Fact::Joined { ticket: 3, into: 2 }]));
    assert_eq!((world.intake.waiting(), world.intake.live().count()), (1, 1));
    assert_eq!(starts(&world.end(1)), 1, "the one that waits starts");
    assert_eq!(world.end(2).len(), 1, "and nothing after it");
}

#[test]
fn what_lasts_too_shortly_starts_nothing() {
    let mut world = World::default();
    world.offer(with("a", Policy { hold_ms: 60_000, ..Policy::default() }));
    assert_eq!(world.after(59_999), []);
    assert!(matches!(world.resolve("a")[..], [Fact::Resolved { .. }, Fact::Cancelled { ticket: 1, .. }]));
    world.offer(with("b", Policy { hold_ms: 60_000, ..Policy::default() }));
    assert_eq!(starts(&world.after(60_000)), 1);
}

#[test]
fn t48_what_is_resolved_while_it_is_queued_starts_nothing() {
    let mut world = World::default();
    world.offer(demand("a", "t"));
    world.offer(demand("b", "t"));
    world.offer(demand("c", "t"));
    assert_eq!(world.resolve("b").len(), 1, "another one of the same ticket lasts");
    assert!(matches!(world.resolve("c")[..], [_, Fact::Cancelled { ticket: 2, .. }]));
    assert_eq!(starts(&world.end(1)), 0);
}

#[test]
fn t48_one_of_unknown_extent_keeps_its_whole_ticket_from_changing_anything() {
    let mut world = World::default();
    world.offer(demand("a", "t"));
    world.offer(demand("b", "t"));
    world.offer(Demand { withheld: Some("3 left out".into()), ..demand("c", "t") });
    assert_eq!(world.intake.tickets()[&2].demand.withheld.as_deref(), Some("3 left out"));
}

#[test]
fn a_live_run_is_waited_for_replaced_or_left_alone() {
    let after = |concurrency| {
        let mut world = World::default();
        world.offer(demand("a", "t"));
        world.offer(with("b", Policy { concurrency, ..Policy::default() }))
    };
    assert!(matches!(after(Concurrency::Queue)[..], [_, Fact::Queued { ticket: 2 }]));
    assert!(matches!(
        after(Concurrency::Replace)[..],
        [_, Fact::StopAsked { ticket: 1, .. }, Fact::Queued { ticket: 2 }]
    ));
    for none in [Concurrency::Skip, Concurrency::Fail] {
        assert!(matches!(after(none)[..], [_, Fact::Skipped { ticket: 2, .. }]));
    }
}

#[test]
fn what_was_skipped_is_looked_at_anew_when_it_is_sent_again() {
    let mut world = World::default();
    world.offer(demand("a", "t"));
    let skip = || with("b", Policy { concurrency: Concurrency::Skip, ..Policy::default() });
    assert_eq!(skips(&world.offer(skip())), 1);
    world.end(1);
    assert_eq!(starts(&world.offer(skip())), 1);
}

#[test]
fn the_most_urgent_starts_first_and_then_the_oldest() {
    let mut world = World::default();
    for number in 0..4 {
        world.offer(demand(&format!("live {number}"), &format!("live {number}")));
    }
    let waiting = |identity: &str, priority| Demand {
        policy: Policy { priority, ..Policy::default() },
        ..demand(identity, identity)
    };
    world.offer(waiting("old", Priority::Normal));
    world.offer(waiting("new", Priority::Normal));
    world.offer(waiting("urgent", Priority::Urgent));
    let next = |world: &mut World, ended| match &world.end(ended)[..] {
        [Fact::Ended { .. }, Fact::Started { ticket, .. }] => *ticket,
        other => panic!("{other:?}"),
    };
    assert_eq!([next(&mut world, 1), next(&mut world, 2), next(&mut world, 3)], [7, 5, 6]);
}

#[test]
fn the_first_mutes_those_after_it_for_a_while() {
    let mut world = World::default();
    let muted = |identity: &str| with(identity, Policy { throttle: Some(Throttle::Mute(60.0)), ..Policy::default() });
    assert_eq!(starts(&world.offer(muted("a"))), 1);
    world.end(1);
    assert_eq!(skips(&world.offer(muted("b"))), 1);
    world.now += 60_000;
    assert_eq!(starts(&world.offer(muted("c"))), 1);
}

#[test]
fn events_are_collected_for_one_run() {
    let mut world = World::default();
    let collected = |name: &str| with(name, Policy { throttle: Some(Throttle::Collect(10.0)), ..Policy::default() });
    assert_eq!(starts(&world.offer(collected("a"))) + starts(&world.offer(collected("b"))), 0);
    assert_eq!(starts(&world.after(10_000)), 1);
}

#[test]
fn a_run_starts_when_enough_have_come_in_the_window() {
    let counted = |name: &str| {
        let throttle = Some(Throttle::Count(Count { events: 3, within: 10.0 }));
        with(name, Policy { throttle, ..Policy::default() })
    };
    let mut world = World::default();
    assert_eq!(starts(&world.offer(counted("a"))) + starts(&world.offer(counted("b"))), 0);
    assert_eq!(starts(&world.offer(counted("c"))), 1);
    let mut world = World::default();
    world.offer(counted("a"));
    world.offer(counted("b"));
    assert_eq!(skips(&world.after(10_000)), 1, "too few");
}

#[test]
fn the_names_of_runs_differ_however_many_start_in_one_second() {
    let mut world = World::default();
    let mut names = BTreeSet::new();
    for number in 1..=2_000 {
        let facts = world.offer(demand(&number.to_string(), "t"));
        names.extend(facts.iter().chain(&world.end(number)).filter_map(|fact| match fact {
            Fact::Started { run, .. } => Some(run.clone()),
            _ => None,
        }));
    }
    assert_eq!(names.len(), 2_000);
}

#[test]
fn a_group_waits_once_and_starts_together_the_most_urgent_first() {
    let mut world = World::default();
    let member = |identity: &str, priority| Demand {
        policy: Policy { group_wait_ms: 100, priority, ..Policy::default() },
        ..demand(identity, identity)
    };
    let begun = |facts: Vec<Fact>| -> Vec<u64> {
        let begun = facts.into_iter().filter_map(|fact| match fact {
            Fact::Started { ticket, .. } => Some(ticket),
            _ => None,
        });
        begun.collect()
    };
    assert_eq!(starts(&world.offer(member("first", Priority::Normal))), 0);
    world.now += 60;
    assert_eq!(starts(&world.offer(member("urgent", Priority::Urgent))), 0);
    world.offer(Demand { target: "first".into(), ..member("same target", Priority::Normal) });
    assert!(begun(world.after(39)).is_empty(), "the group has waited 99 ms");
    assert_eq!(begun(world.after(1)), [2, 1], "what came for the same target shares its run");
    assert_eq!(starts(&world.offer(member("late", Priority::Normal))), 0, "another group begins");
    assert_eq!(begun(world.after(100)), [4]);
}

#[test]
fn what_is_resolved_while_its_group_waits_starts_nothing() {
    let mut world = World::default();
    world.offer(with("a", Policy { group_wait_ms: 100, ..Policy::default() }));
    world.resolve("a");
    assert_eq!(starts(&world.after(200)), 0);
}

fn anything() -> impl Strategy<Value = What> {
    let policy = (0..3_u64, 0..4_u8, 0..4_u8).prop_map(|(hold, concurrency, throttle)| Policy {
        hold_ms: hold * 40,
        group_wait_ms: hold * 25,
        concurrency: [Concurrency::Queue, Concurrency::Skip, Concurrency::Replace, Concurrency::Fail]
            [concurrency as usize],
        priority: Priority::Normal,
        throttle: match throttle {
            0 => Some(Throttle::Mute(0.05)),
            1 => Some(Throttle::Collect(0.05)),
            2 => Some(Throttle::Count(Count { events: 2, within: 0.05 })),
            _ => None,
        },
    });
    prop_oneof![
        4 => (0..9_u8, 0..6_u8, policy).prop_map(|(identity, target, policy)| {
            What::Offered(Box::new(Demand { policy, ..demand(&identity.to_string(), &target.to_string()) }))
        }),
        1 => (0..9_u8).prop_map(|identity| What::Resolved { identity: identity.to_string(), since: Some("s".into()) }),
        2 => (1..20_u64).prop_map(|ticket| What::Ended { ticket, outcome: None, why: String::new() }),
        1 => (1..20_u64).prop_map(|ticket| What::Withdrawn { ticket, by: "ada".into() }),
        1 => Just(What::Proceed),
    ]
}

proptest! {
    #[test]
    fn t44_no_order_of_events_starts_two_runs_of_a_target_or_loses_one(whats in prop::collection::vec(anything(), 1..80)) {
        let mut world = World::default();
        for what in whats {
            world.now += 17;
            let before = world.intake.last_ticket;
            world.take(what);
            let live: Vec<&str> = world.intake.live().map(|(_, _, demand)| demand.target.as_str()).collect();
            let targets: BTreeSet<&str> = live.iter().copied().collect();
            prop_assert_eq!(targets.len(), live.len(), "two live runs of one target");
            prop_assert!(live.len() <= LIMITS.live);
            for ticket in before + 1..=world.intake.last_ticket {
                let told = world.records.iter().any(|record| match &record.event {
                    Event::Intake(Fact::Joined { ticket: own, .. } | Fact::Queued { ticket: own } | Fact::Held { ticket: own, .. }
                        | Fact::Skipped { ticket: own, .. }) => *own == ticket,
                    _ => false,
                });
                prop_assert!(told, "ticket {} was accepted and forgotten", ticket);
            }
            // A kill at any moment: what was written down is what is known.
            prop_assert_eq!(&Intake::replay(&world.records), &world.intake);
        }
    }
}

/// However long ago it was, and whatever became of it.
#[test]
fn a_tick_is_taken_once_for_ever_and_in_order() {
    let mut world = World::default();
    let tick = |second: i64| Demand { tick: Some(Timestamp(second * 1_000)), ..demand("p: every 1m", "t") };
    assert!(!world.offer(tick(60)).is_empty());
    world.after(3 * 24 * 60 * 60 * 1_000);
    assert!(world.offer(tick(60)).is_empty() && world.offer(tick(0)).is_empty());
    let latest = world.intake.latest("p: every 1m").cloned().expect("it is known");
    assert_eq!((latest.tick, latest.run.is_some()), (Timestamp(60_000), true));
    assert!(!world.offer(tick(120)).is_empty());
}
