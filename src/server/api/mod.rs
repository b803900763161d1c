//! What the server answers, one file a subject. A function here is called only by the table of routes, with
//! somebody who may call it.

pub(super) mod answers;
pub(super) mod audit;
pub(super) mod document;
pub(super) mod escalations;
pub(super) mod events;
pub(super) mod health;
pub(super) mod holds;
pub(super) mod hooks;
pub(super) mod metrics;
pub(super) mod orders;
pub(super) mod playbook;
pub(super) mod playbooks;
pub(super) mod reload;
pub(super) mod report;
pub(super) mod runs;
pub(super) mod schedules;
pub(super) mod silences;
pub(super) mod tickets;

use axum::http::StatusCode;
use axum::response::Response;

use super::reply;
use super::route::Call;
use crate::base::RunId;
use crate::engine::event::RunStarted;
use crate::engine::{Record, RunState};
use crate::journal::{FindRunError, JournalError, find_run};

/// A run that a call names, with its events.
pub(super) struct Named {
    pub run: RunId,
    pub records: Vec<Record>,
    pub header: RunStarted,
    pub state: RunState,
}

/// The run of the path, if the caller may see it. One that it may not see is one that there is not.
pub(super) fn named(call: &Call) -> Result<Named, Response> {
    let asked = call.path.get("run").map_or("", String::as_str);
    let journal = call.shared.host.journal.as_ref();
    let run = find_run(journal, asked).map_err(|error| match &error {
        FindRunError::Journal(error) => journal_failed(error),
        _ => reply::problem(StatusCode::NOT_FOUND, error.to_string(), "GET /api/v1/runs lists the runs"),
    })?;
    let records = journal.read(&run).map_err(|error| journal_failed(&error))?;
    let state = RunState::replay(&records).map_err(|error| {
        reply::problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), "`runbook audit verify` says more")
    })?;
    match state.header.clone().filter(|header| call.who.may_touch(&header.playbook)) {
        Some(header) => Ok(Named { run, records, header, state }),
        None => Err(reply::problem(StatusCode::NOT_FOUND, format!("there is no run '{asked}'"), "")),
    }
}

pub(super) fn journal_failed(error: &JournalError) -> Response {
    tracing::error!(%error, "the journal fails a request");
    reply::later("the journal cannot be used")
}
