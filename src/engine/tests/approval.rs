//! People are asked before risky steps: yes, no, no answer, nobody there.

use serde_json::json;

use super::plan::Plan;
use super::world::{World, answer, key, problem};
use crate::engine::event::{ApprovalVerdict, Event, Outcome, Phase, Risk, Role, StepStatus};
use crate::engine::{Answered, Command, What, commands_for};

use ApprovalVerdict::{Approved, Parked, Rejected};

fn asking() -> Plan {
    Plan::detecting().step("remediate.fix").config(json!({"name": "{{inputs.name}}"})).approve(None)
}

fn asked(plan: Plan) -> World {
    let mut world = World::start(plan.inputs(json!({"name": "east"})));
    world.pass("detect.fault", json!({"broken": true}));
    assert!(world.asked("remediate.fix"));
    world
}

#[test]
fn the_question_shows_exactly_what_will_be_done() {
    let mut world = asked(asking());
    let request = world.records.iter().find_map(|record| match &record.event {
        Event::ApprovalAsked { request, .. } => Some(request.clone()),
        _ => None,
    });
    assert_eq!(request, Some(json!({"test": {"name": "east"}})));
    let events = world.answer("remediate.fix", Approved);
    let started: Vec<Command> = events.iter().filter_map(commands_for).collect();
    assert!(matches!(&started[..], [Command::StartAttempt { request, .. }] if request["name"] == "east"));
}

#[test]
fn a_rejection_ends_the_remediation() {
    let mut world = asked(asking().step("remediate.more").needs(&["fix"]).step("finally.report"));
    world.answer("remediate.fix", Rejected);
    assert_eq!(world.reason("remediate.fix"), "rejected by grace");
    assert_eq!(world.status("remediate.more"), Some(StepStatus::Skipped));
    assert_eq!(world.phase(), Some(Phase::Finally));
    world.pass("finally.report", json!({}));
    assert_eq!(world.outcome(), Some(Outcome::Rejected));
    assert_eq!(world.why(), "remediate.fix was rejected by grace: because");
}

#[test]
fn a_rejection_leaves_no_other_question_open() {
    let mut world = asked(asking().step("remediate.other").approve(None));
    world.answer("remediate.fix", Rejected);
    assert_eq!(world.status("remediate.other"), Some(StepStatus::Skipped));
    assert_eq!(world.answer("remediate.other", Approved), [], "the question is closed");
    assert_eq!(world.outcome(), Some(Outcome::Rejected));
}

#[test]
fn an_error_that_stops_the_phase_closes_open_questions() {
    let mut world = asked(asking().step("remediate.other").step("finally.report"));
    world.end("remediate.other", problem("no"));
    assert_eq!(world.reason("remediate.fix"), "not started: remediate.other did not succeed");
    assert_eq!(world.answer("remediate.fix", Approved), []);
}

#[test]
fn a_question_that_nobody_answers_in_time_is_a_no() {
    let mut world = asked(Plan::detecting().step("remediate.fix").approve(Some(60)));
    world.wait(59.0);
    assert!(world.asked("remediate.fix"));
    world.wait(1.0);
    assert_eq!(world.outcome(), Some(Outcome::Rejected));
    assert_eq!(world.why(), "nobody answered in time about remediate.fix");
}

#[test]
fn an_answer_after_its_time_is_void() {
    let mut world = asked(Plan::detecting().step("remediate.fix").approve(Some(60)));
    world.answer("remediate.fix", Parked);
    assert_eq!(world.outcome(), Some(Outcome::Parked));
    world.now = world.now.plus(std::time::Duration::from_secs(61));
    world.crash_and([answer("remediate.fix", Approved)]);
    assert_eq!(world.outcome(), Some(Outcome::Rejected));
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 0);
}

#[test]
fn a_run_parks_when_nobody_can_be_asked_even_if_the_question_has_a_time() {
    for timeout in [None, Some(600)] {
        let mut world = asked(Plan::detecting().step("remediate.fix").approve(timeout).step("finally.report"));
        world.answer("remediate.fix", Parked);
        assert_eq!(world.outcome(), Some(Outcome::Parked), "{timeout:?}");
        assert_eq!(world.why(), "remediate.fix waits for approval");
        assert_eq!(world.starts(Role::Main, "finally.report"), 0, "it is not over");
    }
}

