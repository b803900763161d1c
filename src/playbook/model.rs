//! The typed declaration of a procedure. Doc comments become the language reference.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::step::Step;
use crate::base::{Route, Source};
use crate::engine::event::Severity;
use crate::language::{Declaration, Expression};
use crate::notify::Occasion;
use crate::site::notify::StatusUpdates;
use crate::trigger::{AlertTrigger, ScheduleTrigger, WatchTrigger};
use crate::yaml::{Entry, Node};

/// A playbook, decoded. Places are kept as routes into `root`.
#[derive(Debug, Clone)]
pub struct Playbook {
    pub source: Source,
    pub root: Arc<Node>,
    /// SHA-256 of the text, hex.
    pub digest: String,
    pub header: Header,
    pub inputs: Vec<(String, Declaration)>,
    /// `None`: the fault is taken as given, which fits sub-playbooks that only act.
    pub detect: Option<Detection>,
    pub steps: Vec<Step>,
    pub causes: Vec<CauseDeclaration>,
    pub severity: Vec<(Option<Expression>, Severity)>,
}

impl Playbook {
    /// Whether the text has this part, `diagnose` and `file`, even if its form is too wrong to be one.
    /// What refers to such a part is no further mistake.
    pub fn is_written(&self, section: &str, name: &str) -> bool {
        fn is_below(node: &Node, name: &str) -> bool {
            let in_group =
                |entry: &Entry| matches!(entry.key.as_str(), "any" | "all" | "not") && is_below(&entry.value, name);
            node.entries().iter().any(|entry| entry.key == name || in_group(entry))
        }
        self.root.get(section).is_some_and(|node| is_below(node, name))
    }
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
    /// A longer explanation, shown by `runbook list NAME`.
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
    /// Windows of the site file outside of which it changes nothing; it looks at any time.
    #[serde(default)]
    pub within: Vec<String>,
    /// What the fault means for those who use the system; messages and reports say it.
    #[serde(default)]
    pub impact: Option<Impact>,
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

/// What a fault means for those who use the system, said when the diagnosis is complete. Values can be inserted, those of
/// causes too; a text whose values are not known is left out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Impact {
    /// What is affected, in a few words, such as `{{diagnose.health.failed_items}}`. It stands in the subject of updates.
    #[serde(default)]
    pub affected: Option<String>,
    /// What that means for those who use it, in a sentence.
    #[serde(default)]
    pub summary: Option<String>,
}

/// When and to whom a run is handed over.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Escalate {
    /// An escalation policy or contact group of the site file.
    pub policy: String,
    /// Default: when the run ends unresolved. Names: `unresolved`, `mitigated`, `error`, which are known at the end, and
    /// `phase_elapsed`, `run_elapsed`, which count before it too, once a fault is found.
    #[serde(default)]
    #[schemars(extend("x-expression" = true))]
    pub when: Option<String>,
}

/// Who is told about a run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// The occasions.
    #[serde(default)]
    pub on: Vec<Occasion>,
    /// Channels of the site file, such as `slack:ml-alerts`, or `console`.
    #[serde(default)]
    pub to: Vec<String>,
    /// The message template; each occasion has a default one.
    #[serde(default)]
    pub template: Option<String>,
    /// Updates that are told again and again while the fault is open; those of the site file when absent.
    #[serde(default)]
    pub status: Option<StatusUpdates>,
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
