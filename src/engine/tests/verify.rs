//! After the fix: the same detection again, further checks, undoing, the outcome, the escalation.

use serde_json::json;

use super::plan::{Plan, any};
use super::world::{World, failure, key, measured, problem, resolve};
use crate::engine::event::{ApprovalVerdict, Event, Outcome, Phase, Resolution, Role, StepStatus};
use crate::engine::graph::Repeat;
use crate::engine::{What, escalating};

fn fixing() -> Plan {
    Plan::detecting().step("remediate.a").undo(Repeat::Safe).step("remediate.b").undo(Repeat::Safe).needs(&["a"])
}

/// The run of a plan like `fixing`, with both fixes done.
fn fixed(plan: Plan) -> World {
    let mut world = World::start(plan);
    world.pass("detect.fault", json!({"broken": true}));
    world.pass("remediate.a", json!({}));
    world.pass("remediate.b", json!({}));
    assert_eq!(world.phase(), Some(Phase::Verify));
    world
}

#[test]
fn a_fault_that_is_gone_is_resolved() {
    let mut world = fixed(fixing());
    world.pass("recheck.fault", json!({"broken": false}));
    assert_eq!((world.outcome(), world.why()), (Some(Outcome::Resolved), "the detection no longer holds"));
    assert_eq!(world.count(|event| matches!(event, Event::UndoStarted { .. })), 0);
}

#[test]
fn further_checks_wait_for_the_detection_to_clear() {
    let mut world = fixed(fixing().step("verify.serve"));
    assert_eq!(world.running_names(), ["recheck.fault"]);
    world.pass("recheck.fault", json!({"broken": false}));
    assert_eq!(world.running_names(), ["verify.serve"]);
    world.pass("verify.serve", json!({}));
    assert_eq!(world.outcome(), Some(Outcome::Resolved));
}

#[test]
fn a_failed_check_after_a_cleared_detection_is_mitigated() {
    let mut world = fixed(fixing().step("verify.serve"));
    world.pass("recheck.fault", json!({"broken": false}));
    world.end("verify.serve", failure(json!({}), "slow"));
    assert_eq!(world.outcome(), Some(Outcome::Mitigated));
    assert!(world.why().contains("verify.serve did not succeed"), "{}", world.why());
    assert_eq!(world.starts(Role::Undo, "remediate.a"), 0, "what helped stays");
}

#[test]
fn a_failed_remediation_that_helped_all_the_same_is_mitigated() {
    let mut world = World::start(fixing());
    world.pass("detect.fault", json!({"broken": true}));
    world.end("remediate.a", problem("timed out"));
    world.pass("recheck.fault", json!({"broken": false}));
    assert_eq!(world.outcome(), Some(Outcome::Mitigated));
}

#[test]
fn the_detection_is_evaluated_again_until_the_time_to_recover_is_over() {
    let mut world = fixed(fixing().recovery(10, 3));
    let mut rounds = 0;
    while world.phase() == Some(Phase::Verify) {
        world.pass("recheck.fault", json!({"broken": true}));
        rounds += 1;
        world.wait(3.0);
    }
    assert_eq!(rounds, 5, "at 0, 3, 6, 9 and, for the last time, 12 seconds");
    assert_eq!(world.phase(), Some(Phase::Undo));
}

#[test]
fn a_detection_that_clears_in_time_ends_the_waiting() {
    let mut world = fixed(fixing().recovery(10, 3));
    world.end("recheck.fault", problem("still starting"));
    world.wait(3.0);
    world.pass("recheck.fault", json!({"broken": false}));
    assert_eq!(world.outcome(), Some(Outcome::Resolved));
}

