//! A plan shows exactly what the run then does.

use serde_json::{Value, json};

use super::plan::Plan;
use super::world::{World, problem};
use crate::engine::event::{ApprovalVerdict, Event, NOT_CALLED_FOR, Role};
use crate::engine::graph::Repeat;
use crate::engine::preview::{Planned, PlannedStep, preview};

/// A run that has looked, and what it would do.
fn looked(plan: Plan, diagnosis: &[(&str, Value)]) -> (World, Vec<PlannedStep>) {
    let mut world = World::start(plan.look_only());
    for (step, output) in diagnosis {
        world.pass(step, output.clone());
    }
    assert_eq!(world.running(), []);
    let planned = preview(&world.graph, &world.state, world.now, None).expect("a preview");
    (world, planned)
}

fn shown(planned: &[PlannedStep]) -> Vec<(String, String)> {
    let does = |does: &Planned| match does {
        Planned::Run(request) => format!("run {request}"),
        Planned::Later(why) => format!("later: {why}"),
        Planned::Skip(why) => format!("skip: {why}"),
    };
    planned.iter().map(|step| (step.key.to_string(), does(&step.does))).collect()
}

fn plan() -> Plan {
    Plan::new()
        .inputs(json!({"names": ["x", "y"]}))
        .step("diagnose.file")
        .cause("missing", "!diagnose.file.exists")
        .cause("broken", "diagnose.file.exists")
        .step("remediate.download")
        .fixes(&["missing"])
        .config(json!({"to": "{{diagnose.file.path}}"}))
        .expect("size > 0")
        .undo(Repeat::Safe)
        .step("remediate.convert")
        .fixes(&["broken"])
        .step("remediate.each")
        .needs(&["download"])
        .for_each("inputs.names", 1)
        .config(json!({"name": "{{item}}"}))
        .step("remediate.reload")
        .needs(&["each"])
        .approve(None)
}

#[test]
fn the_plan_is_what_the_run_then_does() {
    let diagnosis = [("diagnose.file", json!({"exists": false, "path": "models/a"}))];
    let (_, planned) = looked(plan(), &diagnosis);
    let would: Vec<(String, Value)> = planned
        .iter()
        .filter_map(|step| match &step.does {
            Planned::Run(request) => Some((step.key.to_string(), request.clone())),
            _ => None,
        })
        .collect();

    let mut world = World::start(plan());
    world.pass("diagnose.file", diagnosis[0].1.clone());
    for step in ["remediate.download", "remediate.each[0]", "remediate.each[1]"] {
        world.pass(step, json!({"size": 1}));
    }
    world.answer("remediate.reload", ApprovalVerdict::Approved);
    let done: Vec<(String, Value)> = world
        .records
        .iter()
        .filter_map(|record| match &record.event {
            Event::AttemptStarted { key, role: Role::Main, request, .. } if key.step.starts_with("remediate.") => {
                Some((key.to_string(), request.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(would, done);
    assert_eq!(would[0], ("remediate.download".into(), json!({"to": "models/a"})));
    assert_eq!(would.len(), 4);
}

#[test]
fn a_plan_says_what_is_skipped_asked_and_undone() {
    let (_, planned) = looked(plan(), &[("diagnose.file", json!({"exists": false, "path": "p"}))]);
    let of = |id: &str| planned.iter().find(|step| step.key.to_string() == id).expect("it is planned");
    assert!(matches!(&of("remediate.convert").does, Planned::Skip(why) if why.starts_with(NOT_CALLED_FOR)));
    assert!(of("remediate.reload").asks && !of("remediate.download").asks);
    assert_eq!(of("remediate.download").undone_by.as_deref(), Some("test"));
}

#[test]
fn what_depends_on_a_step_before_it_is_told_later_and_stops_nothing() {
    let plan = Plan::new()
        .step("remediate.find")
        .step("remediate.use")
        .needs(&["find"])
        .config(json!({"path": "{{remediate.find.path}}"}))
        .step("remediate.maybe")
        .needs(&["find"])
        .when("remediate.find.big")
        .step("remediate.last")
        .needs(&["use", "maybe"]);
    let (_, planned) = looked(plan, &[]);
    let shown = shown(&planned);
    let starts = ["run", "later", "later", "run"];
    assert_eq!(shown.len(), starts.len(), "{shown:?}");
    assert!(shown.iter().zip(starts).all(|((_, does), start)| does.starts_with(start)), "{shown:?}");
}

#[test]
fn a_fallback_for_a_failure_is_not_planned() {
    let plan = Plan::new().step("remediate.a").continues().step("remediate.b").needs(&["a"]).when("remediate.a.failed");
    let (_, planned) = looked(plan, &[]);
    assert!(matches!(&planned[1].does, Planned::Skip(_)), "{:?}", shown(&planned));
}

#[test]
fn nothing_is_planned_without_a_fault_or_a_cause() {
    let (_, planned) = looked(Plan::detecting().step("remediate.fix"), &[("detect.fault", json!({"broken": false}))]);
    assert_eq!(shown(&planned), []);
    let plan = Plan::new().step("diagnose.look").cause("odd", "diagnose.look.odd").step("remediate.fix");
    let mut world = World::start(plan.look_only());
    world.end("diagnose.look", problem("refused"));
    let planned = preview(&world.graph, &world.state, world.now, None).expect("a preview");
    assert_eq!(shown(&planned), [("remediate.fix".into(), "skip: not called for: no cause was found".into())]);
}
