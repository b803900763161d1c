//! `GET /health`: whether events would be taken at this moment. It tells strangers nothing else.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::server::reply;
use crate::server::route::Call;

/// Whether events would be taken at this moment.
#[derive(Serialize, ToSchema)]
pub(in crate::server) struct Health {
    /// Whether the journal can be used.
    journal: bool,
    /// Whether the queue has room.
    room: bool,
    /// Whether the server is not being stopped.
    taking: bool,
}

pub async fn show(call: Call) -> Response {
    let journal = call.shared.host.journal.head().is_ok();
    let serve = &call.shared.host.services.site.serve;
    let room = call.shared.desk.look(|intake| intake.waiting() < serve.queue);
    let taking = !call.shared.stopping.is_cancelled();
    let status = if journal && room && taking { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    reply::value(status, Health { journal, room, taking })
}
