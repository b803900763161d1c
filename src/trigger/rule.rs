//! Which events start which playbook, and with which inputs.

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Hook, ScheduleTrigger, Signal, WatchTrigger};
use crate::engine::intake::{Concurrency, Policy, Priority, Throttle};
use crate::engine::scope::navigate;
use crate::language::{Expression, Lookup, Scope, Truth};
use crate::site::Serve;

/// An alert whose labels match starts a run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertTrigger {
    /// Where alerts come from: the name of a hook of the site file, or of a source, such as alertmanager.
    pub source: String,
    /// Labels the alert must have: a text, or `{regex: …}` that the whole label must match.
    #[serde(default, rename = "match")]
    pub labels: BTreeMap<String, Match>,
    /// A condition on `labels` and `body`, such as `body.annotations.stage == "live"`. What cannot be decided does
    /// not start a run.
    #[serde(default)]
    #[schemars(extend("x-expression" = true))]
    pub when: Option<String>,
    /// Inputs taken from the alert, such as `labels.provider`. An alert without that label starts nothing.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// Inputs that are always the same.
    #[serde(default)]
    pub with: BTreeMap<String, Value>,
    /// How long it must last before a run starts; one that is resolved before starts nothing.
    #[serde(default, rename = "for")]
    #[schemars(extend("x-unit" = "duration"))]
    pub hold: Option<f64>,
    /// How long the first alert waits for others that belong with it, so that runs of this playbook start together,
    /// the most urgent first, and an alert that comes late to a storm shares the run of its target. Default: 0s.
    #[serde(default)]
    #[schemars(extend("x-unit" = "duration"))]
    pub group_wait: Option<f64>,
    /// What happens while a run of this playbook with the same inputs is live. Default: queue.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// Which waiting run starts first. Default: normal.
    #[serde(default)]
    pub priority: Priority,
    /// How often it starts runs with the same inputs. Default: whenever it matches.
    #[serde(default)]
    pub throttle: Option<Throttle>,
}

/// What a label must be.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Match {
    /// This text.
    Equal(String),
    /// A text that matches.
    Regex(Pattern),
}

/// A regular expression for a whole label.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// The whole label must match it.
    pub regex: String,
}

/// A trigger of the site file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteTrigger {
    /// The playbook it starts. The `triggers` in that playbook do not count any more.
    pub playbook: String,
    /// An alert whose labels match.
    #[serde(default)]
    pub alert: Option<AlertTrigger>,
    /// Its detection, looked at again and again.
    #[serde(default)]
    pub watch: Option<WatchTrigger>,
    /// Set times.
    #[serde(default)]
    pub schedule: Option<ScheduleTrigger>,
}

/// A trigger that can never work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the trigger of {playbook}: {what}")]
pub struct BadTrigger {
    pub playbook: String,
    pub what: String,
}

/// Why an event that matches starts nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unwanted(pub String);

/// Why a trigger is not for an event.
#[derive(Debug)]
pub enum Miss<'a> {
    Label {
        name: &'a str,
        label: Option<&'a String>,
        wanted: &'a Match,
    },
    /// The condition that does not hold.
    When(&'a str),
    /// Why the condition cannot be decided.
    Unknown(String),
}

impl fmt::Display for Miss<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Label { name, label: None, .. } => write!(formatter, "it has no label {name}"),
            Miss::Label { name, label: Some(label), wanted } => match wanted {
                Match::Equal(text) => write!(formatter, "its {name} is '{label}' and not '{text}'"),
                Match::Regex(Pattern { regex }) => write!(formatter, "its {name} is '{label}', which is not {regex}"),
            },
            Miss::When(text) => write!(formatter, "`when` does not hold: {text}"),
            Miss::Unknown(why) => write!(formatter, "`when` cannot be decided: {why}"),
        }
    }
}

/// A trigger, ready to be held against events.
#[derive(Debug, Clone)]
pub struct Rule {
    pub playbook: String,
    pub policy: Policy,
    trigger: AlertTrigger,
    patterns: Vec<(String, Regex)>,
    when: Option<Expression>,
}

/// The triggers of the site file; its schema has checked their form.
pub fn site_triggers(serve: &Serve) -> Vec<SiteTrigger> {
    serve.triggers.iter().filter_map(|trigger| serde_json::from_value(trigger.clone()).ok()).collect()
}

impl Rule {
    pub fn new(playbook: &str, trigger: &AlertTrigger) -> Result<Self, BadTrigger> {
        let bad = |what: String| BadTrigger { playbook: playbook.to_owned(), what };
        let pattern = |(name, wanted): (&String, &Match)| {
            let text = match wanted {
                Match::Equal(text) => regex::escape(text),
                Match::Regex(pattern) => pattern.regex.clone(),
            };
            let regex = Regex::new(&format!("^(?:{text})$"));
            regex.map(|regex| (name.clone(), regex)).map_err(|error| bad(error.to_string()))
        };
        let when = trigger.when.as_deref().map(Expression::parse).transpose();
        let when = when.map_err(|error| bad(format!("`when`: {error}")))?;
        let policy = Policy {
            hold_ms: trigger.hold.map_or(0, milliseconds),
            group_wait_ms: trigger.group_wait.map_or(0, milliseconds),
            concurrency: trigger.concurrency,
            priority: trigger.priority,
            throttle: trigger.throttle,
        };
        let patterns = trigger.labels.iter().map(pattern).collect::<Result<_, _>>()?;
        Ok(Rule { playbook: playbook.to_owned(), policy, trigger: trigger.clone(), patterns, when })
    }

