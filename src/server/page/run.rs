//! `/runs/RUN`: one run, as it goes on or as it was.

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, PreEscaped, html};

use super::frame::{self, Here};
use super::graph::{self, Node};
use super::problem::Problem;
use super::{escalation, path_of, questions, steps, words};
use crate::base::units::show_duration;
use crate::base::{RunId, Timestamp, live};
use crate::engine::event::{Outcome, StepOutline};
use crate::report::html::sections;
use crate::report::view::{RunView, StepState, StepView};
use crate::report::wording::account;
use crate::report::{Gallery, Incident};
use crate::runtime::escalations;
use crate::server::api::{self, Named};
use crate::server::route::Call;
use crate::site::Role;

/// What the report says and this page says in its own way, or elsewhere.
const TOLD_ALREADY: [&str; 7] = ["", "What to do next", "Diagnosis", "Actions", "Finally", "Escalation", "Audit"];
/// The longest part, and the last that somebody in a hurry wants.
const FOLDED: [&str; 2] = ["Notifications", "Timeline"];
/// What a step prints is no event, so it is asked for so often, in seconds.
const OUTPUT_SECONDS: usize = 2;
/// Somebody may take over elsewhere, which is no event of the run either.
const ESCALATION_SECONDS: usize = 15;
/// Calls of one run that are listed.
const MOST_CALLED: usize = 50;

/// What a form came to, by the word in the address.
const SAID: [(&str, &str); 8] = [
    ("approve", "Approved; the answer is in the journal."),
    ("reject", "Rejected; the answer is in the journal."),
    ("break-glass", "Approved; the answer and why are in the journal."),
    ("resolve", "Said; the run goes on with that."),
    ("acknowledge", "You have taken over; those who were told hear it."),
    ("next-level", "The next level is told."),
    ("close", "Closed; those who were told hear it."),
    ("cancel", "Asked to stop; what runs cleans up first."),
];

pub async fn show(call: Call) -> Response {
    let word = call.query.get("said").map_or("", String::as_str);
    let said = SAID.iter().find(|(known, _)| *known == word).map(|(_, text)| *text);
    let notice = html! { @if let Some(said) = said { p.notice.good role="status" { "✓ " (said) } } };
    page(&call, StatusCode::OK, &notice).await
}

/// The page of the run that the path names, with a notice above it.
pub(super) async fn page(call: &Call, status: StatusCode, notice: &Markup) -> Response {
    match api::named(call) {
        Ok(named) => {
            let view = RunView::of(&named.records);
            let title = if view.title.is_empty() { view.run.clone() } else { view.title.clone() };
            frame::page(call, status, Here::Runs, &title, &content(call, &named, &view, notice))
        }
        Err(refused) => match Problem::of(refused).await {
            Some(problem) => problem.page(call, Here::Runs),
            None => super::see("/runs"),
        },
    }
}

fn content(call: &Call, named: &Named, view: &RunView, notice: &Markup) -> Markup {
    let (now, path) = (call.shared.host.clock.now(), path_of(&view.run));
    let over = view.outcome.is_some_and(|outcome| outcome != Outcome::Parked);
    let output = output(call, view, &named.run);
    // A journal that cannot be read has told so when the run was looked up.
    let cases = escalations::cases(call.shared.host.journal.as_ref()).unwrap_or_default();
    let case = cases.standing_for(&named.run).filter(|case| case.climb.is_some());
    let told = reported(named);
    let looks = output.is_some().then_some(OUTPUT_SECONDS);
    let looks = looks.or(case.is_some_and(|case| case.closed.is_none()).then_some(ESCALATION_SECONDS));
    let seen = named.records.last().map_or(0, |record| record.seq);
    html! {
        (notice)
        div #live data-events=[(!over).then(|| format!("{path}/events?after={seen}"))]
            data-every=[looks] {
            section #facts data-live { (facts(view, now)) }
            section #questions data-live aria-label="What is asked" { @if !over { (questions::all(call, view, &path, now)) } }
            section #escalation data-live { @if let Some(case) = case { (escalation::all(call, case, &path, now)) } }
            section #next data-live { (next(view, now, case.is_some())) }
            section #graph data-live aria-labelledby="steps-title" {
                h2 #steps-title { "Steps" }
                (drawn(view, &named.header.steps))
            }
            section #output data-live aria-label="Output as it comes" { @if let Some(output) = &output { (output) } }
            section #evidence data-live { (evidence(&told)) }
            section #in-full data-live { h2 { "Steps in full" } (steps::all(view)) }
            section #folded data-live { (folded(&told)) }
            section #called data-live { (called(call, &named.run)) }
            @if !over && call.who.may(Role::Operator) { (cancel(call, &path)) }
        }
    }
}

