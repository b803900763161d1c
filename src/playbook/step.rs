//! The typed declaration of a step. Doc comments become the language reference.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::base::Route;
use crate::engine::event::{Phase, Risk, Severity};
use crate::kind::{Effect, KindEntry};
use crate::language::{Declaration, Expression, Request};

/// A step of any phase.
#[derive(Debug, Clone)]
pub struct Step {
    pub name: String,
    pub phase: Phase,
    pub action: Action,
    pub keys: StepKeys,
    /// What whoever approves it is asked, in the order of the text.
    pub answers: Vec<(String, Declaration)>,
    pub when: Option<Expression>,
    /// `expect`, or `holds` of a detection probe.
    pub expect: Option<Expression>,
    pub for_each: Option<FanOut>,
    /// What is looked at right before it, and what must be found.
    pub precondition: Option<Look>,
    pub check: Option<Look>,
    pub undo: Option<Action>,
    pub route: Route,
}

impl Step {
    /// `diagnose.file`.
    pub fn id(&self) -> String {
        format!("{}.{}", self.phase, self.name)
    }

    /// The declared effect, else what the kind says of this configuration.
    pub fn effect(&self) -> Effect {
        self.keys.effect.unwrap_or_else(|| self.action.effect())
    }
}

/// An action that only looks, and what its output must be like.
pub type Look = (Action, Option<Expression>);

/// The items that a step runs for.
#[derive(Debug, Clone)]
pub struct FanOut {
    pub list: Expression,
    /// All targets there are.
    pub of: Option<Expression>,
    pub keys: ForEach,
}

/// A kind and its configuration.
#[derive(Debug, Clone)]
pub struct Action {
    pub kind: &'static KindEntry,
    pub request: Request,
    pub route: Route,
}

impl Action {
    pub fn effect(&self) -> Effect {
        (self.kind.effect)(&self.request.raw)
    }

    pub fn time_limit(&self) -> Duration {
        (self.kind.time_limit)(&self.request.raw)
    }
}

/// The keys that every step may have beside its kind.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepKeys {
    /// Steps of the same phase that must have ended before. References to outputs imply them.
    pub needs: Vec<String>,
    /// The step is skipped unless this holds.
    #[schemars(extend("x-expression" = true))]
    pub when: Option<String>,
    /// Runs the step once for each item of a list.
    pub for_each: Option<ForEach>,
    /// The time limit of one attempt. Default: what its kind says, mostly 60s.
    #[schemars(extend("x-unit" = "duration"))]
    pub timeout: Option<f64>,
    /// When and how often a step is tried again.
    pub retry: Option<Retry>,
    /// What its output must be like; the step failed when this does not hold.
    #[schemars(extend("x-expression" = true))]
    pub expect: Option<String>,
    /// In a detection: when the fault exists.
    #[schemars(extend("x-expression" = true))]
    pub holds: Option<String>,
    /// In a detection: how long it must go on holding.
    #[serde(rename = "for")]
    #[schemars(extend("x-unit" = "duration"))]
    pub hold: Option<f64>,
    /// What its failure means for the steps after it. Default: stop in remediate, continue elsewhere.
    pub on_error: Option<OnError>,
    /// How much harm it can do. Default: disruptive in remediate unless it only reads, safe elsewhere.
    pub risk: Option<Risk>,
    /// What repeating it does. Default: what its kind says.
    pub effect: Option<Effect>,
    /// What must still be true right before each attempt of a remediation, approvals included; else nothing is done and
    /// the step has failed.
    #[schemars(extend("x-definition" = "check"))]
    pub precondition: Option<Value>,
    /// Asks, after a crash, whether the step was done.
    #[schemars(extend("x-definition" = "check"))]
    pub check: Option<Value>,
    /// Reverses the step when the fix did not help.
    #[schemars(extend("x-definition" = "action"))]
    pub undo: Option<Value>,
    /// A person must agree before it starts.
    pub approve: Option<Approve>,
    /// Causes it is a fix for; it runs only if one of them was found.
    pub fixes: Vec<String>,
    /// The severity of the run is at least this when the step fails.
    pub severity: Option<Severity>,
    /// What the step is for, in the reader's words.
    pub help: Option<String>,
}

