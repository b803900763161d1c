//! Each step in full: what it was asked to do, what it found, why it did not pass. Closed until somebody looks.

use maud::{Markup, html};
use serde_json::Value;

use super::words;
use crate::base::units::show_duration;
use crate::report::line::{Entry, Line};
use crate::report::view::{RunView, StepState, StepView};
use crate::report::wording::account;

/// Enough to see what a step found; `runbook show` and the API have the rest.
const LONGEST_OUTPUT: usize = 2_000;
/// Of items that passed; those that did not are all shown.
const MOST_ITEMS: usize = 20;

/// The line of a step: its mark, its word, its time.
pub(super) fn entry(view: &RunView, step: &StepView) -> Entry {
    let line = account::step(view, step, 0).into_iter().next();
    match line {
        Some(Line::Entry(entry)) => entry,
        _ => Entry::new(crate::report::line::Mark::Note, step.key.to_string(), "", ""),
    }
}

/// The name of the place on the page where a step is shown in full; none for one that has not begun.
pub(super) fn anchor(view: &RunView, step: &StepView) -> Option<String> {
    let position = view.steps.iter().position(|other| other.key == step.key)?;
    (step.state != StepState::Waiting).then(|| format!("step-{position}"))
}

/// Every step that has begun.
pub(super) fn all(view: &RunView) -> Markup {
    let begun = view.steps_in_order().into_iter().filter(|step| step.state != StepState::Waiting);
    let mut passed_items = 0;
    let shown: Vec<&StepView> = begun
        .filter(|step| {
            let counts = step.key.item.is_some() && step.status().is_some_and(|status| status.label() == "passed");
            passed_items += usize::from(counts);
            !counts || passed_items <= MOST_ITEMS
        })
        .collect();
    html! {
        @for step in &shown { (one(view, step)) }
        @if passed_items > MOST_ITEMS { p.quiet { "… and " (passed_items - MOST_ITEMS) " more items that passed" } }
    }
}

fn one(view: &RunView, step: &StepView) -> Markup {
    let Entry { mark, subject, word, duration, text } = entry(view, step);
    let anchor = anchor(view, step).unwrap_or_default();
    html! {
        details id=(format!("about-{anchor}")) {
            summary {
                (words::state(mark, &word)) " " code { (subject) }
                @if let Some(duration) = duration { " " span.quiet { (show_duration(duration)) } }
                @if !text.is_empty() { " " span.quiet { (text) } }
            }
            div.inside id=(anchor) {
                @if let Some(reason) = &step.reason { pre.bad { (reason) } }
                @if let Some(help) = &step.help { p { "Help: " (help) } }
                (request(step)) (output(&step.output))
            }
        }
    }
}

fn request(step: &StepView) -> Markup {
    let lines = account::request(&step.request);
    html! {
        @if !lines.is_empty() { p.quiet { "Asked for, as " code { (step.kind) } } pre { (lines.join("\n")) } }
    }
}

fn output(output: &Value) -> Markup {
    if output.is_null() || output.as_object().is_some_and(serde_json::Map::is_empty) {
        return html! {};
    }
    let whole = account::request(output).join("\n");
    let cut = whole.char_indices().nth(LONGEST_OUTPUT).map(|(end, _)| end);
    html! {
        p.quiet { "Found" }
        pre { (&whole[..cut.unwrap_or(whole.len())]) @if cut.is_some() { "\n… more: runbook show" } }
    }
}
