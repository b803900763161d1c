//! Facts about a run. An event is written once and never changed; every view of a run is a fold of
//! its events. This enum is closed on purpose: the compiler lists the places a new fact touches.

mod header;
mod word;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::escalation;
use super::intake::Fact;
use super::outbox;
use super::schedule;
use super::silence::Silence;
use super::standing::Order;
use crate::base::{RunId, StepKey, Timestamp};

pub use header::{DRILL, RerunOf, RunStarted, StepOutline};
pub use word::{ApprovalVerdict, Outcome, Phase, Resolution, Risk, Role, Severity, StepStatus};

/// The version of the event format, kept in `RunStarted`. A journal of a newer version is refused.
pub const FORMAT: u32 = 1;

/// What the reason of a skipped remediation begins with when the diagnosis does not ask for it, so that
/// views can tell it in short.
pub const NOT_CALLED_FOR: &str = "not called for: ";

/// What whoever approved a step said, by name.
pub type Answers = Map<String, Value>;

/// An event with its place in its run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub run: RunId,
    /// Counted from 1 within the run.
    pub seq: u64,
    pub at: Timestamp,
    #[serde(flatten)]
    pub event: Event,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    RunStarted(Box<RunStarted>),
    PhaseStarted {
        phase: Phase,
    },
    /// A step that runs once per item got its items.
    FannedOut {
        step: String,
        items: Vec<Value>,
    },
    StepSkipped {
        key: StepKey,
        reason: String,
    },
    /// A person is asked before the attempt; `request` is exactly what will be done.
    ApprovalAsked {
        key: StepKey,
        summary: String,
        request: Value,
        risk: Risk,
        expires_at: Option<Timestamp>,
        /// What an answer is bound to; empty in journals from before answers were bound.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        digest: String,
        /// How many people have to agree; journals from before had no such number, and one was enough.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quorum: Option<u32>,
        /// The people and groups who are asked, as the playbook names them; empty when it does not matter who answers.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        by: Vec<String>,
        /// What they have to say, in this order; the request has a placeholder for each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        answers: Vec<AskedAnswer>,
    },
    /// One of several people who have to agree did.
    ApprovalCounted {
        key: StepKey,
        by: String,
        reason: String,
        /// How many have agreed, this one included.
        have: u32,
        quorum: u32,
        /// What the first of them said, and the others agreed to.
        #[serde(default, skip_serializing_if = "Answers::is_empty")]
        answers: Answers,
    },
    /// An answer that does not count; the question stays as it was.
    ApprovalRefused {
        key: StepKey,
        by: String,
        why: String,
    },
    /// In an emergency somebody went on without those who should have agreed.
    GlassBroken {
        key: StepKey,
        by: String,
        reason: String,
    },
    ApprovalSettled {
        key: StepKey,
        verdict: ApprovalVerdict,
        by: String,
        reason: String,
        /// What the step is done with.
        #[serde(default, skip_serializing_if = "Answers::is_empty")]
        answers: Answers,
    },
    /// The intent: durable before the effect starts.
    AttemptStarted {
        key: StepKey,
        role: Role,
        attempt: u32,
        request: Value,
        time_limit_ms: u64,
    },
    AttemptEnded {
        key: StepKey,
        role: Role,
        attempt: u32,
        result: AttemptResult,
    },
    /// The program died while the attempt was running; whether its effect happened is not known.
    AttemptInterrupted {
        key: StepKey,
        role: Role,
        attempt: u32,
    },
    /// What the attempt began waits for a person; the next attempt goes on with it when the run does.
    AttemptSuspended {
        key: StepKey,
        attempt: u32,
        why: String,
        help: Option<String>,
    },
    /// What has to be true right before the attempt is true.
    PreconditionMet {
        key: StepKey,
    },
    /// Something that no playbook can overrule keeps the run from remediating.
    RemediationWithheld {
        why: String,
    },
    RetryScheduled {
        key: StepKey,
        role: Role,
        attempt: u32,
        /// Written as `due`: beside the `at` of its record it would be lost.
        #[serde(rename = "due")]
        at: Timestamp,
        why: String,
    },
    /// The detection condition of this probe holds and must go on holding until `at`.
    HoldScheduled {
        key: StepKey,
        /// Written as `due`, as in `RetryScheduled`.
        #[serde(rename = "due")]
        at: Timestamp,
        since: Timestamp,
    },
    /// The result of a step in the run that this one is done anew from; the step is not done in this run.
    StepTakenOver {
        key: StepKey,
        from: RunId,
        status: StepStatus,
        output: Value,
        reason: Option<String>,
        items: Vec<TakenItem>,
    },
    StepFinished {
        key: StepKey,
        status: StepStatus,
        output: Value,
        reason: Option<String>,
        help: Option<String>,
    },
    /// The answer to "does the fault exist?", before (`recheck: false`) or after remediation.
    DetectionSettled {
        recheck: bool,
        holds: Option<bool>,
        evidence: Vec<Finding>,
    },
    /// The detection still holds, but the fix may need time; it is evaluated again at `at`.
    RecheckScheduled {
        /// Written as `due`, as in `RetryScheduled`.
        #[serde(rename = "due")]
        at: Timestamp,
    },
    CausesFound {
        causes: Vec<Cause>,
        severity: Severity,
        /// What the fault means for those who use the system, where the playbook says so and there is a fault.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        impact: Option<Impact>,
    },
    SeverityRaised {
        severity: Severity,
        why: String,
    },
    /// Completed remediations will be undone, last first.
    UndoStarted {
        steps: Vec<StepKey>,
    },
    UndoFinished {
        key: StepKey,
        error: Option<String>,
    },
    CancelRequested {
        by: String,
        hard: bool,
    },
    EscalationRaised {
        policy: String,
        why: String,
    },
    NotificationSent {
        on: String,
        channel: String,
        subject: String,
        delivered: Option<String>,
        error: Option<String>,
        attempts: u32,
        /// What the channel needs to go on from this message with the next one of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<String>,
    },
    /// Which channels a message goes to and why, where the site has routes. Written before any of them is told.
    NotificationRouted {
        on: String,
        /// Channel, and why it is told.
        to: Vec<(String, String)>,
        /// Route, and why it does not count.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_out: Vec<(String, String)>,
    },
    /// The outbox has it now and sends it when its group and the limit of the channel allow; it is durable there.
    NotificationQueued {
        on: String,
        channel: String,
        subject: String,
        /// Its number in the outbox.
        number: u64,
    },
    Resumed {
        by: String,
    },
    /// A person settled a step in doubt.
    DoubtResolved {
        key: StepKey,
        resolution: Resolution,
        by: String,
        reason: String,
    },
    /// A fact that outlives every run; it stands in a stream of its own.
    StandingOrder(Order),
    /// What became of an event that asks for a run; it stands in a stream of its own, too.
    Intake(Fact),
    /// What became of a message that has to wait; it stands in a stream of its own, too.
    Outbox(outbox::Fact),
    /// What an Alertmanager was asked to be quiet about; it stands in a stream of its own, too.
    Silence(Silence),
    /// What schedules and watches came to; it stands in a stream of its own, too.
    Schedule(schedule::Fact),
    /// Who is told next when nobody has answered; it stands in a stream of its own, too.
    Escalation(escalation::Fact),
    RunFinished {
        outcome: Outcome,
        severity: Severity,
        why: String,
    },
}

