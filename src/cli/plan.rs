//! `plan`: looks for real, changes nothing, and shows what a run would do.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::notice;
use super::output::{self, Failure};
use super::setup::{self, runtime_failure};
use super::{Exit, Format, PlanArguments};
use crate::base::environment;
use crate::engine::RunState;
use crate::engine::event::Phase;
use crate::engine::preview::{Planned, PlannedStep, preview};
use crate::report::escape_control;
use crate::runtime::{Ended, Nobody, stop_requests};

pub fn plan(config: Option<&Path>, arguments: &PlanArguments) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    notice::without_journal(&site);
    let library = crate::playbook::Library::new(site.playbooks.clone());
    let playbook = library.find(&arguments.playbook).map_err(|problems| Failure::diagnostics(&problems))?;
    let given = setup::inputs(&arguments.inputs, &playbook)?;
    // A plan leaves no trace: it keeps its events in memory.
    let host = setup::host_without_trace(site, Arc::new(Nobody), setup::reporter(arguments.format))?;
    let mut prepared =
        host.prepare(playbook, &given, &environment::user(), "plan").map_err(|error| runtime_failure(&error))?;
    prepared.graph.look_only = Some(Phase::Remediate);
    let guards = host.guards(&prepared);
    let ended = setup::block_on(async {
        let stops = stop_requests().map_err(|error| Failure::because(Exit::Error, &error))?;
        host.run(prepared, Arc::new(Nobody), Some(stops)).await.map_err(|error| runtime_failure(&error))
    })?;
    let now = host.clock.now();
    let hold = guards.foresee(now).map_err(|error| setup::journal_failure(&error))?;
    let planned = preview(&ended.graph, &ended.state, now, hold.as_ref())
        .map_err(|error| Failure::because(Exit::Error, &error))?;
    match arguments.format {
        Format::Json => output::line(&as_json(&ended, &planned).to_string()),
        Format::Text => show(&ended, &planned),
    }
    Ok(exit(&ended.state))
}

/// A plan that could not tell whether the fault exists is no plan.
fn exit(state: &RunState) -> Exit {
    match state.detected {
        Some(None) => Exit::Error,
        _ => Exit::Done,
    }
}

fn as_json(ended: &Ended, planned: &[PlannedStep]) -> Value {
    let step = |step: &PlannedStep| {
        let (would, request, why) = match &step.does {
            Planned::Run(request) => ("run", Some(request.clone()), None),
            Planned::Later(why) => ("run", None, Some(why.clone())),
            Planned::Skip(why) => ("skip", None, Some(why.clone())),
        };
        json!({"step": step.key, "kind": step.kind, "would": would, "request": request, "why": why,
               "risk": step.risk, "asks": step.asks, "undone_by": step.undone_by})
    };
    let causes: Vec<&str> = held(&ended.state).map(|cause| cause.finding.name.as_str()).collect();
    json!({"event": "plan", "detected": ended.state.detected.flatten(), "causes": causes,
           "severity": ended.state.severity, "steps": planned.iter().map(step).collect::<Vec<_>>()})
}

fn held(state: &RunState) -> impl Iterator<Item = &crate::engine::event::Cause> {
    state.causes.iter().flatten().filter(|cause| cause.finding.holds == Some(true))
}

fn show(ended: &Ended, planned: &[PlannedStep]) {
    output::line("");
    match ended.state.detected {
        Some(Some(false)) => return output::line("Nothing is detected: a run would change nothing."),
        Some(None) => {
            return output::line(
                "Whether the fault exists could not be told: a run would end as `error` and change nothing.",
            );
        }
        _ => {}
    }
    if planned.is_empty() {
        return output::line("A run would change nothing.");
    }
    output::line("A run would do this, in this order:");
    let (does, skips): (Vec<_>, Vec<_>) = planned.iter().partition(|step| !matches!(step.does, Planned::Skip(_)));
    for (position, step) in does.iter().enumerate() {
        show_step(position + 1, step);
    }
    if does.is_empty() {
        output::line("  nothing: no remediation fits what was found");
    }
    if !skips.is_empty() {
        output::line("\nand skip:");
        skips.iter().for_each(|step| {
            if let Planned::Skip(why) = &step.does {
                output::line(&format!("  {}: {}", step.key, escape_control(why)));
            }
        });
    }
    output::line("\nNothing was changed.");
}

fn show_step(number: usize, step: &PlannedStep) {
    let asks = if step.asks { ", asks first" } else { "" };
    let undo = step.undone_by.as_ref().map(|undo| format!(", undone by {undo}")).unwrap_or_default();
    output::line(&format!("  {number}. {}  ({}{asks}{undo})", step.key, step.risk));
    if let Some(help) = &step.help {
        output::line(&format!("     {}", escape_control(help)));
    }
    match &step.does {
        Planned::Run(request) => output::line(&format!("     {}: {}", step.kind, escape_control(&request.to_string()))),
        Planned::Later(why) => {
            output::line(&format!("     {}: known when it starts ({})", step.kind, escape_control(why)))
        }
        Planned::Skip(_) => {}
    }
}
