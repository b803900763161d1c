//! `/api/v1/escalations`: who is escalated to, who has taken over, and taking over.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{journal_failed, named};
use crate::engine::escalation::{Case, Fact, What};
use crate::runtime::escalations::cases;
use crate::server::reply;
use crate::server::route::Call;

/// A page of the list, and the most that one page may hold.
const PAGE: usize = 50;
const LONGEST_PAGE: usize = 1_000;

pub async fn list(call: Call) -> Response {
    let limit = call.query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).min(LONGEST_PAGE);
    let open_only = call.query.get("open").is_some_and(|wanted| wanted == "true");
    let cases = match cases(call.shared.host.journal.as_ref()) {
        Ok(cases) => cases,
        Err(error) => return journal_failed(&error),
    };
    let wanted = |case: &&Case| call.who.may_touch(&case.subject.playbook) && !(open_only && case.closed.is_some());
    let mut mine: Vec<&Case> = cases.all().filter(wanted).collect();
    mine.sort_by_key(|case| std::cmp::Reverse(case.notices.first().map(|notice| notice.at)));
    let shown: Vec<Value> = mine.into_iter().take(limit).map(document).collect();
    reply::value(StatusCode::OK, json!({"escalations": shown}))
}

fn document(case: &Case) -> Value {
    let mut document = json!(case);
    document["next_level_at"] = json!(case.next_level_at());
    document
}

/// What somebody says to an escalation.
#[derive(Deserialize, ToSchema)]
#[schema(as = EscalationSaid)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct Said {
    /// Why; it stands in the journal.
    #[serde(default)]
    reason: String,
}

pub async fn acknowledge(call: Call) -> Response {
    say(&call, |case, by, reason| What::Acknowledge { case: case.run.clone(), by, reason, way: "api".into() }).await
}

pub async fn next(call: Call) -> Response {
    say(&call, |case, _, _| What::Next { case: case.run.clone() }).await
}

pub async fn close(call: Call) -> Response {
    let why = |by: String, reason: String| {
        if reason.is_empty() { format!("closed by {by}") } else { format!("closed by {by}: {reason}") }
    };
    say(&call, |case, by, reason| What::Close { case: case.run.clone(), why: why(by, reason) }).await
}

/// Says something to the case that stands for a run; 200 means that it is durable.
async fn say(call: &Call, what: impl FnOnce(&Case, String, String) -> What) -> Response {
    let found = match named(call) {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    let said: Said = match call.json() {
        Ok(said) => said,
        Err(refused) => return refused,
    };
    let host = &call.shared.host;
    let cases = match cases(host.journal.as_ref()) {
        Ok(cases) => cases,
        Err(error) => return journal_failed(&error),
    };
    let Some(case) = cases.standing_for(&found.run) else {
        let error = format!("run {} was not escalated", found.run);
        return reply::problem(StatusCode::CONFLICT, error, "GET /api/v1/escalations lists what was");
    };
    let what = what(case, call.who.name.clone(), said.reason.trim().to_owned());
    match host.escalations(vec![what]).await {
        Ok(taken) if taken.facts.iter().all(|fact| matches!(fact, Fact::Doubted { .. })) => {
            reply::problem(StatusCode::CONFLICT, refusal(taken.cases.get(&case.run)), "")
        }
        Ok(taken) => reply::value(StatusCode::OK, taken.cases.get(&case.run).map_or(Value::Null, document)),
        Err(error) => journal_failed(&error),
    }
}

/// Why nothing follows from what was said.
fn refusal(case: Option<&Case>) -> String {
    let taken = case.and_then(|case| case.acknowledged.as_ref().map(|answer| answer.by.as_str()));
    match (case.and_then(|case| case.closed.as_ref()), taken) {
        (Some(closed), _) => format!("it is closed: {}", closed.why),
        (None, Some(by)) => format!("{by} has acknowledged it already"),
        (None, None) => "every level was told".to_owned(),
    }
}
