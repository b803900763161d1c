//! The JSON document of a run, for `runbook show RUN --format json`.

use serde_json::{Map, Value, json};

use super::{Approval, Detection, Notification, RunView, StepView};
use crate::engine::event::Finding;

impl RunView {
    /// The run as one JSON object:
    ///
    /// - `id`, `playbook`, `digest`, `inputs`;
    /// - `outcome` and `severity`: `null` until they are known;
    /// - `causes`: the names of the causes that were found;
    /// - `steps`: by name (`diagnose.file`, `remediate.restore[0]`), each with `status` (`waiting`,
    ///   `asked` and `running` before the end), `attempts`, `started_at` (RFC 3339, UTC), `duration_ms`,
    ///   `output`, and `error`, which says why a step did not pass; a probe of the detection is told as
    ///   it was evaluated last;
    /// - `approvals`: what people were asked, oldest first: `step`, `summary`, `request` (exactly what will be done),
    ///   `risk`, `asked_at`, `expires_at`, `digest` (what an answer is bound to), `quorum`, `by` (who is asked),
    ///   `approved_by` (while more have to), `asks` (what has to be said: `name`, `title`, `expected`, `default`),
    ///   `answers` (what was said, by name), and `answer`, which is `null` or `{verdict, by, reason, at}`; a `parked`
    ///   one means that an answer is still waited for;
    /// - `notifications`: a list of `at`, `on`, `channel`, `subject`, `delivered`, `error`, `attempts`;
    /// - `escalation`, where the run was escalated: `climb` (the policy and where it stands), `notices` (what was told
    ///   to whom), `acknowledged` and `closed`;
    /// - `findings`: `before` and `after` remediation, each `null` or `{at, holds, probes}`, and `causes`.
    ///   A probe or cause is `{name, holds, condition, values, why}`, a cause also has a `title`;
    ///   `holds` is `null` where it could not be decided, and `values` maps the names in the condition
    ///   to what they were.
    pub fn to_json(&self) -> Value {
        let mut document = json!({
            "id": self.run,
            "playbook": self.playbook,
            "digest": self.digest,
            "outcome": self.outcome,
            "severity": self.severity,
            "inputs": self.inputs,
            "causes": self.cause_names(),
            "steps": self.steps_document(),
            "approvals": self.approvals.iter().map(approval_document).collect::<Vec<_>>(),
            "notifications": self.notifications.iter().map(notification_document).collect::<Vec<_>>(),
            "findings": self.findings_document(),
        });
        if let Some(case) = &self.escalation {
            document["escalation"] = json!(case);
        }
        document
    }

    fn steps_document(&self) -> Map<String, Value> {
        self.steps_in_order().into_iter().map(|step| (step.key.to_string(), step_document(step))).collect()
    }

    fn findings_document(&self) -> Value {
        let causes: Vec<Value> = self
            .causes
            .iter()
            .map(|cause| {
                let mut document = finding_document(&cause.finding);
                document["title"] = json!(cause.title);
                document
            })
            .collect();
        json!({
            "before": self.before.as_ref().map(detection_document),
            "after": self.after.as_ref().map(detection_document),
            "causes": causes,
        })
    }
}

fn step_document(step: &StepView) -> Value {
    json!({
        "status": step.state.label(),
        "attempts": step.attempts,
        "started_at": step.started_at.map(|at| at.to_rfc3339()),
        "duration_ms": step.duration().map(|duration| duration.as_millis() as u64),
        "output": step.output,
        "error": step.reason,
    })
}

fn detection_document(detection: &Detection) -> Value {
    json!({
        "at": detection.at.to_rfc3339(),
        "holds": detection.holds,
        "probes": detection.findings.iter().map(finding_document).collect::<Vec<_>>(),
    })
}

fn finding_document(finding: &Finding) -> Value {
    let values: Map<String, Value> = finding.values.iter().cloned().collect();
    json!({
        "name": finding.name,
        "holds": finding.holds,
        "condition": finding.condition,
        "values": values,
        "why": finding.why,
    })
}

fn approval_document(approval: &Approval) -> Value {
    let answer = approval.answer.as_ref().map(|answer| {
        json!({"verdict": answer.verdict, "by": answer.by, "reason": answer.reason, "at": answer.at.to_rfc3339()})
    });
    json!({
        "step": approval.key,
        "summary": approval.summary,
        "request": approval.request,
        "risk": approval.risk,
        "asked_at": approval.asked_at.to_rfc3339(),
        "expires_at": approval.expires_at.map(|at| at.to_rfc3339()),
        "digest": approval.asked_digest(),
        "quorum": approval.quorum,
        "by": approval.by,
        "approved_by": approval.counted,
        "asks": approval.asks,
        "answers": approval.answers,
        "answer": answer,
    })
}

fn notification_document(notification: &Notification) -> Value {
    json!({
        "at": notification.at.to_rfc3339(),
        "on": notification.on,
        "channel": notification.channel,
        "subject": notification.subject,
        "delivered": notification.delivered,
        "error": notification.error,
        "attempts": notification.attempts,
    })
}
