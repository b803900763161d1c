//! A run as its readers see it: the fold of its events into the state of each step, what was
//! detected, why, what was done about it and how it ended.

mod document;
mod fold;

pub use document::RunDocument;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use crate::base::{StepKey, Timestamp};
use crate::engine::Record;
use crate::engine::approval::digest_with;
use crate::engine::escalation::Case;
use crate::engine::event::{
    Answers, ApprovalVerdict, AskedAnswer, Cause, Finding, Impact, Outcome, Phase, Risk, Severity, StepStatus,
};

/// Everything a view of a run needs. An empty list of records gives the empty view.
#[derive(Debug, Clone, Default)]
pub struct RunView {
    pub run: String,
    pub playbook: String,
    pub title: String,
    pub code: Option<String>,
    pub file: String,
    /// SHA-256 of the playbook's text, hex.
    pub digest: String,
    pub inputs: Value,
    pub by: String,
    /// `hand`, or what else started the run.
    pub trigger: String,
    pub started_at: Timestamp,
    /// When the latest event happened.
    pub updated_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// In the order of the plan; items of a step follow it in the order they appeared.
    pub steps: Vec<StepView>,
    /// The detection before remediation.
    pub before: Option<Detection>,
    /// The latest evaluation of the detection after remediation.
    pub after: Option<Detection>,
    /// Every cause that was evaluated; those found have `finding.holds == Some(true)`.
    pub causes: Vec<Cause>,
    pub approvals: Vec<Approval>,
    pub undo: Vec<Undo>,
    pub notifications: Vec<Notification>,
    pub escalations: Vec<Escalation>,
    /// Whom the escalation has told and who has taken over, from its own stream; set by whoever has read that.
    pub escalation: Option<Case>,
    /// Who asked for the run to be cancelled.
    pub cancelled_by: Option<String>,
    pub severity: Option<Severity>,
    /// What the fault means for those who use the system.
    pub impact: Option<Impact>,
    /// What kept the run from remediating.
    pub withheld: Option<String>,
    pub outcome: Option<Outcome>,
    /// Why the run ended as it did.
    pub why: String,
    positions: HashMap<StepKey, usize>,
}

/// A step, or one item of a step that runs once per item.
#[derive(Debug, Clone)]
pub struct StepView {
    pub key: StepKey,
    pub phase: Option<Phase>,
    pub kind: String,
    pub state: StepState,
    /// Attempts made; zero when the step never started.
    pub attempts: u32,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// What the latest attempt was asked to do.
    pub request: Value,
    pub output: Value,
    /// Why the step did not pass.
    pub reason: Option<String>,
    pub help: Option<String>,
    /// What the step runs over, when it runs once per item.
    pub items: Vec<Value>,
    /// In an item: its value.
    pub item: Option<Value>,
    /// A probe of the detection as it was before remediation, once it is evaluated again.
    pub earlier: Option<Box<StepView>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    Waiting,
    /// A person was asked and has not answered.
    Asked,
    Running,
    /// What it began waits for a person.
    Suspended,
    Finished(StepStatus),
}

impl StepState {
    /// `waiting`, `asked`, `running`, `suspended`, or the status of a finished step.
    pub fn label(self) -> &'static str {
        match self {
            StepState::Waiting => "waiting",
            StepState::Asked => "asked",
            StepState::Running => "running",
            StepState::Suspended => "suspended",
            StepState::Finished(status) => status.label(),
        }
    }
}

/// An answer to "does the fault exist?".
#[derive(Debug, Clone)]
pub struct Detection {
    pub at: Timestamp,
    pub holds: Option<bool>,
    pub findings: Vec<Finding>,
}

#[derive(Debug, Clone)]
pub struct Approval {
    pub key: StepKey,
    pub summary: String,
    /// Exactly what the person was asked to approve.
    pub request: Value,
    pub risk: Risk,
    pub asked_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// What an answer is bound to; empty in journals from before answers were bound.
    pub digest: String,
    /// How many people have to agree.
    pub quorum: u32,
    /// Who is asked, as the playbook names them; empty when it does not matter who answers.
    pub by: Vec<String>,
    /// What whoever approves it has to say.
    pub asks: Vec<AskedAnswer>,
    /// What was said to that.
    pub answers: Answers,
    /// Who has agreed while more have to.
    pub counted: Vec<String>,
    /// Answers that did not count: whose, and why.
    pub refused: Vec<(String, String)>,
    /// Who went on without those who should have agreed, and why.
    pub broken_glass: Option<(String, String)>,
    pub answer: Option<Answer>,
}

