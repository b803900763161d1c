//! The words that events choose from, as the journal, the output and the documentation write them.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Detect,
    Diagnose,
    Remediate,
    /// The detection again, and the steps under `verify`.
    Verify,
    Undo,
    Finally,
}

/// What an attempt of a step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Main,
    /// Looks, right before the step, whether it may still be done.
    Precondition,
    /// Asks whether an interrupted step was done.
    Check,
    Undo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    Passed,
    /// It was checked, and the expectation does not hold.
    Failed,
    /// It could not be checked or done.
    Error,
    Skipped,
    Cancelled,
    InDoubt,
}

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Severity; 5] =
        [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
}

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    Safe,
    Disruptive,
    Destructive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalVerdict {
    Approved,
    Rejected,
    TimedOut,
    /// Nobody can be asked here; the run waits for a human.
    Parked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resolution {
    Done,
    Retry,
    Abort,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Nothing was detected.
    Healthy,
    /// Detected, fixed, and the detection no longer holds.
    Resolved,
    /// The detection no longer holds, but something that should have passed did not.
    Mitigated,
    Unresolved,
    Rejected,
    Cancelled,
    Parked,
    Error,
}

macro_rules! labelled {
    ($($type:ident { $($variant:ident = $label:literal),+ $(,)? })+) => {$(
        impl $type {
            /// The word used in output, journal and documentation.
            pub fn label(self) -> &'static str {
                match self { $($type::$variant => $label),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.label())
            }
        }
    )+};
}

labelled! {
    Phase { Detect = "detect", Diagnose = "diagnose", Remediate = "remediate", Verify = "verify", Undo = "undo", Finally = "finally" }
    StepStatus { Passed = "passed", Failed = "failed", Error = "error", Skipped = "skipped", Cancelled = "cancelled", InDoubt = "in_doubt" }
    Severity { Info = "info", Low = "low", Medium = "medium", High = "high", Critical = "critical" }
    Risk { Safe = "safe", Disruptive = "disruptive", Destructive = "destructive" }
    Outcome {
        Healthy = "healthy", Resolved = "resolved", Mitigated = "mitigated", Unresolved = "unresolved",
        Rejected = "rejected", Cancelled = "cancelled", Parked = "parked", Error = "error",
    }
}
