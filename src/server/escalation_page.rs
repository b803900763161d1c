//! The page that a message of an escalation links to. It needs no login: its address is signed, for one escalation and
//! whoever one channel reaches. Looking at it changes nothing, since mail scanners open what they find; a form does.

use std::collections::{BTreeMap, HashMap};

use axum::body::Body;
use axum::extract::Query;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::Response;

use super::Shared;
use super::access::Who;
use super::reply;
use super::route::Call;
use crate::base::RunId;
use crate::engine::escalation::{Case, What};
use crate::runtime::escalations::{BadLink, Links, cases, now};

/// A name is what people call each other.
const LONGEST_NAME: usize = 80;

/// Whether the address was made here and has not expired.
pub(super) fn admit(shared: &Shared, path: &BTreeMap<String, String>, uri: &Uri) -> Result<Who, Response> {
    let query = Query::<HashMap<String, String>>::try_from_uri(uri).map(|Query(query)| query).unwrap_or_default();
    let part = |name: &str| query.get(name).map_or("", String::as_str);
    let (run, to) = (path.get("run").map_or("", String::as_str), part("to"));
    let links = Links::of(&shared.host.services().site.state).map_err(|error| {
        tracing::error!(%error, "the key of links cannot be read");
        reply::later("links cannot be checked")
    })?;
    match links.check(run, to, part("until"), part("signature"), now()) {
        Ok(()) => Ok(Who::nobody(to)),
        Err(BadLink::Forged) => Err(reply::unknown()),
        Err(BadLink::Expired) => Err(page(
            StatusCode::GONE,
            &format!("<h1>This link has expired</h1><p>Use <code>runbook ack {}</code>.</p>", escaped(run)),
        )),
    }
}

/// What is asked, and a form to answer it.
pub(super) async fn show(call: Call) -> Response {
    match case(&call) {
        Ok(case) => page(StatusCode::OK, &(about(&case) + &form(&case))),
        Err(refused) => refused,
    }
}

/// Takes over.
pub(super) async fn acknowledge(call: Call) -> Response {
    let case = match case(&call) {
        Ok(case) => case,
        Err(refused) => return refused,
    };
    let said = fields(&call.body);
    let name = |given: &str| given.trim().chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect();
    let name: String = said.get("name").map(|given| name(given)).unwrap_or_default();
    // Whoever has the address can write any name, so the channel that it was sent to is told with it.
    let by = match name.as_str() {
        "" => format!("whoever {} reaches", call.who.name),
        name => format!("{name} ({})", call.who.name),
    };
    let what = What::Acknowledge { case: case.run.clone(), by, reason: String::new(), way: "link".into() };
    match call.shared.host.escalations(vec![what]).await {
        Ok(taken) => match taken.cases.get(&case.run) {
            Some(case) => page(StatusCode::OK, &(about(case) + &form(case))),
            None => reply::unknown(),
        },
        Err(error) => {
            tracing::error!(%error, "an acknowledgement cannot be written down");
            page(StatusCode::SERVICE_UNAVAILABLE, "<h1>Not acknowledged</h1><p>Try again in a moment.</p>")
        }
    }
}

/// The fields of a form; none when it cannot be read. It is written like the query of an address.
fn fields(body: &[u8]) -> HashMap<String, String> {
    let uri = std::str::from_utf8(body).ok().and_then(|body| format!("/?{body}").parse::<Uri>().ok());
    uri.and_then(|uri| Query::try_from_uri(&uri).ok()).map(|Query(fields)| fields).unwrap_or_default()
}

fn case(call: &Call) -> Result<Case, Response> {
    let run = RunId::from(call.path.get("run").cloned().unwrap_or_default());
    match cases(call.shared.host.journal.as_ref()) {
        Ok(cases) => cases.get(&run).cloned().ok_or_else(reply::unknown),
        Err(error) => {
            tracing::error!(%error, "the journal fails a page");
            Err(page(StatusCode::SERVICE_UNAVAILABLE, "<h1>Not known at the moment</h1><p>Try again soon.</p>"))
        }
    }
}

fn about(case: &Case) -> String {
    let subject = &case.subject;
    let why = case.climb.as_ref().map(|climb| format!("<p>Why: {}</p>", escaped(&climb.why))).unwrap_or_default();
    format!(
        "<h1>[{}] {}</h1><p>{}, run {}</p>{why}",
        escaped(&subject.severity),
        escaped(&subject.title),
        escaped(&subject.playbook),
        escaped(case.run.as_str())
    )
}

fn form(case: &Case) -> String {
    match (&case.closed, &case.acknowledged) {
        (Some(closed), _) => format!("<p><strong>It is over.</strong> {}</p>", escaped(&closed.why)),
        (None, Some(answer)) => format!("<p><strong>Acknowledged</strong> by {}.</p>", escaped(&answer.by)),
        // Without an address the form goes to that of the page, signature and all.
        (None, None) => "<form method=\"post\"><p><label>Your name <input name=\"name\" maxlength=\"80\" \
                         autocomplete=\"name\"></label></p><p><button>I take over</button></p></form>"
            .into(),
    }
}

fn page(status: StatusCode, body: &str) -> Response {
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><meta name=\"color-scheme\" content=\"dark light\">\
         <title>runbook</title></head><body>{body}</body></html>"
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; form-action 'self'; frame-ancestors 'none'"),
        // The address is the right to answer; it goes to nobody else.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
