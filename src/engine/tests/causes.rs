//! From the diagnosis to causes, severity and the remediations that are called for.

use serde_json::json;

use super::plan::Plan;
use super::world::{World, failure, problem};
use crate::engine::event::{Cause, Event, Impact, NOT_CALLED_FOR, Outcome, Phase, Role, Severity, StepStatus};
use crate::engine::graph::ImpactTexts;
use crate::language::Template;

fn diagnosed() -> Plan {
    Plan::new()
        .step("diagnose.file")
        .step("diagnose.load")
        .needs(&["file"])
        .cause("missing", "!diagnose.file.exists")
        .cause("corrupted", "diagnose.load.failed && diagnose.load.code == 3")
}

fn causes(world: &World) -> Vec<Cause> {
    let found = world.records.iter().find_map(|record| match &record.event {
        Event::CausesFound { causes, .. } => Some(causes.clone()),
        _ => None,
    });
    found.expect("the diagnosis is complete")
}

fn holds(world: &World) -> Vec<Option<bool>> {
    causes(world).iter().map(|cause| cause.finding.holds).collect()
}

#[test]
fn causes_come_with_the_values_they_were_judged_by() {
    let mut world = World::start(diagnosed());
    world.pass("diagnose.file", json!({"exists": true}));
    world.end("diagnose.load", failure(json!({"code": 3}), "bad opset"));
    assert_eq!(holds(&world), [Some(false), Some(true)]);
    let values = &causes(&world)[1].finding.values;
    assert_eq!(*values, [("diagnose.load.failed".into(), json!(true)), ("diagnose.load.code".into(), json!(3))]);
}

#[test]
fn a_cause_is_undecided_when_its_probe_did_not_answer() {
    let mut world = World::start(diagnosed());
    world.end("diagnose.file", problem("permission denied"));
    assert_eq!(world.status("diagnose.load"), Some(StepStatus::Skipped));
    assert_eq!(holds(&world), [None, Some(false)], "the second is decided: load did not fail");
    let why = causes(&world)[0].finding.why.clone().unwrap_or_default();
    assert!(why.contains("diagnose.file could not be checked"), "{why}");
}

fn impact(world: &World) -> Option<Impact> {
    let found = world.records.iter().find_map(|record| match &record.event {
        Event::CausesFound { impact, .. } => Some(impact.clone()),
        _ => None,
    });
    found.expect("the diagnosis is complete")
}

fn with_impact() -> Plan {
    let mut plan = diagnosed();
    let text = |text| Some(Template::parse(text).expect("a template"));
    let summary = text("nothing is read with code {{diagnose.load.code}}");
    plan.graph.impact = ImpactTexts { affected: text("{{diagnose.file.name}}"), summary };
    plan
}

#[test]
fn the_impact_is_said_with_the_values_of_the_diagnosis() {
    let mut world = World::start(with_impact());
    world.pass("diagnose.file", json!({"exists": true, "name": ["ocr", "text"]}));
    world.end("diagnose.load", failure(json!({"code": 3}), "bad opset"));
    let said = impact(&world).expect("an impact");
    assert_eq!(said.to_string(), "ocr, text: nothing is read with code 3");
    assert_eq!(world.state.impact, Some(said));
}

#[test]
fn a_sentence_with_an_unknown_value_is_not_said() {
    let mut world = World::start(with_impact());
    world.pass("diagnose.file", json!({"exists": false, "name": "ocr"}));
    world.end("diagnose.load", problem("killed"));
    assert_eq!(impact(&world), Some(Impact { affected: Some("ocr".into()), summary: None }));
}

#[test]
fn without_a_fault_there_is_no_impact() {
    let mut world = World::start(with_impact());
    world.pass("diagnose.file", json!({"exists": true, "name": "ocr"}));
    world.pass("diagnose.load", json!({"code": 0}));
    assert_eq!(impact(&world), None);
}

#[test]
fn a_remediation_runs_only_for_its_causes() {
    let plan = diagnosed().step("remediate.restore").fixes(&["missing", "corrupted"]);
    let plan = plan.step("remediate.convert").fixes(&["corrupted"]).step("remediate.reload").needs(&["restore"]);
    let mut world = World::start(plan);
    world.pass("diagnose.file", json!({"exists": false}));
    world.pass("diagnose.load", json!({"code": 0}));
    assert_eq!(world.status("remediate.convert"), Some(StepStatus::Skipped));
    assert!(world.reason("remediate.convert").starts_with(NOT_CALLED_FOR));
    world.pass("remediate.restore", json!({}));
    assert_eq!(world.running_names(), ["remediate.reload"], "it names no cause and follows");
}