fn facts(view: &RunView, now: Timestamp) -> Markup {
    let inputs = account::inputs(&view.inputs);
    let caller = RunId::from(view.run.clone()).with_callers().next().filter(|outermost| outermost.as_str() != view.run);
    html! {
        p.verdict { (words::outcome(view.outcome)) @if !view.why.is_empty() { ": " (view.why) } }
        @if let Some(withheld) = &view.withheld { p.bad { "▲ Nothing is changed by this run: " (withheld) } }
        dl {
            @if view.found_causes().next().is_some() {
                dt { "Cause" }
                dd { @for cause in view.found_causes() { p { "◆ " strong { (cause.title) } " " code { (cause.finding.name) } } } }
            }
            @if let Some(impact) = &view.impact { dt { "Impact" } dd { (impact) } }
            @if let Some(severity) = view.severity { dt { "Severity" } dd { (severity) } }
            dt { "Playbook" } dd { code { (view.playbook) } @if let Some(code) = &view.code { ", " code { (code) } } }
            dt { "Run" } dd { code { (view.run) } @if let Some(caller) = caller { ", called by " a href=(path_of(caller.as_str())) { (caller) } } }
            dt { "Started" } dd { (words::moment(view.started_at, now)) " by " b { (view.by) } @if !view.trigger.is_empty() { " (" (view.trigger) ")" } }
            @if let Some(end) = view.finished_at {
                dt { @if view.outcome == Some(Outcome::Parked) { "Waits since" } @else { "Ended" } }
                dd { (words::moment(end, now)) ", after " (show_duration(view.duration())) }
            }
            @if let Some(by) = &view.cancelled_by { dt { "Stop asked" } dd { "by " (by) } }
            @if !inputs.is_empty() { dt { "Inputs" } dd { @for input in &inputs { code { (input) } " " } } }
        }
    }
}

/// What people are to do, and who was called, if no case says more about that.
fn next(view: &RunView, now: Timestamp, is_told: bool) -> Markup {
    let steps = account::next_steps(view);
    html! {
        @if !steps.is_empty() { h2 { "What to do next" } ul { @for step in &steps { li { (step) } } } }
        @if !view.escalations.is_empty() && !is_told {
            h2 { "Escalated" }
            ul {
                @for raised in &view.escalations {
                    li { (words::moment(raised.at, now)) ": to " code { (raised.policy) } ", because " (raised.why) }
                }
            }
        }
    }
}

fn drawn(view: &RunView, outlines: &[StepOutline]) -> Markup {
    let node = |outline: &'_ StepOutline| {
        let step = view.steps.iter().find(|step| step.key.item.is_none() && step.key.step == outline.id)?;
        Some((steps::entry(view, step), steps::anchor(view, step)))
    };
    let nodes: Vec<Node> = outlines
        .iter()
        .filter_map(|outline| node(outline).map(|(entry, anchor)| Node { outline, entry, anchor }))
        .collect();
    html! { div.wide { (graph::picture(&nodes)) } }
}

/// What the steps that run have printed so far, without those that have printed nothing; none when nothing runs.
fn output(call: &Call, view: &RunView, run: &RunId) -> Option<Markup> {
    let state = &call.shared.host.services().site.state;
    let running: Vec<&StepView> = view.steps.iter().filter(|step| step.state == StepState::Running).collect();
    let said = running.iter().filter_map(|step| Some((&step.key, live::read(state, run, &step.key)?)));
    let shown = html! {
        @for (key, text) in said { h2 { "Output of " code { (key) } ", as it comes" } pre tabindex="0" { (text) } }
    };
    (!running.is_empty()).then_some(shown)
}

/// The parts of the incident report that say what was seen and why.
/// A section of the report: its title and its text.
type Section = (&'static str, String);

fn evidence(told: &[Section]) -> Markup {
    let told = told.iter().filter(|(title, _)| !FOLDED.contains(title));
    html! { @for (_, text) in told { (PreEscaped(text)) } }
}

fn folded(told: &[Section]) -> Markup {
    let told = told.iter().filter(|(title, _)| FOLDED.contains(title));
    html! {
        @for (title, text) in told { details id=(format!("all-{title}")) { summary { (title) } (PreEscaped(text)) } }
    }
}

/// Sections as the report renders them, which escapes all data itself.
fn reported(named: &Named) -> Vec<Section> {
    let incident =
        Incident { records: &named.records, gallery: Gallery::default(), audit_head: None, escalation: None };
    let mut all = sections(&incident.document());
    all.retain(|(title, _)| !TOLD_ALREADY.contains(title));
    all
}

/// The runs of playbooks that this one called.
fn called(call: &Call, run: &RunId) -> Markup {
    let called = call.shared.host.journal.run_ids(&format!("{run}/"), MOST_CALLED).unwrap_or_default();
    html! {
        @if !called.is_empty() {
            h2 { "Called" }
            ul { @for run in &called { li { a href=(path_of(run.as_str())) { (run) } } } }
        }
    }
}

fn cancel(call: &Call, path: &str) -> Markup {
    html! {
        details #cancel {
            summary { "Stop this run" }
            form.stack method="post" action=(format!("{path}/cancel")) {
                (words::csrf(call))
                p { "What runs is asked to stop and cleans up; nothing new is begun." }
                div.buttons { button.bad type="submit" { "■ Stop it" } }
            }
        }
    }
}