#[test]
fn a_probe_evaluated_again_reads_the_others_as_they_are_now() {
    let plan = Plan::new().detection(any(&["a", "b"])).step("detect.a").holds("broken");
    let plan = plan.step("detect.b").holds("broken").needs(&["a"]).when("detect.a.deep").step("remediate.fix");
    let mut world = World::start(plan);
    world.pass("detect.a", json!({"broken": false, "deep": true}));
    world.pass("detect.b", json!({"broken": true}));
    world.pass("remediate.fix", json!({}));
    world.pass("recheck.a", json!({"broken": false, "deep": false}));
    assert_eq!(world.status("recheck.b"), Some(StepStatus::Skipped), "`deep` is false now");
    assert_eq!(world.outcome(), Some(Outcome::Resolved));
}

#[test]
fn what_did_not_help_is_undone_last_first() {
    let mut world = fixed(fixing().step("finally.report"));
    world.pass("recheck.fault", json!({"broken": true}));
    assert_eq!(world.running_names(), ["remediate.b"]);
    world.end_as(Role::Undo, "remediate.b", measured(json!({})));
    assert_eq!(world.running_names(), ["remediate.a"]);
    world.end_as(Role::Undo, "remediate.a", measured(json!({})));
    world.pass("finally.report", json!({}));
    assert_eq!(world.outcome(), Some(Outcome::Unresolved));
    assert_eq!(world.why(), "the detection still held after the fix, which was undone");
}

#[test]
fn only_completed_steps_that_changed_something_are_undone() {
    let plan = fixing().step("remediate.c").needs(&["b"]).undo(Repeat::Safe);
    let mut world = World::start(plan.step("remediate.d").undo(Repeat::Safe).step("remediate.e"));
    world.pass("detect.fault", json!({"broken": true}));
    world.pass("remediate.d", json!({"changed": false}));
    world.pass("remediate.e", json!({}));
    world.pass("remediate.a", json!({"changed": true}));
    world.pass("remediate.b", json!({}));
    world.end("remediate.c", problem("half way"));
    world.pass("recheck.fault", json!({"broken": true}));
    let undone = world.records.iter().find_map(|record| match &record.event {
        Event::UndoStarted { steps } => Some(steps.clone()),
        _ => None,
    });
    assert_eq!(undone, Some(vec![key("remediate.b"), key("remediate.a")]));
}

#[test]
fn items_are_undone_one_by_one() {
    let plan = Plan::detecting().inputs(json!({"names": ["x", "y"]}));
    let mut world = World::start(plan.step("remediate.each").for_each("inputs.names", 2).undo(Repeat::Safe));
    world.pass("detect.fault", json!({"broken": true}));
    world.pass("remediate.each[1]", json!({}));
    world.pass("remediate.each[0]", json!({}));
    world.pass("recheck.fault", json!({"broken": true}));
    world.end_as(Role::Undo, "remediate.each[0]", measured(json!({})));
    assert_eq!(world.running_names(), ["remediate.each[1]"]);
}

#[test]
fn a_failed_undo_stops_the_undoing() {
    for result in [problem("no"), failure(json!({}), "not as before")] {
        let mut world = fixed(fixing());
        world.pass("recheck.fault", json!({"broken": true}));
        world.end_as(Role::Undo, "remediate.b", result);
        assert_eq!(world.starts(Role::Undo, "remediate.a"), 0);
        assert_eq!(world.outcome(), Some(Outcome::Unresolved));
        assert!(world.why().contains("undoing the fix failed"), "{}", world.why());
    }
}

#[test]
fn an_interrupted_undo_is_repeated_when_that_is_harmless_however_often() {
    let mut world = fixed(fixing());
    world.pass("recheck.fault", json!({"broken": true}));
    for _ in 0..3 {
        world.crash();
        assert_eq!(world.running_names(), ["remediate.b"]);
    }
    world.end_as(Role::Undo, "remediate.b", measured(json!({})));
    assert_eq!(world.running_names(), ["remediate.a"]);
}

