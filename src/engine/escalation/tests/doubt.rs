//! What is done when the program died over the last message of a ladder.

use super::*;

/// Messages that ask somebody to take over.
pub(super) fn asked(world: &World) -> Vec<Notice> {
    let cases = world.cases();
    let notices = cases.get(&run("a")).map(|case| case.notices.clone()).unwrap_or_default();
    notices.into_iter().filter(|notice| matches!(notice.words, Words::Level { .. } | Words::Final)).collect()
}

fn is_known_to(notice: &Notice) -> bool {
    notice.to.values().any(|sent| matches!(sent, Sent::Delivered { .. }))
}

fn is_in_doubt(notice: &Notice) -> bool {
    !is_known_to(notice) && notice.to.values().any(|sent| *sent == Sent::Doubtful)
}

/// A repeat comes next after what it repeats, with the same words to the same people; what it repeats came last, was
/// in doubt and is no repeat. And nobody who came last is left in doubt without one.
pub(super) fn holds(world: &World) -> Result<(), TestCaseError> {
    let cases = world.cases();
    let Some(case) = cases.get(&run("a")).filter(|case| case.climb.is_some()) else { return Ok(()) };
    let levels = case.climb.as_ref().map_or(0, |climb| climb.ladder.levels.len());
    let is_last = |words: &Words| match words {
        Words::Level { level, .. } => *level as usize == levels,
        words => *words == Words::Final,
    };
    let asked = asked(world);
    for (position, notice) in asked.iter().enumerate() {
        let Some(repeats) = notice.repeats else { continue };
        let first = &asked[position - 1];
        prop_assert_eq!((first.notice, &first.words, first.repeats), (repeats, &notice.words, None));
        prop_assert!(first.to.keys().eq(notice.to.keys()) && is_in_doubt(first) && is_last(&first.words), "{first:?}");
    }
    let unanswered = case.acknowledged.is_none() && case.closed.is_none();
    let forgotten = asked.last().filter(|last| is_last(&last.words) && is_in_doubt(last) && last.repeats.is_none());
    prop_assert!(!unanswered || forgotten.is_none(), "{forgotten:?}");
    Ok(())
}

fn minute(world: &mut World, dies: Dies) -> Vec<Fact> {
    world.now += MINUTE;
    world.take_until(What::Proceed, dies)
}

/// How often somebody was asked, and whether each time was marked as a repeat.
fn repeats(world: &World) -> Vec<bool> {
    asked(world).iter().map(|notice| notice.repeats.is_some()).collect()
}

#[test]
fn the_last_level_in_doubt_is_told_again_once_and_has_its_whole_time_then() {
    let mut world = World::default();
    world.take_until(raise("a", ladder(&[Some(15)], 0), 0), Dies::BeforeSending);
    world.now += MINUTE - 1;
    assert_eq!(world.take(What::Proceed), [], "whoever wrote the intent may still be at it");
    world.now += 1;
    let facts = world.take_until(What::Proceed, Dies::AfterSending);
    assert!(matches!(facts[..], [Fact::Doubted { .. }, Fact::Tell { repeats: Some(1), .. }]), "{facts:?}");
    assert!(matches!(minute(&mut world, Dies::Never)[..], [Fact::Doubted { .. }]), "a second time is once too often");
    assert_eq!(world.after(13), []);
    assert!(matches!(world.after(1)[..], [Fact::Exhausted { .. }]), "a quarter of an hour after the repeat");
    assert_eq!(repeats(&world), [false, true]);
}

#[test]
fn a_last_level_without_a_time_is_told_again_too() {
    let mut world = World::default();
    world.take_until(raise("a", ladder(&[None], 0), 0), Dies::AfterSending);
    minute(&mut world, Dies::Never);
    assert_eq!(repeats(&world), [false, true]);
    assert!(is_known_to(&asked(&world)[1]));
    assert_eq!(world.after(1_000), []);
}

#[test]
fn each_round_has_a_last_level() {
    let mut world = World::default();
    world.take(raise("a", ladder(&[Some(15), Some(15)], 1), 0));
    world.now += 15 * MINUTE;
    world.take_until(What::Proceed, Dies::BeforeSending);
    minute(&mut world, Dies::Never);
    assert_eq!(repeats(&world), [false, false, true]);
    assert_eq!(world.after(14), []);
    world.after(1);
    assert_eq!(world.levels(), [(1, 1), (1, 2), (2, 1)], "the round is not cut short");
}

#[test]
fn those_at_the_very_end_are_told_again_although_every_level_was_told() {
    let mut world = World::default();
    let ladder = Ladder { last: BTreeSet::from(["email:all".to_owned()]), ..ladder(&[Some(1)], 0) };
    world.take(raise("a", ladder, 0));
    world.now += MINUTE;
    let facts = world.take_until(What::Proceed, Dies::BeforeSending);
    assert!(matches!(facts[..], [Fact::Tell { words: Words::Final, .. }, Fact::Exhausted { .. }]), "{facts:?}");
    let facts = minute(&mut world, Dies::Never);
    let again = |fact: &Fact| matches!(fact, Fact::Tell { words: Words::Final, repeats: Some(2), .. });
    assert!(again(&facts[1]), "{facts:?}");
    assert_eq!(repeats(&world), [false, false, true]);
}

/// One level of two channels.
fn pair() -> Ladder {
    let mut ladder = ladder(&[Some(15)], 0);
    ladder.levels[0].to = ["slack:1", "slack:2"].map(str::to_owned).into();
    ladder
}

#[test]
fn what_somebody_has_or_nobody_can_take_is_not_told_again() {
    for (delivered, again) in [(true, vec![false]), (false, vec![false, true])] {
        let mut world = World::default();
        world.take_until(raise("a", pair(), 0), Dies::AfterSending);
        if !delivered {
            world.broken.insert("slack:1".into());
        }
        world.told(&run("a"), 1, "slack:1");
        minute(&mut world, Dies::Never);
        assert_eq!(repeats(&world), again, "one in doubt, and the other has it: {delivered}");
    }
    let mut world = World { broken: ["slack:1", "slack:2"].map(str::to_owned).into(), ..World::default() };
    world.take(raise("a", pair(), 0));
    minute(&mut world, Dies::Never);
    assert_eq!(repeats(&world), [false], "no channel takes it");
}

#[test]
fn what_is_answered_or_over_is_not_told_again() {
    for what in [acknowledge("a"), seen("a", "Resolved", Some(true)), What::Close { case: run("a"), why: "x".into() }] {
        let mut world = World::default();
        world.take_until(raise("a", ladder(&[Some(15)], 0), 0), Dies::AfterSending);
        world.take(what.clone());
        minute(&mut world, Dies::Never);
        assert_eq!(repeats(&world), [false], "{what:?}");
    }
}
