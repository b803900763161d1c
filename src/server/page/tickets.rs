//! `/tickets`: what waits for a run, and what became of the latest.

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::frame::{self, Here};
use super::problem::Problem;
use super::{path_of, see, words};
use crate::base::Timestamp;
use crate::engine::intake::{Closed, Stage, Ticket};
use crate::report::line::Mark;
use crate::server::api;
use crate::server::route::Call;
use crate::site::Role;

/// A screenful; the API has more.
const LATEST: usize = 50;
const ANEW_SECONDS: usize = 10;

pub async fn show(call: Call) -> Response {
    let (open, closed) = call.shared.desk.look(|intake| {
        let mine = |playbook: &str| call.who.may_touch(playbook);
        let open: Vec<(u64, Ticket)> = intake
            .tickets()
            .iter()
            .filter(|(_, ticket)| mine(&ticket.demand.playbook))
            .map(|(n, t)| (*n, t.clone()))
            .collect();
        let mut closed: Vec<Closed> = intake.closed().filter(|closed| mine(&closed.playbook)).cloned().collect();
        closed.sort_by_key(|closed| std::cmp::Reverse(closed.at));
        closed.truncate(LATEST);
        (open, closed)
    });
    let now = call.shared.host.clock.now();
    let content = html! {
        div #live data-every=(ANEW_SECONDS) {
            section #open data-live {
                h2 { "Now" }
                @if open.is_empty() { p.quiet { "Nothing waits for a run, and nothing runs that an event or the API has started." } }
                @for (number, ticket) in &open { (waiting(&call, *number, ticket, now)) }
            }
            section #closed data-live {
                h2 { "The latest" }
                @if closed.is_empty() { p.quiet { "Nothing yet." } } @else { (latest(&closed, now)) }
            }
        }
    };
    frame::page(&call, StatusCode::OK, Here::Tickets, "Waiting", &content)
}

fn waiting(call: &Call, number: u64, ticket: &Ticket, now: Timestamp) -> Markup {
    let demand = &ticket.demand;
    html! {
        article.ask {
            p { (stage(&ticket.stage, now)) " " strong { (demand.playbook) } " " span.quiet { "ticket " (number) } }
            p { "From " b { (demand.source) } ": " code { (demand.identity) } ", taken " (words::moment(ticket.accepted_at, now)) }
            @if !demand.inputs.is_empty() { p { @for (name, value) in &demand.inputs { code { (name) "=" (value) } " " } } }
            @if !matches!(ticket.stage, Stage::Live { .. }) && call.who.may(Role::Operator) {
                form method="post" action=(format!("/tickets/{number}/withdraw")) {
                    (words::csrf(call))
                    button type="submit" aria-label=(format!("Take ticket {number} back")) { "Take it back" }
                }
            }
        }
    }
}

fn stage(stage: &Stage, now: Timestamp) -> Markup {
    match stage {
        Stage::Accepted => words::state(Mark::Running, "accepted"),
        Stage::Held { until } => html! { (words::state(Mark::Running, "held until")) " " (words::moment(*until, now)) },
        Stage::Queued => words::state(Mark::Running, "queued"),
        Stage::Live { run, stopping } => html! {
            (words::state(Mark::Running, if *stopping { "is asked to stop" } else { "runs" })) " "
            a href=(path_of(run.as_str())) { (run) }
        },
    }
}

fn latest(closed: &[Closed], now: Timestamp) -> Markup {
    html! {
        div.wide {
            table.steps {
                thead { tr { @for title in ["When", "Playbook", "What became of it"] { th scope="col" { (title) } } } }
                tbody { @for one in closed { tr {
                    td data-title="When" { (words::moment(one.at, now)) }
                    td data-title="Playbook" { code { (one.playbook) } }
                    td data-title="What became of it" {
                        @if let Some(outcome) = one.outcome { (words::outcome(Some(outcome))) " " } @else { (words::state(Mark::Skipped, "no run")) " " }
                        (one.why)
                        @if let Some(run) = &one.run { " " a href=(path_of(run.as_str())) { (run) } }
                    }
                } } }
            }
        }
    }
}

pub async fn withdraw(call: Call) -> Response {
    match Problem::of(api::tickets::withdraw(call.clone()).await).await {
        Some(problem) => problem.page(&call, Here::Tickets),
        None => see("/tickets"),
    }
}
