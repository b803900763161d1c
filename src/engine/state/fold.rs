//! `apply`: what each event changes, and whether it may come now.

use serde_json::Value;

use super::super::event::{Event, FORMAT, Outcome, Phase, Record, RunStarted, StepStatus};
use super::super::graph::StepIndex;
use super::{IllegalTransition, Item, ItemState, RECHECK, RunState, StepState, UndoState, event_name};
use crate::base::{StepKey, Timestamp};

impl RunState {
    /// Folds one event in.
    pub fn apply(&mut self, record: &Record) -> Result<(), IllegalTransition> {
        let illegal =
            |why: &str| IllegalTransition { seq: record.seq, event: event_name(&record.event), why: why.to_owned() };
        if record.seq != self.seq + 1 {
            return Err(illegal(&format!("event {} was expected", self.seq + 1)));
        }
        if self.header.is_none() && !matches!(record.event, Event::RunStarted(_)) {
            return Err(illegal("the run has not started"));
        }
        let of_parked = matches!(record.event, Event::ApprovalRefused { .. } | Event::EscalationRaised { .. });
        let may_follow = matches!(record.event, Event::Resumed { .. })
            || record.event.is_about_a_message()
            || (of_parked && self.finished == Some(Outcome::Parked));
        if self.finished.is_some() && !may_follow {
            return Err(illegal("the run has ended"));
        }
        self.seq = record.seq;
        self.at = record.at;
        self.fold(record).map_err(|why| illegal(&why))
    }

    fn fold(&mut self, record: &Record) -> Result<(), String> {
        match &record.event {
            Event::RunStarted(header) => self.start(record, header),
            Event::PhaseStarted { phase } => self.start_phase(*phase, record.at),
            Event::FannedOut { step, items } => self.fan_out(step, items),
            Event::StepSkipped { key, reason } => self.finish(key, StepStatus::Skipped, &Value::Null, Some(reason)),
            Event::ApprovalAsked { .. } => self.ask(&record.event),
            Event::ApprovalCounted { .. } => self.count_approval(&record.event),
            Event::ApprovalRefused { .. } | Event::GlassBroken { .. } => Ok(()),
            Event::ApprovalSettled { .. } => self.settle_approval(&record.event),
            Event::AttemptStarted { key, role, attempt, request, .. } => {
                self.start_attempt(key, *role, *attempt, request)
            }
            Event::AttemptEnded { key, role, result, .. } => self.end_attempt(key, *role, result),
            Event::AttemptInterrupted { key, role, .. } => self.interrupt(key, *role),
            Event::AttemptSuspended { key, .. } => self.suspend(key),
            Event::PreconditionMet { key } => self.set(key, ItemState::Cleared),
            Event::RemediationWithheld { why } => {
                self.stopped.get_or_insert(why.clone());
                self.withheld = Some(why.clone());
                Ok(())
            }
            Event::StepTakenOver { .. } => self.take_over(&record.event),
            Event::RetryScheduled { key, at, .. } => self.set(key, ItemState::Retrying { at: *at }),
            Event::HoldScheduled { key, at, since } => {
                let item = self.item(key)?;
                item.holds_since = Some(*since);
                item.looks = item.attempts;
                self.set(key, ItemState::Holding { at: *at })
            }
            Event::StepFinished { key, status, output, reason, .. } => {
                self.finish(key, *status, output, reason.as_ref())
            }
            Event::DetectionSettled { recheck, holds, .. } => {
                if *recheck {
                    self.rechecked = Some(*holds)
                } else {
                    self.detected = Some(*holds)
                }
                self.recheck_at = None;
                Ok(())
            }
            Event::RecheckScheduled { at } => self.schedule_recheck(*at),
            Event::CausesFound { causes, severity, impact } => {
                self.causes = Some(causes.clone());
                self.impact.clone_from(impact);
                self.severity = self.severity.max(Some(*severity));
                Ok(())
            }
            Event::SeverityRaised { severity, .. } => {
                self.severity = self.severity.max(Some(*severity));
                Ok(())
            }
            Event::UndoStarted { steps } => {
                self.undo = Some(UndoState { left: steps.iter().rev().cloned().collect(), ..UndoState::default() });
                Ok(())
            }
            Event::UndoFinished { key, error } => self.finish_undo(key, error.as_ref()),
            Event::CancelRequested { hard, .. } => {
                self.cancelled = Some(*hard || self.cancelled == Some(true));
                Ok(())
            }
            Event::EscalationRaised { .. } => {
                self.escalated = true;
                Ok(())
            }
            Event::NotificationSent { channel, thread, .. } => {
                self.threads.extend(thread.iter().map(|thread| (channel.clone(), thread.clone())));
                Ok(())
            }
            Event::NotificationRouted { .. } | Event::NotificationQueued { .. } => Ok(()),
            Event::StandingOrder(_)
            | Event::Intake(_)
            | Event::Schedule(_)
            | Event::Outbox(_)
            | Event::Silence(_)
            | Event::Escalation(_) => Err("it belongs to no run".into()),
            Event::Resumed { .. } => {
                self.reopen();
                Ok(())
            }
            Event::DoubtResolved { key, resolution, .. } => self.resolve_doubt(key, *resolution),
            Event::RunFinished { outcome, .. } => {
                self.finished = Some(*outcome);
                Ok(())
            }
        }
    }

