//! What people say to one run: stop, and what became of a step in doubt.

use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::named;
use crate::base::{RunId, StepKey};
use crate::engine::What;
use crate::engine::event::Resolution;
use crate::engine::state::ItemState;
use crate::server::reply;
use crate::server::route::Call;

const NOT_HERE: &str = "it ended, or another program goes on with it; `runbook show` tells";

/// A run that has been told something.
#[derive(Serialize, ToSchema)]
#[schema(as = RunTold)]
pub(in crate::server) struct Told {
    run: RunId,
    #[serde(skip_serializing_if = "Option::is_none")]
    playbook: Option<String>,
}

pub async fn cancel(call: Call) -> Response {
    let found = match named(&call) {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    match call.shared.runs.stop(&found.run, &call.who.name) {
        true => reply::value(StatusCode::ACCEPTED, Told { run: found.run, playbook: Some(found.header.playbook) }),
        false => reply::problem(StatusCode::CONFLICT, format!("run {} does not go on here", found.run), NOT_HERE),
    }
}

/// What became of a step in doubt.
#[derive(Deserialize, ToSchema)]
#[schema(as = DoubtResolved)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct Resolve {
    step: String,
    /// `done`: it was done. `retry`: do it again. `abort`: end the run.
    resolution: Resolution,
    /// How that is known; not empty.
    reason: String,
}

pub async fn resolve(call: Call) -> Response {
    let found = match named(&call) {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    let said: Resolve = match call.json() {
        Ok(said) => said,
        Err(refused) => return refused,
    };
    let doubtful = found.state.items_where(|item| matches!(item, ItemState::Doubtful { .. }));
    let doubtful: Vec<StepKey> = doubtful.map(|(step, item)| found.state.key(step, item)).collect();
    let Some(key) = doubtful.iter().find(|key| key.to_string() == said.step).cloned() else {
        let all: Vec<String> = doubtful.iter().map(ToString::to_string).collect();
        let help = if all.is_empty() {
            "nothing in this run is in doubt".into()
        } else {
            format!("in doubt: {}", all.join(", "))
        };
        return reply::problem(StatusCode::CONFLICT, format!("{} is not in doubt", said.step), &help);
    };
    if said.reason.trim().is_empty() {
        return reply::problem(StatusCode::UNPROCESSABLE_ENTITY, "the reason is empty", "say how you know");
    }
    let resolved =
        What::DoubtResolved { key, resolution: said.resolution, by: call.who.name.clone(), reason: said.reason };
    match call.shared.runs.tell(&found.run, vec![resolved]) {
        true => reply::value(StatusCode::ACCEPTED, Told { run: found.run, playbook: None }),
        false => reply::problem(StatusCode::CONFLICT, format!("run {} does not wait here", found.run), NOT_HERE),
    }
}