#[test]
fn a_run_does_not_park_while_another_question_is_open() {
    let mut world = asked(asking().step("remediate.other").approve(None));
    world.answer("remediate.fix", Parked);
    assert_eq!(world.outcome(), None, "somebody may still answer the other one");
    world.answer("remediate.other", Parked);
    assert_eq!(world.outcome(), Some(Outcome::Parked));
}

#[test]
fn a_parked_run_goes_on_with_the_answer() {
    let mut world = asked(asking());
    world.answer("remediate.fix", Parked);
    world.crash_and([answer("remediate.fix", Approved)]);
    assert_eq!(world.running_names(), ["remediate.fix"]);
    assert_eq!(world.count(|event| matches!(event, Event::RunFinished { .. })), 1, "it parked once");
}

#[test]
fn a_parked_run_that_is_resumed_asks_again() {
    let mut world = asked(asking());
    world.answer("remediate.fix", Parked);
    world.crash();
    assert_eq!(world.outcome(), None);
    assert!(world.asked("remediate.fix"));
    world.answer("remediate.fix", Parked);
    assert_eq!(world.outcome(), Some(Outcome::Parked));
}

#[test]
fn an_answer_without_a_resumption_does_not_wake_a_parked_run() {
    let mut world = asked(asking());
    world.answer("remediate.fix", Parked);
    assert_eq!(world.answer("remediate.fix", Approved), []);
}

#[test]
fn a_second_answer_changes_nothing() {
    let mut world = asked(asking());
    world.answer("remediate.fix", Approved);
    assert_eq!(world.answer("remediate.fix", Rejected), []);
    assert_eq!(world.running_names(), ["remediate.fix"]);
}

#[test]
fn the_risk_from_which_people_are_asked() {
    for (ask_from, risk, asks) in [
        (Risk::Disruptive, Risk::Safe, false),
        (Risk::Disruptive, Risk::Disruptive, true),
        (Risk::Disruptive, Risk::Destructive, true),
        (Risk::Destructive, Risk::Disruptive, false),
    ] {
        let world = World::start(Plan::new().ask_from(ask_from).step("remediate.fix").risk(risk));
        assert_eq!(world.asked("remediate.fix"), asks, "{risk} with {ask_from}");
    }
    let world = World::start(Plan::new().ask_from(Risk::Safe).step("diagnose.look").risk(Risk::Destructive));
    assert!(!world.asked("diagnose.look"), "looking needs no leave");
}

#[test]
fn each_item_of_a_fan_out_is_asked_about() {
    let plan = Plan::new().inputs(json!({"names": ["x", "y", "z"]}));
    let mut world = World::start(plan.step("remediate.each").for_each("inputs.names", 2).approve(None));
    assert!(world.asked("remediate.each[0]") && world.asked("remediate.each[1]") && !world.asked("remediate.each[2]"));
    world.answer("remediate.each[0]", Approved);
    world.answer("remediate.each[1]", Rejected);
    world.pass("remediate.each[0]", json!({}));
    assert_eq!(world.starts(Role::Main, "remediate.each[2]"), 0, "a no holds for what has not begun");
    assert_eq!(world.outcome(), Some(Outcome::Rejected));
}

#[test]
fn approval_is_not_asked_again_for_a_retry() {
    let mut world = World::start(Plan::new().step("remediate.fix").approve(None).retry(super::plan::retry(2)));
    world.answer("remediate.fix", Approved);
    world.end("remediate.fix", problem("no"));
    world.wait(1.0);
    assert_eq!(world.running_names(), ["remediate.fix"]);
    assert_eq!(world.count(|event| matches!(event, Event::ApprovalAsked { .. })), 1);
    assert_eq!(world.feed([What::Proceed]), []);
}

/// Asked of two of three people, in a run that ada started.
fn guarded() -> World {
    asked(Plan::detecting().step("remediate.fix").approve_by(&["ada", "grace", "edsger", "barbara"], 2))
}

fn tell(world: &mut World, by: &str, change: impl FnOnce(&mut Answered)) -> Vec<Event> {
    let mut answer = Answered::new(key("remediate.fix"), Approved, by, "because");
    change(&mut answer);
    world.crash_and([What::Answered(answer)])
}

