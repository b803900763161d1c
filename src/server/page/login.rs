//! Signing in with a token of the site file, and out again.

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use maud::{Markup, html};

use super::{frame, see};
use crate::server::browser::{Cookie, own_path};
use crate::server::route::Call;

/// Whoever guesses waits, and so does whoever mistyped a few times.
const RETRY_AFTER_SECONDS: u16 = 10;

/// Somebody is not signed in: asked to, and brought back after it. A form that came too late is not sent again.
pub(in crate::server) fn wanted(method: &Method, uri: &Uri) -> Response {
    if method != Method::GET {
        let why = html! { p.notice.bad role="alert" { "✗ You are not signed in, so nothing was done." } };
        return form(StatusCode::UNAUTHORIZED, "/runs", &why);
    }
    let asked = uri.path_and_query().map_or("/", |asked| asked.as_str());
    let next: String = form_urlencoded::byte_serialize(asked.as_bytes()).collect();
    see(&format!("/login?next={next}"))
}

pub async fn show(call: Call) -> Response {
    form(StatusCode::OK, call.query.get("next").map_or("/runs", String::as_str), &html! {})
}

pub async fn sign_in(call: Call) -> Response {
    let said = call.form();
    let (offered, next) = (said.get("token").map_or("", |token| token.trim()), said.get("next"));
    let next = next.and_then(|next| own_path(next)).unwrap_or("/runs");
    let (host, now) = (&call.shared.host, call.shared.host.clock.now());
    // Before the token is looked at: one that fits tells as little as one that does not.
    if !call.shared.sessions.may_try(call.address, now) {
        let why = html! { p.notice.bad role="alert" { "✗ Too many tries. Wait a little, then try again." } };
        let mut response = form(StatusCode::TOO_MANY_REQUESTS, next, &why);
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        return response;
    }
    let Some(who) = call.shared.door().tokens.whose(offered) else {
        tracing::warn!(address = %call.address, "somebody could not sign in");
        let why = html! { p.notice.bad role="alert" { "✗ This is no token of this server." } };
        return form(StatusCode::UNAUTHORIZED, next, &why);
    };
    tracing::info!(address = %call.address, who = who.name, "signed in");
    let id = call.shared.sessions.open(who, now);
    with_cookie(see(next), Cookie::of(&host.services().site.serve).set(&id))
}

pub async fn sign_out(call: Call) -> Response {
    if let Some(session) = &call.session {
        call.shared.sessions.close(session);
    }
    with_cookie(see("/login"), Cookie::of(&call.shared.host.services().site.serve).clear())
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

fn form(status: StatusCode, next: &str, why: &Markup) -> Response {
    let content = html! {
        (why)
        form.stack method="post" action="/login" {
            input type="hidden" name="next" value=(next);
            // For managers of passwords, which file a token under a name.
            input type="text" name="username" value="runbook" autocomplete="username" hidden;
            label for="token" { "Your token" }
            input #token type="password" name="token" required autofocus autocomplete="current-password"
                aria-describedby="which";
            p #which .quiet { "One of " code { "serve.tokens" } " in the site file; whoever runs this server gives it to you." }
            button type="submit" { "Sign in" }
        }
    };
    frame::bare(status, "Sign in", &content)
}
