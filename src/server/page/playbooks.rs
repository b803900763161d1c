//! `/playbooks`: what can be run, what starts it and when next, how it went last, and which files are not valid.

use std::collections::HashMap;

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::frame::{self, Here};
use super::{escalation, path_of, words};
use crate::base::units::show_duration;
use crate::base::{Clock, Timestamp};
use crate::engine::event::Severity;
use crate::journal::{RunFilter, RunSummary};
use crate::playbook::{Escalate, Playbook};
use crate::report::line::Mark;
use crate::runtime::escalations::ladder;
use crate::server::route::Call;
use crate::server::schedules::{Kind, Listed, listed};

/// So many runs are looked through for the latest of each playbook.
const LOOKED_THROUGH: usize = 1_000;

pub async fn show(call: Call) -> Response {
    let (playbooks, last) = (call.shared.shelf.playbooks(), call.shared.shelf.last());
    let mine: Vec<&Playbook> =
        playbooks.values().filter(|playbook| call.who.may_touch(&playbook.header.name)).collect();
    let (timers, runs, now) = (timers(&call), latest(&call), call.shared.host.clock.now());
    let content = html! {
        @if let Some(refused) = call.shared.reloading.refused().filter(|_| call.who.may_touch_all()) {
            section.notice.bad aria-labelledby="not-taken" {
                h2 #not-taken { "✗ Read again and not taken" }
                p { "The site file or what belongs to it was read again. " (refused) ", so everything stays as it was." }
                ul { @for problem in refused.problems() { li { (problem.in_a_line()) } } }
            }
        }
        @if call.who.may_touch_all() && !last.problems.is_empty() {
            section.notice.bad aria-labelledby="not-valid" {
                h2 #not-valid { "✗ Not valid" }
                p { "Of each of these files the last good version stays in use, if there was one." }
                @for (file, problems) in &last.problems {
                    p { code { (file.display()) } }
                    ul { @for problem in problems { li { (problem.message) } } }
                }
            }
        }
        @if mine.is_empty() { p.quiet { "There is no playbook here." } } @else {
            div.wide {
                table.steps {
                    thead { tr { @for title in ["Playbook", "Started by", "Next", "Latest run", "Escalated to"] { th scope="col" { (title) } } } }
                    tbody { @for playbook in &mine { (row(&call, playbook, &timers, runs.get(&playbook.header.name), now)) } }
                }
            }
        }
    };
    frame::page(&call, StatusCode::OK, Here::Playbooks, "Playbooks", &content)
}

fn timers(call: &Call) -> Vec<Listed> {
    let (armed, timetable) = (call.shared.shelf.armed(), call.shared.timetable.look(Clone::clone));
    // The wall clock as it is now: it may have been set since the server was started.
    call.shared.desk.look(|intake| listed(&armed, &timetable, intake, Clock::start().now()))
}

/// The latest run of each playbook, as far back as a page should look.
fn latest(call: &Call) -> HashMap<String, RunSummary> {
    let filter = RunFilter { limit: LOOKED_THROUGH, ..RunFilter::default() };
    let mut latest = HashMap::new();
    for run in call.shared.host.journal.runs(&filter).unwrap_or_default() {
        latest.entry(run.playbook.clone()).or_insert(run);
    }
    latest
}

fn row(call: &Call, playbook: &Playbook, timers: &[Listed], latest: Option<&RunSummary>, now: Timestamp) -> Markup {
    let (name, rules) = (&playbook.header.name, call.shared.shelf.rules());
    let alerts = rules.iter().filter(|rule| rule.playbook == *name).count();
    let own: Vec<&Listed> = timers.iter().filter(|timer| timer.playbook == *name).collect();
    html! {
        tr {
            td data-title="Playbook" {
                strong { (playbook.header.title) } br;
                a href=(format!("/runs?playbook={}", form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>())) { (name) }
                @if let Some(code) = &playbook.header.code { " " code { (code) } }
            }
            td data-title="Started by" {
                @if alerts == 0 && own.is_empty() { "people" }
                @if alerts > 0 { p { (alerts) @if alerts == 1 { " alert" } @else { " alerts" } } }
                @for timer in &own { p { (started_by(timer)) } }
            }
            td data-title="Next" {
                @if own.is_empty() { "–" }
                @for timer in &own { p { (next(timer, now)) } }
            }
            td data-title="Latest run" {
                @match latest {
                    Some(run) => {
                        (words::outcome(run.outcome)) " " a href=(path_of(run.run.as_str())) { (run.run) } br;
                        (words::moment(run.started_at, now))
                    }
                    None => "–",
                }
            }
            td data-title="Escalated to" { (escalated_to(call, playbook)) }
        }
    }
}

/// Whom its policy tells as the site file is now, for a fault whose severity nothing has raised.
fn escalated_to(call: &Call, playbook: &Playbook) -> Markup {
    let services = call.shared.host.services();
    let ladder = |escalate: &Escalate| ladder(&services.site, &escalate.policy, Severity::Medium.label());
    match playbook.header.escalate.as_ref() {
        None => html! { "–" },
        Some(escalate) => match ladder(escalate) {
            Some(ladder) => html! { code { (escalate.policy) } ": " (escalation::levels(&ladder)) },
            None => html! { code { (escalate.policy) } ": " (words::state(Mark::Error, "reaches nobody")) },
        },
    }
}

fn started_by(timer: &Listed) -> Markup {
    html! {
        @match &timer.kind {
            Kind::Schedule { missed, .. } => { "a schedule" @if *missed > 0 { " " span.caution { "▲ " (missed) " missed" } } }
            Kind::Watch { every_ms, .. } => { "a watch, every " (show_duration(std::time::Duration::from_millis(*every_ms))) }
        }
        @if let Some(problem) = &timer.problem { " " (words::state(Mark::Error, "starts nothing: ")) (problem) }
    }
}

fn next(timer: &Listed, now: Timestamp) -> Markup {
    match &timer.kind {
        Kind::Schedule { next, .. } => {
            html! { @if let Some(next) = next.first() { (words::moment(*next, now)) } @else { "never" } }
        }
        Kind::Watch { held_back: true, .. } => words::state(Mark::Alarm, "held back: it changes too often"),
        Kind::Watch { holds: true, .. } => words::state(Mark::Alarm, "the fault is there"),
        Kind::Watch { .. } => words::state(Mark::Passed, "the fault is not there"),
    }
}
