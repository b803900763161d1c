//! What went wrong, as a page: why, and what to do next.

use axum::http::StatusCode;
use axum::response::Response;
use http_body_util::BodyExt;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{self, Here};
use crate::server::access::Who;
use crate::server::route::Call;

/// What the API says when it refuses.
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    #[serde(skip)]
    pub status: StatusCode,
    pub error: String,
    #[serde(default)]
    pub help: String,
}

impl Problem {
    /// What an answer of the API says, if it refuses.
    pub(super) async fn of(response: Response) -> Option<Self> {
        let status = response.status();
        if status.is_success() {
            return None;
        }
        let body = response.into_body().collect().await.ok()?.to_bytes();
        let said = serde_json::from_slice(&body).ok();
        let said = said.unwrap_or(Problem { status, error: "it was refused".into(), help: String::new() });
        Some(Problem { status, ..said })
    }

    /// To stand above a page.
    pub(super) fn notice(&self) -> Markup {
        html! {
            div.notice.bad role="alert" {
                p { strong { "✗ Not done: " } (self.error) }
                // Whoever reads a page has no use for a route of the API.
                @if !self.help.is_empty() && !self.help.contains("/api/") { p { (self.help) } }
            }
        }
    }

    /// As a page of its own.
    pub(super) fn page(&self, call: &Call, here: Here) -> Response {
        frame::page(call, self.status, here, "That did not work", &self.notice())
    }
}

/// Somebody who is signed in and may not do this.
pub(in crate::server) fn forbidden(who: &Who) -> Response {
    let content = html! {
        p { "The role of " b { (who.name) } " in " code { "serve.tokens" } " of the site file is below what this needs." }
        p { a href="/runs" { "To the runs" } }
    };
    frame::bare(StatusCode::FORBIDDEN, "You may not do that", &content)
}

/// A form that was not sent from a page of this server.
pub(in crate::server) fn elsewhere() -> Response {
    let content = html! {
        p { "What was sent did not come from a page of this server, so nothing was done. Programs use the API." }
        p { a href="/runs" { "To the runs" } }
    };
    frame::bare(StatusCode::FORBIDDEN, "Nothing was done", &content)
}

/// A form of another session.
pub(in crate::server) fn stale(call: &Call) -> Response {
    let content = html! {
        p { "The page was made for another session, so nothing was done. Open it again and repeat what you did." }
    };
    frame::page(call, StatusCode::FORBIDDEN, Here::Runs, "Nothing was done", &content)
}

/// No such page, for somebody who is signed in.
pub(in crate::server) fn nowhere() -> Response {
    frame::bare(StatusCode::NOT_FOUND, "There is no such page", &html! { p { a href="/runs" { "To the runs" } } })
}

/// A page that is there for another method, for somebody who is signed in.
pub(in crate::server) fn wrong_method() -> Response {
    let content = html! { p { "This address is there, and not for what was asked of it." } p { a href="/runs" { "To the runs" } } };
    frame::bare(StatusCode::METHOD_NOT_ALLOWED, "Nothing was done", &content)
}
