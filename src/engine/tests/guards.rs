//! What keeps a run from doing harm: holds, preconditions, and the set of its targets.

use serde_json::{Value, json};

use super::plan::Plan;
use super::world::{World, failure, measured, problem};
use crate::engine::Hold;
use crate::engine::event::{ApprovalVerdict, Event, Outcome, Risk, Role, StepStatus};
use crate::engine::graph::Repeat;

fn hold(undo: bool) -> Option<Hold> {
    Some(Hold { why: "everything is frozen".into(), undo })
}

/// A run that has found its fault and would now remediate it by this step.
fn about_to(plan: impl FnOnce(Plan) -> Plan, before: impl FnOnce(&mut World)) -> World {
    let mut world = World::start(plan(Plan::detecting().step("remediate.fix")));
    before(&mut world);
    world.pass("detect.fault", json!({"broken": true}));
    world
}

#[test]
fn t53_a_hold_withholds_every_remediation() {
    let world = about_to(|plan| plan.step("remediate.more"), |world| world.hold = hold(true));
    assert_eq!(world.starts(Role::Main, "remediate.fix") + world.starts(Role::Main, "remediate.more"), 0);
    assert_eq!(world.reason("remediate.fix"), "not started: everything is frozen");
    assert_eq!(world.count(|event| matches!(event, Event::RemediationWithheld { .. })), 1);
    assert_eq!(
        (world.outcome(), world.why()),
        (Some(Outcome::Unresolved), "nothing was remediated: everything is frozen")
    );
}

#[test]
fn nobody_is_asked_about_what_is_withheld() {
    let world = about_to(|plan| plan.approve(None), |world| world.hold = hold(true));
    assert!(!world.asked("remediate.fix"));
    assert_eq!(world.outcome(), Some(Outcome::Unresolved));
}

#[test]
fn a_hold_that_comes_while_a_person_decides_is_seen_before_the_step_starts() {
    let mut world = about_to(|plan| plan.approve(None), |_| {});
    world.hold = hold(true);
    world.answer("remediate.fix", ApprovalVerdict::Approved);
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 0);
    assert_eq!(world.status("remediate.fix"), Some(StepStatus::Skipped));
}

#[test]
fn a_step_is_not_tried_again_while_it_is_held() {
    let mut world = about_to(|plan| plan.retry(super::plan::retry(3)), |_| {});
    world.end("remediate.fix", problem("busy"));
    world.hold = hold(true);
    world.wait(60.0);
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 1);
    assert_eq!(world.reason("remediate.fix"), "not tried again: everything is frozen");
}

#[test]
fn a_freeze_keeps_even_an_undo_from_running_and_other_holds_do_not() {
    for (undo, runs) in [(true, 0), (false, 1)] {
        let mut world = about_to(|plan| plan.undo(Repeat::Safe), |_| {});
        world.pass("remediate.fix", json!({}));
        world.hold = hold(undo);
        world.pass("recheck.fault", json!({"broken": true}));
        assert_eq!(world.starts(Role::Undo, "remediate.fix"), runs, "hold of undo: {undo}");
    }
}

#[test]
fn t56_what_is_no_longer_true_right_before_the_step_refuses_it() {
    let mut world = about_to(|plan| plan.precondition(Some("replicas > 1")), |_| {});
    world.end_as(Role::Precondition, "remediate.fix", measured(json!({"replicas": 1})));
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 0);
    assert_eq!(world.status("remediate.fix"), Some(StepStatus::Failed));
    assert_eq!(
        world.reason("remediate.fix"),
        "not done: its precondition does not hold: expected replicas > 1, but replicas = 1"
    );
}

#[test]
fn a_precondition_that_cannot_be_told_refuses_the_step() {
    for result in [problem("connection refused"), measured(json!({}))] {
        let mut world = about_to(|plan| plan.precondition(Some("replicas > 1")), |_| {});
        world.end_as(Role::Precondition, "remediate.fix", result);
        assert_eq!(world.starts(Role::Main, "remediate.fix"), 0);
        assert_eq!(world.status("remediate.fix"), Some(StepStatus::Error));
    }
}

