//! What whoever approves a step has to say: read, bound to the question, and the same for all.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::plan::Plan;
use super::world::{World, key, problem, resolve};
use crate::base::Timestamp;
use crate::engine::event::{ApprovalVerdict, Event, Outcome, Resolution, Role, StepStatus};
use crate::engine::preview::{Planned, preview};
use crate::engine::{Answered, RunState, What};
use crate::language::Given;

/// Asked of `quorum` of three people, in a run that ada started.
fn asking(quorum: u32) -> World {
    let plan = Plan::new().step("remediate.fix").approve_by(&["grace", "edsger", "barbara"], quorum);
    World::start(plan.asking_for_answers())
}

/// Approves with these answers, after a crash.
fn say(world: &mut World, by: &str, answers: &[(&str, &str)], digest: Option<&str>) -> Vec<Event> {
    let given = answers.iter().map(|(name, text)| ((*name).to_owned(), Given::Text((*text).to_owned())));
    let answers: BTreeMap<String, Given> = given.collect();
    let digest = digest.map(str::to_owned);
    let answer = Answered::new(key("remediate.fix"), ApprovalVerdict::Approved, by, "because");
    world.crash_and([What::Answered(Answered { answers, digest, ..answer })])
}

fn refusal(events: &[Event]) -> Option<&str> {
    events.iter().find_map(|event| match event {
        Event::ApprovalRefused { why, .. } => Some(why.as_str()),
        _ => None,
    })
}

fn started(world: &World) -> Vec<Value> {
    let started = world.records.iter().filter_map(|record| match &record.event {
        Event::AttemptStarted { role: Role::Main, request, .. } => Some(request.clone()),
        _ => None,
    });
    started.collect()
}

fn digest(world: &World) -> String {
    let (step, item) = world.state.find(&key("remediate.fix")).expect("the step");
    world.state.steps[step].items[item as usize].asked_digest()
}

#[test]
fn the_question_has_placeholders_and_the_step_what_was_said() {
    let mut world = asking(1);
    let asked = world.records.iter().find_map(|record| match &record.event {
        Event::ApprovalAsked { request, answers, .. } => Some((request.clone(), answers.clone())),
        _ => None,
    });
    let (request, asks) = asked.expect("a question");
    assert_eq!(request, json!({"test": {"number": "‹answers.number›", "word": "say ‹answers.word›"}}));
    assert_eq!(asks.iter().map(|asks| asks.name.as_str()).collect::<Vec<_>>(), ["number", "word"]);
    assert_eq!((asks[0].expected.as_str(), &asks[0].default), ("a whole number, from 1 to 10", &None));
    assert_eq!(refusal(&say(&mut world, "grace", &[("number", "3")], None)), None);
    assert_eq!(started(&world), [json!({"number": 3, "word": "say none"})]);
}

#[test]
fn an_answer_that_is_missing_unknown_or_wrong_does_not_count() {
    let mut world = asking(1);
    for (answers, why) in [
        (&[][..], "answer 'number' is missing; it is a whole number, from 1 to 10"),
        (&[("number", "x")], "answer 'number': 'x' is not a whole number; expected: a whole number, from 1 to 10"),
        (&[("number", "11")], "it is more than 10"),
        (&[("number", "3"), ("numbr", "3")], "has no answer 'numbr'; did you mean 'number'?"),
        (&[("number", "3"), ("word", "a b")], "does not match"),
        (&[("number", "0"), ("word", "A")], "answer 'word'"),
    ] {
        let events = say(&mut world, "grace", answers, None);
        assert!(refusal(&events).is_some_and(|told| told.contains(why)), "{answers:?}: {:?}", refusal(&events));
        assert_eq!(world.outcome(), Some(Outcome::Parked), "{answers:?}");
    }
    assert_eq!(started(&world), Vec::<Value>::new());
}

#[test]
fn a_step_that_asks_for_nothing_takes_no_answers() {
    let mut world = World::start(Plan::new().step("remediate.fix").approve(None));
    let events = say(&mut world, "grace", &[("number", "3")], None);
    assert!(refusal(&events).is_some_and(|why| why.contains("has no answer 'number'")));
}

#[test]
fn those_after_the_first_say_the_same_or_nothing() {
    let mut world = asking(3);
    assert_eq!(refusal(&say(&mut world, "grace", &[("number", "3")], None)), None);
    let why = "grace said number = 3, and edsger says 4; all have to say the same";
    assert_eq!(refusal(&say(&mut world, "edsger", &[("number", "4")], None)), Some(why));
    assert!(refusal(&say(&mut world, "edsger", &[("word", "other")], None)).is_some());
    assert!(refusal(&say(&mut world, "edsger", &[("numbr", "3")], None)).is_some());
    assert_eq!(refusal(&say(&mut world, "edsger", &[("number", " 3".trim())], None)), None);
    assert_eq!(refusal(&say(&mut world, "barbara", &[], None)), None);
    assert_eq!(started(&world), [json!({"number": 3, "word": "say none"})]);
}