/// Runs a step once for each item of a list.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForEach {
    /// An expression whose value is a list, such as `diagnose.providers.affected`.
    #[serde(rename = "in")]
    #[schemars(extend("x-expression" = true))]
    pub list: String,
    /// The name of the item in the step. Default: item.
    #[serde(rename = "as", default = "default_item")]
    #[schemars(regex(pattern = r"[a-z][a-z0-9_]*"))]
    pub name: String,
    /// The most items in progress at the same time. Default: 4.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: u32,
    /// The most items in progress as a share of all of them, such as 0.1; at least one. The smaller of `limit` and
    /// `share` counts. Default: 1.
    #[serde(default = "default_share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
    /// More items than this are an error, and none is begun. Default in remediate: 10.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub most: Option<u32>,
    /// After so many items that failed or could not be done no further one is begun. Default in remediate: 1, unless the
    /// step says `on_error: continue`.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub max_errors: Option<u32>,
    /// An expression whose value is the list of all targets there are, when the items are those that ail.
    #[serde(default)]
    #[schemars(extend("x-expression" = true))]
    pub of: Option<String>,
    /// With `of`: when more than this share of all targets ail, a common cause is likelier than single faults, and none
    /// is begun. Default: 0.4.
    #[serde(default = "default_stop_above")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub stop_above: f64,
}

fn default_share() -> f64 {
    1.0
}

/// As Cluster API's health checks propose for groups of machines.
fn default_stop_above() -> f64 {
    0.4
}

fn default_item() -> String {
    "item".into()
}

fn default_limit() -> u32 {
    4
}

/// When and how often a step is tried again. The pause grows by `factor` from `backoff` up to `max`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// The most attempts, the first one included. Default: 3.
    #[schemars(range(min = 1, max = 1000))]
    pub attempts: u32,
    /// The first pause. Default: 1s.
    #[schemars(extend("x-unit" = "duration"))]
    pub backoff: f64,
    /// The longest pause. Default: 30s.
    #[schemars(extend("x-unit" = "duration"))]
    pub max: f64,
    /// How much longer each pause is than the one before. Default: 2.
    #[schemars(range(min = 1.0, max = 10.0))]
    pub factor: f64,
    /// The share of a pause that is random, so that many steps do not retry in step. Default: 0.2.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub jitter: f64,
    /// What is retried: `error`, `failed`, or status codes of the peer such as 503. Default: [error].
    pub on: Vec<RetryOn>,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            attempts: 3,
            backoff: 1.0,
            max: 30.0,
            factor: 2.0,
            jitter: 0.2,
            on: vec![RetryOn::Status(RetryStatus::Error)],
        }
    }
}

/// What is retried.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RetryOn {
    Status(RetryStatus),
    /// A status code of the peer.
    Code(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RetryStatus {
    Error,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// No further step of the phase is started.
    Stop,
    /// Steps that do not need this one go on.
    Continue,
}

/// Who must agree.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Approve {
    /// People or groups of the site file's `contacts`. Only they may answer, and never the person who started the
    /// run. Default: whoever is at the terminal.
    pub by: Vec<String>,
    /// How many different people must agree, none of them the person who started the run. Default: 1.
    #[schemars(range(min = 1))]
    pub quorum: Option<u32>,
    /// After this time without an answer the step is not done. Default: 1h.
    #[schemars(extend("x-unit" = "duration"))]
    pub timeout: Option<f64>,
    /// What whoever approves it has to say, declared like inputs; at most 20. The step reads `answers.NAME`, later
    /// ones `remediate.STEP.answers.NAME`.
    #[schemars(extend("x-definition" = "answers"))]
    pub answers: Option<Value>,
}
