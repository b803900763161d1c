//! What escalations promise, whatever happens and whenever the program dies.

mod doubt;
mod refused;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::engine::{Event, Record};

const MINUTE: i64 = 60_000;

/// Cases that are written down and read back after each step, with everything that was sent.
#[derive(Default)]
struct World {
    records: Vec<Record>,
    now: i64,
    /// How often each message was sent to each channel.
    sent: BTreeMap<(String, u64, String), u32>,
    /// Channels that take nothing.
    broken: BTreeSet<String>,
}

/// Where the program dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dies {
    Never,
    BeforeWriting,
    BeforeSending,
    AfterSending,
}

impl World {
    fn cases(&self) -> Cases {
        Cases::replay(&self.records)
    }

    fn write(&mut self, facts: &[Fact]) {
        for fact in facts {
            let (run, seq) = (RunId::from(STREAM.to_owned()), self.records.len() as u64 + 1);
            let record = Record { run, seq, at: Timestamp(self.now), event: Event::Escalation(fact.clone()) };
            // As it stands in the journal.
            let text = serde_json::to_string(&record).expect("JSON");
            self.records.push(serde_json::from_str(&text).expect("the same"));
        }
    }

    fn take(&mut self, what: What) -> Vec<Fact> {
        self.take_until(what, Dies::Never)
    }

    fn take_until(&mut self, what: What, dies: Dies) -> Vec<Fact> {
        let facts = advance(&mut self.cases(), &[Input { at: Timestamp(self.now), what }]);
        if dies == Dies::BeforeWriting {
            return Vec::new();
        }
        self.write(&facts);
        for fact in &facts {
            if let Fact::Tell { case, notice, to, .. } = fact
                && dies != Dies::BeforeSending
            {
                for channel in to {
                    *self.sent.entry((case.to_string(), *notice, channel.clone())).or_default() += 1;
                    if dies == Dies::Never {
                        self.told(case, *notice, channel);
                    }
                }
            }
        }
        facts
    }

    fn told(&mut self, case: &RunId, notice: u64, channel: &str) {
        let broken = self.broken.contains(channel);
        let (delivered, error) =
            (!broken).then(|| "taken".to_owned()).map_or((None, Some("down".to_owned())), |taken| (Some(taken), None));
        let (case, channel) = (case.clone(), channel.to_owned());
        self.take(What::Told { case, notice, channel, delivered, error, attempts: 1, thread: None });
    }

    fn after(&mut self, minutes: i64) -> Vec<Fact> {
        self.now += minutes * MINUTE;
        self.take(What::Proceed)
    }

    /// The levels that were told, in order, without those that were told again.
    fn levels(&self) -> Vec<(u32, u32)> {
        let told = self.records.iter().filter_map(|record| match &record.event {
            Event::Escalation(Fact::Tell { words: Words::Level { level, round }, repeats: None, .. }) => {
                Some((*round, *level))
            }
            _ => None,
        });
        told.collect()
    }

    fn words(&self) -> Vec<Words> {
        let told = self.records.iter().filter_map(|record| match &record.event {
            Event::Escalation(Fact::Tell { words, .. }) => Some(words.clone()),
            _ => None,
        });
        told.collect()
    }
}

fn run(name: &str) -> RunId {
    RunId::from(name.to_owned())
}

fn subject() -> Subject {
    Subject { playbook: "p".into(), title: "P".into(), incident: "runbook:p:1".into(), severity: "high".into() }
}

fn ladder(minutes: &[Option<i64>], repeat: u32) -> Ladder {
    let level = |(position, minutes): (usize, &Option<i64>)| Level {
        names: vec![format!("level {position}")],
        to: BTreeSet::from([format!("slack:{}", position + 1)]),
        within_ms: minutes.map(|minutes| (minutes * MINUTE) as u64),
    };
    Ladder { levels: minutes.iter().enumerate().map(level).collect(), repeat, last: BTreeSet::new() }
}

fn raise(name: &str, ladder: Ladder, since: i64) -> What {
    let (policy, why) = ("on-call".into(), "unresolved".into());
    What::Raise { case: run(name), since: Timestamp(since), subject: subject(), policy, why, ladder }
}