#[test]
fn a_precondition_is_looked_at_after_the_approval_and_before_each_attempt() {
    let mut world = about_to(|plan| plan.precondition(None).approve(None).retry(super::plan::retry(2)), |_| {});
    assert_eq!(world.starts(Role::Precondition, "remediate.fix"), 0);
    world.answer("remediate.fix", ApprovalVerdict::Approved);
    world.end_as(Role::Precondition, "remediate.fix", measured(Value::Null));
    world.end("remediate.fix", problem("busy"));
    world.wait(5.0);
    assert_eq!((world.starts(Role::Precondition, "remediate.fix"), world.starts(Role::Main, "remediate.fix")), (2, 1));
    world.end_as(Role::Precondition, "remediate.fix", failure(Value::Null, "gone"));
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 1);
}

#[test]
fn an_interrupted_precondition_leaves_nothing_in_doubt() {
    let mut world = about_to(|plan| plan.precondition(None), |_| {});
    world.crash();
    assert_eq!(world.starts(Role::Precondition, "remediate.fix"), 2);
    world.end_as(Role::Precondition, "remediate.fix", measured(Value::Null));
    world.pass("remediate.fix", json!({}));
    world.pass("recheck.fault", json!({"broken": false}));
    assert_eq!(world.outcome(), Some(Outcome::Resolved));
}

#[test]
fn t49_a_set_of_targets_that_is_empty_or_names_all_of_them_is_refused() {
    for (targets, told) in [
        (json!([]), "is empty"),
        (json!(["a", "*"]), "names no single target"),
        (json!(["ALL "]), "names no single target"),
        (json!(["web-*"]), "names no single target"),
        (json!(["a", ""]), "names no single target"),
        (json!(["a", null]), "names no single target"),
    ] {
        let world = about_to(|plan| plan.for_each("inputs.t", 4).inputs(json!({"t": targets})), |_| {});
        assert!(world.reason("remediate.fix").contains(told), "{targets}: {}", world.reason("remediate.fix"));
        assert_eq!((world.status("remediate.fix"), world.running().len()), (Some(StepStatus::Error), 0), "{targets}");
    }
}

#[test]
fn more_targets_than_the_author_thought_possible_are_refused() {
    let world = about_to(|plan| plan.for_each("inputs.t", 4).most(2).inputs(json!({"t": ["a", "b", "c"]})), |_| {});
    assert_eq!(world.reason("remediate.fix"), "inputs.t has 3 items, more than 2; nothing was begun");
}

#[test]
fn t50_a_share_of_the_targets_at_a_time_and_an_end_after_some_errors() {
    let targets: Vec<String> = (0..100).map(|number| format!("host{number}")).collect();
    let plan = |plan: Plan| {
        plan.for_each("inputs.t", 1_000).share(0.1).max_errors(3).continues().inputs(json!({"t": targets}))
    };
    let mut world = World::start(plan(Plan::detecting().step("remediate.fix")).parallel(100));
    world.pass("detect.fault", json!({"broken": true}));
    let (mut in_flight, mut failures) = (0, 0);
    while let Some((key, ..)) = world.running().first().cloned().filter(|(_, role, _)| *role == Role::Main) {
        if !key.step.starts_with("remediate") {
            break;
        }
        in_flight = in_flight.max(world.running().len());
        failures += 1;
        world.end(&key.to_string(), problem("no"));
    }
    assert_eq!(in_flight, 10);
    // Three that stop it, and those that were on their way.
    assert!((3..=13).contains(&failures), "{failures}");
}

#[test]
fn t51_many_ailing_targets_are_a_common_cause_and_not_so_many_single_ones() {
    let hosts: Vec<u32> = (0..100).collect();
    for (ailing, begins) in [(40, true), (41, false)] {
        let plan = |plan: Plan| {
            plan.for_each("inputs.t", 4).of("inputs.all").inputs(json!({"t": &hosts[..ailing], "all": hosts}))
        };
        let world = about_to(plan, |_| {});
        assert_eq!(!world.running().is_empty(), begins, "{ailing} of 100");
    }
}

#[test]
fn a_disruptive_step_is_held_after_its_approval_was_given_by_the_risk_it_has() {
    let mut world = about_to(|plan| plan.risk(Risk::Destructive), |_| {});
    assert!(world.asked("remediate.fix"));
    world.hold = hold(false);
    world.answer("remediate.fix", ApprovalVerdict::Approved);
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 0);
}
