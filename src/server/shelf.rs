//! The playbooks as they were when they were last good, and the triggers that belong to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::ServeError;
use crate::base::Diagnostic;
use crate::plan;
use crate::playbook::{Playbook, Trigger, library};
use crate::runtime::{Host, routing};
use crate::trigger::{BadTrigger, Rule, SiteTrigger, site_triggers};

/// What reading the playbooks came to.
#[derive(Debug, Default, Clone)]
pub struct Reloaded {
    pub playbooks: usize,
    pub triggers: usize,
    /// Why somebody may not be told of what goes wrong.
    pub gap: Option<String>,
    /// Files that are not valid, with what is wrong. Of each, the last good one is still in use, if there was one.
    pub problems: Vec<(PathBuf, Vec<Diagnostic>)>,
}

pub(super) struct Shelf {
    host: Arc<Host>,
    /// By file, so that one that is renamed in its text takes its own place.
    good: Mutex<BTreeMap<PathBuf, Playbook>>,
    rules: RwLock<Arc<Vec<Rule>>>,
    last: RwLock<Arc<Reloaded>>,
}

impl Shelf {
    pub(super) fn new(host: Arc<Host>) -> Self {
        Shelf { host, good: Mutex::default(), rules: RwLock::default(), last: RwLock::default() }
    }

    pub(super) fn rules(&self) -> Arc<Vec<Rule>> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn last(&self) -> Arc<Reloaded> {
        self.last.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What to say when nobody was chosen to hear that a playbook which starts by itself did not help.
    fn gap(&self) -> Option<String> {
        let (playbooks, rules) = (self.playbooks(), self.rules());
        let started: BTreeSet<&String> = rules.iter().map(|rule| &rule.playbook).collect();
        let headers =
            playbooks.values().map(|playbook| &playbook.header).filter(|header| started.contains(&header.name));
        routing::warning(&self.host.services.site, headers, self.host.clock.now())
    }

    pub(super) fn playbooks(&self) -> Arc<BTreeMap<String, Playbook>> {
        self.host.library.kept()
    }

    /// Reads every playbook again. A file that is not valid changes nothing; one that is gone is gone.
    pub(super) fn reload(&self) -> Result<Reloaded, ServeError> {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut next, mut problems) = (BTreeMap::new(), Vec::new());
        for file in self.host.library.files() {
            match checked(&file) {
                Ok(playbook) => drop(next.insert(file, playbook)),
                Err(wrong) => {
                    next.extend(good.get(&file).map(|before| (file.clone(), before.clone())));
                    problems.push((file, wrong));
                }
            }
        }
        let named: BTreeMap<String, Playbook> =
            next.values().map(|playbook| (playbook.header.name.clone(), playbook.clone())).collect();
        let rules = self.rules_of(&named)?;
        let reloaded = Reloaded { playbooks: named.len(), triggers: rules.len(), gap: None, problems };
        *good = next;
        self.host.library.keep(named);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        let reloaded = Reloaded { gap: self.gap(), ..reloaded };
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(reloaded.clone());
        Ok(reloaded)
    }

    fn rules_of(&self, playbooks: &BTreeMap<String, Playbook>) -> Result<Vec<Rule>, ServeError> {
        let of_site = site_triggers(&self.host.services.site.serve);
        let mut rules = Vec::new();
        for SiteTrigger { playbook: name, alert } in &of_site {
            let playbook = playbooks.get(name).ok_or_else(|| ServeError::NoSuchPlaybook(name.clone()))?;
            let rule = Rule::new(name, alert)?;
            if let Some(input) = rule.inputs().find(|input| !playbook.inputs.iter().any(|(known, _)| known == *input)) {
                return Err(BadTrigger { playbook: name.clone(), what: format!("it has no input '{input}'") }.into());
            }
            rules.push(rule);
        }
        let own = playbooks.values().filter(|one| !of_site.iter().any(|trigger| trigger.playbook == one.header.name));
        rules.extend(own.map(own_rules).collect::<Result<Vec<_>, BadTrigger>>()?.into_iter().flatten());
        Ok(rules)
    }
}

fn own_rules(playbook: &Playbook) -> Result<Vec<Rule>, BadTrigger> {
    let alerts = playbook.header.triggers.iter().filter_map(|trigger| match trigger {
        Trigger::Alert(alert) => Some(alert),
        Trigger::Watch(_) | Trigger::Schedule(_) => None,
    });
    alerts.map(|alert| Rule::new(&playbook.header.name, alert)).collect()
}

fn checked(file: &std::path::Path) -> Result<Playbook, Vec<Diagnostic>> {
    let playbook = library::load(file)?;
    let problems = plan::check(&playbook);
    if problems.is_empty() { Ok(playbook) } else { Err(problems) }
}