    /// Where its events come from: the name of a hook, or of a source.
    pub fn source(&self) -> &str {
        &self.trigger.source
    }

    /// Whether this trigger is for anything that comes in by that hook.
    pub fn is_fed_by(&self, hook: &Hook) -> bool {
        self.trigger.source == hook.name || self.trigger.source == hook.source.name
    }

    /// Whether this trigger is for such an event.
    pub fn takes(&self, hook: &Hook, signal: &Signal) -> bool {
        self.is_fed_by(hook) && self.misses(signal).is_none()
    }

    /// Why this trigger is not for such an event, if it is not.
    pub fn misses<'a>(&'a self, signal: &'a Signal) -> Option<Miss<'a>> {
        let unlabelled = |(name, regex): &'a (String, Regex)| match signal.labels.get(name) {
            Some(label) if regex.is_match(label) => None,
            label => Some(Miss::Label { name, label, wanted: self.trigger.labels.get(name)? }),
        };
        let undecided = |when: &'a Expression| match when.truth(&Facts(facts(signal))) {
            Truth::True => None,
            Truth::False => Some(Miss::When(when.text())),
            Truth::Unknown(why) => Some(Miss::Unknown(why)),
        };
        self.patterns.iter().find_map(unlabelled).or_else(|| undecided(self.when.as_ref()?))
    }

    /// The inputs that the event gives, as it says them.
    pub fn from_event(&self, signal: &Signal) -> Result<BTreeMap<String, Value>, Unwanted> {
        let facts = facts(signal);
        let taken = self.trigger.inputs.iter().map(|(input, path)| match navigate(&facts, path) {
            Lookup::Value(value) => Ok((input.clone(), value)),
            // The default could be much more than what the event is about: never guess what is meant.
            Lookup::Missing(_) => Err(Unwanted(format!("the event has no '{path}' for the input '{input}'"))),
        });
        taken.collect()
    }

    /// The names of all inputs that it gives.
    pub fn inputs(&self) -> impl Iterator<Item = &String> {
        self.trigger.inputs.keys().chain(self.trigger.with.keys())
    }

    /// The inputs that are always the same.
    pub fn fixed(&self) -> &BTreeMap<String, Value> {
        &self.trigger.with
    }
}

fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1_000.0) as u64
}

fn facts(signal: &Signal) -> Value {
    json!({"labels": signal.labels, "body": signal.body})
}

/// The names that a trigger's condition knows.
struct Facts(Value);

impl Scope for Facts {
    fn lookup(&self, name: &str) -> Lookup {
        navigate(&self.0, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(trigger: Value) -> Result<Rule, BadTrigger> {
        Rule::new("p", &serde_json::from_value(trigger).unwrap())
    }

    fn hook() -> Hook {
        Hook { name: "pages".into(), source: super::super::find("alertmanager").unwrap(), settings: Value::Null }
    }

    fn signal(labels: Value) -> Signal {
        let labels = serde_json::from_value(labels).unwrap();
        let body = json!({"annotations": {"stage": "live"}});
        Signal { identity: "1".into(), since: "now".into(), firing: true, labels, body }
    }

    fn takes(trigger: Value, labels: Value) -> bool {
        rule(trigger).unwrap().takes(&hook(), &signal(labels))
    }

    #[test]
    fn labels_match_by_text_and_by_regular_expression_as_a_whole() {
        let trigger = json!({"source": "alertmanager", "match": {"a": "x.y", "b": {"regex": "eu-[0-9]"}}});
        assert!(takes(trigger.clone(), json!({"a": "x.y", "b": "eu-1", "c": "any"})));
        for other in [json!({"a": "xzy", "b": "eu-1"}), json!({"a": "x.y", "b": "eu-12"}), json!({"a": "x.y"})] {
            assert!(!takes(trigger.clone(), other.clone()), "{other}");
        }
    }

    #[test]
    fn the_source_is_a_hook_or_a_kind_of_one() {
        assert!(takes(json!({"source": "pages"}), json!({})));
        assert!(takes(json!({"source": "alertmanager"}), json!({})));
        assert!(!takes(json!({"source": "grafana"}), json!({})));
    }

    #[test]
    fn a_condition_that_cannot_be_decided_starts_nothing() {
        let when = |when: &str| takes(json!({"source": "pages", "when": when}), json!({"n": "5"}));
        assert!(when("body.annotations.stage == \"live\""));
        assert!(!when("body.annotations.stage == \"test\""));
        assert!(!when("labels.absent == \"x\"") && !when("labels.absent != \"x\""));
    }

    #[test]
    fn a_label_that_is_missing_never_becomes_a_default() {
        let rule = rule(json!({"source": "pages", "inputs": {"providers": "labels.provider"}})).unwrap();
        assert_eq!(rule.from_event(&signal(json!({"provider": "ocr"}))).unwrap()["providers"], "ocr");
        assert!(rule.from_event(&signal(json!({}))).unwrap_err().0.contains("labels.provider"));
    }

    #[test]
    fn what_can_never_work_is_said() {
        assert!(rule(json!({"source": "pages", "match": {"a": {"regex": "("}}})).is_err());
        assert!(rule(json!({"source": "pages", "when": "labels.a =="})).is_err());
    }
}
