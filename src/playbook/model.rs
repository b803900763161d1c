//! The typed declaration of a procedure. Doc comments become the language reference.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::base::{Route, Source};
use crate::engine::event::{Phase, Risk, Severity};
use crate::kind::{Effect, KindEntry};
use crate::language::{Expression, Request};
use crate::notify::Occasion;
use crate::yaml::Node;

/// A playbook, decoded. Places are kept as routes into `root`.
#[derive(Debug, Clone)]
pub struct Playbook {
    pub source: Source,
    pub root: Arc<Node>,
    /// SHA-256 of the text, hex.
    pub digest: String,
    pub header: Header,
    pub inputs: Vec<(String, InputDeclaration)>,
    /// `None`: the fault is taken as given, which fits sub-playbooks that only act.
    pub detect: Option<Detection>,
    pub steps: Vec<Step>,
    pub causes: Vec<CauseDeclaration>,
    pub severity: Vec<(Option<Expression>, Severity)>,
}

/// What stands at the top of a playbook.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Version of the playbook language: 1.
    #[schemars(range(min = 1, max = 1))]
    pub runbook: u32,
    /// The name by which it is run: small letters, digits and dashes.
    #[schemars(regex(pattern = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"))]
    pub name: String,
    /// One line that says what it is about.
    pub title: String,
    /// The error code it answers to, such as MODEL_LOAD_ERROR.
    #[serde(default)]
    pub code: Option<String>,
    /// The system it belongs to.
    #[serde(default)]
    pub system: Option<String>,
    /// The contact group of the site file that owns it.
    #[serde(default)]
    pub owner: Option<String>,
    /// A longer explanation for whoever reads the playbook.
    #[serde(default)]
    pub help: Option<String>,
    /// Entries of a procedure inventory that this playbook carries out.
    #[serde(default)]
    pub covers: Vec<String>,
    /// What starts it besides a person.
    #[serde(default)]
    pub triggers: Vec<Trigger>,
    /// How long the detection may take to clear after the remediation.
    #[serde(default)]
    pub recovery: Recovery,
    /// How often it may remediate before a person has to look.
    #[serde(default)]
    pub budget: Option<Budget>,
    /// Who takes over when it does not help.
    #[serde(default)]
    pub escalate: Option<Escalate>,
    /// Who is told, and when.
    #[serde(default)]
    pub notify: Option<Notify>,
    /// The most steps that may be running at the same time; the site file's number when absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10_000))]
    pub parallel: Option<usize>,
}

/// How long to wait for the detection to clear.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recovery {
    /// The detection is evaluated again until it no longer holds or this time is over. Default: 30s.
    #[schemars(extend("x-unit" = "duration"))]
    pub within: f64,
    /// Pause between two evaluations. Default: 1s.
    #[schemars(extend("x-unit" = "duration"))]
    pub every: f64,
}

impl Default for Recovery {
    fn default() -> Self {
        Recovery { within: 30.0, every: 1.0 }
    }
}

/// What starts a run besides a person.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Trigger {
    Alert(AlertTrigger),
    Watch(WatchTrigger),
    Schedule(ScheduleTrigger),
}

/// An alert whose labels match starts a run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertTrigger {
    /// Where alerts come from, such as alertmanager.
    pub source: String,
    /// Labels the alert must have.
    #[serde(default, rename = "match")]
    pub labels: std::collections::BTreeMap<String, String>,
    /// Inputs taken from the alert, such as `labels.provider`.
    #[serde(default)]
    pub inputs: std::collections::BTreeMap<String, String>,
}

/// The detection is evaluated in an interval; a run starts when it holds.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchTrigger {
    /// The interval.
    #[schemars(extend("x-unit" = "duration"))]
    pub every: f64,
}

/// A run starts at set times.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleTrigger {
    /// A cron expression: minute, hour, day of month, month, day of week.
    pub cron: String,
    /// An IANA time zone such as Europe/Berlin; UTC when absent.
    #[serde(default)]
    pub timezone: Option<String>,
    /// What happens after downtime.
    #[serde(default)]
    pub missed: Missed,
}

/// What happens to runs that were missed while the program was down.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    #[default]
    Skip,
    RunOnce,
    RunAll,
}

/// How often remediations may run before a person has to look.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Names whose values make the key, such as `inputs.provider`.
    #[serde(default)]
    pub per: Vec<String>,
    /// Remediating runs allowed in the window.
    #[schemars(range(min = 1))]
    pub runs: u32,
    /// Length of the window.
    #[schemars(extend("x-unit" = "duration"))]
    pub window: f64,
}

/// When and to whom a run is handed over.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Escalate {
    /// An escalation policy or contact group of the site file.
    pub policy: String,
    /// Default: when the run ends unresolved. Names: `unresolved`, `mitigated`, `error`, `phase_elapsed`, `run_elapsed`.
    #[serde(default)]
    #[schemars(extend("x-expression" = true))]
    pub when: Option<String>,
}

/// Who is told about a run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// The occasions.
    pub on: Vec<Occasion>,
    /// Channels of the site file, such as `slack:ml-alerts`, or `console`.
    pub to: Vec<String>,
    /// The message template; each occasion has a default one.
    #[serde(default)]
    pub template: Option<String>,
}

/// A typed input.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputDeclaration {
    /// What kind of value it is.
    #[serde(rename = "type")]
    pub kind: InputType,
    /// A regular expression that text must match as a whole.
    #[serde(default)]
    pub pattern: Option<String>,
    /// The least value of a number, size or duration.
    #[serde(default)]
    pub min: Option<Value>,
    /// The greatest value of a number, size or duration.
    #[serde(default)]
    pub max: Option<Value>,
    /// The choices of an enum.
    #[serde(default)]
    pub values: Vec<String>,
    /// The type of a list's items. Default: string.
    #[serde(default)]
    pub of: Option<InputType>,
    /// The value when none is given; without one the input must be given.
    #[serde(default)]
    pub default: Option<Value>,
    /// What it is for.
    #[serde(default)]
    pub help: Option<String>,
    /// An example, shown when the input is missing.
    #[serde(default)]
    pub example: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InputType {
    String,
    Int,
    Float,
    Bool,
    /// A size such as 512 MiB.
    Bytes,
    /// A duration such as 15m.
    Duration,
    Path,
    /// An http or https address.
    Url,
    /// One of `values`.
    Enum,
    /// A list of `of`.
    List,
}

/// When the fault exists.
#[derive(Debug, Clone, PartialEq)]
pub enum Detection {
    Any(Vec<Detection>),
    All(Vec<Detection>),
    Not(Box<Detection>),
    /// A step of the detect phase by name.
    Probe(String),
}

/// A named finding of the diagnosis.
#[derive(Debug, Clone)]
pub struct CauseDeclaration {
    pub name: String,
    pub title: String,
    pub when: Expression,
    pub route: Route,
}

/// A step of any phase.
#[derive(Debug, Clone)]
pub struct Step {
    pub name: String,
    pub phase: Phase,
    pub action: Action,
    pub keys: StepKeys,
    pub when: Option<Expression>,
    /// `expect`, or `holds` of a detection probe.
    pub expect: Option<Expression>,
    pub for_each: Option<(Expression, ForEach)>,
    pub check: Option<(Action, Option<Expression>)>,
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
    /// The time limit of one attempt. Default: 60s.
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
    /// People or groups of the site file.
    pub by: Vec<String>,
    /// After this time without an answer the step is not done.
    #[schemars(extend("x-unit" = "duration"))]
    pub timeout: Option<f64>,
}
