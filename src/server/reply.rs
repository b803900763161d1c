//! The forms of answers.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// A sender that is told to come again should give a storm the time to pass.
const RETRY_AFTER_SECONDS: u16 = 10;

/// What is wrong.
#[derive(Serialize, ToSchema)]
pub(super) struct Problem {
    error: String,
    /// What can be done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// What may be loaded and done by a page, if it says nothing else: nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// What every answer tells browsers, unless it has said something else: that it is what it says it is and nothing
/// more, that no page may be put around it, and that other servers are not told where one comes from.
pub(super) fn guard(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, NOTHING),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: with it browsers hide from this server itself where a form stood.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// A value.
pub(super) fn value(status: StatusCode, value: impl Serialize) -> Response {
    fresh((status, Json(json!(value))).into_response())
}

/// A text of this media type.
pub(super) fn text(kind: &'static str, text: String) -> Response {
    let mut response = fresh(text.into_response());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // What a run has read from elsewhere stands in it; it is never taken for anything else.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn fresh(mut response: Response) -> Response {
    // What an operations page says is stale as soon as it is said.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What is wrong, and what to do about it.
pub(super) fn problem(status: StatusCode, error: impl Into<String>, help: &str) -> Response {
    let help = Some(help.to_owned()).filter(|help| !help.is_empty());
    value(status, Problem { error: error.into(), help })
}

/// Nobody is known by this token, or there is none.
pub(super) fn unknown() -> Response {
    let mut response = problem(StatusCode::UNAUTHORIZED, "not authenticated", "send `Authorization: Bearer TOKEN`");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Not now; later.
pub(super) fn later(error: impl Into<String>) -> Response {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, error, "send it again later");
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
    response
}