fn refusals(events: &[Event]) -> Vec<&str> {
    let refused = events.iter().filter_map(|event| match event {
        Event::ApprovalRefused { why, .. } => Some(why.as_str()),
        _ => None,
    });
    refused.collect()
}

#[test]
fn two_different_people_have_to_agree() {
    let mut world = guarded();
    let events = tell(&mut world, "grace", |_| {});
    assert!(events.iter().any(|event| matches!(event, Event::ApprovalCounted { have: 1, quorum: 2, .. })));
    assert_eq!(world.outcome(), Some(Outcome::Parked), "one is not enough");
    assert_eq!(refusals(&tell(&mut world, "grace", |_| {})).len(), 1, "each counts once");
    tell(&mut world, "edsger", |_| {});
    assert_eq!(world.running_names(), ["remediate.fix"]);
}

#[test]
fn who_started_the_run_and_strangers_do_not_count() {
    let mut world = guarded();
    for by in ["ada", "mallory", ""] {
        assert_eq!(refusals(&tell(&mut world, by, |_| {})).len(), 1, "{by}");
        assert_eq!(refusals(&tell(&mut world, by, |answer| answer.break_glass = Some(" ".into()))).len(), 1, "{by}");
    }
    let glass = |answer: &mut Answered| answer.break_glass = Some("it burns".into());
    assert_eq!(refusals(&tell(&mut world, "mallory", glass)).len(), 1, "a stranger has no glass to break");
    let no = |answer: &mut Answered| answer.verdict = Rejected;
    assert_eq!(refusals(&tell(&mut world, "mallory", no)).len(), 1, "nor anything to say");
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 0);
    assert_eq!(world.outcome(), Some(Outcome::Parked));
}

#[test]
fn broken_glass_lets_the_starter_go_on_and_is_a_fact_of_its_own() {
    let mut world = guarded();
    let events = tell(&mut world, "ada", |answer| answer.break_glass = Some("it burns".into()));
    let broken =
        |event: &Event| matches!(event, Event::GlassBroken { by, reason, .. } if by == "ada" && reason == "it burns");
    assert!(events.iter().any(broken));
    assert_eq!(world.running_names(), ["remediate.fix"]);
}

#[test]
fn who_started_the_run_may_withdraw_it() {
    let mut world = guarded();
    tell(&mut world, "ada", |answer| answer.verdict = Rejected);
    assert_eq!(world.outcome(), Some(Outcome::Rejected));
}

#[test]
fn an_answer_to_something_else_does_not_count() {
    let mut world = guarded();
    let other = |answer: &mut Answered| answer.digest = Some("0123456789abcdef".into());
    assert_eq!(refusals(&tell(&mut world, "grace", other)).len(), 1);
    let digest = world.records.iter().find_map(|record| match &record.event {
        Event::ApprovalAsked { digest, .. } => Some(digest.clone()),
        _ => None,
    });
    assert_eq!(digest.as_ref().map(String::len), Some(16));
    assert_eq!(refusals(&tell(&mut world, "grace", |answer| answer.digest = digest)), Vec::<&str>::new());
}

#[test]
fn a_question_without_a_time_of_its_own_is_open_for_an_hour() {
    let mut world = asked(asking());
    world.wait(3599.0);
    assert!(world.asked("remediate.fix"));
    world.wait(1.0);
    assert_eq!(world.why(), "nobody answered in time about remediate.fix");
}

/// Agreement to one request is none to another, as when a repeated attempt sees other values.
#[test]
fn what_is_not_what_was_agreed_to_is_asked_again() {
    let mut world = asked(asking().retry(super::plan::retry(2)));
    world.answer("remediate.fix", Approved);
    world.end("remediate.fix", problem("no"));
    world.graph.header.digest = "another text".into();
    world.wait(1.0);
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 1);
    assert!(world.asked("remediate.fix"));
    world.answer("remediate.fix", Approved);
    assert_eq!(world.starts(Role::Main, "remediate.fix"), 2);
}

#[test]
fn a_journal_from_before_answers_were_bound_still_counts() {
    let mut world = asked(asking());
    for record in &mut world.records {
        if let Event::ApprovalAsked { digest, quorum, .. } = &mut record.event {
            (*digest, *quorum) = (String::new(), None);
        }
    }
    world.crash_and([answer("remediate.fix", Approved)]);
    assert_eq!(world.running_names(), ["remediate.fix"]);
}
