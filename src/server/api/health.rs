//! `GET /health`: whether the server does what it is for, and whether events would be taken at this moment. It tells
//! strangers nothing else.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::server::health::Trouble;
use crate::server::reply;
use crate::server::route::Call;

/// Whether events would be taken at this moment.
#[derive(Serialize, ToSchema)]
pub(in crate::server) struct Health {
    /// Whether all that follows is so.
    healthy: bool,
    /// The journal, the scheduler and the queue.
    #[schema(value_type = BTreeMap<String, Part>)]
    parts: BTreeMap<&'static str, Part>,
    /// Whether the queue has room.
    room: bool,
    /// Whether the server is not being stopped.
    taking: bool,
}

/// How a part of the server is.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthPart)]
struct Part {
    ok: bool,
    /// Since when it is not; RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

impl Part {
    fn of(trouble: Option<&Trouble>) -> Self {
        let since = trouble.map(|trouble| trouble.since.to_rfc3339());
        Part { ok: trouble.is_none(), since, why: trouble.map(|trouble| trouble.why) }
    }
}

pub async fn show(call: Call) -> Response {
    let shared = &call.shared;
    let report = shared.health.look(shared).await;
    let queue = shared.host.services().site.serve.queue;
    let room = shared.desk.look(|intake| intake.waiting() < queue);
    let taking = !shared.stopping.is_cancelled();
    let healthy = report.is_good() && room && taking;
    let parts = report.parts().map(|(part, trouble)| (part, Part::of(trouble))).collect();
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    reply::value(status, Health { healthy, parts, room, taking })
}
