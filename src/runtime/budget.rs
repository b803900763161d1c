//! Remediation budgets: how often runs of one playbook with the same key have already acted.
//!
//! A repeated fix hides the real fault. When the budget of the window is spent, a run still looks and
//! finds the cause, but remediates nothing and says so.

use std::time::Duration;

use serde_json::Value;

use crate::base::units::show_duration;
use crate::base::{RunId, Timestamp};
use crate::engine::event::{Event, Phase, Record, Role, RunStarted};
use crate::engine::scope::navigate;
use crate::journal::{Journal, JournalError, RunFilter};
use crate::language::Lookup;
use crate::playbook::Playbook;

/// Runs looked through for the window; a playbook that started more often than this within its window
/// has other problems than its budget.
const LOOK_BACK: usize = 1_000;

/// Why this run must not remediate; `None` while there is budget left.
pub(super) fn spent(
    journal: &dyn Journal,
    playbook: &Playbook,
    inputs: &Value,
    run: &RunId,
    now: Timestamp,
) -> Result<Option<String>, JournalError> {
    let Some(budget) = &playbook.header.budget else { return Ok(None) };
    let name = &playbook.header.name;
    let filter = RunFilter { limit: LOOK_BACK, children: true, playbook: Some(name.clone()), ..RunFilter::default() };
    let window = Duration::from_secs_f64(budget.window);
    let key = key(&budget.per, inputs);
    let mut acted = 0;
    for summary in journal.runs(&filter)?.into_iter().filter(|summary| summary.run != *run) {
        if now.since(summary.started_at) > window {
            break;
        }
        let records = journal.read(&summary.run)?;
        acted += u32::from(same_key(&records, &budget.per, &key) && remediated(&records));
    }
    let spent = acted >= budget.runs;
    Ok(spent.then(|| format!("the budget is spent: {acted} runs remediated within {}", show_duration(window))))
}

/// The values that tell one target from another.
fn key(per: &[String], inputs: &Value) -> Vec<Value> {
    let value = |name: &String| match navigate(inputs, name.strip_prefix("inputs.").unwrap_or(name)) {
        Lookup::Value(value) => value,
        Lookup::Missing(_) => Value::Null,
    };
    per.iter().map(value).collect()
}

fn same_key(records: &[Record], per: &[String], wanted: &[Value]) -> bool {
    match records.first().map(|record| &record.event) {
        Some(Event::RunStarted(header)) => key(per, &header.inputs) == wanted,
        _ => false,
    }
}

fn remediated(records: &[Record]) -> bool {
    let Some(Event::RunStarted(header)) = records.first().map(|record| &record.event) else { return false };
    records.iter().any(|record| matches!(&record.event, Event::AttemptStarted { key, role: Role::Main, .. } if is_remediation(header, &key.step)))
}

fn is_remediation(header: &RunStarted, id: &str) -> bool {
    header.steps.iter().any(|step| step.id == id && step.phase == Phase::Remediate)
}
