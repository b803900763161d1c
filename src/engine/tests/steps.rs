//! What starts when: needs, limits, retries, what an end with an error stops.

use std::time::Duration;

use serde_json::json;

use super::plan::{Plan, retry};
use super::world::{World, failure, measured, problem, problem_code};
use crate::engine::What;
use crate::engine::event::{Event, Outcome, Phase, Role, StepStatus};
use crate::engine::graph::Retry;

fn in_remediate(steps: &[(&str, &[&str])]) -> Plan {
    let add = |plan: Plan, (name, needs): &(&str, &[&str])| plan.step(&format!("remediate.{name}")).needs(needs);
    steps.iter().fold(Plan::new(), add)
}

#[test]
fn steps_start_when_their_needs_have_ended() {
    let mut world = World::start(in_remediate(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]));
    assert_eq!(world.running_names(), ["remediate.a", "remediate.b"]);
    world.pass("remediate.b", json!({}));
    assert_eq!(world.running_names(), ["remediate.a"]);
    world.pass("remediate.a", json!({}));
    assert_eq!(world.running_names(), ["remediate.c"]);
}

#[test]
fn the_limit_of_parallel_steps_holds() {
    let mut world = World::start(in_remediate(&[("a", &[]), ("b", &[]), ("c", &[])]).parallel(2));
    assert_eq!(world.running_names(), ["remediate.a", "remediate.b"]);
    world.pass("remediate.a", json!({}));
    assert_eq!(world.running_names(), ["remediate.b", "remediate.c"]);
}

#[test]
fn checks_after_a_crash_respect_the_limit_too() {
    let plan = in_remediate(&[("a", &[]), ("b", &[])]).check(None).parallel(1);
    let plan = plan.step("remediate.c").check(None);
    let mut world = World::start(plan);
    world.pass("remediate.a", json!({}));
    world.crash();
    assert_eq!(world.running().len(), 1);
}

#[test]
fn an_error_in_remediate_stops_the_phase() {
    let mut world = World::start(in_remediate(&[("a", &[]), ("b", &[]), ("c", &["b"]), ("d", &["a"])]));
    world.end("remediate.a", problem("no"));
    world.pass("remediate.b", json!({}));
    assert_eq!(world.reason("remediate.c"), "not started: remediate.a did not succeed");
    assert_eq!(world.status("remediate.d"), Some(StepStatus::Skipped));
    assert_eq!(world.outcome(), Some(Outcome::Unresolved));
}

#[test]
fn an_error_elsewhere_stops_only_what_needs_it() {
    let plan = Plan::new().step("diagnose.a").step("diagnose.b").needs(&["a"]).step("diagnose.c").step("diagnose.d");
    let mut world = World::start(plan.needs(&["c"]));
    world.end("diagnose.a", problem("no"));
    assert_eq!(world.reason("diagnose.b"), "it needs diagnose.a, which could not be done");
    world.pass("diagnose.c", json!({}));
    assert_eq!(world.running_names(), ["diagnose.d"]);
}

#[test]
fn what_failed_is_told_from_what_could_not_be_done() {
    let plan = Plan::new().step("diagnose.a").expect("ok").step("diagnose.b").needs(&["a"]);
    let mut world = World::start(plan);
    world.pass("diagnose.a", json!({"ok": false}));
    assert_eq!(world.status("diagnose.a"), Some(StepStatus::Failed));
    assert_eq!(world.reason("diagnose.a"), "expected ok, but ok = false");
    assert_eq!(world.reason("diagnose.b"), "it needs diagnose.a, which failed");
}

#[test]
fn on_error_stop_and_continue_turn_the_defaults() {
    let plan = Plan::new().step("diagnose.a").stops().step("diagnose.b").step("diagnose.c").needs(&["b"]);
    let mut world = World::start(plan);
    world.end("diagnose.a", problem("no"));
    world.pass("diagnose.b", json!({}));
    assert_eq!(world.status("diagnose.c"), Some(StepStatus::Skipped));

    let plan = in_remediate(&[("a", &[])]).continues().step("remediate.b").needs(&["a"]);
    let mut world = World::start(plan);
    world.end("remediate.a", problem("no"));
    assert_eq!(world.running_names(), ["remediate.b"]);
}

#[test]
fn a_step_that_cannot_be_started_stops_its_siblings_of_the_same_moment() {
    let plan = in_remediate(&[("a", &[])]).config(json!({"path": "{{diagnose.gone.path}}"})).step("remediate.b");
    let world = World::start(plan);
    assert_eq!(world.status("remediate.a"), Some(StepStatus::Error));
    assert_eq!(world.status("remediate.b"), Some(StepStatus::Skipped));
}

