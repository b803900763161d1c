//! What the outbox promises, whatever it is handed and whenever the program dies: nothing lost, nothing twice, no
//! limit exceeded, and what needs a person is first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::base::{RunId, Timestamp};
use crate::engine::{Event, Record};

/// The outbox, with what it has written down.
struct World {
    outbox: Outbox,
    records: Vec<Record>,
    rules: Rules,
    now: i64,
}

impl World {
    fn new(rules: Rules) -> Self {
        World { outbox: Outbox::default(), records: Vec::new(), rules, now: 0 }
    }

    fn take(&mut self, what: What) -> Vec<Fact> {
        let at = Timestamp(self.now);
        let facts = advance(&mut self.outbox, &self.rules, Input { at, what });
        for fact in &facts {
            let (run, seq) = (RunId::from(STREAM.to_owned()), self.records.len() as u64 + 1);
            self.records.push(Record { run, seq, at, event: Event::Outbox(fact.clone()) });
        }
        self.outbox.seq = self.records.len() as u64;
        facts
    }

    fn offer(&mut self, item: Item) -> Vec<Vec<u64>> {
        sent(&self.take(What::Offered(Box::new(item))))
    }

    fn after(&mut self, milliseconds: i64) -> Vec<Vec<u64>> {
        self.now += milliseconds;
        sent(&self.take(What::Proceed))
    }

    fn end(&mut self, batch: u64) -> Vec<Vec<u64>> {
        let thread = Some(format!("thread-{batch}"));
        sent(&self.take(What::Ended { batch, delivered: Some("ok".into()), error: None, attempts: 1, thread }))
    }

    fn die(&mut self) {
        self.outbox = Outbox::replay(&self.records);
    }

    fn on_their_way(&self) -> Vec<u64> {
        self.outbox.channels.values().flat_map(|channel| channel.on_its_way.keys().copied()).collect()
    }

    fn sendings(&self) -> impl Iterator<Item = (Timestamp, u64, &String, &Vec<u64>)> {
        self.records.iter().filter_map(|record| match &record.event {
            Event::Outbox(Fact::Sending { batch, channel, numbers, .. }) => Some((record.at, *batch, channel, numbers)),
            _ => None,
        })
    }
}

fn sent(facts: &[Fact]) -> Vec<Vec<u64>> {
    facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Sending { numbers, .. } => Some(numbers.clone()),
            _ => None,
        })
        .collect()
}

fn item(about: &str, on: &str) -> Item {
    let urgent = matches!(on, "approval" | "escalated");
    Item {
        channel: "slack:ops".into(),
        about: about.into(),
        on: on.into(),
        subject: format!("{on} of {about}"),
        urgent,
        group: (!urgent).then(|| format!("p {on}")),
        merges: true,
        message: Value::Null,
        thread: None,
    }
}

fn apart(about: &str, on: &str) -> Item {
    Item { channel: "pagerduty:ml".into(), group: None, merges: false, ..item(about, on) }
}

fn grouped() -> Rules {
    Rules { group: Some((Duration::from_secs(10), Duration::from_secs(300))), ..Rules::default() }
}

fn limited(messages: usize) -> Rules {
    Rules { limit: Some(Limit { messages, within: Duration::from_secs(60) }), ..Rules::default() }
}

const NOTHING: Vec<Vec<u64>> = Vec::new();

#[test]
fn without_rules_each_goes_at_once() {
    let mut world = World::new(Rules::default());
    assert_eq!(world.offer(item("a", "started")), [[1]]);
    assert_eq!(world.offer(item("b", "started")), [[2]]);
    assert_eq!(world.offer(item("a", "resolved")), NOTHING, "the first of its run is still on its way");
    assert_eq!(world.end(1), [[3]]);
}

#[test]
fn a_storm_becomes_one_message_that_later_ones_are_added_to() {
    let mut world = World::new(grouped());
    for run in ["a", "b", "c"] {
        assert_eq!(world.offer(item(run, "unresolved")), NOTHING);
    }
    assert_eq!(world.outbox.next_wake(&world.rules, Timestamp(world.now)), Some(Timestamp(10_000)));
    assert_eq!(world.after(9_999), NOTHING);
    assert_eq!(world.after(1), [[1, 2, 3]]);
    world.end(1);
    world.offer(item("d", "unresolved"));
    assert_eq!(world.after(10_000), [[4]]);
    let batch = world.outbox.on_its_way(2).unwrap();
    assert_eq!((batch.before.len(), batch.thread.as_deref()), (3, Some("thread-1")), "it is edited");
    world.end(2);
    world.now += 300_000;
    world.offer(item("e", "unresolved"));
    world.after(10_000);
    assert_eq!(world.outbox.on_its_way(3).unwrap().before, [], "a group ends");
}

