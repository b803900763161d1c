//! Runs that are done anew from one of their steps, and the runs that they call.

use super::approvers;
use super::host::{Host, Prepared, RuntimeError};
use crate::base::{RunId, entropy};
use crate::engine::event::{Outcome, Record, RerunOf, RunStarted};
use crate::engine::rerun::{self, From, RerunError};
use crate::engine::{Graph, RunState, What};
use crate::kind::PlaybookCall;
use crate::playbook::Playbook;

/// A run that has ended, with the text that it was started with.
pub(super) struct Earlier {
    run: RunId,
    pub(super) header: RunStarted,
    pub(super) playbook: Playbook,
    records: Vec<Record>,
    state: RunState,
    /// The steps that call it, as the path to a step of it begins.
    within: String,
}

impl Earlier {
    /// Marks the plan of the new run, and tells what it begins with: the results that it takes over.
    pub(super) fn done_anew(&self, graph: &mut Graph, from: From<'_>) -> Result<What, RuntimeError> {
        let taken = self.taken_over(graph, from)?;
        graph.header.from_outside.extend(self.header.from_outside.iter().cloned());
        graph.header.rerun_of = Some(RerunOf { run: self.run.clone(), from: from.step.to_owned(), only: from.only });
        Ok(What::StartAnew(taken))
    }

    fn taken_over(&self, graph: &Graph, from: From<'_>) -> Result<Vec<crate::engine::Event>, RuntimeError> {
        rerun::taken_over(graph, &self.state, &self.records, &self.run, from).map_err(|source| self.refused(source))
    }

    fn refused(&self, source: RerunError) -> RuntimeError {
        RuntimeError::Rerun { run: self.run.to_string(), within: self.within.clone(), source }
    }
}

impl Host {
    /// A new run of the kept playbook and inputs of a run that has ended, and what it begins with: the results
    /// that it takes over.
    pub fn prepare_anew(&self, old: &RunId, from: From<'_>, by: &str) -> Result<(Prepared, What), RuntimeError> {
        if old.is_child() {
            return Err(RuntimeError::Called(old.to_string()));
        }
        let earlier = self.earlier(old, String::new())?;
        let mut graph = self.compile(&earlier.playbook, earlier.header.inputs.clone(), by, "hand");
        approvers::check(&graph, &self.services().site)?;
        let first = earlier.done_anew(&mut graph, from)?;
        self.check_called(&earlier, from)?;
        let run = RunId::new(self.clock.now(), entropy::random());
        Ok((Prepared { run, playbook: earlier.playbook, graph }, first))
    }

    /// The run that this call does anew: where its caller is done anew from a step inside of it.
    pub(super) fn called_anew(&self, call: &PlaybookCall) -> Result<Option<(Earlier, RerunOf)>, RuntimeError> {
        let Some((caller, step)) = call.run.as_str().rsplit_once('/') else { return Ok(None) };
        let (header, ..) = self.history_of(&RunId::from(caller.to_owned()))?;
        let Some(of) = header.rerun_of else { return Ok(None) };
        let Some(inside) = of.starting_point().inside() else { return Ok(None) };
        let is_other = step.rsplit_once('.').is_none_or(|(step, _)| step != of.starting_point().first());
        if is_other {
            return Ok(None);
        }
        let earlier = self.called_by(&self.earlier(&of.run, String::new())?, of.starting_point())?;
        // The undo of the step may call another playbook, which begins at its beginning.
        let is_same = earlier.header.playbook == call.name;
        let from = RerunOf { run: earlier.run.clone(), from: inside.step.to_owned(), only: of.only };
        Ok(is_same.then_some((earlier, from)))
    }

    /// Whether the runs inside of which the new one begins can be done anew: before anything is done, not after.
    fn check_called(&self, earlier: &Earlier, from: From<'_>) -> Result<(), RuntimeError> {
        let Some(inside) = from.inside() else { return Ok(()) };
        let called = self.called_by(earlier, from)?;
        let header = &called.header;
        let graph = self.compile(&called.playbook, header.inputs.clone(), &header.by, &header.trigger);
        called.taken_over(&graph, inside)?;
        self.check_called(&called, inside)
    }

    fn called_by(&self, earlier: &Earlier, from: From<'_>) -> Result<Earlier, RuntimeError> {
        let called = rerun::called_run(&earlier.state, &earlier.run, from).map_err(|source| earlier.refused(source))?;
        if self.journal.read(&called)?.is_empty() {
            return Err(earlier.refused(RerunError::NotCalled { asked: from.first().to_owned() }));
        }
        self.earlier(&called, format!("{}{}/", earlier.within, from.first()))
    }

    fn earlier(&self, run: &RunId, within: String) -> Result<Earlier, RuntimeError> {
        let (header, records, state) = self.history_of(run)?;
        if state.finished.is_none_or(|outcome| outcome == Outcome::Parked) {
            return Err(RuntimeError::NotOver(run.to_string()));
        }
        let playbook = self.pinned(run, &header)?;
        Ok(Earlier { run: run.clone(), header, playbook, records, state, within })
    }
}