#[test]
fn an_interrupted_undo_that_must_not_be_repeated_waits_for_a_person() {
    for (resolution, starts) in [(Resolution::Done, 1), (Resolution::Retry, 2), (Resolution::Abort, 1)] {
        let mut world = fixed(fixing().undo(Repeat::Unknown));
        world.pass("recheck.fault", json!({"broken": true}));
        world.crash();
        assert_eq!(world.outcome(), Some(Outcome::Parked));
        world.crash_and([resolve("remediate.b", resolution)]);
        assert_eq!(world.starts(Role::Undo, "remediate.b"), starts, "{resolution:?}");
        assert_eq!(world.starts(Role::Undo, "remediate.a"), usize::from(resolution == Resolution::Done));
    }
}

#[test]
fn undoing_begins_even_if_the_program_died_when_it_should_have() {
    let mut world = fixed(fixing());
    world.pass("recheck.fault", json!({"broken": true}));
    let phase = |event: &Event| matches!(event, Event::PhaseStarted { phase: Phase::Undo });
    let cut = world.records.iter().position(|record| phase(&record.event)).expect("it began to undo");
    world.records.truncate(cut + 1);
    world.crash();
    assert_eq!(world.running_names(), ["remediate.b"]);
}

#[test]
fn what_cannot_be_told_is_neither_resolved_nor_undone() {
    let mut world = fixed(fixing());
    world.end("recheck.fault", problem("refused"));
    assert_eq!(world.outcome(), Some(Outcome::Unresolved));
    assert_eq!(world.why(), "whether the fault still exists could not be told");
    assert_eq!(world.starts(Role::Undo, "remediate.b"), 0);
}

#[test]
fn a_fault_that_nothing_here_fixes_is_unresolved() {
    let plan = Plan::detecting().step("diagnose.look").cause("odd", "diagnose.look.odd").step("remediate.fix");
    for (odd, why) in [(true, "nothing here fixes: The odd"), (false, "the fault was detected, but no cause was found")]
    {
        let mut world = World::start(Plan::detecting().step("diagnose.look").cause("odd", "diagnose.look.odd"));
        world.pass("detect.fault", json!({"broken": true}));
        world.pass("diagnose.look", json!({"odd": odd}));
        assert_eq!((world.outcome(), world.why()), (Some(Outcome::Unresolved), why));
        assert!(!world.state.index.contains_key("remediate.fix"));
    }
    let mut world = World::start(plan.when("false"));
    world.pass("detect.fault", json!({"broken": true}));
    world.pass("diagnose.look", json!({"odd": true}));
    assert_eq!(world.count(|event| matches!(event, Event::PhaseStarted { phase: Phase::Verify })), 0);
}

#[test]
fn without_a_detection_the_steps_decide() {
    let acts = || Plan::new().step("remediate.a").undo(Repeat::Safe).step("verify.serve");
    let mut world = World::start(acts());
    world.pass("remediate.a", json!({}));
    world.pass("verify.serve", json!({}));
    assert_eq!(world.outcome(), Some(Outcome::Resolved));

    let mut world = World::start(acts());
    world.pass("remediate.a", json!({}));
    world.end("verify.serve", failure(json!({}), "down"));
    world.end_as(Role::Undo, "remediate.a", measured(json!({})));
    assert_eq!((world.outcome(), world.why()), (Some(Outcome::Unresolved), "verify.serve did not succeed"));

    let looks = || Plan::new().step("diagnose.look");
    let outcome = |result| {
        let mut world = World::start(looks());
        world.end("diagnose.look", result);
        world.outcome()
    };
    assert_eq!(outcome(measured(json!({}))), Some(Outcome::Healthy));
    assert_eq!(outcome(failure(json!({}), "bad")), Some(Outcome::Unresolved));
    assert_eq!(outcome(problem("refused")), Some(Outcome::Error));
}

