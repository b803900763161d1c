//! `GET /api/v1/openapi.json`: what is served here, for programs that make clients of it.

use axum::http::StatusCode;
use axum::response::Response;

use crate::server::route::Call;
use crate::server::{openapi, reply};

pub async fn show(_: Call) -> Response {
    reply::value(StatusCode::OK, openapi::document())
}
