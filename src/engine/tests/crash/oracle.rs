//! What must be true of every journal, told from its records and the plan alone: nothing here asks
//! the engine.

mod pausing;
mod undoing;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::StepKey;
use crate::engine::event::{
    ApprovalVerdict, AttemptResult, Event, Outcome, Phase, Record, Resolution, Role, StepStatus,
};
use crate::engine::graph::{Graph, Step};

/// What allows the next main attempt of an item to start.
#[derive(Clone, Copy, PartialEq)]
enum Licence {
    /// It has not run yet.
    First,
    /// An event said that it may run again.
    Again,
    /// Its last attempt ended or was interrupted, and nothing has been said since.
    None,
}

struct Oracle<'g> {
    graph: &'g Graph,
    phase: Option<Phase>,
    running: BTreeSet<(StepKey, Role)>,
    licences: BTreeMap<StepKey, Licence>,
    /// Main attempts of steps that must not simply be repeated, interrupted and not cleared up.
    doubts: BTreeSet<StepKey>,
    /// Steps that wait for a person since the run last went on.
    suspended: BTreeSet<StepKey>,
    attempts: BTreeMap<StepKey, u32>,
    /// Keys about which an attempt or a person has said something since their last start.
    told: BTreeSet<StepKey>,
    ended_items: BTreeSet<StepKey>,
    ended_steps: BTreeMap<String, StepStatus>,
    approved: BTreeSet<StepKey>,
    /// Who has agreed while more have to.
    counted: BTreeMap<StepKey, BTreeSet<String>>,
    /// Questions that somebody may still answer.
    open_questions: BTreeSet<StepKey>,
    /// Questions that nobody could be asked.
    parked_questions: BTreeSet<StepKey>,
    completed: Vec<StepKey>,
    /// Steps that say that they changed nothing.
    unchanged: BTreeSet<StepKey>,
    undo: Option<Undo>,
    causes: Option<Vec<String>>,
    recheck_holds: bool,
    cancelled: Option<bool>,
    refused: bool,
    withheld: bool,
    /// Steps whose precondition was met since their last start.
    cleared: BTreeSet<StepKey>,
    finished: Option<Outcome>,
    phases: BTreeSet<Phase>,
}

#[derive(Default)]
struct Undo {
    planned: Vec<StepKey>,
    done: usize,
    failed: bool,
    doubtful: bool,
}

