//! What is done when no channel takes any message.

use super::*;

fn cut_off() -> World {
    World { broken: ["slack:1", "slack:2"].map(str::to_owned).into(), ..World::default() }
}

#[test]
fn a_ladder_that_reached_nobody_begins_anew_until_the_network_is_back() {
    let mut world = cut_off();
    world.take(raise("a", ladder(&[Some(15), None], 0), 0));
    assert_eq!(world.levels(), [(1, 1), (1, 2)], "nobody of the first is reached, so the second is told at once");
    assert_eq!(world.after(4), []);
    world.after(1);
    assert_eq!(world.levels(), [(1, 1), (1, 2), (1, 1), (1, 2)]);
    world.broken.clear();
    world.after(5);
    assert_eq!(world.levels().len(), 5, "the first has it, and its whole time");
    assert_eq!(world.after(14), []);
    world.after(1);
    assert_eq!(world.levels()[5..], [(1, 2)]);
    assert_eq!(world.after(10_000), [], "it was heard");
}

#[test]
fn one_that_everybody_was_told_of_in_vain_begins_anew_too() {
    let mut world = cut_off();
    world.take(raise("a", ladder(&[Some(1)], 0), 0));
    world.after(1);
    let exhausted =
        |world: &World| world.cases().get(&run("a")).and_then(|case| case.climb.clone()).map(|climb| climb.exhausted);
    assert_eq!(exhausted(&world), Some(true));
    world.broken.clear();
    world.after(5);
    assert_eq!((exhausted(&world), world.levels().len()), (Some(false), 2));
}

#[test]
fn it_does_not_begin_anew_for_ever_or_when_somebody_has_heard_or_answered() {
    let mut world = cut_off();
    world.take(raise("a", ladder(&[None], 0), 0));
    for _ in 0..600 {
        world.after(5);
    }
    assert_eq!(world.levels().len(), 24 * 12, "for a day");
    let mut world = World { broken: ["slack:2".to_owned()].into(), ..World::default() };
    world.take(raise("a", ladder(&[Some(15), None], 0), 0));
    world.after(15);
    assert_eq!((world.levels(), world.after(1_000)), (vec![(1, 1), (1, 2)], Vec::new()), "the first has heard");
    let mut world = cut_off();
    world.take(raise("a", ladder(&[None], 0), 0));
    world.take(acknowledge("a"));
    assert_eq!(world.after(1_000), []);
}
