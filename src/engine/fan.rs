//! What the items of a step that fans out say together.

use serde_json::{Value, json};

use super::event::StepStatus;
use super::graph::Step;
use super::state::Item;
use crate::base::value::show;

/// Status, output and reason of the step as a whole.
pub(super) fn whole(step: &Step, items: &[Item]) -> (StepStatus, Value, Option<String>) {
    let with = |wanted: StepStatus| items.iter().filter(move |item| item.status == Some(wanted));
    let values = |wanted: StepStatus| with(wanted).map(|item| item.value.clone()).collect::<Vec<_>>();
    let (passed, failed, errors) = (values(StepStatus::Passed), values(StepStatus::Failed), values(StepStatus::Error));
    let holds = items.iter().any(|item| item.output["holds"] == true);
    let status = match () {
        // One target with the fault is a fault, whatever the others would have answered.
        () if step.probe && holds => StepStatus::Passed,
        () if !errors.is_empty() => StepStatus::Error,
        () if !failed.is_empty() => StepStatus::Failed,
        () if passed.is_empty() && !items.is_empty() => StepStatus::Skipped,
        () => StepStatus::Passed,
    };
    let outputs: Vec<&Value> = items.iter().map(|item| &item.output).collect();
    let mut output = json!({
        "count": items.len(), "passed_count": passed.len(), "failed_count": failed.len(), "error_count": errors.len(),
        "passed_items": passed, "failed_items": failed, "error_items": errors, "items": outputs,
    });
    if step.probe {
        output["holds"] = holds.into();
    }
    (status, output, reason(items))
}

/// "1 of 2 could not be done: ocr-text: connection refused".
fn reason(items: &[Item]) -> Option<String> {
    let ended = |wanted: StepStatus| items.iter().filter(move |item| item.status == Some(wanted));
    let told = |wanted: StepStatus, word: &str| {
        let first = ended(wanted).next()?;
        let name = first.value.as_ref().map(show).unwrap_or_default();
        let why = first.reason.as_deref().unwrap_or("no reason was given");
        Some(format!("{} of {} {word}: {name}: {why}", ended(wanted).count(), items.len()))
    };
    let parts: Vec<String> = [told(StepStatus::Error, "could not be done"), told(StepStatus::Failed, "failed")]
        .into_iter()
        .flatten()
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
