//! What a crash leaves behind: repeat what is harmless, ask the check, else a person.

use serde_json::json;

use super::plan::Plan;
use super::world::{World, failure, measured, problem, resolve};
use crate::base::StepKey;
use crate::engine::What;
use crate::engine::event::{Event, Outcome, Resolution, Role, StepStatus};
use crate::engine::graph::Repeat;

fn fixing() -> Plan {
    Plan::new().step("remediate.fix")
}

#[test]
fn what_is_harmless_is_simply_repeated() {
    let mut world = World::start(fixing().repeat(Repeat::Safe));
    world.crash();
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 2);
    assert_eq!(world.outcome(), None);
}

#[test]
fn what_must_not_be_repeated_waits_for_a_person() {
    let mut world = World::start(fixing());
    world.crash();
    assert_eq!(world.outcome(), Some(Outcome::Parked));
    assert_eq!(world.why(), "remediate.fix was interrupted, and whether it was done is not known");
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 1);
    world.crash();
    assert_eq!(world.outcome(), Some(Outcome::Parked), "coming back changes nothing");
}

#[test]
fn what_goes_on_without_the_program_is_not_in_doubt() {
    let mut world = World::start(fixing());
    let goes_on = [(StepKey::plain("remediate.fix"), Role::Main)].into();
    world.feed([What::Resumed { by: "ada".into(), goes_on }]);
    assert_eq!((world.outcome(), world.count(|event| matches!(event, Event::AttemptInterrupted { .. }))), (None, 0));
    world.pass("remediate.fix", json!({}));
    assert_eq!(world.status("remediate.fix"), Some(StepStatus::Passed));
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 1);
}

#[test]
fn a_person_settles_a_doubt() {
    for (resolution, status, outcome) in [
        (Resolution::Done, Some(StepStatus::Passed), Some(Outcome::Resolved)),
        (Resolution::Abort, Some(StepStatus::Error), Some(Outcome::Unresolved)),
        (Resolution::Retry, None, None),
    ] {
        let mut world = World::start(fixing());
        world.crash();
        world.crash_and([resolve("remediate.fix", resolution)]);
        assert_eq!((world.status("remediate.fix"), world.outcome()), (status, outcome), "{resolution:?}");
        let again = usize::from(resolution == Resolution::Retry);
        assert_eq!(world.starts(Role::Main, "remediate.fix"), 1 + again);
    }
}

#[test]
fn a_person_can_settle_a_doubt_before_the_run_parks() {
    let mut world = World::start(fixing());
    world.crash_and([resolve("remediate.fix", Resolution::Done)]);
    assert_eq!(world.outcome(), Some(Outcome::Resolved));
    assert_eq!(world.count(|event| matches!(event, Event::RunFinished { outcome: Outcome::Parked, .. })), 0);
}

#[test]
fn the_check_is_asked_first() {
    for (result, expected) in [
        (measured(json!({"ok": true})), Some(StepStatus::Passed)),
        (measured(json!({"ok": false})), None),
        (failure(json!({}), "not there"), None),
    ] {
        let mut world = World::start(fixing().check(Some("ok")));
        world.crash();
        assert_eq!(world.starts(Role::Check, "remediate.fix"), 1);
        world.end_as(Role::Check, "remediate.fix", result.clone());
        assert_eq!(world.status("remediate.fix"), expected, "{result:?}");
        assert_eq!(world.starts(Role::Main, "remediate.fix"), if expected.is_none() { 2 } else { 1 });
    }
}

#[test]
fn t17_what_is_interrupted_every_time_comes_to_an_end() {
    let mut world = World::start(fixing().check(Some("ok")));
    for _ in 0..3 {
        assert_eq!(world.status("remediate.fix"), None);
        world.crash();
        world.end_as(Role::Check, "remediate.fix", measured(json!({"ok": false})));
    }
    assert_eq!((world.status("remediate.fix"), world.outcome()), (Some(StepStatus::Error), Some(Outcome::Unresolved)));
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 3);
}

#[test]
fn what_waits_for_a_person_parks_the_run_and_is_tried_again_when_it_goes_on() {
    let mut world = World::start(fixing().check(Some("ok")));
    for attempt in 1..=4 {
        let (key, result) = (StepKey::plain("remediate.fix"), problem("'other' waits for a person"));
        world.feed([What::Suspended { key, role: Role::Main, attempt, result }]);
        assert_eq!(world.outcome(), Some(Outcome::Parked));
        assert_eq!(world.why(), "remediate.fix calls a playbook that waits for a person");
        world.crash();
        assert_eq!((world.outcome(), world.starts(Role::Main, "remediate.fix")), (None, attempt as usize + 1));
    }
    assert_eq!(world.starts(Role::Check, "remediate.fix"), 0, "nothing is in doubt");
    world.pass("remediate.fix", json!({}));
    assert_eq!(world.outcome(), Some(Outcome::Resolved));
}

#[test]
fn nobody_is_waited_for_when_the_run_was_told_to_stop() {
    let mut world = World::start(fixing());
    world.cancel(false);
    let (key, result) = (StepKey::plain("remediate.fix"), problem("'other' waits for a person"));
    world.feed([What::Suspended { key, role: Role::Main, attempt: 1, result }]);
    assert_eq!(world.outcome(), Some(Outcome::Cancelled));
}

#[test]
fn a_check_that_cannot_tell_leaves_it_to_a_person() {
    for result in [problem("refused"), measured(json!({"other": 1}))] {
        let mut world = World::start(fixing().check(Some("ok")));
        world.crash();
        world.end_as(Role::Check, "remediate.fix", result);
        assert_eq!(world.outcome(), Some(Outcome::Parked));
        world.crash();
        assert_eq!(world.starts(Role::Check, "remediate.fix"), 2, "perhaps it answers now");
    }
}

#[test]
fn an_interrupted_check_is_asked_again() {
    let mut world = World::start(fixing().check(None));
    world.crash();
    world.crash();
    assert_eq!(world.starts(Role::Check, "remediate.fix"), 2);
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 1);
}

#[test]
fn the_result_of_an_attempt_survives_a_crash_right_after_it() {
    let mut world = World::start(fixing());
    world.pass("remediate.fix", json!({"ok": 1}));
    let ended = world.records.iter().position(|record| matches!(record.event, Event::AttemptEnded { .. }));
    world.records.truncate(ended.expect("it ended") + 1);
    world.crash();
    assert_eq!(world.status("remediate.fix"), Some(StepStatus::Passed));
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 1);
}

#[test]
fn a_doubt_does_not_hold_up_what_is_independent() {
    let mut world = World::start(fixing().step("remediate.other").repeat(Repeat::Safe));
    world.crash();
    assert_eq!(world.outcome(), None, "the other one still runs");
    world.pass("remediate.other", json!({}));
    assert_eq!(world.outcome(), Some(Outcome::Parked));
}

#[test]
fn only_what_is_in_doubt_can_be_settled() {
    let mut world = World::start(fixing());
    assert_eq!(world.feed([resolve("remediate.fix", Resolution::Done)]), [], "it is running");
    assert_eq!(world.feed([resolve("remediate.other", Resolution::Done)]), [], "there is no such step");
}