fn acknowledge(name: &str) -> What {
    What::Acknowledge { case: run(name), by: "ada".into(), reason: "mine".into(), way: "command".into() }
}

fn seen(name: &str, status: &str, end: Option<bool>) -> What {
    let end = end.map(|gone| End { why: "it ended".into(), gone, told: BTreeSet::new() });
    What::Seen { case: run(name), status: status.into(), end }
}

fn seed_001() -> Ladder {
    // On-call until 15, lead until 30, management until 60 minutes.
    ladder(&[Some(15), Some(15), Some(30)], 0)
}

#[test]
fn each_level_is_told_when_the_one_before_it_has_not_answered_in_time() {
    let mut world = World::default();
    world.take(raise("a", seed_001(), 0));
    assert_eq!(world.levels(), [(1, 1)], "at once");
    world.after(14);
    assert_eq!(world.levels(), [(1, 1)]);
    world.after(1);
    assert_eq!(world.levels(), [(1, 1), (1, 2)]);
    world.after(15);
    assert_eq!(world.levels(), [(1, 1), (1, 2), (1, 3)]);
    world.after(29);
    assert!(world.cases().get(&run("a")).unwrap().is_climbing());
    world.after(1);
    let cases = world.cases();
    assert!(cases.get(&run("a")).unwrap().climb.as_ref().unwrap().exhausted);
    world.after(1_000);
    assert_eq!(world.levels().len(), 3);
}

#[test]
fn an_acknowledgement_stops_the_ladder_and_is_told_to_those_who_were_asked() {
    let mut world = World::default();
    world.take(raise("a", seed_001(), 0));
    world.after(15);
    let facts = world.take(acknowledge("a"));
    assert!(matches!(&facts[0], Fact::Acknowledged { by, .. } if by == "ada"));
    let asked = BTreeSet::from(["slack:1".to_owned(), "slack:2".to_owned()]);
    assert!(matches!(&facts[1], Fact::Tell { words: Words::Acknowledged, to, .. } if *to == asked));
    assert_eq!(world.take(acknowledge("a")), [], "once");
    world.after(1_000);
    assert_eq!(world.levels().len(), 2);
    let closed = world.take(seen("a", "Resolved", Some(true)));
    assert!(matches!(&closed[1], Fact::Tell { words: Words::Closed, to, .. } if *to == asked));
    assert_eq!(world.take(seen("a", "Resolved", Some(true))), []);
}

#[test]
fn levels_without_times_are_told_when_somebody_asks() {
    let mut world = World::default();
    world.take(raise("a", ladder(&[None, None, None, None], 0), 0));
    world.after(100_000);
    assert_eq!(world.levels(), [(1, 1)]);
    for _ in 0..3 {
        world.take(What::Next { case: run("a") });
    }
    assert_eq!(world.levels(), [(1, 1), (1, 2), (1, 3), (1, 4)]);
    assert!(matches!(world.take(What::Next { case: run("a") })[..], [Fact::Exhausted { .. }]));
    assert_eq!(world.take(What::Next { case: run("a") }), []);
}

#[test]
fn levels_are_repeated_and_the_final_one_comes_last_and_once() {
    let mut world = World::default();
    let ladder = Ladder { last: BTreeSet::from(["email:all".to_owned()]), ..ladder(&[Some(1), Some(1)], 2) };
    world.take(raise("a", ladder, 0));
    for _ in 0..20 {
        world.after(1);
    }
    assert_eq!(world.levels(), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]);
    assert_eq!(world.words().iter().filter(|words| **words == Words::Final).count(), 1);
    assert_eq!(world.words().last(), Some(&Words::Final));
}

#[test]
fn a_server_that_was_down_over_a_deadline_tells_the_next_level_once_and_gives_it_its_time() {
    let mut world = World::default();
    world.take(raise("a", seed_001(), 0));
    world.after(50);
    assert_eq!(world.levels(), [(1, 1), (1, 2)], "not those after it as well");
    world.after(14);
    assert_eq!(world.levels().len(), 2);
    world.after(1);
    assert_eq!(world.levels().len(), 3);
}

