//! What an event would start: it is held against the triggers as a server does, and nothing is kept or run.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::matching::filled;
use super::{ServeError, shelf};
use crate::base::Clock;
use crate::engine::intake::Policy;
use crate::playbook::Playbook;
use crate::site::Site;
use crate::trigger::{Hook, Refusal, Request, Rule, Signal, hooks};

/// Something that is reported, and what each trigger that this hook feeds makes of it.
#[derive(Debug, Serialize)]
pub struct Rehearsal {
    pub firing: bool,
    pub labels: BTreeMap<String, String>,
    pub triggers: Vec<Verdict>,
}

#[derive(Debug, Serialize)]
pub struct Verdict {
    pub playbook: String,
    #[serde(flatten)]
    pub fate: Fate,
}

/// What becomes of a report at one trigger.
#[derive(Debug, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// A run with these inputs; the policy says when, and what keeps it waiting.
    Starts { inputs: BTreeMap<String, Value>, policy: Policy },
    /// It is kept, and starts nothing.
    Refused { why: String },
    /// The trigger is not for it.
    Missed { why: String },
    /// It tells of an end, which takes back what waits.
    Resolves,
}

#[derive(Debug, thiserror::Error)]
pub enum NoRehearsal {
    #[error("the site file has no hook '{name}'")]
    NoHook { name: String, known: Vec<String> },
    #[error("the hook would refuse it: {0}")]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Site(#[from] ServeError),
}

/// The hooks and triggers of a site, to hold events against.
pub struct Stage<'a> {
    playbooks: &'a BTreeMap<String, Playbook>,
    rules: Vec<Rule>,
    hook: Hook,
}

impl<'a> Stage<'a> {
    /// `hook` may be left out where there is only one.
    pub fn of(site: &Site, playbooks: &'a BTreeMap<String, Playbook>, hook: Option<&str>) -> Result<Self, NoRehearsal> {
        let all = hooks(&site.serve);
        let known = all.iter().map(|one| one.name.clone()).collect();
        let only = if all.len() == 1 { all.first() } else { None };
        let found = hook.map_or(only, |name| all.iter().find(|one| one.name == name));
        let missing = || NoRehearsal::NoHook { name: hook.unwrap_or_default().to_owned(), known };
        let hook = found.cloned().ok_or_else(missing)?;
        Ok(Stage { playbooks, rules: shelf::rules_of(site, playbooks)?, hook })
    }

    /// What a request of its sender would start; names of headers in small letters. Whether it comes from there is not
    /// judged.
    pub fn request(&self, headers: BTreeMap<String, String>, body: Vec<u8>) -> Result<Vec<Rehearsal>, NoRehearsal> {
        let request = Request { headers, body, at: Clock::start().now() };
        let delivery = (self.hook.source.read)(&self.hook.settings, &request)?;
        Ok(delivery.signals.iter().map(|signal| self.signal(signal)).collect())
    }

    /// The same for something with these labels.
    pub fn labelled(&self, labels: BTreeMap<String, String>) -> Rehearsal {
        let (identity, since) = (String::new(), String::new());
        self.signal(&Signal { identity, since, firing: true, labels, body: Value::Null })
    }

    fn signal(&self, signal: &Signal) -> Rehearsal {
        let fed = self.rules.iter().filter(|rule| rule.is_fed_by(&self.hook));
        let verdict = |rule: &Rule| Verdict { playbook: rule.playbook.clone(), fate: self.fate(rule, signal) };
        Rehearsal { firing: signal.firing, labels: signal.labels.clone(), triggers: fed.map(verdict).collect() }
    }

    fn fate(&self, rule: &Rule, signal: &Signal) -> Fate {
        if let Some(miss) = rule.misses(signal) {
            return Fate::Missed { why: miss.to_string() };
        }
        if !signal.firing {
            return Fate::Resolves;
        }
        match filled(self.playbooks, rule, signal) {
            (inputs, None) => {
                let fixed = rule.fixed().iter().map(|(name, value)| (name.clone(), value.clone()));
                Fate::Starts { inputs: fixed.chain(inputs).collect(), policy: rule.policy.clone() }
            }
            (_, Some(why)) => Fate::Refused { why },
        }
    }
}