/// Looks through the whole journal of a run that has ended.
pub(super) fn judge(graph: &Graph, records: &[Record]) -> Result<(), String> {
    let mut oracle = Oracle {
        graph,
        phase: None,
        running: BTreeSet::new(),
        licences: BTreeMap::new(),
        doubts: BTreeSet::new(),
        suspended: BTreeSet::new(),
        attempts: BTreeMap::new(),
        told: BTreeSet::new(),
        ended_items: BTreeSet::new(),
        ended_steps: BTreeMap::new(),
        approved: BTreeSet::new(),
        counted: BTreeMap::new(),
        open_questions: BTreeSet::new(),
        parked_questions: BTreeSet::new(),
        completed: Vec::new(),
        unchanged: BTreeSet::new(),
        undo: None,
        causes: None,
        recheck_holds: false,
        cancelled: None,
        refused: false,
        withheld: false,
        cleared: BTreeSet::new(),
        finished: None,
        phases: BTreeSet::new(),
    };
    for record in records {
        oracle.see(&record.event).map_err(|why| format!("event {}: {why}", record.seq))?;
    }
    oracle.end()
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

impl<'g> Oracle<'g> {
    fn step(&self, key: &StepKey) -> &'g Step {
        &self.graph.steps[self.graph.index[&key.step]]
    }

    fn see(&mut self, event: &Event) -> Result<(), String> {
        let reopens = matches!(event, Event::Resumed { .. });
        ensure(self.finished.is_none() || (self.finished == Some(Outcome::Parked) && reopens), || {
            "something happened after the end".into()
        })?;
        match event {
            Event::PhaseStarted { phase } => self.phase_started(*phase),
            Event::AttemptStarted { key, role: Role::Main, attempt, .. } => self.started(key, *attempt),
            Event::AttemptStarted { key, role: Role::Precondition, .. } => self.run(key, Role::Precondition),
            Event::AttemptStarted { key, role: Role::Check, .. } => self.check_started(key),
            Event::AttemptStarted { key, role: Role::Undo, .. } => self.undo_started(key),
            Event::AttemptEnded { key, role, result, .. } => self.attempt_ended(key, *role, result),
            Event::AttemptInterrupted { key, role, .. } => self.interrupted(key, *role),
            Event::AttemptSuspended { key, .. } => self.suspend(key),
            Event::RetryScheduled { key, .. } | Event::HoldScheduled { key, .. } => self.again(key),
            Event::StepFinished { key, status, output, .. } => {
                self.unchanged.extend((output["changed"] == false).then(|| key.clone()));
                self.finished(key, *status)
            }
            Event::StepSkipped { key, .. } => self.finished(key, StepStatus::Skipped),
            Event::ApprovalSettled { key, verdict, by, .. } => self.answered(key, *verdict, by),
            Event::ApprovalCounted { key, by, .. } => self.counted(key, by),
            Event::DoubtResolved { key, resolution, .. } => self.resolved(key, *resolution),
            Event::RunFinished { outcome, .. } => self.run_finished(*outcome),
            Event::UndoFinished { key, error } => self.undo_finished(key, error.is_some()),
            other => {
                self.note(other);
                Ok(())
            }
        }
    }

    /// Facts that are only kept.
    fn note(&mut self, event: &Event) {
        match event {
            Event::CausesFound { causes, .. } => {
                let held = causes.iter().filter(|cause| cause.finding.holds == Some(true));
                self.causes = Some(held.map(|cause| cause.finding.name.clone()).collect());
            }
            Event::DetectionSettled { recheck: true, holds, .. } => self.recheck_holds = *holds == Some(true),
            Event::RecheckScheduled { .. } => self.forget_recheck(),
            Event::UndoStarted { steps } => {
                self.undo = Some(Undo { planned: steps.clone(), ..Undo::default() });
            }
            Event::CancelRequested { hard, .. } => self.cancelled = Some(*hard || self.cancelled == Some(true)),
            Event::RemediationWithheld { .. } => self.withheld = true,
            Event::PreconditionMet { key } => drop(self.cleared.insert(key.clone())),
            Event::ApprovalAsked { key, .. } => {
                // Whoever agreed before agreed to something else.
                self.counted.remove(key);
                self.approved.remove(key);
                self.open_questions.insert(key.clone());
            }
            Event::Resumed { .. } => {
                self.finished = None;
                self.suspended.clear();
                self.open_questions.append(&mut self.parked_questions);
            }
            _ => {}
        }
    }

    fn phase_started(&mut self, phase: Phase) -> Result<(), String> {
        ensure(self.phase < Some(phase), || format!("{phase} begins after {:?}", self.phase))?;
        ensure(self.running.is_empty(), || format!("{phase} begins while {:?} run", self.running))?;
        self.phase = Some(phase);
        self.phases.insert(phase);
        Ok(())
    }

    fn forget_recheck(&mut self) {
        self.ended_items.retain(|key| !key.step.starts_with("recheck."));
        self.ended_steps.retain(|step, _| !step.starts_with("recheck."));
        self.attempts.retain(|key, _| !key.step.starts_with("recheck."));
        self.licences.retain(|key, _| !key.step.starts_with("recheck."));
    }

    fn run(&mut self, key: &StepKey, role: Role) -> Result<(), String> {
        ensure(self.running.iter().all(|(other, _)| other != key), || format!("{key} runs twice at once"))?;
        self.running.insert((key.clone(), role));
        self.told.remove(key);
        ensure(self.running.len() <= self.graph.parallel, || format!("more than {} run", self.graph.parallel))?;
        ensure(self.cancelled.is_none() || self.phase == Some(Phase::Finally), || {
            format!("{key} starts after the run was cancelled")
        })?;
        ensure(self.cancelled != Some(true), || format!("{key} starts after the run was killed"))
    }

    fn started(&mut self, key: &StepKey, attempt: u32) -> Result<(), String> {
        let step = self.step(key);
        self.run(key, Role::Main)?;
        ensure(self.phase == Some(step.phase), || format!("{key} starts in {:?}", self.phase))?;
        ensure(!self.ended_items.contains(key) && !self.ended_steps.contains_key(&key.step), || {
            format!("{key} starts again although it has ended")
        })?;
        let licence = self.licences.insert(key.clone(), Licence::None).unwrap_or(Licence::First);
        ensure(licence != Licence::None, || format!("{key} starts again, and nothing said so"))?;
        ensure(!self.doubts.contains(key), || format!("{key} starts again although it is in doubt"))?;
        let before = self.attempts.insert(key.clone(), attempt).unwrap_or(0);
        ensure(attempt == before + 1, || format!("attempt {attempt} of {key} follows attempt {before}"))?;
        self.may_still(step, key)?;
        self.needs(step)?;
        self.called_for(step, key)?;
        self.within_limit(step)
    }

    fn may_still(&mut self, step: &Step, key: &StepKey) -> Result<(), String> {
        let cleared = self.cleared.remove(key) || step.precondition.is_none();
        ensure(cleared, || format!("{key} starts although nobody looked whether it still may"))?;
        ensure(!self.withheld || step.phase != Phase::Remediate, || format!("{key} starts although it is withheld"))
    }

    fn needs(&self, step: &Step) -> Result<(), String> {
        for need in &step.needs {
            let other = &self.graph.steps[*need];
            let status = self.ended_steps.get(&other.id);
            let good = matches!(status, Some(StepStatus::Passed))
                || (other.tolerated && status.is_some())
                || (step.phase == Phase::Remediate && status == Some(&StepStatus::Skipped));
            ensure(good, || format!("{} starts although {} is {status:?}", step.id, other.id))?;
        }
        Ok(())
    }

    fn called_for(&self, step: &Step, key: &StepKey) -> Result<(), String> {
        let asks = step.approval.is_some() || (step.phase == Phase::Remediate && step.risk >= self.graph.ask_from);
        ensure(!asks || self.approved.contains(key), || format!("{key} starts although nobody approved it"))?;
        if step.phase != Phase::Remediate {
            return Ok(());
        }
        let found = self.causes.as_ref().ok_or("a remediation starts before the causes are known")?;
        let wanted = self.graph.causes.is_empty()
            || (step.fixes.is_empty() && !found.is_empty())
            || step.fixes.iter().any(|cause| found.contains(cause));
        ensure(wanted, || format!("{key} starts although none of its causes was found"))?;
        let begins = self.attempts.get(key) == Some(&1);
        ensure(!begins || !self.refused, || format!("{key} begins after a refusal"))?;
        let stopper = self.ended_steps.iter().find(|(id, status)| {
            let other = &self.graph.steps[self.graph.index[*id]];
            let bad = matches!(status, StepStatus::Failed | StepStatus::Error | StepStatus::Cancelled);
            bad && other.stop_on_error && other.phase == step.phase && other.id != step.id
        });
        ensure(!begins || stopper.is_none(), || format!("{key} begins although {stopper:?} stops the phase"))
    }

    fn within_limit(&self, step: &Step) -> Result<(), String> {
        let Some(for_each) = &step.for_each else { return Ok(()) };
        let busy = self.running.iter().filter(|(key, _)| key.step == step.id).count();
        ensure(busy <= for_each.limit as usize, || format!("{busy} items of {} run", step.id))
    }

    fn check_started(&mut self, key: &StepKey) -> Result<(), String> {
        self.run(key, Role::Check)?;
        let unclear = self.licences.get(key) == Some(&Licence::None);
        ensure(unclear, || format!("{key} is checked although it is not in doubt"))
    }

    fn attempt_ended(&mut self, key: &StepKey, role: Role, result: &AttemptResult) -> Result<(), String> {
        ensure(self.running.remove(&(key.clone(), role)), || format!("{key} ends, but was not running"))?;
        self.told.insert(key.clone());
        let says_undone = |expected: bool| match result {
            AttemptResult::Measured { failure: Some(_), .. } => true,
            AttemptResult::Measured { output, failure: None } => expected && output["ok"] == false,
            _ => false,
        };
        if role == Role::Check && says_undone(self.step(key).check.as_ref().is_some_and(|check| check.expect.is_some()))
        {
            self.doubts.remove(key);
        }
        Ok(())
    }

    fn finished(&mut self, key: &StepKey, status: StepStatus) -> Result<(), String> {
        let step = self.step(key);
        ensure(!self.ended_steps.contains_key(&key.step), || format!("{key} ends twice"))?;
        ensure(self.running.iter().all(|(running, _)| running != key), || format!("{key} ends while it runs"))?;
        if step.for_each.is_none() || key.item.is_some() {
            let good = status != StepStatus::Passed || self.told.contains(key);
            ensure(good, || format!("{key} counts as passed, and nothing said so"))?;
            ensure(self.ended_items.insert(key.clone()), || format!("{key} ends twice"))?;
            if step.phase == Phase::Remediate && status == StepStatus::Passed {
                self.completed.push(key.clone());
            }
        }
        self.open_questions.remove(key);
        self.parked_questions.remove(key);
        if key.item.is_none() {
            self.ended_steps.insert(key.step.clone(), status);
        }
        Ok(())
    }

    /// A question that one person could not answer may still be answered by another.
    fn answered(&mut self, key: &StepKey, verdict: ApprovalVerdict, by: &str) -> Result<(), String> {
        let parked = verdict != ApprovalVerdict::Parked && self.parked_questions.remove(key);
        ensure(self.open_questions.remove(key) || parked, || {
            format!("an answer about {key}, which is no open question")
        })?;
        if verdict == ApprovalVerdict::Approved {
            self.enough_agree(key, by)?;
        }
        match verdict {
            ApprovalVerdict::Approved => drop(self.approved.insert(key.clone())),
            ApprovalVerdict::Rejected | ApprovalVerdict::TimedOut => {
                self.refused |= self.step(key).phase == Phase::Remediate;
            }
            ApprovalVerdict::Parked => drop(self.parked_questions.insert(key.clone())),
        }
        Ok(())
    }

    fn enough_agree(&self, key: &StepKey, by: &str) -> Result<(), String> {
        let Some(approval) = self.step(key).approval.as_ref().filter(|approval| approval.is_guarded()) else {
            return Ok(());
        };
        let mut agreed = self.counted.get(key).cloned().unwrap_or_default();
        agreed.insert(by.to_owned());
        let strangers = agreed.iter().any(|one| !approval.logins.contains(one) || *one == self.graph.header.by);
        ensure(!strangers && agreed.len() >= approval.quorum.unwrap_or(1) as usize, || {
            format!("{agreed:?} were enough for {key}")
        })
    }

    fn counted(&mut self, key: &StepKey, by: &str) -> Result<(), String> {
        let asked = self.open_questions.contains(key) || self.parked_questions.contains(key);
        ensure(asked, || format!("{by} agreed to {key}, which is no open question"))?;
        let new = self.counted.entry(key.clone()).or_default().insert(by.to_owned());
        ensure(new, || format!("{by} counts twice for {key}"))
    }

    fn resolved(&mut self, key: &StepKey, resolution: Resolution) -> Result<(), String> {
        self.told.insert(key.clone());
        if let Some(undo) = self.undo.as_mut().filter(|undo| undo.planned.get(undo.done) == Some(key)) {
            undo.doubtful = false;
        } else if resolution == Resolution::Retry {
            self.doubts.remove(key);
            self.licences.insert(key.clone(), Licence::Again);
        }
        Ok(())
    }

    fn run_finished(&mut self, outcome: Outcome) -> Result<(), String> {
        self.finished = Some(outcome);
        let of_now = |key: &&StepKey| Some(self.step(key).phase) == self.phase;
        let open = self.open_questions.iter().find(of_now);
        let parks = outcome == Outcome::Parked;
        ensure(!parks || open.is_none(), || format!("it parks although somebody may still answer {open:?}"))
    }

    fn end(self) -> Result<(), String> {
        let outcome = self.finished.ok_or("the journal does not end with the end of the run")?;
        ensure(outcome != Outcome::Parked, || "a parked run was left".into())?;
        ensure(self.running.is_empty(), || format!("the run ends while {:?} run", self.running))?;
        ensure((outcome == Outcome::Cancelled) == self.cancelled.is_some(), || {
            format!("cancelled {:?}, and yet {outcome}", self.cancelled)
        })?;
        ensure(self.cancelled == Some(true) || self.phases.contains(&Phase::Finally), || {
            "the run ends without cleaning up".into()
        })?;
        if self.cancelled.is_some() {
            return Ok(());
        }
        self.every_step_ended()?;
        self.undone()
    }

    fn every_step_ended(&self) -> Result<(), String> {
        let open = |step: &&Step| self.phases.contains(&step.phase) && !self.ended_steps.contains_key(&step.id);
        let open = self.graph.steps.iter().find(open);
        ensure(open.is_none(), || format!("{} was left open", open.map_or("", |step| step.id.as_str())))
    }
}
