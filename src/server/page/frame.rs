//! What stands around every page: its head, the way to the others, who is signed in, and the freeze while it holds.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::{assets, words};
use crate::engine::standing::Freeze;
use crate::report::text::escape_control_in_lines;
use crate::runtime::orders;
use crate::server::route::Call;

/// Scripts, styles and requests are of this server only, and stand in files of their own; forms lead here only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page that is opened by its address alone has no script at all.
const LINKED: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// The pages that every page leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    Runs,
    Tickets,
    Playbooks,
    Freeze,
    Audit,
}

const PAGES: [(Here, &str, &str); 5] = [
    (Here::Runs, "/runs", "Runs"),
    (Here::Tickets, "/tickets", "Waiting"),
    (Here::Playbooks, "/playbooks", "Playbooks"),
    (Here::Freeze, "/freeze", "Freeze"),
    (Here::Audit, "/audit", "Audit"),
];

/// A page for somebody who is signed in.
pub(super) fn page(call: &Call, status: StatusCode, here: Here, title: &str, content: &Markup) -> Response {
    let now = call.shared.host.clock.now();
    // What cannot be read now is said by the page that is about it.
    let standing = orders::standing(call.shared.host.journal.as_ref()).ok();
    let freeze = standing.as_ref().and_then(|standing| standing.freeze(now));
    let body = html! {
        a.skip href="#content" { "Skip to the content" }
        header.top {
            nav aria-label="Pages" {
                @for (page, path, name) in PAGES {
                    a href=(path) aria-current=[(page == here).then_some("page")] { (name) }
                }
            }
            form method="post" action="/logout" {
                (words::csrf(call))
                span.quiet { "Signed in as " b { (call.who.name) } @if let Some(role) = call.who.role { ", " (words::role(role)) } }
                " " button.plain type="submit" { "Sign out" }
            }
        }
        div #frozen data-live { @if let Some(freeze) = freeze { (frozen(freeze, call)) } }
        main #content tabindex="-1" { h1 { (title) } (content) }
    };
    send(status, POLICY, whole(title, &body, &script()))
}

/// A page without anything around it, for whoever is not signed in or may not see more.
pub(super) fn bare(status: StatusCode, title: &str, content: &Markup) -> Response {
    send(status, POLICY, whole(title, &alone(title, content), &script()))
}

/// A page for whoever has its address, which is signed. The address is the right to answer, so it goes to nobody else.
pub(super) fn linked(status: StatusCode, title: &str, content: &Markup) -> Response {
    let mut response = send(status, LINKED, whole(title, &alone(title, content), &html! {}));
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn alone(title: &str, content: &Markup) -> Markup {
    html! { main #content { h1 { (title) } (content) } }
}

fn frozen(freeze: &Freeze, call: &Call) -> Markup {
    let now = call.shared.host.clock.now();
    html! {
        p.banner role="status" {
            strong { "■ Frozen: nothing is changed by any run. " }
            "By " b { (freeze.by) } ": " (freeze.reason) ". Since " (words::moment(freeze.since, now))
            @match freeze.until {
                Some(until) => { ", until " (words::moment(until, now)) }
                None => { ", until it is lifted" }
            }
            ". " a href="/freeze" { "The freeze" }
        }
    }
}

fn script() -> Markup {
    let [_, script, _] = assets::addresses();
    html! { script src=(script) defer {} }
}

fn whole(title: &str, body: &Markup, script: &Markup) -> Markup {
    let [styles, _, icon] = assets::addresses();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – runbook" }
                link rel="icon" href=(icon);
                link rel="stylesheet" href=(styles);
                (script)
            }
            body {
                (body)
                footer { "runbook " (env!("CARGO_PKG_VERSION")) ". All times are UTC." }
            }
        }
    }
}

fn send(status: StatusCode, policy: &'static str, whole: Markup) -> Response {
    // Markup cannot come from data; characters that hide or turn text around are made visible here, whatever the page.
    let mut response = (status, escape_control_in_lines(&whole.into_string())).into_response();
    let fixed = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