#[test]
fn a_journal_in_which_people_said_different_things_makes_no_sense() {
    let mut world = asking(2);
    say(&mut world, "grace", &[("number", "3")], None);
    say(&mut world, "edsger", &[], None);
    assert!(RunState::replay(&world.records).is_ok());
    for record in &mut world.records {
        if let Event::ApprovalSettled { verdict: ApprovalVerdict::Approved, answers, .. } = &mut record.event {
            answers.insert("number".to_owned(), json!(4));
        }
    }
    let refused = RunState::replay(&world.records).expect_err("it was changed");
    assert!(refused.to_string().contains("gave different answers"), "{refused}");
}

/// Whoever read the question before anybody had answered has not agreed to what was said since.
#[test]
fn an_answer_to_the_question_as_it_was_before_somebody_answered_does_not_count() {
    let mut world = asking(2);
    let before = digest(&world);
    assert_eq!(refusal(&say(&mut world, "grace", &[("number", "3")], Some(&before))), None);
    let after = digest(&world);
    assert_ne!(before, after);
    assert!(refusal(&say(&mut world, "edsger", &[], Some(&before))).is_some());
    assert_eq!(refusal(&say(&mut world, "edsger", &[], Some(&after))), None);
    assert_eq!(started(&world).len(), 1);
}

#[test]
fn a_question_that_is_asked_again_has_no_answers() {
    let plan = Plan::new().step("remediate.fix").approve_by(&["grace"], 1).asking_for_answers();
    let mut world = World::start(plan.retry(super::plan::retry(2)));
    say(&mut world, "grace", &[("number", "3")], None);
    world.end("remediate.fix", problem("no"));
    world.graph.header.digest = "another text".into();
    world.wait(1.0);
    assert!(world.asked("remediate.fix"));
    assert!(refusal(&say(&mut world, "grace", &[], None)).is_some_and(|why| why.contains("is missing")));
    assert_eq!(started(&world).len(), 1);
}

/// What is shown with a placeholder and what is done are put together from the same values.
#[test]
fn a_value_that_looks_like_a_placeholder_is_not_shown_as_one() {
    let plan = Plan::new().inputs(json!({"name": "‹answers.number›"})).step("remediate.fix").approve(None);
    let plan = plan.asking_for_answers().config(json!({"number": "{{inputs.name}}"}));
    let world = World::start(plan);
    assert_eq!(world.status("remediate.fix"), Some(StepStatus::Error));
    assert!(world.reason("remediate.fix").contains("looks like ‹answers.…›"), "{}", world.reason("remediate.fix"));
}

#[test]
fn what_cannot_be_done_with_the_answers_is_refused_before_it_counts() {
    let plan = Plan::new().step("remediate.fix").approve(None).asking_for_answers();
    let mut world = World::start(plan.config(json!({"word": "{{answers.word.first}}"})));
    let events = say(&mut world, "grace", &[("number", "3")], None);
    assert!(refusal(&events).is_some_and(|why| why.contains("cannot be done with this")), "{events:?}");
}

#[test]
fn expectations_and_later_steps_read_what_was_said() {
    let plan = Plan::new().step("remediate.fix").approve_by(&["grace"], 1).asking_for_answers();
    let plan = plan.expect("done == answers.number").step("remediate.after").needs(&["fix"]);
    let mut world = World::start(plan.config(json!({"number": "{{remediate.fix.answers.number}}"})));
    say(&mut world, "grace", &[("number", "3")], None);
    world.crash_and([resolve("remediate.fix", Resolution::Retry)]);
    world.pass("remediate.fix", json!({"done": 3}));
    assert_eq!(world.status("remediate.fix"), Some(StepStatus::Passed), "{}", world.reason("remediate.fix"));
    let first = json!({"number": 3, "word": "say none"});
    assert_eq!(started(&world), [first.clone(), first, json!({"number": 3})]);
}

#[test]
fn a_plan_shows_the_placeholders() {
    let mut world =
        World::new(Plan::new().look_only().step("remediate.fix").approve(None).asking_for_answers().graph());
    world.feed([What::Start]);
    let planned = preview(&world.graph, &world.state, Timestamp(0), None).expect("a plan");
    let shown = json!({"number": "‹answers.number›", "word": "say ‹answers.word›"});
    assert!(matches!(&planned[..], [step] if matches!(&step.does, Planned::Run(request) if *request == shown)));
}
