//! When the fault exists: groups of probes, probes that do not answer or do not apply, and holding.

use serde_json::json;

use super::plan::{Plan, all, any, not, probe, retry};
use super::world::{World, problem, problem_code};
use crate::engine::event::{Event, Finding, Outcome, Phase, Role, StepStatus};
use crate::engine::graph::{Detection, Verdict};

/// What probes a, b and c say.
fn verdict(detection: &Detection<&'static str>, says: [Verdict; 3]) -> Verdict {
    detection.evaluate(&|name| match name {
        "a" => says[0],
        "b" => says[1],
        _ => says[2],
    })
}

const YES: Verdict = Verdict::Holds(true);
const NO: Verdict = Verdict::Holds(false);
const SILENT: Verdict = Verdict::Unknown;
const ABSENT: Verdict = Verdict::Absent;

#[test]
fn groups_follow_the_strong_logic_of_kleene() {
    for (says, of_any, of_all) in [
        ([YES, YES, YES], YES, YES),
        ([NO, NO, NO], NO, NO),
        ([YES, NO, SILENT], YES, NO),
        ([NO, SILENT, NO], SILENT, NO),
        ([SILENT, NO, NO], SILENT, NO),
        ([YES, SILENT, YES], YES, SILENT),
        ([SILENT, SILENT, SILENT], SILENT, SILENT),
        // What does not apply takes no part.
        ([ABSENT, NO, NO], NO, NO),
        ([YES, ABSENT, YES], YES, YES),
        ([ABSENT, SILENT, ABSENT], SILENT, SILENT),
        ([ABSENT, ABSENT, ABSENT], ABSENT, ABSENT),
    ] {
        assert_eq!(verdict(&any(&["a", "b", "c"]), says), of_any, "any {says:?}");
        assert_eq!(verdict(&all(&["a", "b", "c"]), says), of_all, "all {says:?}");
    }
}

#[test]
fn a_negation_turns_only_what_is_known() {
    for (says, expected) in [(YES, NO), (NO, YES), (SILENT, SILENT), (ABSENT, ABSENT)] {
        assert_eq!(verdict(&not(probe("a")), [says, NO, NO]), expected, "not {says:?}");
    }
}

#[test]
fn groups_nest() {
    let detection = Detection::All(vec![any(&["a", "b"]), not(probe("c"))]);
    assert_eq!(verdict(&detection, [NO, YES, NO]), YES);
    assert_eq!(verdict(&detection, [NO, YES, SILENT]), SILENT);
    assert_eq!(verdict(&detection, [SILENT, SILENT, YES]), NO);
}

fn two_probes() -> Plan {
    Plan::new().detection(any(&["a", "b"])).step("detect.a").holds("broken").step("detect.b").holds("broken")
}

fn evidence(world: &World) -> Vec<Finding> {
    let settled = world.records.iter().rev().find_map(|record| match &record.event {
        Event::DetectionSettled { evidence, .. } => Some(evidence.clone()),
        _ => None,
    });
    settled.expect("the detection is settled")
}

#[test]
fn nothing_detected_is_healthy_and_changes_nothing() {
    let mut world = World::start(two_probes().step("remediate.fix").step("finally.report"));
    world.pass("detect.a", json!({"broken": false}));
    world.pass("detect.b", json!({"broken": false}));
    assert_eq!(world.phase(), Some(Phase::Finally));
    world.pass("finally.report", json!({}));
    assert_eq!(world.outcome(), Some(Outcome::Healthy));
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 0);
}

#[test]
fn a_probe_without_an_answer_is_no_measurement() {
    let mut world = World::start(two_probes());
    world.pass("detect.a", json!({"broken": false}));
    world.end("detect.b", problem("connection refused"));
    assert_eq!(world.outcome(), Some(Outcome::Error));
    assert!(world.why().contains("detect.b: connection refused"), "{}", world.why());
    assert_eq!(evidence(&world).iter().map(|finding| finding.holds).collect::<Vec<_>>(), [Some(false), None]);
}

#[test]
fn a_missing_value_is_no_measurement_either() {
    let mut world = World::start(Plan::detecting());
    world.pass("detect.fault", json!({"other": 1}));
    assert_eq!(world.outcome(), Some(Outcome::Error));
    assert!(world.reason("detect.fault").contains("it has no 'broken'"), "{}", world.reason("detect.fault"));
}

#[test]
fn one_clear_answer_decides_whatever_the_others_say() {
    let mut world = World::start(two_probes().step("diagnose.look"));
    world.end("detect.b", problem("connection refused"));
    world.pass("detect.a", json!({"broken": true}));
    assert_eq!(world.phase(), Some(Phase::Diagnose));
}

#[test]
fn a_probe_that_does_not_apply_takes_no_part() {
    let plan = two_probes().when("inputs.deep").inputs(json!({"deep": false}));
    let mut world = World::start(plan);
    world.pass("detect.a", json!({"broken": false}));
    assert_eq!(world.status("detect.b"), Some(StepStatus::Skipped));
    assert_eq!(world.outcome(), Some(Outcome::Healthy));
}

#[test]
fn a_detection_in_which_nothing_applies_is_an_error() {
    let world = World::start(Plan::detecting().when("false"));
    assert_eq!(world.outcome(), Some(Outcome::Error));
    assert!(world.why().contains("no probe applies"), "{}", world.why());
}

