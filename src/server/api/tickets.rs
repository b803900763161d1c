//! `/api/v1/tickets`: what waits for a run, what is live, and what became of the latest.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::intake::{Closed, Ticket, What};
use crate::server::reply;
use crate::server::route::Call;

/// What waits, what is live, and what became of the latest.
#[derive(Serialize, ToSchema)]
pub(in crate::server) struct Tickets {
    open: Vec<OpenTicket>,
    closed: Vec<Closed>,
}

/// A ticket that is not gone.
#[derive(Serialize, ToSchema)]
struct OpenTicket {
    ticket: u64,
    is: Ticket,
}

/// A ticket that was taken back.
#[derive(Serialize, ToSchema)]
pub(in crate::server) struct Withdrawn {
    ticket: u64,
}

pub async fn list(call: Call) -> Response {
    let shown = call.shared.desk.look(|intake| {
        let mine = intake.tickets().iter().filter(|(_, ticket)| call.who.may_touch(&ticket.demand.playbook));
        let open = mine.map(|(number, ticket)| OpenTicket { ticket: *number, is: ticket.clone() }).collect();
        let closed = intake.closed().filter(|closed| call.who.may_touch(&closed.playbook)).cloned().collect();
        Tickets { open, closed }
    });
    reply::value(StatusCode::OK, shown)
}

/// Takes back a ticket whose run has not started.
pub async fn withdraw(call: Call) -> Response {
    let number = call.path.get("ticket").and_then(|number| number.parse::<u64>().ok());
    let may = |number: &u64| {
        call.shared.desk.look(|intake| {
            intake.tickets().get(number).is_some_and(|ticket| call.who.may_touch(&ticket.demand.playbook))
        })
    };
    let Some(ticket) = number.filter(may) else {
        return reply::problem(StatusCode::NOT_FOUND, "there is no such ticket", "GET /api/v1/tickets lists them");
    };
    match call.shared.desk.take(vec![What::Withdrawn { ticket, by: call.who.name.clone() }]).await {
        Ok(facts) if facts.is_empty() => {
            reply::problem(StatusCode::CONFLICT, "its run has started", "POST /api/v1/runs/RUN/cancel stops it")
        }
        Ok(_) => reply::value(StatusCode::OK, Withdrawn { ticket }),
        Err(error) => reply::later(error.to_string()),
    }
}
