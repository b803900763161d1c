//! The routes of the platform.

mod classify;
mod inference;
mod management;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Platform;

pub fn router(platform: Arc<Platform>) -> Router {
    let routes = &platform.profile.routes;
    Router::new()
        .route("/health", get(management::health))
        .route("/metrics", get(management::metrics))
        .route(routes.providers, get(management::providers))
        .route(routes.test, post(management::test))
        .route(routes.reload, post(management::reload))
        .route("/classify", post(classify::classify))
        .route("/v2/health/ready", get(inference::health))
        .route("/v2/models/{name}", get(inference::metadata))
        .route("/v2/models/{name}/ready", get(inference::ready))
        .route("/v2/models/{name}/infer", post(inference::infer))
        .with_state(platform)
}

/// An answer that says what is wrong.
struct Problem(StatusCode, String);

impl Problem {
    fn bad_request(what: impl ToString) -> Self {
        Problem(StatusCode::BAD_REQUEST, what.to_string())
    }

    fn unknown(name: &str) -> Self {
        Problem(StatusCode::NOT_FOUND, format!("there is no provider '{name}'"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, axum::Json(json!({"error": self.1}))).into_response()
    }
}

/// Reads a body whatever content type it claims: `curl -d` claims a form.
fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("not a valid request: {error}")))
}