#[test]
fn a_probe_whose_need_did_not_answer_is_unknown_and_not_absent() {
    let plan = Plan::new().detection(any(&["a", "b"])).step("detect.a").holds("broken");
    let mut world = World::start(plan.step("detect.b").holds("broken").needs(&["a"]));
    world.end("detect.a", problem("refused"));
    assert_eq!(world.status("detect.b"), Some(StepStatus::Error));
    assert_eq!(world.outcome(), Some(Outcome::Error));
}

#[test]
fn an_early_decision_drops_what_waits_and_lets_what_runs_end() {
    let plan = two_probes().step("detect.c").holds("broken").needs(&["b"]);
    let plan = plan.detection(any(&["a", "b", "c"])).step("diagnose.look");
    let mut world = World::start(plan);
    world.pass("detect.a", json!({"broken": true}));
    assert_eq!(world.status("detect.c"), Some(StepStatus::Skipped), "it had not begun");
    assert_eq!(world.running_names(), ["detect.b"], "it was asked already");
    assert_eq!(world.phase(), Some(Phase::Detect));
    world.end("detect.b", problem("refused"));
    assert_eq!(world.phase(), Some(Phase::Diagnose));
}

#[test]
fn an_early_decision_drops_a_probe_that_pauses() {
    let plan = two_probes().retry(retry(3)).step("diagnose.look");
    let mut world = World::start(plan);
    world.end("detect.b", problem("refused"));
    world.pass("detect.a", json!({"broken": true}));
    assert_eq!(world.status("detect.b"), Some(StepStatus::Skipped));
    assert_eq!(world.phase(), Some(Phase::Diagnose));
}

#[test]
fn all_is_decided_by_the_first_that_does_not_hold() {
    let plan = two_probes().detection(all(&["a", "b"])).parallel(1);
    let mut world = World::start(plan);
    world.pass("detect.a", json!({"broken": false}));
    assert_eq!(world.starts(Role::Main, "detect.b"), 0);
    assert_eq!(world.outcome(), Some(Outcome::Healthy));
}

#[test]
fn a_condition_must_go_on_holding() {
    let mut world = World::start(Plan::detecting().hold_for(60).step("diagnose.look"));
    let mut looks = 0;
    while world.phase() == Some(Phase::Detect) {
        world.pass("detect.fault", json!({"broken": true}));
        looks += 1;
        if world.running().is_empty() {
            world.wait(15.0);
        }
    }
    assert_eq!(world.now.since(super::world::START).as_secs(), 60);
    assert_eq!(looks, 5, "at once and after each quarter");
}

#[test]
fn a_condition_that_stops_holding_is_not_the_fault() {
    let mut world = World::start(Plan::detecting().hold_for(60));
    world.pass("detect.fault", json!({"broken": true}));
    world.wait(15.0);
    world.pass("detect.fault", json!({"broken": false}));
    assert_eq!(world.outcome(), Some(Outcome::Healthy));
}

#[test]
fn looking_again_uses_up_no_retry() {
    let mut world = World::start(Plan::detecting().hold_for(60).retry(retry(2)).step("diagnose.look"));
    for _ in 0..3 {
        world.pass("detect.fault", json!({"broken": true}));
        world.wait(15.0);
    }
    world.end("detect.fault", problem("a blink"));
    assert_eq!(world.status("detect.fault"), None, "it is tried again");
    world.wait(1.0);
    world.end("detect.fault", problem("still away"));
    assert_eq!(world.status("detect.fault"), Some(StepStatus::Error));
}

#[test]
fn a_probe_is_retried_on_status_codes() {
    let retry = super::plan::retry(3);
    let mut world = World::start(Plan::detecting().retry(crate::engine::graph::Retry {
        on_error: false,
        codes: vec![503],
        ..retry
    }));
    world.end("detect.fault", problem_code(503));
    assert_eq!(world.status("detect.fault"), None);
    world.wait(1.0);
    world.end("detect.fault", problem_code(401));
    assert_eq!(world.status("detect.fault"), Some(StepStatus::Error));
}

fn each_target() -> Plan {
    let plan = Plan::new().inputs(json!({"names": ["a", "b"]})).detection(any(&["each"]));
    plan.step("detect.each").for_each("inputs.names", 2).holds("broken").step("diagnose.look")
}

#[test]
fn one_target_with_the_fault_is_the_fault() {
    let mut world = World::start(each_target());
    world.end("detect.each[0]", problem("no answer"));
    world.pass("detect.each[1]", json!({"broken": true}));
    assert_eq!(world.phase(), Some(Phase::Diagnose));
    let finding = &evidence(&world)[0];
    assert_eq!((finding.holds, &finding.values), (Some(true), &vec![("broken[b]".to_owned(), json!(true))]));
}

#[test]
fn targets_without_an_answer_are_no_measurement() {
    let mut world = World::start(each_target());
    world.end("detect.each[0]", problem("no answer"));
    world.pass("detect.each[1]", json!({"broken": false}));
    assert_eq!(world.outcome(), Some(Outcome::Error));
    assert_eq!(evidence(&world)[0].why.as_deref(), Some("1 of 2 could not be done: a: no answer"));
}

#[test]
fn every_target_without_the_fault_is_healthy() {
    let mut world = World::start(each_target());
    world.pass("detect.each[0]", json!({"broken": false}));
    world.pass("detect.each[1]", json!({"broken": false}));
    assert_eq!(world.outcome(), Some(Outcome::Healthy));
    assert_eq!(world.state.steps[0].output["passed_items"], json!(["a", "b"]));
}

#[test]
fn no_target_at_all_is_no_sign_of_health() {
    let world = World::start(each_target().inputs(json!({"names": []})));
    assert_eq!(world.outcome(), Some(Outcome::Error));
}
