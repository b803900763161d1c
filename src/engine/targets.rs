//! The set of targets of a step that fans out: resolved once, kept in the journal, and refused when it
//! is empty, unclear or larger than its author thought possible.

use serde_json::Value;

use super::event::{Event, Phase, StepStatus};
use super::graph::{ForEach, Step};
use super::scope::RunScope;
use super::state::{ItemState, StepState};
use crate::base::value::show;

/// Words that mean "all of them" somewhere: to whatever acts on them they are no single target.
const WILDCARDS: [&str; 4] = ["*", "all", "any", "%"];

/// The event that fixes the targets, or why there are none.
pub(super) fn resolve(step: &Step, scope: &RunScope<'_>) -> Result<Event, String> {
    let Some(for_each) = &step.for_each else { return Err("bug: nothing to fan out over".into()) };
    let items = match for_each.list.value(scope) {
        Ok(Value::Array(items)) => items,
        Ok(_) => return Err(format!("{} is not a list", for_each.list.text())),
        Err(why) => return Err(format!("cannot tell what to run it for: {why}")),
    };
    let acts = step.phase == Phase::Remediate;
    // An empty set of targets must never read as "nothing was wrong with any of them".
    if items.is_empty() && (step.probe || acts) {
        return Err(format!("the list {} is empty, so there is nothing to do it for", for_each.list.text()));
    }
    if acts && let Some(odd) = items.iter().find(|item| !names_one(item)) {
        return Err(format!("{} holds {odd}, which names no single target; nothing was begun", for_each.list.text()));
    }
    refuse_too_many(for_each, &items, scope)?;
    Ok(Event::FannedOut { step: step.id.clone(), items })
}

/// Whether a value names one target; text that may stand for all of them does not.
fn names_one(item: &Value) -> bool {
    match item {
        Value::Null => false,
        Value::String(name) => {
            let name = name.trim();
            !name.is_empty() && !WILDCARDS.contains(&name.to_ascii_lowercase().as_str()) && !name.contains('*')
        }
        _ => true,
    }
}

fn refuse_too_many(for_each: &ForEach, items: &[Value], scope: &RunScope<'_>) -> Result<(), String> {
    if let Some(most) = for_each.most
        && items.len() > most as usize
    {
        return Err(format!("{} has {} items, more than {most}; nothing was begun", for_each.list.text(), items.len()));
    }
    let Some(of) = &for_each.of else { return Ok(()) };
    let all = match of.value(scope) {
        Ok(Value::Array(all)) if !all.is_empty() => all.len(),
        Ok(other) => return Err(format!("{} is no list of all targets, but {}", of.text(), show(&other))),
        Err(why) => return Err(format!("cannot tell how many targets there are: {why}")),
    };
    if items.len() as f64 > for_each.stop_above * all as f64 {
        let share = 100.0 * for_each.stop_above;
        return Err(format!(
            "{} of {all} are concerned, more than {share:.0} %: a common cause is likelier than so many single faults; \
             nothing was begun",
            items.len()
        ));
    }
    Ok(())
}

/// Whether no further item may begin for now: as many as allowed are in progress.
pub(super) fn is_full(for_each: &ForEach, state: &StepState) -> bool {
    let busy = |state: &ItemState| !matches!(state, ItemState::Waiting | ItemState::Done);
    let in_progress = state.items.iter().filter(|item| busy(&item.state)).count();
    // At least one, or nothing would ever happen.
    let share = ((state.items.len() as f64 * for_each.share).floor() as usize).max(1);
    in_progress >= share.min(for_each.limit as usize)
}

/// Why no further item may ever begin: too many did not succeed.
pub(super) fn given_up(for_each: &ForEach, state: &StepState) -> Option<String> {
    let most = for_each.max_errors? as usize;
    let ended_badly = |status: Option<StepStatus>| matches!(status, Some(StepStatus::Failed | StepStatus::Error));
    let bad = state.items.iter().filter(|item| ended_badly(item.status)).count();
    (bad >= most).then(|| format!("not started: {bad} of the items before did not succeed"))
}
