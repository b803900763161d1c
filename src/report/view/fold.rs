//! How each event changes the view of its run.

use serde_json::Value;

use super::{Answer, Approval, Detection, Escalation, Notification, RunView, StepState, Undo};
use crate::base::{RunId, StepKey, Timestamp};
use crate::engine::Record;
use crate::engine::event::{
    Answers, ApprovalVerdict, AttemptResult, Event, Phase, Resolution, Role, RunStarted, StepStatus,
};

impl RunView {
    /// Folds one more event in. Events of another run, such as a called playbook's, change nothing.
    pub fn apply(&mut self, record: &Record) {
        if let Event::RunStarted(started) = &record.event
            && self.run.is_empty()
        {
            self.start(record, started);
        }
        if record.run.as_str() == self.run {
            self.updated_at = record.at;
            self.apply_event(record.at, &record.event);
        }
    }

    fn start(&mut self, record: &Record, started: &RunStarted) {
        self.run = record.run.to_string();
        self.playbook.clone_from(&started.playbook);
        self.title = marked(started);
        self.code.clone_from(&started.code);
        self.file.clone_from(&started.file);
        self.digest.clone_from(&started.digest);
        self.inputs = started.inputs.clone();
        self.by.clone_from(&started.by);
        self.trigger.clone_from(&started.trigger);
        self.started_at = record.at;
        for outline in &started.steps {
            let step = self.step_mut(&StepKey::plain(outline.id.clone()));
            step.phase = Some(outline.phase);
            step.kind.clone_from(&outline.kind);
        }
    }

