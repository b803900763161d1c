//! The JSON document of a run, for `runbook show RUN --format json` and the API.

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{Answer, Approval, Detection, Notification, RunView, StepView};
use crate::base::Timestamp;
use crate::engine::event::{Answers, ApprovalVerdict, AskedAnswer, Finding, Impact, Outcome, Risk, Severity};

/// A run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Run)]
pub struct RunDocument {
    id: String,
    playbook: String,
    /// SHA-256 of the playbook's text, hexadecimal.
    digest: String,
    /// How it ended; `null` until then.
    outcome: Option<Outcome>,
    /// How severe it is; `null` until that is known.
    severity: Option<Severity>,
    /// What the fault means for those who use the system: `affected` and `summary`, as far as they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    impact: Option<Impact>,
    /// The values of its inputs, by name.
    inputs: Value,
    /// The names of the causes that were found.
    causes: Vec<String>,
    /// By name: `diagnose.file`, `remediate.restore[0]`.
    #[schema(value_type = BTreeMap<String, StepDocument>)]
    steps: Map<String, Value>,
    /// What people were asked, oldest first.
    approvals: Vec<ApprovalDocument>,
    /// The messages that were sent, or could not be.
    notifications: Vec<NotificationDocument>,
    /// Where the run was escalated: the policy and where it stands, who was told, who acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    escalation: Option<Value>,
    findings: Findings,
}

/// A step of a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunStep)]
struct StepDocument {
    /// `passed`, `failed`, `error`, `skipped`, `cancelled` or `in_doubt`; `waiting`, `asked` or `running` before its
    /// end. A probe of the detection is told as it was evaluated last.
    status: &'static str,
    /// Attempts made; zero when it never started.
    attempts: u32,
    /// RFC 3339, UTC.
    started_at: Option<String>,
    duration_ms: Option<u64>,
    /// What its kind gives.
    output: Value,
    /// Why it did not pass.
    error: Option<String>,
}

/// A question to people.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Approval)]
struct ApprovalDocument {
    /// The step that waits.
    step: String,
    /// One line that says what will be done.
    summary: String,
    /// Exactly what will be done.
    request: Value,
    risk: Risk,
    /// RFC 3339, UTC.
    asked_at: String,
    /// When the question ends; RFC 3339, UTC.
    expires_at: Option<String>,
    /// What an answer is bound to.
    digest: String,
    /// How many people have to agree.
    quorum: u32,
    /// Who is asked; empty when it does not matter who answers.
    by: Vec<String>,
    /// Who has agreed while more have to.
    approved_by: Vec<String>,
    /// What whoever approves it has to say.
    asks: Vec<AskedAnswer>,
    /// What was said to that, by name.
    #[schema(value_type = BTreeMap<String, Value>)]
    answers: Answers,
    /// The answer; a `parked` one means that an answer is still waited for.
    answer: Option<AnswerDocument>,
}

/// An answer to a question.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApprovalAnswer)]
struct AnswerDocument {
    verdict: ApprovalVerdict,
    by: String,
    reason: String,
    /// RFC 3339, UTC.
    at: String,
}

/// A message about a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunNotification)]
struct NotificationDocument {
    /// RFC 3339, UTC.
    at: String,
    /// The occasion.
    on: String,
    channel: String,
    subject: String,
    /// Proof that the receiver took it.
    delivered: Option<String>,
    error: Option<String>,
    attempts: u32,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
struct Findings {
    /// The detection before remediation.
    before: Option<DetectionDocument>,
    /// The detection after it.
    after: Option<DetectionDocument>,
    causes: Vec<CauseDocument>,
}

/// An evaluated detection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunDetection)]
struct DetectionDocument {
    /// RFC 3339, UTC.
    at: String,
    /// Whether the fault is there; `null` where it could not be decided.
    holds: Option<bool>,
    probes: Vec<FindingDocument>,
}

/// A condition, and what it saw.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunFinding)]
struct FindingDocument {
    name: String,
    /// `null` where it could not be decided.
    holds: Option<bool>,
    condition: String,
    /// What the names in the condition were.
    #[schema(value_type = BTreeMap<String, Value>)]
    values: Map<String, Value>,
    /// Why it could not be decided.
    why: Option<String>,
}

/// A cause that was looked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunCause)]
struct CauseDocument {
    #[serde(flatten)]
    finding: FindingDocument,
    title: String,
}

impl RunView {
    /// The run as one JSON object.
    pub fn to_json(&self) -> Value {
        json!(self.document())
    }