    fn start(&mut self, record: &Record, header: &RunStarted) -> Result<(), String> {
        if self.header.is_some() {
            return Err("the run has already started".into());
        }
        if header.format > FORMAT {
            return Err(format!(
                "it was written by a newer version (format {}, this one reads {FORMAT})",
                header.format
            ));
        }
        self.run = Some(record.run.clone());
        self.started_at = record.at;
        self.steps = vec![StepState::default(); header.steps.len()];
        self.phases = header.steps.iter().map(|step| step.phase).collect();
        self.index = header.steps.iter().enumerate().map(|(index, step)| (step.id.clone(), index)).collect();
        self.dependents = vec![Vec::new(); header.steps.len()];
        for (position, step) in header.steps.iter().enumerate() {
            let needs: Vec<StepIndex> = step.needs.iter().filter_map(|need| self.index.get(need).copied()).collect();
            needs.iter().for_each(|need| self.dependents[*need].push(position));
            *self.open.entry(step.phase).or_default() += 1;
            if needs.is_empty() {
                self.ready.entry(step.phase).or_default().insert(position);
            }
            self.unmet.push(needs.len());
            self.needs.push(needs);
        }
        self.header = Some(header.clone());
        Ok(())
    }

    fn start_phase(&mut self, phase: Phase, at: Timestamp) -> Result<(), String> {
        if self.phase.is_some_and(|current| current >= phase) {
            return Err(format!("phase {phase} cannot begin now"));
        }
        self.phase = Some(phase);
        self.phase_started_at = at;
        self.stopped = None;
        Ok(())
    }

    /// The item a key names, made on its first mention.
    pub(super) fn item(&mut self, key: &StepKey) -> Result<&mut Item, String> {
        let (step, item) = self.find(key).ok_or_else(|| format!("there is no step {key}"))?;
        let state = &mut self.steps[step];
        if state.items.is_empty() && key.item.is_none() {
            state.items.push(Item::new(None));
            state.open = 1;
        }
        if let Some(phase) = self.phases.get(step)
            && let Some(ready) = self.ready.get_mut(phase)
        {
            ready.remove(&step);
        }
        let place = self.steps[step].items.get_mut(item as usize).ok_or_else(|| format!("there is no item {key}"))?;
        if place.status.is_none() {
            self.active.insert((step, item));
        }
        Ok(place)
    }

    pub(super) fn set(&mut self, key: &StepKey, state: ItemState) -> Result<(), String> {
        let waits = matches!(state, ItemState::Ended { .. });
        let item = self.item(key)?;
        if item.status.is_some() {
            return Err(format!("{key} has ended"));
        }
        item.state = state;
        if let Some(place) = self.find(key) {
            if waits {
                self.ended.insert(place)
            } else {
                self.ended.remove(&place)
            };
        }
        Ok(())
    }

