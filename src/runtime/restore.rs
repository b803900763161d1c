//! A run as its journal and the kept copy of its playbook have it.

use std::collections::BTreeMap;

use super::host::{Host, Prepared, RuntimeError};
use crate::base::{RunId, Source};
use crate::engine::event::{Outcome, Role, RunStarted, StepOutline};
use crate::engine::{Command, Event, Record, RunState, commands_for};
use crate::playbook::{self, Playbook};

impl Host {
    /// The plan and state of a run, from its journal and the copy of its playbook, and its attempts without
    /// an end.
    pub(super) fn restore(&self, run: &RunId) -> Result<(Prepared, RunState, Vec<Command>), RuntimeError> {
        let (prepared, state, open) = self.restored(run)?;
        if state.finished.is_some_and(|outcome| outcome != Outcome::Parked) {
            return Err(RuntimeError::Over(run.to_string()));
        }
        Ok((prepared, state, open))
    }

    /// The same, also of a run that has ended.
    pub(super) fn restored(&self, run: &RunId) -> Result<(Prepared, RunState, Vec<Command>), RuntimeError> {
        let (header, records, state) = self.history_of(run)?;
        let playbook = self.pinned(run, &header)?;
        let mut graph = self.compile(&playbook, header.inputs.clone(), &header.by, &header.trigger);
        if !is_same_plan(&graph.header.steps, &header.steps) {
            return Err(RuntimeError::PlanChanged { run: run.to_string() });
        }
        graph.header = header;
        let mut prepared = Prepared { run: run.clone(), playbook, graph };
        self.leave_escalation(&mut prepared);
        Ok((prepared, state, open_attempts(&records)))
    }

    /// What the journal has of a run.
    pub(super) fn history_of(&self, run: &RunId) -> Result<(RunStarted, Vec<Record>, RunState), RuntimeError> {
        let records = self.journal.read(run)?;
        let state =
            RunState::replay(&records).map_err(|source| RuntimeError::Damaged { run: run.to_string(), source })?;
        match records.first().map(|record| &record.event) {
            Some(Event::RunStarted(header)) => Ok(((**header).clone(), records, state)),
            _ => Err(RuntimeError::Over(run.to_string())),
        }
    }

    /// The playbook a run was started with, from the kept copy.
    pub(super) fn pinned(&self, run: &RunId, header: &RunStarted) -> Result<Playbook, RuntimeError> {
        let path = self.kept_playbook(&header.digest);
        let text = std::fs::read_to_string(&path).map_err(|source| {
            let (run, path) = (run.to_string(), path.clone());
            RuntimeError::PlaybookGone { run, path, source }
        })?;
        let playbook = playbook::parse(&Source::new(header.file.as_str(), text)).map_err(RuntimeError::Playbook)?;
        // A run is what it was started as: an edited copy must not change what it does.
        if playbook.digest != header.digest {
            return Err(RuntimeError::PlaybookChanged { run: run.to_string(), path });
        }
        Ok(playbook)
    }
}

/// Events name steps, and the state counts them by their place: in another plan they would mean other steps.
fn is_same_plan(compiled: &[StepOutline], recorded: &[StepOutline]) -> bool {
    let plan = |steps: &[StepOutline]| -> Vec<_> {
        steps.iter().map(|step| (step.id.clone(), step.phase, step.kind.clone(), step.needs.clone())).collect()
    };
    plan(compiled) == plan(recorded)
}

/// The attempts that were started and whose end is not known, as they were asked for.
fn open_attempts(records: &[Record]) -> Vec<Command> {
    let mut open = BTreeMap::new();
    for record in records {
        match &record.event {
            Event::AttemptStarted { key, role, .. } => {
                open.insert((key, role), &record.event);
            }
            Event::AttemptEnded { key, role, .. } | Event::AttemptInterrupted { key, role, .. } => {
                open.remove(&(key, role));
            }
            Event::AttemptSuspended { key, .. } => {
                open.remove(&(key, &Role::Main));
            }
            _ => {}
        }
    }
    open.into_values().filter_map(commands_for).collect()
}