#[test]
fn one_alone_is_its_own_message_in_the_thread_of_its_run() {
    let mut world = World::new(grouped());
    world.offer(item("a", "started"));
    world.after(10_000);
    world.end(1);
    world.offer(item("a", "resolved"));
    world.after(10_000);
    let batch = world.outbox.on_its_way(2).unwrap();
    assert!(batch.is_of_one_run());
    assert_eq!(batch.thread.as_deref(), Some("thread-1"));
}

#[test]
fn what_needs_a_person_waits_for_no_group_and_takes_along_what_waits_of_its_run() {
    let mut world = World::new(grouped());
    world.offer(item("a", "started"));
    world.offer(item("b", "started"));
    assert_eq!(world.offer(item("a", "approval")), [[1, 3]]);
    assert_eq!(world.after(10_000), [[2]]);
}

#[test]
fn what_is_too_much_becomes_one_message_and_the_last_place_is_for_what_needs_a_person() {
    let mut world = World::new(limited(3));
    assert_eq!(world.offer(item("a", "started")), [[1]]);
    assert_eq!(world.offer(item("b", "started")), [[2]]);
    for run in ["c", "d", "e"] {
        assert_eq!(world.offer(item(run, "started")), NOTHING);
    }
    assert_eq!(world.offer(item("f", "approval")), [[6]]);
    assert_eq!(world.offer(item("g", "approval")), NOTHING, "no limit is exceeded, whatever for");
    assert_eq!(world.after(59_999), NOTHING);
    assert_eq!(world.after(1), [vec![7], vec![3, 4, 5]], "the urgent one first, then all others in one");
}

#[test]
fn a_paging_service_gets_each_by_itself_and_in_order() {
    let mut world = World::new(Rules { group: grouped().group, ..limited(2) });
    assert_eq!(world.offer(apart("a", "started")), [[1]]);
    assert_eq!(world.offer(apart("a", "escalated")), NOTHING, "the first is on its way");
    assert_eq!(world.end(1), [[2]]);
    world.offer(apart("b", "started"));
    world.offer(apart("c", "started"));
    assert_eq!(world.after(60_000), [[3]]);
    assert_eq!(world.after(60_000), [[4]]);
}

#[test]
fn what_was_on_its_way_is_sent_once_more_under_its_number() {
    let mut world = World::new(grouped());
    world.offer(item("a", "started"));
    world.offer(item("b", "started"));
    world.after(10_000);
    world.die();
    let facts = world.take(What::Proceed);
    assert!(matches!(&facts[..], [Fact::Sending { batch: 1, numbers, .. }] if *numbers == [1, 2]), "{facts:?}");
    world.die();
    world.take(What::Proceed);
    world.end(1);
    world.die();
    assert!(world.outbox.is_empty() && world.take(What::Proceed).is_empty());
}

/// Something that the outbox may go through.
#[derive(Debug, Clone)]
enum Step {
    Offer { run: u8, on: usize, apart: bool },
    Wait(u16),
    End(usize),
    Die,
}

const OCCASIONS: [&str; 5] = ["started", "approval", "resolved", "unresolved", "escalated"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..20_u8, 0..OCCASIONS.len(), any::<bool>()).prop_map(|(run, on, apart)| Step::Offer { run, on, apart }),
        3 => (1..30_000_u16).prop_map(Step::Wait),
        3 => any::<usize>().prop_map(Step::End),
        1 => Just(Step::Die),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let group = proptest::option::of((0..20_u64, 1..600_u64));
    let limit = proptest::option::of((1..6_usize, 1..90_u64));
    (group, limit).prop_map(|(group, limit)| Rules {
        group: group.map(|(wait, within)| (Duration::from_secs(wait), Duration::from_secs(within))),
        limit: limit.map(|(messages, within)| Limit { messages, within: Duration::from_secs(within) }),
        limits: BTreeMap::new(),
    })
}