    fn fan_out(&mut self, id: &str, values: &[Value]) -> Result<(), String> {
        let step = *self.index.get(id).ok_or_else(|| format!("there is no step {id}"))?;
        let state = &mut self.steps[step];
        if state.fanned || !state.items.is_empty() {
            return Err(format!("{id} has already begun"));
        }
        state.fanned = true;
        self.fans.insert(step);
        state.items = values.iter().cloned().map(|value| Item::new(Some(value))).collect();
        state.open = values.len();
        self.active.extend((0..values.len()).map(|item| (step, item as u32)));
        if let Some(ready) = self.ready.get_mut(&self.phases[step]) {
            ready.remove(&step);
        }
        Ok(())
    }

    /// A run that goes on asks its open questions again, people and checks alike.
    fn reopen(&mut self) {
        self.finished = None;
        for (step, item) in &self.active {
            match &mut self.steps[*step].items[*item as usize].state {
                ItemState::Asked { parked, .. } => *parked = false,
                ItemState::Doubtful { asked, .. } => *asked = false,
                ItemState::Suspended { again } => *again = true,
                _ => {}
            }
        }
    }

    fn finish(
        &mut self,
        key: &StepKey,
        status: StepStatus,
        output: &Value,
        reason: Option<&String>,
    ) -> Result<(), String> {
        let (step, number) = self.find(key).ok_or_else(|| format!("there is no step {key}"))?;
        if self.steps[step].status.is_some() {
            return Err(format!("{key} has ended"));
        }
        // The end of a whole step that fans out is told apart from the end of one of its items.
        let whole = key.item.is_none();
        if !(whole && self.steps[step].fanned) {
            let item = self.item(key)?;
            item.state = ItemState::Done;
            item.status = Some(status);
            item.output = output.clone();
            item.reason = reason.cloned();
            self.steps[step].open = self.steps[step].open.saturating_sub(1);
            self.active.remove(&(step, number));
            self.ended.remove(&(step, number));
            if self.phases[step] == Phase::Remediate && status == StepStatus::Passed {
                self.completed.push(key.clone());
            }
        }
        if whole {
            self.finish_step(step, status, output, reason);
        }
        Ok(())
    }

    pub(super) fn finish_step(&mut self, step: StepIndex, status: StepStatus, output: &Value, reason: Option<&String>) {
        let state = &mut self.steps[step];
        state.status = Some(status);
        state.output = output.clone();
        state.reason = reason.cloned();
        self.fans.remove(&step);
        let items = state.items.len() as u32;
        self.active.retain(|(active, item)| *active != step || *item >= items);
        if matches!(status, StepStatus::Failed | StepStatus::Error | StepStatus::Cancelled) {
            self.bad.push(step);
        }
        let phase = self.phases[step];
        if let Some(open) = self.open.get_mut(&phase) {
            *open = open.saturating_sub(1);
        }
        for position in 0..self.dependents[step].len() {
            let dependent = self.dependents[step][position];
            self.unmet[dependent] = self.unmet[dependent].saturating_sub(1);
            if self.unmet[dependent] == 0 && self.steps[dependent].status.is_none() {
                self.ready.entry(phase).or_default().insert(dependent);
            }
        }
    }

    /// The detection is evaluated once more: its probes start from the beginning.
    fn schedule_recheck(&mut self, at: Timestamp) -> Result<(), String> {
        self.recheck_at = Some(at);
        let probes: Vec<StepIndex> =
            self.index.iter().filter(|(id, _)| id.starts_with(RECHECK)).map(|(_, step)| *step).collect();
        for step in probes {
            if self.steps[step].status.take().is_some() {
                *self.open.entry(Phase::Verify).or_default() += 1;
            }
            self.steps[step] = StepState::default();
            self.unmet[step] = self.needs[step].len();
            if self.needs[step].is_empty() {
                self.ready.entry(Phase::Verify).or_default().insert(step);
            }
        }
        Ok(())
    }
}