#[test]
fn a_condition_skips_and_an_undecidable_condition_is_an_error() {
    let plan = Plan::new().inputs(json!({"deep": false}));
    let plan = plan.step("diagnose.a").when("inputs.deep").step("diagnose.b").when("inputs.unknown");
    let world = World::start(plan.step("diagnose.c").needs(&["a"]));
    assert_eq!(world.reason("diagnose.a"), "only when inputs.deep; inputs.deep = false");
    assert_eq!(world.status("diagnose.b"), Some(StepStatus::Error));
    assert_eq!(world.reason("diagnose.c"), "a step it needs was skipped");
}

/// The pauses before each further attempt of a step that always ends with an error.
fn pauses(retry: Retry, entropy: u64) -> Vec<f64> {
    let mut world = World::start(Plan::new().step("diagnose.a").retry(retry));
    world.entropy = entropy;
    let mut pauses = Vec::new();
    loop {
        world.end("diagnose.a", problem("no"));
        let Some(at) = world.state.next_wake(world.now) else { return pauses };
        let pause = at.since(world.now).as_secs_f64();
        pauses.push(pause);
        world.wait(pause);
    }
}

#[test]
fn pauses_grow_up_to_their_cap() {
    assert_eq!(pauses(retry(7), 0), [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]);
    assert_eq!(pauses(Retry { factor: 1.0, ..retry(4) }, 0), [1.0, 1.0, 1.0]);
    assert_eq!(pauses(retry(1), 0), [0.0; 0]);
}

#[test]
fn a_pause_of_nothing_stays_nothing() {
    let retry = Retry { backoff: Duration::ZERO, ..retry(3) };
    let mut world = World::start(Plan::new().step("diagnose.a").retry(retry));
    world.end("diagnose.a", problem("no"));
    assert_eq!(world.starts(Role::Main, "diagnose.a"), 2, "at once");
}

#[test]
fn the_random_share_shortens_a_pause_within_its_bounds() {
    for entropy in [0, 1 << 20, u64::MAX / 3, u64::MAX / 2, u64::MAX] {
        let all = pauses(Retry { jitter: 0.25, ..retry(7) }, entropy);
        for (pause, whole) in all.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0]) {
            assert!((whole * 0.75..=whole).contains(pause), "{pause} of {whole} with {entropy}");
        }
    }
    assert_ne!(pauses(Retry { jitter: 0.25, ..retry(2) }, 0), pauses(Retry { jitter: 0.25, ..retry(2) }, u64::MAX));
}

#[test]
fn retries_end_with_the_last_answer() {
    let mut world = World::start(Plan::new().step("diagnose.a").retry(retry(2)));
    world.end("diagnose.a", problem("first"));
    world.wait(1.0);
    world.end("diagnose.a", problem("second"));
    assert_eq!((world.status("diagnose.a"), world.reason("diagnose.a")), (Some(StepStatus::Error), "second"));
}

#[test]
fn only_what_was_named_is_retried() {
    let on = |on_error, on_failed, codes: &[u16]| Retry { on_error, on_failed, codes: codes.to_vec(), ..retry(2) };
    for (retry, result, again) in [
        (on(true, false, &[]), problem("no"), true),
        (on(true, false, &[]), failure(json!({}), "bad"), false),
        (on(false, true, &[]), failure(json!({}), "bad"), true),
        (on(false, true, &[]), problem("no"), false),
        (on(false, false, &[503]), problem_code(503), true),
        (on(false, false, &[503]), problem_code(500), false),
        (on(false, false, &[503]), failure(json!({"status": 503}), "bad"), true),
        (on(false, false, &[503]), failure(json!({"status": 404}), "bad"), false),
        (on(true, true, &[]), measured(json!({})), false),
    ] {
        let mut world = World::start(Plan::new().step("diagnose.a").retry(retry.clone()));
        world.end("diagnose.a", result.clone());
        assert_eq!(world.status("diagnose.a").is_none(), again, "{retry:?} {result:?}");
    }
}

