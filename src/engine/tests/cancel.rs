//! Stops: softly, so that what runs ends and `finally` cleans up, and at once.

use serde_json::json;

use super::plan::{Plan, retry};
use super::world::{World, measured, problem};
use crate::engine::event::{AttemptResult, Event, Outcome, Phase, Role, StepStatus};
use crate::engine::graph::Repeat;
use crate::engine::{Command, What, commands_for};

/// A plan with something to do in every phase.
fn whole() -> Plan {
    Plan::detecting()
        .step("diagnose.look")
        .step("diagnose.more")
        .needs(&["look"])
        .step("remediate.fix")
        .undo(Repeat::Safe)
        .step("remediate.more")
        .needs(&["fix"])
        .step("verify.serve")
        .step("finally.report")
        .step("finally.tidy")
        .needs(&["report"])
}

/// The run of `whole` with the first step of this phase running.
fn running_in(phase: Phase) -> World {
    let mut world = World::start(whole());
    let broken = json!({"broken": true});
    let moves: [(Phase, &str); 6] = [
        (Phase::Detect, "detect.fault"),
        (Phase::Diagnose, "diagnose.look"),
        (Phase::Diagnose, "diagnose.more"),
        (Phase::Remediate, "remediate.fix"),
        (Phase::Remediate, "remediate.more"),
        (Phase::Verify, "recheck.fault"),
    ];
    for (of, step) in moves {
        if of >= phase {
            return world;
        }
        world.pass(step, broken.clone());
    }
    if phase == Phase::Finally {
        world.end_as(Role::Undo, "remediate.fix", measured(json!({})));
    }
    world
}

const PHASES: [Phase; 6] =
    [Phase::Detect, Phase::Diagnose, Phase::Remediate, Phase::Verify, Phase::Undo, Phase::Finally];

#[test]
fn asked_softly_a_run_lets_what_runs_end_and_cleans_up() {
    for phase in PHASES {
        let mut world = running_in(phase);
        assert_eq!(world.phase(), Some(phase));
        let (key, role, _) = world.running().remove(0);
        world.cancel(false);
        assert_eq!(world.running().len(), 1, "{key} goes on in {phase}");
        world.end_as(role, &key.to_string(), measured(json!({"broken": true})));
        assert_eq!(world.phase(), Some(Phase::Finally), "after {phase}");
        if phase != Phase::Finally {
            world.pass("finally.report", json!({}));
        }
        world.pass("finally.tidy", json!({}));
        assert_eq!(world.outcome(), Some(Outcome::Cancelled), "in {phase}");
        let begun = PHASES.iter().filter(|known| **known <= phase || **known == Phase::Finally).count();
        assert_eq!(world.count(|event| matches!(event, Event::PhaseStarted { .. })), begun);
    }
}

#[test]
fn asked_at_once_a_run_ends_without_cleaning_up() {
    for phase in PHASES {
        let mut world = running_in(phase);
        let (key, role, _) = world.running().remove(0);
        let events = world.cancel(true);
        assert_eq!(events.iter().filter_map(commands_for).collect::<Vec<_>>(), [Command::KillAttempts]);
        assert_eq!(world.outcome(), None, "{key} is still running in {phase}");
        world.end_as(role, &key.to_string(), AttemptResult::Cancelled);
        assert_eq!(world.outcome(), Some(Outcome::Cancelled));
        assert_eq!(world.starts(Role::Main, "finally.tidy"), 0);
        if role == Role::Main {
            assert_eq!(world.status(&key.step), Some(StepStatus::Cancelled));
        }
    }
}

#[test]
fn a_second_request_ends_what_the_first_let_go_on() {
    let mut world = running_in(Phase::Remediate);
    world.cancel(false);
    assert_eq!(world.cancel(false), [], "asking softly again adds nothing");
    world.cancel(true);
    world.end("remediate.fix", AttemptResult::Cancelled);
    assert_eq!(world.outcome(), Some(Outcome::Cancelled));
    assert_eq!(world.starts(Role::Main, "finally.report"), 0);
}

#[test]
fn a_second_request_also_ends_the_cleaning_up() {
    let mut world = running_in(Phase::Remediate);
    world.cancel(false);
    world.pass("remediate.fix", json!({}));
    world.cancel(true);
    world.end("finally.report", AttemptResult::Cancelled);
    assert_eq!(world.starts(Role::Main, "finally.tidy"), 0);
    assert_eq!(world.outcome(), Some(Outcome::Cancelled));
}

#[test]
fn cleaning_up_keeps_its_retries_after_a_stop() {
    let mut world =
        World::start(Plan::new().step("diagnose.look").retry(retry(3)).step("finally.tidy").retry(retry(3)));
    world.cancel(false);
    world.end("diagnose.look", problem("no"));
    assert_eq!(world.status("diagnose.look"), Some(StepStatus::Error), "what is stopped is not begun again");
    world.end("finally.tidy", problem("busy"));
    assert_eq!(world.outcome(), None);
    world.wait(1.0);
    world.pass("finally.tidy", json!({}));
    assert_eq!(world.outcome(), Some(Outcome::Cancelled));
}

#[test]
fn a_pause_or_a_question_does_not_keep_a_stopped_run() {
    let mut world = World::start(Plan::new().step("diagnose.look").retry(retry(3)).step("finally.tidy"));
    world.end("diagnose.look", problem("no"));
    world.cancel(false);
    assert_eq!(world.running_names(), ["finally.tidy"]);
    assert_eq!(world.state.next_wake(world.now), None, "the pause is over for good");

    let mut world = World::start(Plan::new().step("remediate.fix").approve(Some(60)).step("finally.tidy"));
    world.cancel(false);
    assert_eq!(world.running_names(), ["finally.tidy"]);
    world.wait(120.0);
    world.pass("finally.tidy", json!({}));
    assert_eq!(world.outcome(), Some(Outcome::Cancelled));
}

#[test]
fn a_doubt_that_a_stopped_phase_left_does_not_park_the_cleaning_up() {
    let mut world = World::start(Plan::new().step("remediate.fix").step("finally.tidy").approve(None));
    world.crash_and([What::CancelAsked { by: "ada".into(), hard: false }]);
    assert!(world.asked("finally.tidy"));
    assert_eq!(world.outcome(), None);
    world.answer("finally.tidy", crate::engine::event::ApprovalVerdict::Approved);
    world.pass("finally.tidy", json!({}));
    assert_eq!(world.outcome(), Some(Outcome::Cancelled));
}

#[test]
fn a_stop_survives_a_crash() {
    for hard in [false, true] {
        let mut world = running_in(Phase::Remediate);
        world.cancel(hard);
        world.crash();
        assert_eq!(world.starts(Role::Main, "remediate.fix"), 1);
        if !hard {
            world.pass("finally.report", json!({}));
            world.pass("finally.tidy", json!({}));
        }
        assert_eq!(world.outcome(), Some(Outcome::Cancelled));
    }
}

#[test]
fn a_run_that_only_looks_can_be_stopped() {
    let mut world = World::start(whole().look_only());
    world.cancel(false);
    world.pass("detect.fault", json!({"broken": true}));
    assert_eq!(world.starts(Role::Main, "finally.report"), 0, "it has nothing to clean up");
}

#[test]
fn before_its_start_there_is_nothing_to_stop() {
    let mut world = World::new(whole().graph());
    assert_eq!(world.cancel(true), []);
    assert_eq!(world.feed([What::Proceed]), []);
}