#[test]
fn without_a_cause_nothing_is_remediated() {
    let mut world = World::start(diagnosed().step("remediate.restore").fixes(&["missing"]).step("remediate.reload"));
    world.pass("diagnose.file", json!({"exists": true}));
    world.pass("diagnose.load", json!({"code": 0}));
    assert_eq!(world.reason("remediate.reload"), "not called for: no cause was found");
    assert_eq!(world.count(|event| matches!(event, Event::AttemptStarted { role: Role::Main, .. })), 2);
}

#[test]
fn an_undecided_cause_calls_for_nothing() {
    let mut world = World::start(
        Plan::detecting()
            .step("diagnose.file")
            .cause("missing", "!diagnose.file.exists")
            .step("remediate.restore")
            .fixes(&["missing"]),
    );
    world.pass("detect.fault", json!({"broken": true}));
    world.end("diagnose.file", problem("permission denied"));
    assert_eq!(world.status("remediate.restore"), Some(StepStatus::Skipped));
    assert_eq!(world.outcome(), Some(Outcome::Unresolved));
    assert!(world.why().contains("not decided: The missing"), "{}", world.why());
}

#[test]
fn a_follow_up_is_skipped_when_all_it_needs_were() {
    let plan = diagnosed().step("remediate.restore").fixes(&["missing"]);
    let plan = plan.step("remediate.convert").fixes(&["corrupted"]);
    let plan = plan
        .step("remediate.after_restore")
        .needs(&["restore"])
        .step("remediate.after_both")
        .needs(&["restore", "convert"]);
    let mut world = World::start(plan);
    world.pass("diagnose.file", json!({"exists": true}));
    world.end("diagnose.load", failure(json!({"code": 3}), "bad opset"));
    assert_eq!(world.status("remediate.after_restore"), Some(StepStatus::Skipped));
    world.pass("remediate.convert", json!({}));
    assert_eq!(world.running_names(), ["remediate.after_both"]);
}

fn severity(world: &World) -> Option<Severity> {
    world.state.severity
}

#[test]
fn the_first_severity_rule_that_holds_decides() {
    let rules = || {
        diagnosed()
            .severity_rule(Some("causes.missing && diagnose.file.providers > 1"), Severity::Critical)
            .severity_rule(Some("causes.missing"), Severity::High)
            .severity_rule(None, Severity::Low)
    };
    for (output, expected) in [
        (json!({"exists": false, "providers": 2}), Severity::Critical),
        (json!({"exists": false, "providers": 1}), Severity::High),
        // A rule that cannot be decided does not hold.
        (json!({"exists": false}), Severity::High),
        (json!({"exists": true}), Severity::Low),
    ] {
        let mut world = World::start(rules());
        world.pass("diagnose.file", output.clone());
        if world.phase() == Some(Phase::Diagnose) {
            world.pass("diagnose.load", json!({"code": 0}));
        }
        assert_eq!(severity(&world), Some(expected), "{output}");
    }
}

#[test]
fn the_severity_is_medium_without_a_rule() {
    let mut world = World::start(Plan::new().step("diagnose.a"));
    world.pass("diagnose.a", json!({}));
    assert_eq!(severity(&world), Some(Severity::Medium));
}

#[test]
fn a_failed_step_raises_the_severity_and_nothing_lowers_it() {
    let plan = Plan::new().step("diagnose.a").severity(Severity::Critical).step("diagnose.b").severity(Severity::High);
    let mut world = World::start(plan.severity_rule(None, Severity::Low));
    world.end("diagnose.a", failure(json!({}), "bad"));
    world.end("diagnose.b", problem("worse"));
    assert_eq!(world.count(|event| matches!(event, Event::SeverityRaised { .. })), 1, "high is below critical");
    assert_eq!(severity(&world), Some(Severity::Critical));
}

#[test]
fn a_step_that_passes_raises_nothing() {
    let mut world = World::start(Plan::new().step("diagnose.a").severity(Severity::Critical));
    world.pass("diagnose.a", json!({}));
    assert_eq!(severity(&world), Some(Severity::Medium));
}
