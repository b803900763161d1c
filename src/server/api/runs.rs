//! `/api/v1/runs`: listing, showing and starting runs. A run that is started here passes the same desk as one that
//! an alert asks for, so there is one live run of a playbook and target whoever asks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{journal_failed, named};
use crate::base::{RunId, entropy};
use crate::engine::intake::{Concurrency, Demand, Fact, Policy, Priority, What};
use crate::journal::RunFilter;
use crate::playbook::inputs;
use crate::report::RunView;
use crate::server::reply;
use crate::server::route::Call;

/// A page of the list, and the most that one page may hold.
const PAGE: usize = 50;
const LONGEST_PAGE: usize = 1_000;

/// A run begins with one write to the disk.
const BEGINS_WITHIN: Duration = Duration::from_secs(2);

pub async fn list(call: Call) -> Response {
    let limit = call.query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).min(LONGEST_PAGE);
    let unfinished = call.query.get("unfinished").is_some_and(|wanted| wanted == "true");
    let playbook = call.query.get("playbook").cloned();
    // Looked through further than shown, since some of them may not be for this token.
    let filter = RunFilter { limit: LONGEST_PAGE, unfinished, playbook, children: false };
    match call.shared.host.journal.runs(&filter) {
        Ok(runs) => {
            let mine: Vec<_> = runs.into_iter().filter(|run| call.who.may_touch(&run.playbook)).take(limit).collect();
            reply::value(StatusCode::OK, json!({"runs": mine}))
        }
        Err(error) => journal_failed(&error),
    }
}

pub async fn show(call: Call) -> Response {
    match named(&call) {
        Ok(found) => reply::value(StatusCode::OK, RunView::of(&found.records).to_json()),
        Err(refused) => refused,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    playbook: String,
    #[serde(default)]
    inputs: BTreeMap<String, Value>,
    #[serde(default)]
    priority: Priority,
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
                return reply::value(StatusCode::ACCEPTED, json!({"ticket": own, "run": run}));
            }
            Fact::Skipped { ticket, why } if *ticket == own => {
                return reply::problem(StatusCode::CONFLICT, why.clone(), "GET /api/v1/tickets shows what is live");
            }
            _ => {}
        }
    }
    reply::value(StatusCode::ACCEPTED, json!({"ticket": own, "waits": true}))
}