fn go(world: &mut World, step: &Step) {
    match step {
        Step::Offer { run, on, apart: true } => drop(world.offer(apart(&format!("r{run}"), OCCASIONS[*on]))),
        Step::Offer { run, on, apart: false } => drop(world.offer(item(&format!("r{run}"), OCCASIONS[*on]))),
        Step::Wait(milliseconds) => drop(world.after(i64::from(*milliseconds))),
        Step::End(which) => {
            let on_their_way = world.on_their_way();
            if !on_their_way.is_empty() {
                world.end(on_their_way[which % on_their_way.len()]);
            }
        }
        Step::Die => world.die(),
    }
}

/// Lets time go by exactly as the program does: to the next moment at which it wants to be woken.
fn let_all_go(world: &mut World) {
    for _ in 0..10_000 {
        world.take(What::Proceed);
        for batch in world.on_their_way() {
            world.end(batch);
        }
        if world.outbox.is_empty() {
            return;
        }
        if let Some(due) = world.outbox.next_wake(&world.rules, Timestamp(world.now)) {
            world.now = world.now.max(due.0);
        }
    }
    panic!("something waits for ever: {:?}", world.outbox.waiting());
}

/// No window holds more than it may.
fn most_in_a_window(world: &World, limit: Limit, channel: &str) -> usize {
    let times: Vec<Timestamp> = world.sendings().filter(|(_, _, to, _)| *to == channel).map(|(at, ..)| at).collect();
    let in_window =
        |from: &Timestamp| times.iter().filter(|at| **at >= *from && at.since(*from) < limit.within).count();
    times.iter().map(in_window).max().unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_lost_nothing_is_told_twice_and_no_limit_is_exceeded(
        rules in rules(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(rules.clone());
        steps.iter().for_each(|step| go(&mut world, step));
        let_all_go(&mut world);

        let offered = steps.iter().filter(|step| matches!(step, Step::Offer { .. })).count() as u64;
        let mut batches: BTreeMap<u64, &Vec<u64>> = BTreeMap::new();
        for (_, batch, _, numbers) in world.sendings() {
            prop_assert_eq!(*batches.entry(batch).or_insert(numbers), numbers, "a batch stays what it is");
        }
        let told: Vec<u64> = batches.values().flat_map(|numbers| numbers.iter().copied()).collect();
        let all: BTreeSet<u64> = told.iter().copied().collect();
        prop_assert_eq!(told.len() as u64, offered, "each in one batch");
        prop_assert_eq!(all, (1..=offered).collect::<BTreeSet<u64>>());
        if let Some(limit) = rules.limit {
            for channel in ["slack:ops", "pagerduty:ml"] {
                prop_assert!(most_in_a_window(&world, limit, channel) <= limit.messages);
            }
        }
        prop_assert_eq!(&Outbox::replay(&world.records), &world.outbox, "what is known is what is written");
    }

    /// When something goes out that could have waited, nothing waits that needs a person and could have gone.
    #[test]
    fn what_needs_a_person_is_first(rules in rules(), steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new(rules);
        for step in &steps {
            let before: BTreeMap<u64, Waiting> =
                world.outbox.waiting().into_iter().map(|(number, one)| (number, one.clone())).collect();
            let from = world.records.len();
            go(&mut world, step);
            for record in &world.records[from..] {
                let Event::Outbox(Fact::Sending { numbers, channel, .. }) = &record.event else { continue };
                if numbers.iter().any(|number| before.get(number).is_none_or(|one| one.item.urgent)) {
                    continue;
                }
                let runs: BTreeSet<&String> = numbers.iter().map(|number| &before[number].item.about).collect();
                // What is kept apart and in order goes on behalf of the urgent one behind it.
                let urgent_behind = |one: &Waiting| one.item.urgent && runs.contains(&one.item.about);
                if world.outbox.waiting().into_values().any(|one| urgent_behind(one) && one.item.channel == *channel) {
                    continue;
                }
                let overtaken = world.outbox.waiting().into_values().find(|one| {
                    let busy = world.outbox.channels[channel].on_its_way.values();
                    let busy = busy.flat_map(|batch| &batch.items).any(|(_, item)| item.about == one.item.about);
                    one.item.urgent && one.item.channel == *channel && !busy
                });
                prop_assert!(overtaken.is_none(), "{overtaken:?} was overtaken by {numbers:?}");
            }
        }
    }
}