    fn apply_event(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::RunStarted(_)
            | Event::PhaseStarted { .. }
            | Event::RecheckScheduled { .. }
            | Event::RetryScheduled { .. }
            | Event::HoldScheduled { .. }
            | Event::PreconditionMet { .. }
            | Event::StandingOrder(_)
            | Event::Intake(_)
            | Event::Schedule(_)
            | Event::Outbox(_)
            | Event::Silence(_)
            | Event::Escalation(_)
            | Event::NotificationRouted { .. } => {}
            Event::NotificationQueued { on, channel, subject, number } => self.notifications.push(Notification {
                at,
                on: on.clone(),
                channel: channel.clone(),
                subject: subject.clone(),
                delivered: Some(format!("message {number} of `runbook notify log`")),
                error: None,
                attempts: 0,
            }),
            Event::RemediationWithheld { why } => self.withheld = Some(why.clone()),
            Event::FannedOut { step, items } => {
                self.step_mut(&StepKey::plain(step.clone())).items.clone_from(items);
            }
            Event::StepSkipped { key, reason } => self.skip(at, key, reason),
            Event::ApprovalAsked { .. } => self.ask(at, event),
            Event::ApprovalCounted { .. } | Event::ApprovalRefused { .. } | Event::GlassBroken { .. } => {
                self.note_answer(event);
            }
            Event::ApprovalSettled { key, verdict, by, reason, answers } => {
                let answer = Answer { verdict: *verdict, by: by.clone(), reason: reason.clone(), at };
                self.answer(key, answer, answers);
            }
            Event::AttemptStarted { key, role: Role::Main, attempt, request, .. } => {
                self.begin(at, key, *attempt, request);
            }
            Event::AttemptEnded { key, role: Role::Main, result, .. } => self.measured(key, result),
            Event::AttemptInterrupted { key, role: Role::Main | Role::Check, .. } => {
                self.step_mut(key).state = StepState::Finished(StepStatus::InDoubt);
            }
            Event::AttemptStarted { .. } | Event::AttemptEnded { .. } | Event::AttemptInterrupted { .. } => {}
            Event::AttemptSuspended { key, why, help, .. } => self.suspend(key, why, help.as_ref()),
            Event::StepTakenOver { key, from, status, output, .. } => {
                self.take_over(at, key, from, *status, output);
            }
            Event::StepFinished { .. } => self.finish_step(at, event),
            Event::DetectionSettled { recheck, holds, evidence } => {
                let detection = Detection { at, holds: *holds, findings: evidence.clone() };
                *(if *recheck { &mut self.after } else { &mut self.before }) = Some(detection);
            }
            Event::CausesFound { causes, severity, impact } => {
                self.causes.clone_from(causes);
                self.impact.clone_from(impact);
                self.severity = Some(*severity);
            }
            Event::SeverityRaised { severity, .. } => self.severity = Some(*severity),
            Event::UndoStarted { steps } => {
                self.undo.extend(steps.iter().map(|key| Undo { key: key.clone(), finished_at: None, error: None }));
            }
            Event::UndoFinished { key, error } => self.finish_undo(at, key, error),
            Event::CancelRequested { by, .. } => self.cancelled_by = Some(by.clone()),
            Event::EscalationRaised { policy, why } => {
                self.escalations.push(Escalation { at, policy: policy.clone(), why: why.clone() });
            }
            Event::NotificationSent { .. } => self.notify(at, event),
            Event::Resumed { .. } => self.resume(),
            Event::DoubtResolved { key, resolution, .. } => self.resolve_doubt(key, *resolution),
            Event::RunFinished { outcome, severity, why } => {
                self.outcome = Some(*outcome);
                self.severity = Some(*severity);
                self.why.clone_from(why);
                self.finished_at = Some(at);
            }
        }
    }

    fn suspend(&mut self, key: &StepKey, why: &str, help: Option<&String>) {
        let step = self.step_mut(key);
        step.state = StepState::Suspended;
        step.reason = Some(why.to_owned());
        step.help = help.cloned();
    }

    fn take_over(&mut self, at: Timestamp, key: &StepKey, from: &RunId, status: StepStatus, output: &Value) {
        let step = self.step_mut(key);
        step.state = StepState::Finished(status);
        step.output = output.clone();
        step.reason = Some(format!("taken over from run {from}"));
        step.finished_at = Some(at);
    }

    fn skip(&mut self, at: Timestamp, key: &StepKey, reason: &str) {
        let step = self.step_mut(key);
        step.state = StepState::Finished(StepStatus::Skipped);
        step.reason = Some(reason.to_owned());
        step.finished_at = Some(at);
    }

    fn ask(&mut self, at: Timestamp, event: &Event) {
        let Event::ApprovalAsked { key, summary, request, risk, expires_at, digest, quorum, by, answers } = event
        else {
            return;
        };
        self.step_mut(key).state = StepState::Asked;
        self.approvals.push(Approval {
            key: key.clone(),
            summary: summary.clone(),
            request: request.clone(),
            risk: *risk,
            asked_at: at,
            expires_at: *expires_at,
            digest: digest.clone(),
            quorum: quorum.unwrap_or(1),
            by: by.clone(),
            asks: answers.clone(),
            answers: Answers::new(),
            counted: Vec::new(),
            refused: Vec::new(),
            broken_glass: None,
            answer: None,
        });
    }

    /// What happens to a question before it is settled.
    fn note_answer(&mut self, event: &Event) {
        let (Event::ApprovalCounted { key, .. } | Event::ApprovalRefused { key, .. } | Event::GlassBroken { key, .. }) =
            event
        else {
            return;
        };
        let Some(approval) = self.approvals.iter_mut().rev().find(|approval| approval.key == *key) else { return };
        match event {
            Event::ApprovalCounted { by, answers, .. } => {
                approval.counted.push(by.clone());
                approval.answers.clone_from(answers);
            }
            Event::ApprovalRefused { by, why, .. } => approval.refused.push((by.clone(), why.clone())),
            Event::GlassBroken { by, reason, .. } => approval.broken_glass = Some((by.clone(), reason.clone())),
            _ => {}
        }
    }

    fn answer(&mut self, key: &StepKey, answer: Answer, answers: &Answers) {
        let step = self.step_mut(key);
        // A parked question is still open; the others let the step go on to its end.
        if step.state == StepState::Asked && answer.verdict != ApprovalVerdict::Parked {
            step.state = StepState::Waiting;
        }
        let asked = self.approvals.iter_mut().rev().find(|approval| approval.key == *key);
        if let Some(approval) = asked {
            // Whoever puts it off leaves standing what was said before.
            if answer.verdict == ApprovalVerdict::Approved {
                approval.answers.clone_from(answers);
            }
            approval.answer = Some(answer);
        }
    }

    fn begin(&mut self, at: Timestamp, key: &StepKey, attempt: u32, request: &Value) {
        let again = self.before.is_some();
        let step = self.step_mut(key);
        if again && step.phase == Some(Phase::Detect) && step.earlier.is_none() {
            step.earlier = Some(Box::new(step.clone()));
        }
        // A step that had finished starts over, as the probes of a detection evaluated again do.
        if matches!(step.state, StepState::Finished(_)) || step.started_at.is_none() {
            step.started_at = Some(at);
        }
        step.state = StepState::Running;
        step.attempts = attempt;
        step.request = request.clone();
        step.finished_at = None;
        step.reason = None;
        step.help = None;
    }

    /// What was measured shows before the step is judged.
    fn measured(&mut self, key: &StepKey, result: &AttemptResult) {
        if let AttemptResult::Measured { output, .. } = result {
            self.step_mut(key).output = output.clone();
        }
    }

    fn finish_step(&mut self, at: Timestamp, event: &Event) {
        let Event::StepFinished { key, status, output, reason, help } = event else { return };
        let step = self.step_mut(key);
        step.state = StepState::Finished(*status);
        step.finished_at = Some(at);
        step.output = output.clone();
        // A skip told its reason before.
        if reason.is_some() || *status != StepStatus::Skipped {
            step.reason.clone_from(reason);
        }
        step.help.clone_from(help);
    }

    fn finish_undo(&mut self, at: Timestamp, key: &StepKey, error: &Option<String>) {
        let finished = Undo { key: key.clone(), finished_at: Some(at), error: error.clone() };
        match self.undo.iter_mut().find(|undo| undo.key == *key) {
            Some(undo) => *undo = finished,
            None => self.undo.push(finished),
        }
    }

    fn notify(&mut self, at: Timestamp, event: &Event) {
        let Event::NotificationSent { on, channel, subject, delivered, error, attempts, .. } = event else { return };
        self.notifications.push(Notification {
            at,
            on: on.clone(),
            channel: channel.clone(),
            subject: subject.clone(),
            delivered: delivered.clone(),
            error: error.clone(),
            attempts: *attempts,
        });
    }

    fn resume(&mut self) {
        self.outcome = None;
        self.finished_at = None;
    }

    /// The events that follow say how the step ends; until they do it is no longer in doubt.
    fn resolve_doubt(&mut self, key: &StepKey, resolution: Resolution) {
        if resolution == Resolution::Retry {
            let step = self.step_mut(key);
            step.state = StepState::Waiting;
            step.reason = None;
            step.help = None;
        }
    }
}

/// The title of a run; who reads of an exercise must not take it for an incident.
fn marked(started: &RunStarted) -> String {
    if started.is_drill() { format!("DRILL: {}", started.title) } else { started.title.clone() }
}