#[test]
fn when_nobody_of_a_level_is_reached_the_next_one_is_told_at_once() {
    let mut world = World { broken: BTreeSet::from(["slack:1".to_owned()]), ..World::default() };
    world.take(raise("a", seed_001(), 0));
    assert_eq!(world.levels(), [(1, 1), (1, 2)]);
    // When nobody at all is reached, rounds are not burnt.
    let mut world =
        World { broken: ["slack:1", "slack:2"].map(str::to_owned).into_iter().collect(), ..World::default() };
    world.take(raise("a", ladder(&[Some(15), Some(15)], 3), 0));
    assert_eq!(world.levels(), [(1, 1), (1, 2)]);
    world.after(15);
    assert_eq!(world.levels(), [(1, 1), (1, 2), (2, 1), (2, 2)]);
}

#[test]
fn what_is_in_doubt_is_not_sent_again_and_the_next_level_is_told() {
    let mut world = World::default();
    world.take_until(raise("a", seed_001(), 0), Dies::AfterSending);
    world.now += 59_000;
    assert_eq!(world.take(What::Proceed), [], "whoever wrote the intent may still be at it");
    world.now += 1_000;
    world.take(What::Proceed);
    assert_eq!(world.levels(), [(1, 1), (1, 2)]);
    assert!(world.sent.values().all(|count| *count == 1), "{:?}", world.sent);
    let late = What::Told {
        case: run("a"),
        notice: 1,
        channel: "slack:1".into(),
        delivered: Some("late".into()),
        error: None,
        attempts: 1,
        thread: None,
    };
    assert_eq!(world.take(late), [], "its end is settled");
}

#[test]
fn a_run_escalates_once_and_the_same_fault_is_told_once_while_somebody_is_at_it() {
    let mut world = World::default();
    world.take(raise("a", seed_001(), 0));
    assert_eq!(world.take(raise("a", seed_001(), 0)), [], "found again in the journal");
    assert!(matches!(world.take(raise("b", seed_001(), 0))[..], [Fact::Joined { .. }]));
    assert_eq!(world.take(raise("b", seed_001(), 0)), []);
    assert_eq!(world.cases().standing_for(&run("b")).unwrap().run, run("a"));
    world.take(acknowledge("a"));
    assert!(matches!(world.take(raise("c", seed_001(), 0))[..], [Fact::Joined { .. }]), "somebody is at it");
    world.after(9 * 60);
    let facts = world.take(raise("d", seed_001(), world.now));
    assert!(
        matches!(facts[..], [Fact::Closed { gone: false, .. }, Fact::Raised { .. }, Fact::Tell { .. }]),
        "{facts:?}"
    );
}

#[test]
fn what_escalated_before_the_stream_began_is_history() {
    let mut world = World { now: 100 * MINUTE, ..World::default() };
    world.take(What::Proceed);
    assert_eq!(world.take(raise("old", seed_001(), 0)), []);
    assert_ne!(world.take(raise("new", seed_001(), 100 * MINUTE)), []);
}

fn follow(name: &str) -> What {
    let to = BTreeSet::from(["email:all".to_owned()]);
    let updates = Follow { every_ms: 30 * MINUTE as u64, to, template: "status-update".into(), usually_ms: None };
    What::Follow { case: run(name), subject: subject(), updates }
}

#[test]
fn updates_come_at_once_on_every_change_and_again_after_a_while_until_the_end() {
    let mut world = World::default();
    world.take(follow("a"));
    world.take(seen("a", "Investigating", None));
    world.take(seen("a", "Investigating", None));
    assert_eq!(world.words().len(), 1);
    world.after(29);
    assert_eq!(world.words().len(), 1);
    world.after(1);
    assert_eq!(world.words().len(), 2);
    world.after(10);
    world.take(seen("a", "Mitigating", None));
    world.after(29);
    assert_eq!(world.words().len(), 3, "a change begins the wait anew");
    world.after(300);
    assert_eq!(world.words().len(), 4, "what was missed is told once");
    world.take(seen("a", "Resolved", Some(true)));
    world.after(1_000);
    let status: Vec<Words> = world.words().split_off(4);
    assert_eq!(status, [Words::Update { status: "Resolved".into() }]);
}

