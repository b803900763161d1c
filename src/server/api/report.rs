//! `GET /api/v1/runs/RUN/report`: the incident report of a run, as `runbook report` writes it.

use axum::http::StatusCode;
use axum::response::Response;

use super::{Named, journal_failed, named};
use crate::playbook::registry;
use crate::report::{Gallery, Incident, Placement, RunView, html, markdown};
use crate::runtime::escalations;
use crate::server::reply;
use crate::server::route::Call;

#[derive(Clone, Copy)]
enum Format {
    Markdown,
    Html,
    Json,
}

fn format(text: &str) -> Option<Format> {
    match text {
        "markdown" => Some(Format::Markdown),
        "html" => Some(Format::Html),
        "json" => Some(Format::Json),
        _ => None,
    }
}

pub async fn show(call: Call) -> Response {
    let asked = call.parameter("format", "`markdown`, `html` or `json`", format);
    let (format, Named { run, records, .. }) = match asked.and_then(|format| Ok((format, named(&call)?))) {
        Ok((format, found)) => (format.unwrap_or(Format::Markdown), found),
        Err(refused) => return refused,
    };
    if let Format::Json = format {
        return reply::value(StatusCode::OK, RunView::of(&records).document());
    }
    let head = match call.shared.host.journal.head() {
        Ok(head) => head,
        Err(error) => return journal_failed(&error),
    };
    let gallery = Gallery::new(registry::pictures);
    let cases = match escalations::cases(call.shared.host.journal.as_ref()) {
        Ok(cases) => cases,
        Err(error) => return journal_failed(&error),
    };
    let (escalation, audit_head) = (cases.get(&run).cloned(), Some(head.to_string()));
    let document = Incident { records: &records, gallery, audit_head, escalation }.document();
    match format {
        Format::Html => reply::text("text/html; charset=utf-8", html(&document)),
        _ => reply::text("text/markdown; charset=utf-8", markdown(&document, Placement::Inline)),
    }
}
