//! `GET /api/v1/schedules`: what runs by itself, when next, and how it went last.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use crate::base::Clock;
use crate::server::reply;
use crate::server::route::Call;
use crate::server::schedules::listed;

pub async fn list(call: Call) -> Response {
    let armed = call.shared.shelf.armed();
    let timetable = call.shared.timetable.look(Clone::clone);
    // The wall clock as it is now: it may have been set since the server was started.
    let now = Clock::start().now();
    let all = call.shared.desk.look(|intake| listed(&armed, &timetable, intake, now));
    let mine: Vec<_> = all.into_iter().filter(|one| call.who.may_touch(&one.playbook)).collect();
    reply::value(StatusCode::OK, json!({"schedules": mine}))
}
