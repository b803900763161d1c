//! `GET /health`: whether the server does what it is for, and whether events would be taken at this moment. It tells
//! strangers nothing else.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::server::reply;
use crate::server::route::Call;

pub async fn show(call: Call) -> Response {
    let shared = &call.shared;
    let report = shared.health.look(shared).await;
    let queue = shared.host.services.site.serve.queue;
    let room = shared.desk.look(|intake| intake.waiting() < queue);
    let taking = !shared.stopping.is_cancelled();
    let well = report.is_good() && room && taking;
    let parts: BTreeMap<&str, Value> = report
        .parts()
        .map(|(part, trouble)| match trouble {
            None => (part, json!({"ok": true})),
            Some(trouble) => (part, json!({"ok": false, "since": trouble.since.to_rfc3339(), "why": trouble.why})),
        })
        .collect();
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    reply::value(status, json!({"healthy": well, "parts": parts, "room": room, "taking": taking}))
}