#[test]
fn a_fan_out_runs_each_item_within_its_limit() {
    let plan = Plan::new().inputs(json!({"names": ["x", "y", "z"]}));
    let plan = plan.step("diagnose.each").for_each("inputs.names", 2).config(json!({"name": "{{item}}"}));
    let mut world = World::start(plan.step("diagnose.after").needs(&["each"]));
    assert_eq!(world.running_names(), ["diagnose.each[0]", "diagnose.each[1]"]);
    world.pass("diagnose.each[1]", json!({"size": 2}));
    assert_eq!(world.running_names(), ["diagnose.each[0]", "diagnose.each[2]"]);
    world.end("diagnose.each[0]", failure(json!({"size": 1}), "small"));
    world.end("diagnose.each[2]", problem("gone"));
    let state = &world.state.steps[world.state.index["diagnose.each"]];
    assert_eq!(state.status, Some(StepStatus::Error), "what could not be done weighs more than what failed");
    assert_eq!(state.output["items"], json!([{"size": 1}, {"size": 2}, null]));
    assert_eq!(state.output["error_count"], 1);
    let requests: Vec<_> = world
        .records
        .iter()
        .filter_map(|record| match &record.event {
            Event::AttemptStarted { request, .. } => Some(request["name"].clone()),
            _ => None,
        })
        .collect();
    assert_eq!(requests, ["x", "y", "z"]);
    assert_eq!(world.status("diagnose.after"), Some(StepStatus::Skipped));
}

#[test]
fn an_item_in_its_pause_counts_for_the_limit() {
    let plan = Plan::new().inputs(json!({"names": [1, 2]})).step("diagnose.each").for_each("inputs.names", 1);
    let mut world = World::start(plan.retry(retry(2)));
    world.end("diagnose.each[0]", problem("no"));
    assert!(world.running().is_empty());
    world.wait(1.0);
    assert_eq!(world.running_names(), ["diagnose.each[0]"]);
}

#[test]
fn an_empty_list_is_an_error_only_where_something_is_to_be_changed() {
    let fan = |id: &str| World::start(Plan::new().inputs(json!({"names": []})).step(id).for_each("inputs.names", 4));
    let world = fan("diagnose.each");
    assert_eq!(world.status("diagnose.each"), Some(StepStatus::Passed));
    let world = fan("remediate.each");
    assert_eq!(world.status("remediate.each"), Some(StepStatus::Error));
    assert!(world.reason("remediate.each").contains("the list inputs.names is empty"));
}

#[test]
fn what_is_no_list_cannot_be_fanned_out() {
    let plan = |list: &str| Plan::new().inputs(json!({"one": 1})).step("diagnose.each").for_each(list, 4);
    assert_eq!(World::start(plan("inputs.one")).reason("diagnose.each"), "inputs.one is not a list");
    assert!(World::start(plan("inputs.two")).reason("diagnose.each").starts_with("cannot tell what to run it for"));
}

#[test]
fn a_message_that_comes_late_or_twice_changes_nothing() {
    let mut world = World::start(Plan::new().step("diagnose.a").retry(retry(2)).step("finally.b"));
    let first = |attempt, text: &str| What::Ended {
        key: super::world::key("diagnose.a"),
        role: Role::Main,
        attempt,
        result: problem(text),
    };
    assert_eq!(world.feed([first(2, "not yet started")]), []);
    assert_ne!(world.feed([first(1, "once")]), []);
    assert_eq!(world.feed([first(1, "twice")]), []);
    world.wait(1.0);
    assert_eq!(world.feed([first(1, "late")]), []);
    world.pass("diagnose.a", json!({}));
    world.pass("finally.b", json!({}));
    assert!(world.outcome().is_some());
    assert_eq!(world.feed([first(2, "after the end")]), []);
    assert_eq!(world.cancel(true), [], "there is nothing left to cancel");
    assert_eq!(
        world.feed([What::Resumed { by: "ada".into(), goes_on: std::collections::BTreeSet::default() }]),
        [],
        "an ended run does not go on"
    );
}

#[test]
fn two_ends_of_one_moment_are_both_taken_up() {
    let mut world = World::start(in_remediate(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]));
    let ended = |step: &str| What::Ended {
        key: super::world::key(step),
        role: Role::Main,
        attempt: 1,
        result: measured(json!({})),
    };
    world.feed([ended("remediate.a"), ended("remediate.b"), ended("remediate.a")]);
    assert_eq!(world.running_names(), ["remediate.c"]);
}

#[test]
fn phases_come_in_their_order() {
    let plan =
        ["finally.e", "verify.d", "remediate.c", "diagnose.b"].iter().fold(Plan::new(), |plan, id| plan.step(id));
    let mut world = World::start(plan);
    for (phase, step) in [
        (Phase::Diagnose, "diagnose.b"),
        (Phase::Remediate, "remediate.c"),
        (Phase::Verify, "verify.d"),
        (Phase::Finally, "finally.e"),
    ] {
        assert_eq!((world.phase(), world.running_names()), (Some(phase), vec![step.to_owned()]));
        world.pass(step, json!({}));
    }
    assert_eq!(world.outcome(), Some(Outcome::Resolved));
}
