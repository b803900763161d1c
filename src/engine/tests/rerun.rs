//! A run that is done anew: which results of the earlier run it may take over.

use serde_json::Value;

use super::plan::Plan;
use super::world::{World, key};
use crate::base::RunId;
use crate::engine::event::{Event, Phase, RerunOf, StepStatus};
use crate::engine::{Record, RunState};

fn earlier() -> RunId {
    RunId::from("earlier".to_owned())
}

fn taken(step: &str, from: RunId) -> Event {
    let (key, output) = (key(step), Value::Null);
    Event::StepTakenOver { key, from, status: StepStatus::Passed, output, reason: None, items: Vec::new() }
}

/// Whether a run that is done anew from `remediate.second` may have these events after its start.
fn is_legal(events: Vec<Event>) -> bool {
    let plan = Plan::detecting().step("remediate.first").step("remediate.second");
    let world = World::start(plan);
    let mut start = world.records[0].clone();
    let Event::RunStarted(header) = &mut start.event else { panic!("{start:?}") };
    header.rerun_of = Some(RerunOf { run: earlier(), from: "remediate.second".into(), only: false });
    let after = events.into_iter().zip(2..).map(|(event, seq)| Record { seq, event, ..start.clone() });
    let records: Vec<Record> = std::iter::once(start.clone()).chain(after).collect();
    RunState::replay(&records).is_ok()
}

#[test]
fn results_are_taken_over_at_the_start_and_from_one_run_only() {
    assert!(is_legal(vec![taken("remediate.first", earlier())]));
    assert!(!is_legal(vec![taken("remediate.first", RunId::from("another".to_owned()))]));
    assert!(!is_legal(vec![taken("remediate.second", earlier())]), "what is done anew");
    let begun = Event::PhaseStarted { phase: Phase::Detect };
    assert!(!is_legal(vec![begun, taken("remediate.first", earlier())]), "later");
}