impl Approval {
    /// What the next answer has to be about: the request, and what was already said about it.
    pub fn asked_digest(&self) -> String {
        if self.counted.is_empty() { self.digest.clone() } else { digest_with(&self.digest, &self.answers) }
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub verdict: ApprovalVerdict,
    pub by: String,
    pub reason: String,
    pub at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct Undo {
    pub key: StepKey,
    pub finished_at: Option<Timestamp>,
    pub error: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Notification {
    pub at: Timestamp,
    pub on: String,
    pub channel: String,
    pub subject: String,
    /// Proof that the peer took the message.
    pub delivered: Option<String>,
    pub error: Option<String>,
    pub attempts: u32,
}

#[derive(Debug, Clone)]
pub struct Escalation {
    pub at: Timestamp,
    pub policy: String,
    pub why: String,
}

impl RunView {
    pub fn of(records: &[Record]) -> Self {
        let mut view = RunView::default();
        for record in records {
            view.apply(record);
        }
        view
    }

    pub fn step(&self, key: &StepKey) -> Option<&StepView> {
        self.positions.get(key).map(|position| &self.steps[*position])
    }

    fn step_mut(&mut self, key: &StepKey) -> &mut StepView {
        let position = match self.positions.get(key) {
            Some(position) => *position,
            None => self.add_step(key),
        };
        &mut self.steps[position]
    }

    fn add_step(&mut self, key: &StepKey) -> usize {
        let mut step = StepView::new(key);
        if let (Some(item), Some(parent)) = (key.item, self.step(&StepKey::plain(key.step.clone()))) {
            step.phase = parent.phase;
            step.kind.clone_from(&parent.kind);
            step.item = parent.items.get(item as usize).cloned();
        }
        self.steps.push(step);
        self.positions.insert(key.clone(), self.steps.len() - 1);
        self.steps.len() - 1
    }

    /// Whether the plan has anything to do in this phase.
    pub fn has_steps(&self, phase: Phase) -> bool {
        // Undoing concerns steps of another phase.
        phase == Phase::Undo || self.steps.iter().any(|step| step.phase == Some(phase))
    }

    /// The steps in the order of the plan, each followed by its items.
    pub fn steps_in_order(&self) -> Vec<&StepView> {
        let place = |step: &StepView| self.positions.get(&StepKey::plain(step.key.step.clone())).copied();
        let mut steps: Vec<&StepView> = self.steps.iter().collect();
        steps.sort_by_key(|step| (place(step).unwrap_or(usize::MAX), step.key.item));
        steps
    }

    /// The causes that were found.
    pub fn found_causes(&self) -> impl Iterator<Item = &Cause> {
        self.causes.iter().filter(|cause| cause.finding.holds == Some(true))
    }

    /// Names of the causes that were found.
    pub fn cause_names(&self) -> Vec<&str> {
        self.found_causes().map(|cause| cause.finding.name.as_str()).collect()
    }

    /// How long the run took, or has taken until its latest event.
    pub fn duration(&self) -> Duration {
        self.finished_at.unwrap_or(self.updated_at).since(self.started_at)
    }
}

impl StepView {
    fn new(key: &StepKey) -> Self {
        StepView {
            key: key.clone(),
            phase: None,
            kind: String::new(),
            state: StepState::Waiting,
            attempts: 0,
            started_at: None,
            finished_at: None,
            request: Value::Null,
            output: Value::Null,
            reason: None,
            help: None,
            items: Vec::new(),
            item: None,
            earlier: None,
        }
    }

    /// From the first attempt to the end, waiting between attempts included.
    pub fn duration(&self) -> Option<Duration> {
        Some(self.finished_at?.since(self.started_at?))
    }

    /// The step as it was before remediation.
    pub fn at_first(&self) -> &StepView {
        self.earlier.as_deref().unwrap_or(self)
    }

    pub fn status(&self) -> Option<StepStatus> {
        match self.state {
            StepState::Finished(status) => Some(status),
            StepState::Waiting | StepState::Asked | StepState::Running | StepState::Suspended => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::RunId;
    use crate::report::stories;

    #[test]
    fn documents() {
        for (name, records) in stories::all() {
            insta::assert_json_snapshot!(format!("document_{name}"), RunView::of(&records).to_json());
        }
    }

    #[test]
    fn the_detection_is_kept_before_and_after() {
        let view = RunView::of(&stories::resolved());
        assert_eq!(view.before.unwrap().holds, Some(true));
        assert_eq!(view.after.unwrap().holds, Some(false));
    }

    #[test]
    fn an_undo_does_not_change_how_the_step_ended() {
        let view = RunView::of(&stories::unresolved());
        let restore = view.step(&StepKey::plain("remediate.restore")).unwrap();
        assert_eq!(restore.status(), Some(StepStatus::Passed));
        assert!(view.undo.iter().any(|undo| undo.key == restore.key && undo.error.is_some()));
    }

    #[test]
    fn events_of_a_called_playbook_do_not_mix_in() {
        let mut records = stories::healthy();
        for mut record in stories::unresolved() {
            record.run = RunId::from("1122-174012-k3f9/diagnose.call.1".to_owned());
            records.push(record);
        }
        assert_eq!(RunView::of(&records).to_json(), RunView::of(&stories::healthy()).to_json());
    }

    #[test]
    fn a_resumed_run_is_not_finished() {
        let mut view = RunView::of(&stories::parked());
        assert_eq!(view.outcome, Some(Outcome::Parked));
        let mut resumed = stories::parked().pop().unwrap();
        resumed.event = crate::engine::Event::Resumed { by: "ada".into() };
        view.apply(&resumed);
        assert_eq!((view.outcome, view.finished_at), (None, None));
        assert_eq!(view.to_json()["steps"]["remediate.restore"]["status"], json!("asked"));
    }

    #[test]
    fn no_records_give_the_empty_view() {
        assert_eq!(RunView::of(&[]).to_json()["outcome"], Value::Null);
    }
}
