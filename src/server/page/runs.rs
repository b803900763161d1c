//! `/runs`: the runs now and before, with filters and pages.

use std::collections::{BTreeSet, HashMap};

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::frame::{self, Here};
use super::problem::Problem;
use super::{escalation, path_of, words};
use crate::base::Timestamp;
use crate::base::units::show_duration;
use crate::engine::event::Outcome;
use crate::journal::{RunFilter, RunSummary};
use crate::server::api::journal_failed;
use crate::server::route::Call;

const PAGE: usize = 25;
/// So far back the list goes; `runbook history` goes further.
const FARTHEST: usize = 5_000;
/// A list that nobody reloads is read anew so often, in seconds.
const ANEW_SECONDS: usize = 10;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The choices of the filter besides the outcomes.
const UNFINISHED: &str = "unfinished";

const OUTCOMES: [Outcome; 8] = [
    Outcome::Healthy,
    Outcome::Resolved,
    Outcome::Mitigated,
    Outcome::Unresolved,
    Outcome::Rejected,
    Outcome::Cancelled,
    Outcome::Parked,
    Outcome::Error,
];

/// What the address asks for.
struct Asked {
    playbook: String,
    outcome: String,
    from: String,
    to: String,
    /// The run after which the page begins.
    before: String,
}

impl Asked {
    fn of(query: &HashMap<String, String>) -> Self {
        let field = |name: &str| query.get(name).cloned().unwrap_or_default();
        Asked {
            playbook: field("playbook"),
            outcome: field("outcome"),
            from: field("from"),
            to: field("to"),
            before: field("before"),
        }
    }

    fn takes(&self, run: &RunSummary) -> bool {
        let outcome = match self.outcome.as_str() {
            "" => true,
            UNFINISHED => run.outcome.is_none(),
            wanted => run.outcome.is_some_and(|outcome| outcome.to_string() == wanted),
        };
        let after = day(&self.from).is_none_or(|from| run.started_at >= from);
        let until = day(&self.to).is_none_or(|to| run.started_at.0 < to.0 + DAY_MS);
        outcome && after && until && (self.playbook.is_empty() || run.playbook == self.playbook)
    }

    fn is_everything(&self) -> bool {
        [&self.playbook, &self.outcome, &self.from, &self.to, &self.before].iter().all(|field| field.is_empty())
    }

    /// The address of the page after this run.
    fn after(&self, run: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let fields = [
            ("playbook", &*self.playbook),
            ("outcome", &self.outcome),
            ("from", &self.from),
            ("to", &self.to),
            ("before", run),
        ];
        query.extend_pairs(fields.iter().filter(|(_, value)| !value.is_empty()));
        format!("/runs?{}", query.finish())
    }
}

/// The beginning of a day in UTC.
fn day(text: &str) -> Option<Timestamp> {
    Timestamp::parse(&format!("{text}T00:00:00Z")).filter(|_| text.len() == 10)
}

pub async fn show(call: Call) -> Response {
    let filter = RunFilter { limit: FARTHEST, ..RunFilter::default() };
    let runs = match call.shared.host.journal.runs(&filter) {
        Ok(runs) => runs,
        Err(error) => {
            let problem = Problem::of(journal_failed(&error)).await;
            return problem.map_or_else(|| super::see("/login"), |problem| problem.page(&call, Here::Runs));
        }
    };
    let mine: Vec<RunSummary> = runs.into_iter().filter(|run| call.who.may_touch(&run.playbook)).collect();
    frame::page(&call, StatusCode::OK, Here::Runs, "Runs", &content(&call, &mine, &Asked::of(&call.query)))
}

fn content(call: &Call, all: &[RunSummary], asked: &Asked) -> Markup {
    let now = call.shared.host.clock.now();
    let is_live = |run: &RunSummary| matches!(run.outcome, None | Some(Outcome::Parked));
    let (live, over): (Vec<&RunSummary>, Vec<&RunSummary>) = match asked.is_everything() {
        true => all.iter().partition(|run| is_live(run)),
        false => (Vec::new(), all.iter().filter(|run| asked.takes(run)).collect()),
    };
    let start = over.iter().position(|run| run.run.as_str() == asked.before).map_or(0, |place| place + 1);
    let rest = over.get(start..).unwrap_or_default();
    let shown = &rest[..rest.len().min(PAGE)];
    html! {
        div #live data-every=(ANEW_SECONDS) {
            @if asked.is_everything() {
                section #escalated data-live { (escalation::open(call, now)) }
                section #now data-live {
                    h2 { "Now" }
                    @if live.is_empty() { p.quiet { "Nothing runs, and nothing waits for a person." } } @else { (table(&live, now)) }
                }
                h2 { "Before" }
            }
            (filters(asked, all))
            section #before data-live {
                @if shown.is_empty() { p.quiet { "No run is like that." } } @else { (table(shown, now)) }
                @if let (true, Some(last)) = (rest.len() > PAGE, shown.last()) {
                    p { a href=(asked.after(last.run.as_str())) { "Older runs" } }
                }
            }
        }
    }
}

fn table(runs: &[&RunSummary], now: Timestamp) -> Markup {
    html! {
        div.wide {
            table.steps {
                thead { tr { @for title in ["Outcome", "Run", "Started", "Took", "By"] { th scope="col" { (title) } } } }
                tbody { @for run in runs { (row(run, now)) } }
            }
        }
    }
}

fn row(run: &RunSummary, now: Timestamp) -> Markup {
    let title = if run.title.is_empty() { run.run.as_str() } else { &run.title };
    html! {
        tr {
            td data-title="Outcome" { (words::outcome(run.outcome)) @if let Some(severity) = run.severity { " " span.quiet { (severity) } } }
            td data-title="Run" {
                a href=(path_of(run.run.as_str())) { (title) } br;
                code { (run.playbook) }
                @if let Some(damage) = &run.damage { " " span.bad { "! " (damage) } }
            }
            td data-title="Started" { (words::moment(run.started_at, now)) }
            td data-title="Took" { @if let Some(end) = run.finished_at { (show_duration(end.since(run.started_at))) } @else { "–" } }
            td data-title="By" { (run.by) }
        }
    }
}

fn filters(asked: &Asked, all: &[RunSummary]) -> Markup {
    let playbooks: BTreeSet<&str> = all.iter().map(|run| run.playbook.as_str()).collect();
    let outcomes: Vec<String> = OUTCOMES.iter().map(ToString::to_string).collect();
    html! {
        form.filters method="get" action="/runs" {
            div { label for="playbook" { "Playbook" } select #playbook name="playbook" {
                option value="" { "all" }
                @for name in playbooks { option value=(name) selected[name == asked.playbook] { (name) } }
            } }
            div { label for="outcome" { "Outcome" } select #outcome name="outcome" {
                option value="" { "all" }
                option value=(UNFINISHED) selected[asked.outcome == UNFINISHED] { "has not ended" }
                @for name in &outcomes { option value=(name) selected[*name == asked.outcome] { (name) } }
            } }
            div { label for="from" { "From" } input #from type="date" name="from" value=(asked.from); }
            div { label for="to" { "To" } input #to type="date" name="to" value=(asked.to); }
            div { button type="submit" { "Filter" } " " a href="/runs" { "All" } }
        }
    }
}
