//! What keeps a run from changing anything, asked right before it would: a freeze, the windows of the
//! site, the open breaker of its target, and its budget.
//!
//! A repeated fix hides the real fault. When the budget of a window is spent, the breaker of the target
//! opens and stays open until a person has looked and closes it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::orders;
use crate::base::units::show_duration;
use crate::base::value::show;
use crate::base::{RunId, Timestamp};
use crate::engine::event::{Event, Phase, Record, Role, RunStarted};
use crate::engine::scope::navigate;
use crate::engine::standing::Order;
use crate::engine::{Graph, Hold};
use crate::journal::{Journal, JournalError, RunFilter};
use crate::language::Lookup;
use crate::playbook::{Budget, Playbook};
use crate::site::{Site, Window};

/// Runs looked through for the window; a playbook that started more often than this within its window
/// has other problems than its budget.
const LOOK_BACK: usize = 1_000;

/// The guards of one run.
pub struct Guards {
    history: Arc<dyn Journal>,
    run: RunId,
    playbook: String,
    budget: Option<Budget>,
    /// The values that tell one target from another.
    target: Vec<Value>,
    /// Windows outside of which this playbook changes nothing; one that the site does not have is never open.
    within: Vec<(String, Option<Window>)>,
    /// Windows in which nothing is changed.
    without: Vec<(String, Window)>,
    /// Why this run may only look.
    withheld: Option<String>,
    acts: bool,
    /// How often the budget was used before this run, counted once: this run is one use, however long it takes.
    used: Option<u32>,
}

/// What a guard found.
enum Found {
    Frozen {
        why: String,
    },
    Window {
        why: String,
    },
    /// The breaker is open.
    Broken {
        why: String,
    },
    /// The breaker has to open.
    Spent {
        why: String,
    },
}

impl Guards {
    pub fn of(history: Arc<dyn Journal>, site: &Site, playbook: &Playbook, graph: &Graph, run: &RunId) -> Self {
        let header = &playbook.header;
        let per: &[String] = header.budget.as_ref().map(|budget| budget.per.as_slice()).unwrap_or_default();
        let withholding = site.windows.iter().filter(|(_, window)| window.withhold);
        Guards {
            history,
            run: run.clone(),
            playbook: header.name.clone(),
            budget: header.budget.clone(),
            target: target(per, graph.inputs()),
            within: header.within.iter().map(|name| (name.clone(), site.windows.get(name).cloned())).collect(),
            without: withholding.map(|(name, window)| (name.clone(), window.clone())).collect(),
            withheld: graph.header.withheld.clone(),
            acts: graph.steps.iter().any(|step| step.phase == Phase::Remediate),
            used: None,
        }
    }

    /// Why nothing may be changed now. Looks only in phases that can lead to a change.
    pub(super) async fn hold(&mut self, phase: Option<Phase>, now: Timestamp) -> Result<Option<Hold>, JournalError> {
        if !self.acts || phase.is_some_and(|phase| phase > Phase::Undo) {
            return Ok(None);
        }
        if phase.is_some_and(|phase| phase > Phase::Remediate) {
            return Ok(self.frozen(now)?.map(|why| Hold { why, undo: true }));
        }
        let Some(found) = self.find(now)? else { return Ok(None) };
        if let Found::Spent { why } = &found {
            let (playbook, target) = (self.playbook.clone(), self.target_name());
            let order = Order::BreakerOpened { playbook, target, why: why.clone() };
            orders::give(self.history.as_ref(), now, order).await?;
        }
        Ok(Some(self.told(found)))
    }

    /// The same for a run that only looks: nothing is opened by it.
    pub fn foresee(mut self, now: Timestamp) -> Result<Option<Hold>, JournalError> {
        Ok(self.find(now)?.map(|found| self.told(found)))
    }

    fn find(&mut self, now: Timestamp) -> Result<Option<Found>, JournalError> {
        if let Some(why) = self.frozen(now)? {
            return Ok(Some(Found::Frozen { why }));
        }
        match self.withheld.clone().or_else(|| self.outside_windows(now)) {
            Some(why) => Ok(Some(Found::Window { why })),
            None => self.spent(now),
        }
    }

    fn told(&self, found: Found) -> Hold {
        match found {
            Found::Frozen { why } => Hold { why, undo: true },
            Found::Window { why } => Hold { why, undo: false },
            Found::Broken { why } | Found::Spent { why } => Hold { why: self.broken(&why), undo: false },
        }
    }

    /// Why nothing at all may be changed: somebody said so.
    pub fn frozen(&self, now: Timestamp) -> Result<Option<String>, JournalError> {
        let standing = orders::standing(self.history.as_ref())?;
        Ok(standing.freeze(now).map(|freeze| {
            let until = freeze.until.map(|until| format!(" until {}", until.to_local_date_time())).unwrap_or_default();
            format!("everything is frozen{until}, by {}: {}", freeze.by, freeze.reason)
        }))
    }

    fn outside_windows(&self, now: Timestamp) -> Option<String> {
        if let Some((name, _)) = self.without.iter().find(|(_, window)| window.is_open(now)) {
            return Some(format!("nothing is changed during '{name}'"));
        }
        let is_open = |window: &Option<Window>| window.as_ref().is_some_and(|window| window.is_open(now));
        if self.within.is_empty() || self.within.iter().any(|(_, window)| is_open(window)) {
            return None;
        }
        let name = |(name, window): &(String, Option<Window>)| match window {
            Some(_) => name.clone(),
            None => format!("{name} (which the site file does not have under `windows`)"),
        };
        let names: Vec<String> = self.within.iter().map(name).collect();
        Some(format!("it may change something only during {}", names.join(" or ")))
    }

