//! `/ack/RUN`: the page that a message of an escalation links to. It needs no login: its address is signed, for one
//! escalation and whoever one channel reaches. Looking at it changes nothing, since mail scanners open what they find;
//! a form does.

use std::collections::{BTreeMap, HashMap};

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use maud::{Markup, html};

use super::{frame, words};
use crate::base::RunId;
use crate::engine::escalation::{Case, What};
use crate::report::line::Mark;
use crate::runtime::escalations::{BadLink, Links, cases, now};
use crate::server::access::Who;
use crate::server::route::Call;
use crate::server::{Shared, reply};

/// A name is what people call each other.
const LONGEST_NAME: usize = 80;

/// Whether the address was made here and has not expired.
pub(in crate::server) fn admit(shared: &Shared, path: &BTreeMap<String, String>, uri: &Uri) -> Result<Who, Response> {
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
        Err(BadLink::Expired) => {
            let instead = html! { p { "Use " code { "runbook ack " (run) } "." } };
            Err(frame::linked(StatusCode::GONE, "This link has expired", &instead))
        }
    }
}

/// What is asked, and a form to answer it.
pub async fn show(call: Call) -> Response {
    match case(&call) {
        Ok(case) => page(&case),
        Err(refused) => refused,
    }
}

/// Takes over.
pub async fn acknowledge(call: Call) -> Response {
    let case = match case(&call) {
        Ok(case) => case,
        Err(refused) => return refused,
    };
    let by = name(&call);
    let what = What::Acknowledge { case: case.run.clone(), by, reason: String::new(), way: "link".into() };
    match call.shared.host.escalations(vec![what]).await {
        Ok(taken) => taken.cases.get(&case.run).map_or_else(reply::unknown, page),
        Err(error) => {
            tracing::error!(%error, "an acknowledgement cannot be written down");
            failed("Not acknowledged", &case.run)
        }
    }
}

/// Whoever has the address can write any name, so the channel that it was sent to is told with it.
fn name(call: &Call) -> String {
    let form = call.form();
    let given = form.get("name").map_or("", |given| given.trim());
    let name: String = given.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect();
    match name.as_str() {
        "" => format!("whoever {} reaches", call.who.name),
        name => format!("{name} ({})", call.who.name),
    }
}

fn case(call: &Call) -> Result<Case, Response> {
    let run = RunId::from(call.path.get("run").cloned().unwrap_or_default());
    match cases(call.shared.host.journal.as_ref()) {
        Ok(cases) => cases.get(&run).cloned().ok_or_else(reply::unknown),
        Err(error) => {
            tracing::error!(%error, "the journal fails a page");
            Err(failed("Not known at the moment", &run))
        }
    }
}

fn failed(title: &str, run: &RunId) -> Response {
    let next = html! { p { "Try again in a moment, or use " code { "runbook ack " (run) } "." } };
    frame::linked(StatusCode::SERVICE_UNAVAILABLE, title, &next)
}

fn page(case: &Case) -> Response {
    let subject = &case.subject;
    let content = html! {
        (answer(case))
        dl {
            @if let Some(climb) = &case.climb { dt { "Why" } dd { (climb.why) } }
            dt { "Playbook" } dd { code { (subject.playbook) } }
            dt { "Run" } dd { code { (case.run) } }
            @if let Some(climb) = &case.climb { dt { "Since" } dd { (words::moment(climb.raised_at, now())) } }
        }
    };
    frame::linked(StatusCode::OK, &format!("[{}] {}", subject.severity, subject.title), &content)
}

/// Who is at it, or the form for whoever takes over. It stands first: a telephone shows no more without scrolling.
fn answer(case: &Case) -> Markup {
    html! {
        @match (&case.closed, &case.acknowledged) {
            (Some(closed), _) => p { (words::state(Mark::Passed, "It is over.")) " " (closed.why) },
            (None, Some(answer)) => p {
                (words::state(Mark::Passed, "Acknowledged")) " by " b { (answer.by) } ", " (words::moment(answer.at, now()))
            },
            // Without an address the form goes to that of the page, signature and all.
            (None, None) => form.stack method="post" {
                label for="name" { "Your name" }
                input #name name="name" maxlength=(LONGEST_NAME) autocomplete="name";
                button type="submit" { "I take over" }
            },
        }
    }
}
