//! The playbooks as they were when they were last good, and the triggers that belong to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::ServeError;
use super::schedules::{Armed, armed};
use crate::base::{Diagnostic, suggestion};
use crate::plan;
use crate::playbook::{Library, Playbook, Trigger, library};
use crate::runtime::{Host, NextSite, routing};
use crate::site::Site;
use crate::trigger::{BadTrigger, Hook, Rule, SiteTrigger, hooks, site_triggers};

/// What reading the site file and the playbooks came to.
#[derive(Debug, Default, Clone)]
pub struct Reloaded {
    pub playbooks: usize,
    pub triggers: usize,
    /// Why somebody may not be told of what goes wrong.
    pub gap: Option<String>,
    /// Playbooks that start by themselves and mean to tell people whom the site does not have, with what is wrong.
    pub unheard: Vec<(PathBuf, Vec<Diagnostic>)>,
    /// Schedules and watches that cannot start anything, and sources that nothing comes from, each with the reason.
    pub idle: Vec<(String, String)>,
    /// Files that are not valid, with what is wrong. Of each, the last good one is still in use, if there was one.
    pub problems: Vec<(PathBuf, Vec<Diagnostic>)>,
    /// Settings of the site file that have changed and that only a restart puts in force.
    pub restart: Vec<&'static str>,
}

pub(super) struct Shelf {
    host: Arc<Host>,
    /// By file, so that one that is renamed in its text takes its own place.
    good: Mutex<BTreeMap<PathBuf, Playbook>>,
    rules: RwLock<Arc<Vec<Rule>>>,
    armed: Arc<RwLock<Arc<Vec<Armed>>>>,
    last: RwLock<Arc<Reloaded>>,
}

impl Shelf {
    pub(super) fn new(host: Arc<Host>) -> Self {
        Shelf { host, good: Mutex::default(), rules: RwLock::default(), armed: Arc::default(), last: RwLock::default() }
    }

    pub(super) fn rules(&self) -> Arc<Vec<Rule>> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Schedules and watches.
    pub(super) fn armed(&self) -> Arc<Vec<Armed>> {
        self.armed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same for whoever asks again and again.
    pub(super) fn armed_source(&self) -> impl Fn() -> Arc<Vec<Armed>> + Send + Sync + use<> {
        let armed = self.armed.clone();
        move || armed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn last(&self) -> Arc<Reloaded> {
        self.last.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn playbooks(&self) -> Arc<BTreeMap<String, Playbook>> {
        self.host.library.kept()
    }

    /// Reads every playbook again, and changes nothing yet. Of a file that is not valid the last good version is
    /// taken; one that is gone is gone.
    pub(super) fn read(&self, next: &NextSite) -> Result<Read, ServeError> {
        let site = next.site();
        let good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut files, mut problems) = (BTreeMap::new(), Vec::new());
        for file in Library::new(site.playbooks.clone()).files() {
            match checked(&file) {
                Ok(playbook) => drop(files.insert(file, playbook)),
                Err(wrong) => {
                    files.extend(good.get(&file).map(|before| (file.clone(), before.clone())));
                    problems.push((file, wrong));
                }
            }
        }
        let named = files.values().map(|playbook| (playbook.header.name.clone(), playbook.clone())).collect();
        let (rules, armed) = (rules_of(site, &named)?, armed(site, &named)?);
        let mut idle: Vec<(String, String)> =
            armed.iter().filter_map(|armed| Some((armed.timer.key.clone(), armed.problem.clone()?))).collect();
        idle.extend(unfed(&rules, &hooks(&site.serve)));
        let triggers = rules.len() + armed.iter().filter(|armed| armed.problem.is_none()).count();
        let started = started(&named, &rules, &armed);
        let gap = routing::warning(site, started.iter().map(|playbook| &playbook.header), self.host.clock.now());
        let unheard = unheard(next, &started);
        let reloaded = Reloaded { playbooks: named.len(), triggers, gap, unheard, idle, problems, restart: Vec::new() };
        Ok(Read { files, named, rules, armed, reloaded })
    }

    /// From now on this is what there is.
    pub(super) fn take(&self, read: Read) -> Reloaded {
        let Read { files, named, rules, armed, reloaded } = read;
        *self.good.lock().unwrap_or_else(PoisonError::into_inner) = files;
        self.host.library.keep(named);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        *self.armed.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(armed);
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(reloaded.clone());
        reloaded
    }
}

/// What was read and is not in use yet.
pub(super) struct Read {
    files: BTreeMap<PathBuf, Playbook>,
    named: BTreeMap<String, Playbook>,
    rules: Vec<Rule>,
    armed: Vec<Armed>,
    pub reloaded: Reloaded,
}

pub(super) fn rules_of(site: &Site, playbooks: &BTreeMap<String, Playbook>) -> Result<Vec<Rule>, ServeError> {
    let of_site = site_triggers(&site.serve);
    let mut rules = Vec::new();
    for SiteTrigger { playbook: name, alert, .. } in &of_site {
        let playbook = playbooks.get(name).ok_or_else(|| ServeError::NoSuchPlaybook(name.clone()))?;
        let Some(alert) = alert else { continue };
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

/// The playbooks that start by themselves.
fn started<'a>(playbooks: &'a BTreeMap<String, Playbook>, rules: &[Rule], armed: &[Armed]) -> Vec<&'a Playbook> {
    let timed = armed.iter().map(|armed| &armed.timer.playbook);
    let started: BTreeSet<&String> = rules.iter().map(|rule| &rule.playbook).chain(timed).collect();
    playbooks.values().filter(|playbook| started.contains(&playbook.header.name)).collect()
}

/// A misspelt channel is met when somebody should be told, which is too late.
fn unheard(next: &NextSite, started: &[&Playbook]) -> Vec<(PathBuf, Vec<Diagnostic>)> {
    let wrong = started.iter().map(|playbook| (playbook.source.path.clone(), next.check_people(playbook)));
    wrong.filter(|(_, problems)| !problems.is_empty()).collect()
}

/// Sources that triggers wait for and that no hook is: a misspelt one would be silent for ever.
fn unfed(rules: &[Rule], hooks: &[Hook]) -> Vec<(String, String)> {
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    for rule in rules.iter().filter(|rule| !hooks.iter().any(|hook| rule.is_fed_by(hook))) {
        *waiting.entry(rule.source()).or_default() += 1;
    }
    let said = |(source, count): (&str, usize)| {
        let known = hooks.iter().flat_map(|hook| [hook.name.as_str(), hook.source.name]);
        let near = suggestion::did_you_mean(source, known).map_or(String::new(), |near| format!("; {near}"));
        let triggers = if count == 1 { "a trigger waits".to_owned() } else { format!("{count} triggers wait") };
        (format!("the source '{source}'"), format!("{triggers} for it, and no hook of the site file is it{near}"))
    };
    waiting.into_iter().map(said).collect()
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
