//! What a run that has only looked would do next: the same engine goes on in a copy of the state, with
//! every approval given and every step a success, so that plan and run cannot disagree.

use std::collections::HashSet;

use serde_json::Value;

use super::advance;
use super::event::{ApprovalVerdict, AttemptResult, Event, Phase, Risk, Role};
use super::graph::Approval;
use super::graph::Graph;
use super::input::Answered;
use super::input::{Hold, Input, What};
use super::state::{IllegalTransition, RunState};
use crate::base::{StepKey, Timestamp};

/// A remediation as a plan shows it.
#[derive(Debug, Clone)]
pub struct PlannedStep {
    pub key: StepKey,
    pub kind: String,
    /// What the step is for, in the words of its author.
    pub help: Option<String>,
    pub risk: Risk,
    pub asks: bool,
    pub does: Planned,
    pub undone_by: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Planned {
    /// Exactly this would be done.
    Run(Value),
    /// What would be done depends on a step before it.
    Later(String),
    Skip(String),
}

/// The remediations in the order in which they would be decided about.
pub fn preview(
    graph: &Graph,
    looked: &RunState,
    at: Timestamp,
    hold: Option<&Hold>,
) -> Result<Vec<PlannedStep>, IllegalTransition> {
    let graph = hopeful(graph);
    let mut state = looked.clone();
    let Some(run) = state.run.clone() else { return Ok(Vec::new()) };
    let mut planned = Vec::new();
    let mut asked = HashSet::new();
    let mut next = vec![What::Proceed];
    while let Some(what) = next.pop() {
        let records = advance(&graph, &mut state, &run, &Input { at, entropy: 0, hold: hold.cloned(), what })?;
        for record in records {
            match &record.event {
                Event::PhaseStarted { phase } if *phase > Phase::Remediate => return Ok(planned),
                Event::ApprovalAsked { key, .. } => {
                    asked.insert(key.clone());
                    next.push(answer(key));
                }
                Event::AttemptStarted { key, role, attempt, .. } => next.push(success(key, *role, *attempt)),
                _ => {}
            }
            planned.extend(planned_step(&graph, &record.event, &asked));
        }
    }
    Ok(planned)
}

/// The plan with every remediation taken for a success: nothing is known of its output yet, so that
/// nothing is expected of it, and what depends on it stops nothing else.
fn hopeful(graph: &Graph) -> Graph {
    let mut graph = Graph { look_only: None, parallel: 1, open_answers: true, ..graph.clone() };
    for step in graph.steps.iter_mut().filter(|step| step.phase == Phase::Remediate) {
        (step.expect, step.stop_on_error, step.tolerated, step.precondition) = (None, false, true, None);
        // Everybody is taken to agree, whoever they are.
        step.approval = step.approval.take().map(|Approval { timeout, answers, .. }| Approval {
            timeout,
            answers,
            ..Approval::default()
        });
    }
    graph
}

fn answer(key: &StepKey) -> What {
    What::Answered(Answered::new(key.clone(), ApprovalVerdict::Approved, "plan", ""))
}

fn success(key: &StepKey, role: Role, attempt: u32) -> What {
    let result = AttemptResult::Measured { output: Value::Object(serde_json::Map::new()), failure: None };
    What::Ended { key: key.clone(), role, attempt, result }
}

fn planned_step(graph: &Graph, event: &Event, asked: &HashSet<StepKey>) -> Option<PlannedStep> {
    let (key, does) = match event {
        Event::AttemptStarted { key, request, attempt: 1, .. } => (key, Planned::Run(request.clone())),
        Event::StepSkipped { key, reason } => (key, Planned::Skip(reason.clone())),
        // A step that cannot be filled in yet uses the output of a step that did not run here. An item's
        // own end after its attempt is no such thing.
        Event::StepFinished { key, reason: Some(reason), output: Value::Null, .. } => {
            (key, Planned::Later(reason.clone()))
        }
        _ => return None,
    };
    let (_, step) = graph.step(&key.step).filter(|(_, step)| step.phase == Phase::Remediate)?;
    Some(PlannedStep {
        key: key.clone(),
        kind: step.kind.clone(),
        help: step.help.clone(),
        risk: step.risk,
        asks: asked.contains(key),
        does,
        undone_by: step.undo.as_ref().map(|undo| undo.kind.clone()),
    })
}