#[test]
fn an_escalation_keeps_updates_going_beyond_its_run() {
    let mut world = World::default();
    world.take(follow("a"));
    world.take(seen("a", "Investigating", None));
    world.take(raise("a", seed_001(), 0));
    world.take(seen("a", "Mitigating", Some(false)));
    let before = world.words().len();
    world.after(30);
    assert!(world.words().len() > before);
    assert!(world.cases().get(&run("a")).unwrap().closed.is_none());
    world.take(follow("b"));
    world.take(seen("b", "Mitigating", Some(false)));
    assert!(world.cases().get(&run("b")).unwrap().closed.is_some(), "without an escalation the run is all there is");
}

#[test]
fn a_run_that_escalates_before_it_is_followed_is_followed_all_the_same() {
    let mut world = World::default();
    world.take(raise("a", ladder(&[None], 0), 0));
    world.take(follow("a"));
    world.take(seen("a", "Investigating", None));
    assert_eq!(world.words().last(), Some(&Words::Update { status: "Investigating".into() }));
}

fn step() -> impl Strategy<Value = (u8, i64, Dies)> {
    let dies = prop_oneof![
        3 => Just(Dies::Never),
        1 => Just(Dies::BeforeWriting),
        1 => Just(Dies::BeforeSending),
        1 => Just(Dies::AfterSending),
    ];
    (0_u8..8, 0_i64..20, dies)
}

proptest! {
    /// Whatever happens in whatever order, and wherever the program dies: no message is sent twice, no level of a
    /// round is told twice, levels come in order, and after an answer no further one is told. Only what comes last and
    /// may have reached nobody is told again, once, and says so.
    #[test]
    fn nothing_is_told_twice_wherever_the_program_dies(
        steps in prop::collection::vec(step(), 1..60),
        repeat in 0_u32..3,
        broken in prop::collection::btree_set(prop::sample::select(vec!["slack:1", "slack:2", "slack:3"]), 0..3),
        last in prop::collection::btree_set(Just("email:all".to_owned()), 0..2),
    ) {
        let mut world = World { broken: broken.into_iter().map(str::to_owned).collect(), ..World::default() };
        let mut answered = None;
        for (kind, minutes, dies) in steps {
            world.now += minutes * MINUTE;
            let what = match kind {
                0 | 1 => {
                    let ladder = ladder(&[Some(15), Some(15), Some(30)], repeat);
                    raise("a", Ladder { last: last.clone(), ..ladder }, 0)
                }
                2 => follow("a"),
                3 => seen("a", if minutes % 2 == 0 { "Investigating" } else { "Mitigating" }, None),
                4 => What::Next { case: run("a") },
                5 if minutes == 0 => acknowledge("a"),
                _ => What::Proceed,
            };
            world.take_until(what, dies);
            let cases = world.cases();
            let is_answered = cases.get(&run("a")).is_some_and(|case| case.acknowledged.is_some());
            let asked = doubt::asked(&world).len();
            match answered {
                Some(before) => prop_assert_eq!(asked, before, "told after an answer"),
                None if is_answered => answered = Some(asked),
                None => {}
            }
        }
        prop_assert!(world.sent.values().all(|count| *count == 1), "{:?}", world.sent);
        let levels = world.levels();
        prop_assert!(levels.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", levels);
        // However it went, time alone brings it to its end.
        for _ in 0..40 {
            world.after(31);
        }
        if let Some(case) = world.cases().get(&run("a")).filter(|case| case.climb.is_some()) {
            prop_assert!(!case.is_climbing());
            prop_assert!(case.acknowledged.is_some() || world.levels().len() == 3 * (repeat as usize + 1));
            prop_assert_eq!(case.pending().count(), 0);
        }
        doubt::holds(&world)?;
    }
}