/// An item of a step whose result is taken over; a step that does not fan out has one without a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TakenItem {
    pub value: Option<Value>,
    pub status: StepStatus,
    pub output: Value,
    pub reason: Option<String>,
    pub attempts: u32,
    #[serde(default, skip_serializing_if = "Answers::is_empty")]
    pub answers: Answers,
}

/// Something that whoever approves a step has to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AskedAnswer {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What fits, in words: `a whole number, from 1 to 10`.
    pub expected: String,
    /// What is used when nothing is said; none when something has to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// What an attempt reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum AttemptResult {
    Measured { output: Value, failure: Option<String> },
    Error { message: String, help: Option<String>, code: Option<u16> },
    Cancelled,
}

/// A named finding: a detection probe or a cause, with the values it was judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub name: String,
    /// `None` when it could not be decided.
    pub holds: Option<bool>,
    /// The expression and the values it saw: `status != "healthy"` with `status = "down"`.
    pub condition: String,
    pub values: Vec<(String, Value)>,
    pub why: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    pub title: String,
    #[serde(flatten)]
    pub finding: Finding,
}

/// What a fault means for those who use the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impact {
    /// What is affected, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affected: Option<String>,
    /// What that means, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

impl std::fmt::Display for Impact {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said: Vec<&str> = self.affected.iter().chain(&self.summary).map(String::as_str).collect();
        formatter.write_str(&said.join(": "))
    }
}

impl Event {
    /// Whether this is the intent to change something: a remediation, or the undo of one. Its effect
    /// starts after this event is durable.
    pub fn is_remediation_intent(&self) -> bool {
        match self {
            Event::AttemptStarted { role: Role::Undo, .. } => true,
            Event::AttemptStarted { role: Role::Main, key, .. } => key.step.starts_with("remediate."),
            _ => false,
        }
    }

    /// Whether it tells what became of a message, which may come after the end of a run.
    pub fn is_about_a_message(&self) -> bool {
        matches!(
            self,
            Event::NotificationSent { .. } | Event::NotificationRouted { .. } | Event::NotificationQueued { .. }
        )
    }

    /// Whether the audit trail is signed together with this event: before anything is changed, and when
    /// a run ends.
    pub fn calls_for_checkpoint(&self) -> bool {
        self.is_remediation_intent() || matches!(self, Event::RunFinished { .. })
    }
}
