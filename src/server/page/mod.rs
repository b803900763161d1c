//! The web page: what people see of the server in a browser, one file a page. Each page is whole without a script;
//! `page.js` only replaces parts of it with what the server renders anew.
//!
//! ```text
//! Call ─ what the API knows ─ markup (escapes all data) ─ frame: head, pages, freeze, policy ─ answer
//! form ─ `route`: session, origin, token ─ the same function as the API ─ back to the page
//! ```
//!
//! Nothing is decided here: what a role or a token may not do is refused by the table of routes and by the API, and
//! pages leave it out only so that nobody tries.

pub(super) mod assets;
pub(super) mod audit;
pub(super) mod escalation;
mod frame;
pub(super) mod freeze;
mod graph;
pub(super) mod login;
pub(super) mod orders;
pub(super) mod playbooks;
pub(super) mod problem;
mod questions;
pub(super) mod run;
pub(super) mod runs;
mod steps;
pub(super) mod take_over;
pub(super) mod tickets;
pub(super) mod verification;
mod words;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::route::Call;

pub(super) async fn home(_: Call) -> Response {
    see("/runs")
}

/// Sends the browser on to a page of this server.
fn see(path: &str) -> Response {
    let mut response = (StatusCode::SEE_OTHER, Body::empty()).into_response();
    match HeaderValue::from_str(path) {
        Ok(path) => drop(response.headers_mut().insert(header::LOCATION, path)),
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

/// The path of a run; one that was called has slashes in its name.
fn path_of(run: &str) -> String {
    format!("/runs/{}", form_urlencoded::byte_serialize(run.as_bytes()).collect::<String>())
}