    /// The run as one object.
    pub fn document(&self) -> RunDocument {
        let causes = self
            .causes
            .iter()
            .map(|cause| CauseDocument { finding: (&cause.finding).into(), title: cause.title.clone() });
        RunDocument {
            id: self.run.clone(),
            playbook: self.playbook.clone(),
            digest: self.digest.clone(),
            outcome: self.outcome,
            severity: self.severity,
            impact: self.impact.clone(),
            inputs: self.inputs.clone(),
            causes: self.cause_names().into_iter().map(str::to_owned).collect(),
            steps: self.steps_document(),
            approvals: self.approvals.iter().map(Into::into).collect(),
            notifications: self.notifications.iter().map(Into::into).collect(),
            escalation: self.escalation.as_ref().map(|case| json!(case)),
            findings: Findings {
                before: self.before.as_ref().map(Into::into),
                after: self.after.as_ref().map(Into::into),
                causes: causes.collect(),
            },
        }
    }

    fn steps_document(&self) -> Map<String, Value> {
        let document = |step: &StepView| (step.key.to_string(), json!(StepDocument::from(step)));
        self.steps_in_order().into_iter().map(document).collect()
    }
}

impl From<&StepView> for StepDocument {
    fn from(step: &StepView) -> Self {
        StepDocument {
            status: step.state.label(),
            attempts: step.attempts,
            started_at: step.started_at.map(Timestamp::to_rfc3339),
            duration_ms: step.duration().map(|duration| duration.as_millis() as u64),
            output: step.output.clone(),
            error: step.reason.clone(),
        }
    }
}

impl From<&Detection> for DetectionDocument {
    fn from(detection: &Detection) -> Self {
        DetectionDocument {
            at: detection.at.to_rfc3339(),
            holds: detection.holds,
            probes: detection.findings.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Finding> for FindingDocument {
    fn from(finding: &Finding) -> Self {
        FindingDocument {
            name: finding.name.clone(),
            holds: finding.holds,
            condition: finding.condition.clone(),
            values: finding.values.iter().cloned().collect(),
            why: finding.why.clone(),
        }
    }
}

impl From<&Approval> for ApprovalDocument {
    fn from(approval: &Approval) -> Self {
        ApprovalDocument {
            step: approval.key.to_string(),
            summary: approval.summary.clone(),
            request: approval.request.clone(),
            risk: approval.risk,
            asked_at: approval.asked_at.to_rfc3339(),
            expires_at: approval.expires_at.map(Timestamp::to_rfc3339),
            digest: approval.asked_digest(),
            quorum: approval.quorum,
            by: approval.by.clone(),
            approved_by: approval.counted.clone(),
            asks: approval.asks.clone(),
            answers: approval.answers.clone(),
            answer: approval.answer.as_ref().map(Into::into),
        }
    }
}

impl From<&Answer> for AnswerDocument {
    fn from(answer: &Answer) -> Self {
        AnswerDocument {
            verdict: answer.verdict,
            by: answer.by.clone(),
            reason: answer.reason.clone(),
            at: answer.at.to_rfc3339(),
        }
    }
}

impl From<&Notification> for NotificationDocument {
    fn from(notification: &Notification) -> Self {
        NotificationDocument {
            at: notification.at.to_rfc3339(),
            on: notification.on.clone(),
            channel: notification.channel.clone(),
            subject: notification.subject.clone(),
            delivered: notification.delivered.clone(),
            error: notification.error.clone(),
            attempts: notification.attempts,
        }
    }
}