fn escalated(plan: Plan, broken_after: bool) -> (World, usize) {
    let mut world = fixed(plan);
    world.now = world.now.plus(std::time::Duration::from_secs(40));
    world.pass("recheck.fault", json!({"broken": broken_after}));
    if broken_after {
        world.end_as(Role::Undo, "remediate.b", measured(json!({})));
        world.end_as(Role::Undo, "remediate.a", measured(json!({})));
    }
    let escalations = world.count(|event| matches!(event, Event::EscalationRaised { .. }));
    (world, escalations)
}

/// How often it has escalated so many seconds after its start, while it waits for the fault to go.
fn escalated_meanwhile(when: &str, seconds: u64) -> usize {
    let mut world = fixed(fixing().escalate(Some(when)));
    world.now = world.now.plus(std::time::Duration::from_secs(seconds));
    world.feed([What::Proceed]);
    world.feed([What::Proceed]);
    assert_eq!(world.outcome(), None, "it goes on");
    world.count(|event| matches!(event, Event::EscalationRaised { .. }))
}

#[test]
fn a_run_escalates_before_its_end_when_the_time_has_come_and_only_once() {
    for (when, seconds, expected) in [
        ("unresolved || run_elapsed > 15m", 899, 0),
        ("unresolved || run_elapsed > 15m", 901, 1),
        ("phase_elapsed > 600", 601, 1),
        // How it will end is not known yet, so neither is what depends on that.
        ("!mitigated", 901, 0),
        ("unresolved && run_elapsed > 15m", 901, 0),
        ("error", 901, 0),
    ] {
        assert_eq!(escalated_meanwhile(when, seconds), expected, "{when}");
    }
}

#[test]
fn a_parked_run_escalates_stays_parked_and_goes_on_with_its_answer() {
    let plan = Plan::detecting().step("remediate.a").approve(None).escalate(Some("run_elapsed > 15m"));
    let mut world = World::start(plan);
    world.pass("detect.fault", json!({"broken": true}));
    world.answer("remediate.a", ApprovalVerdict::Parked);
    assert_eq!(world.outcome(), Some(Outcome::Parked));
    let raised = |world: &World| world.count(|event| matches!(event, Event::EscalationRaised { .. }));
    for (minutes, expected) in [(14, 0), (2, 1), (10, 1)] {
        world.wait(f64::from(minutes) * 60.0);
        assert_eq!((raised(&world), world.outcome()), (expected, Some(Outcome::Parked)), "{minutes}");
    }
    world.crash();
    world.answer("remediate.a", ApprovalVerdict::Approved);
    world.pass("remediate.a", json!({}));
    world.pass("recheck.fault", json!({"broken": false}));
    assert_eq!((raised(&world), world.outcome()), (1, Some(Outcome::Resolved)));
}

#[test]
fn a_run_wakes_when_a_time_in_its_condition_has_passed() {
    let mut world = fixed(fixing().escalate(Some("unresolved || run_elapsed > 15m || phase_elapsed > 20m")));
    let started = world.state.started_at;
    let wake = |world: &World| escalating::next_wake(&world.graph, &world.state, world.now);
    assert_eq!(wake(&world), Some(started.plus(std::time::Duration::from_millis(900_001))));
    world.now = started.plus(std::time::Duration::from_secs(901));
    assert!(wake(&world).is_some_and(|at| at > world.now), "the other time");
    world.feed([What::Proceed]);
    assert_eq!(wake(&world), None, "it has escalated");
}

#[test]
fn a_run_escalates_when_it_is_not_resolved_or_when_its_condition_holds() {
    for (when, broken_after, expected) in [
        (None, true, 1),
        (None, false, 0),
        (Some("unresolved"), true, 1),
        (Some("mitigated || error"), true, 0),
        (Some("run_elapsed > 30s"), false, 1),
        (Some("run_elapsed > 15m"), false, 0),
        (Some("no_such_name"), true, 0),
    ] {
        let (_, escalations) = escalated(fixing().escalate(when), broken_after);
        assert_eq!(escalations, expected, "{when:?}");
    }
}
