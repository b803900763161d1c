//! `/api/v1/runs`: listing, showing and starting runs. A run that is started here passes the same desk as one that
//! an alert asks for, so there is one live run of a playbook and target whoever asks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{journal_failed, named};
use crate::base::{RunId, Timestamp, entropy, units};
use crate::engine::intake::{Concurrency, Demand, Fact, Policy, Priority, What};
use crate::journal::{JournalError, RunFilter, RunSummary};
use crate::playbook::inputs;
use crate::report::RunView;
use crate::server::reply;
use crate::server::route::Call;

/// A page of the list, and the most that one page may hold.
const PAGE: usize = 50;
const LONGEST_PAGE: usize = 1_000;

/// A run begins with one write to the disk.
const BEGINS_WITHIN: Duration = Duration::from_secs(2);

/// A page of the runs, newest first.
#[derive(Serialize, ToSchema)]
pub(in crate::server) struct RunList {
    runs: Vec<RunSummary>,
    /// The `cursor` of the next page; absent when this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<RunId>,
}

pub async fn list(call: Call) -> Response {
    let (filter, limit) = match asked(&call) {
        Ok(asked) => asked,
        Err(refused) => return refused,
    };
    match page(&call, filter, limit) {
        Ok(list) => reply::value(StatusCode::OK, list),
        Err(error) => journal_failed(&error),
    }
}

/// What the query asks for, and how many of it.
fn asked(call: &Call) -> Result<(RunFilter, usize), Response> {
    let now = call.shared.host.clock.now();
    let limit = call.parameter("limit", "a number from 1 to 1000", |text| {
        text.parse().ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit))
    })?;
    let unfinished = call.parameter("unfinished", "`true` or `false`", |text| text.parse().ok())?;
    let outcome = call
        .parameter("outcome", "an outcome such as `resolved`", |text| serde_json::from_value(Value::from(text)).ok())?;
    let since =
        call.parameter("since", "a time such as 2026-11-22T15:47:12Z, or how long ago, such as 2h", |text| {
            let ago = || units::parse_duration(text).ok().map(|ago| now.minus(ago));
            Timestamp::parse(text).or_else(ago)
        })?;
    let before = call.parameter("cursor", "`next` of another page", |text| {
        let found = call.shared.host.journal.run_ids(text, 1).ok()?;
        found.into_iter().find(|run| run.as_str() == text)
    })?;
    let playbook = call.query.get("playbook").cloned();
    let unfinished = unfinished.unwrap_or(false);
    let filter = RunFilter { limit: LONGEST_PAGE, children: false, unfinished, playbook, outcome, since, before };
    Ok((filter, limit.unwrap_or(PAGE)))
}

/// The page of those that are for this token.
fn page(call: &Call, mut filter: RunFilter, limit: usize) -> Result<RunList, JournalError> {
    let mut runs = Vec::new();
    loop {
        let found = call.shared.host.journal.runs(&filter)?;
        let last = found.len() < filter.limit;
        filter.before = found.last().map(|run| run.run.clone());
        runs.extend(found.into_iter().filter(|run| call.who.may_touch(&run.playbook)));
        if last || runs.len() > limit {
            break;
        }
    }
    let next = runs.get(limit).and_then(|_| runs.get(limit - 1)).map(|run| run.run.clone());
    runs.truncate(limit);
    Ok(RunList { runs, next })
}

pub async fn show(call: Call) -> Response {
    match named(&call) {
        Ok(found) => reply::value(StatusCode::OK, RunView::of(&found.records).document()),
        Err(refused) => refused,
    }
}

/// A run to start.
#[derive(Deserialize, ToSchema)]
#[schema(as = RunStart)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct Start {
    playbook: String,
    /// Values of its inputs, by name.
    #[serde(default)]
    inputs: BTreeMap<String, Value>,
    #[serde(default)]
    priority: Priority,
}

/// A run that was asked for, durably.
#[derive(Serialize, ToSchema)]
#[schema(as = RunStarted)]
pub(in crate::server) struct Started {
    ticket: u64,
    /// Its name, when it starts at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
    /// Present when it waits for a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<bool>,
}

pub async fn start(call: Call) -> Response {
    let start: Start = match call.json() {
        Ok(start) => start,
        Err(refused) => return refused,
    };
    let playbooks = call.shared.shelf.playbooks();
    let Some(playbook) = playbooks.get(&start.playbook).filter(|_| call.who.may_touch(&start.playbook)) else {
        let error = format!("there is no playbook '{}'", start.playbook);
        return reply::problem(StatusCode::NOT_FOUND, error, "GET /api/v1/playbooks lists them");
    };
    if let Err(problems) = inputs::resolve(playbook, &inputs::given(&start.inputs)) {
        let all: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        return reply::problem(StatusCode::UNPROCESSABLE_ENTITY, all.join("; "), "");
    }
    // Before it can begin, so that its beginning is not missed.
    let mut news = call.shared.watch.subscribe();
    let facts = match call.shared.desk.take(vec![What::Offered(Box::new(demand(&call, start)))]).await {
        Ok(facts) => facts,
        Err(error) => return reply::later(error.to_string()),
    };
    if let Some(run) = facts.iter().find_map(begun) {
        let begins = async { while news.recv().await.is_ok_and(|record| record.run != *run) {} };
        // Whoever is told its name may look at it at once. One that cannot begin says so in its ticket.
        let _ = tokio::time::timeout(BEGINS_WITHIN, begins).await;
    }
    started(&facts)
}

fn begun(fact: &Fact) -> Option<&RunId> {
    match fact {
        Fact::Started { run, .. } => Some(run),
        _ => None,
    }
}

fn demand(call: &Call, start: Start) -> Demand {
    Demand {
        source: call.who.name.clone(),
        delivery: None,
        // Each request of a person is one of its own.
        identity: format!("api/{:016x}", entropy::random()),
        since: call.shared.host.clock.now().to_string(),
        target: serde_json::to_string(&start.inputs).unwrap_or_default(),
        playbook: start.playbook,
        inputs: start.inputs,
        from_outside: BTreeSet::new(),
        labels: BTreeMap::new(),
        policy: Policy { concurrency: Concurrency::Fail, priority: start.priority, ..Policy::default() },
        withheld: None,
        tick: None,
        by_hand: true,
    }
}

fn started(facts: &[Fact]) -> Response {
    let told = facts.iter().find_map(|fact| match fact {
        Fact::Accepted { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let Some(own) = told else { return reply::later("it was not taken") };
    for fact in facts {
        match fact {
            Fact::Started { ticket, run } if *ticket == own => {
                return reply::value(
                    StatusCode::ACCEPTED,
                    Started { ticket: own, run: Some(run.clone()), waits: None },
                );
            }
            Fact::Skipped { ticket, why } if *ticket == own => {
                return reply::problem(StatusCode::CONFLICT, why.clone(), "GET /api/v1/tickets shows what is live");
            }
            _ => {}
        }
    }
    reply::value(StatusCode::ACCEPTED, Started { ticket: own, run: None, waits: Some(true) })
}