    fn spent(&mut self, now: Timestamp) -> Result<Option<Found>, JournalError> {
        let Some(budget) = self.budget.clone() else { return Ok(None) };
        let standing = orders::standing(self.history.as_ref())?;
        let breaker = standing.breaker(&self.playbook, &self.target_name());
        if let Some((_, why)) = breaker.and_then(|breaker| breaker.open.as_ref()) {
            return Ok(Some(Found::Broken { why: why.clone() }));
        }
        let since = breaker.and_then(|breaker| breaker.closed_at);
        let used = match self.used {
            Some(used) => used,
            None => self.count(&budget, since, now)?,
        };
        self.used = Some(used);
        let window = show_duration(Duration::from_secs_f64(budget.window));
        Ok((used >= budget.runs).then(|| Found::Spent { why: format!("{used} runs remediated within {window}") }))
    }

    fn broken(&self, why: &str) -> String {
        let target = self.target_name();
        let name = if target.is_empty() { String::new() } else { format!(" {}", quoted(&target)) };
        format!(
            "the breaker is open: {why}; when the real fault is found, `runbook breaker close {}{name} --reason …`",
            self.playbook
        )
    }

    /// The target in words: its values, joined.
    fn target_name(&self) -> String {
        self.target.iter().map(show).collect::<Vec<_>>().join(", ")
    }

    /// Runs within the window, and since the breaker was closed, that changed something of the same target.
    fn count(&self, budget: &Budget, closed: Option<Timestamp>, now: Timestamp) -> Result<u32, JournalError> {
        let playbook = Some(self.playbook.clone());
        let filter = RunFilter { limit: LOOK_BACK, children: true, playbook, ..RunFilter::default() };
        let window = Duration::from_secs_f64(budget.window);
        let mut used = 0;
        for summary in self.history.runs(&filter)?.into_iter().filter(|summary| summary.run != self.run) {
            if now.since(summary.started_at) > window || closed.is_some_and(|closed| summary.started_at <= closed) {
                break;
            }
            let records = self.history.read(&summary.run)?;
            used += u32::from(self.same_target(&records, &budget.per) && remediated(&records));
        }
        Ok(used)
    }

    fn same_target(&self, records: &[Record], per: &[String]) -> bool {
        match records.first().map(|record| &record.event) {
            Some(Event::RunStarted(header)) => target(per, &header.inputs) == self.target,
            _ => false,
        }
    }
}

/// For a command line that is shown to be pasted.
fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:".contains(letter);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn target(per: &[String], inputs: &Value) -> Vec<Value> {
    let value = |name: &String| match navigate(inputs, name.strip_prefix("inputs.").unwrap_or(name)) {
        Lookup::Value(value) => value,
        Lookup::Missing(_) => Value::Null,
    };
    per.iter().map(value).collect()
}

fn remediated(records: &[Record]) -> bool {
    let Some(Event::RunStarted(header)) = records.first().map(|record| &record.event) else { return false };
    records.iter().any(|record| {
        matches!(&record.event, Event::AttemptStarted { key, role: Role::Main, .. } if is_remediation(header, &key.step))
    })
}

fn is_remediation(header: &RunStarted, id: &str) -> bool {
    header.steps.iter().any(|step| step.id == id && step.phase == Phase::Remediate)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::Source;
    use crate::engine::event::Risk;
    use crate::journal::MemoryJournal;
    use crate::plan::{self, Settings};
    use crate::playbook;

    const PLAYBOOK: &str = "
runbook: 1
name: restart
title: Restarts a host
inputs: {host: {type: string}}
budget: {per: [inputs.host], runs: 1, window: 1m}
remediate: {act: {report: {text: restarted}, risk: safe}}
";

    fn guards(history: &Arc<dyn Journal>, host: &str) -> Guards {
        let playbook = playbook::parse(&Source::new("restart.yaml", PLAYBOOK)).unwrap();
        let settings = Settings {
            inputs: json!({"host": host}),
            by: "ada".into(),
            trigger: "hand".into(),
            parallel: 8,
            ask_from: Risk::Disruptive,
        };
        let graph = plan::compile(&playbook, settings);
        Guards::of(history.clone(), &Site::default(), &playbook, &graph, &RunId::from("now".to_owned()))
    }

    #[tokio::test]
    async fn t52_an_open_breaker_outlasts_the_window_of_its_budget() {
        let history: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
        let opened = Timestamp(1_000);
        let why = "1 runs remediated within 1 min".to_owned();
        let order = Order::BreakerOpened { playbook: "restart".into(), target: "a".into(), why };
        orders::give(history.as_ref(), opened, order).await.unwrap();
        let a_day_later = opened.plus(Duration::from_secs(86_400));
        let hold = guards(&history, "a").foresee(a_day_later).unwrap();
        assert!(hold.is_some_and(|hold| hold.why.contains("the breaker is open: 1 runs")));
        assert!(guards(&history, "b").foresee(a_day_later).unwrap().is_none(), "another target is not concerned");
    }
}
