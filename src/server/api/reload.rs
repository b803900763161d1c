//! `POST /api/v1/reload`: the site file and the playbooks are read again, as by `SIGHUP`.

use std::path::PathBuf;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::base::Diagnostic;
use crate::server::reload::NotReloaded;
use crate::server::route::Call;
use crate::server::{Reloaded, reply};

/// What was read is in use.
#[derive(Serialize, ToSchema)]
#[schema(as = Reloaded)]
pub(in crate::server) struct InUse {
    playbooks: usize,
    /// Alerts, schedules and watches that start runs.
    triggers: usize,
    /// Settings of the site file that have changed and that only a restart puts in force.
    restart: Vec<&'static str>,
    /// Playbook files that are not valid; of each, the last good version is in use, if there was one.
    not_valid: Vec<NotValid>,
    /// Playbook files that start by themselves and mean to tell people whom the site does not have.
    unheard: Vec<NotValid>,
    /// What starts nothing, and why.
    idle: Vec<Idle>,
    /// Why somebody may not be told of what goes wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// A playbook file with what is wrong in it.
#[derive(Serialize, ToSchema)]
#[schema(as = NotValidFile)]
struct NotValid {
    #[schema(value_type = String)]
    file: PathBuf,
    problems: Vec<String>,
}

/// A schedule, watch or source that starts nothing.
#[derive(Serialize, ToSchema)]
#[schema(as = StartsNothing)]
struct Idle {
    name: String,
    why: String,
}

/// Everything stays as it was.
#[derive(Serialize, ToSchema)]
#[schema(as = NotReloaded)]
pub(in crate::server) struct AsBefore {
    error: String,
    /// What can be done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// What is wrong with which line, if it is lines.
    problems: Vec<String>,
}

pub async fn reload(call: Call) -> Response {
    if !call.who.may_touch_all() {
        return reply::problem(StatusCode::FORBIDDEN, "this token is for some playbooks only", "");
    }
    tracing::info!(who = call.who.name, "the site file and the playbooks are read again");
    match call.shared.reload().await {
        Ok(reloaded) => reply::value(StatusCode::OK, InUse::from(reloaded)),
        Err(error) => reply::value(StatusCode::UNPROCESSABLE_ENTITY, AsBefore::from(error.as_ref())),
    }
}

fn lines(problems: &[Diagnostic]) -> Vec<String> {
    problems.iter().map(Diagnostic::in_a_line).collect()
}

impl From<Reloaded> for InUse {
    fn from(reloaded: Reloaded) -> Self {
        let Reloaded { playbooks, triggers, gap, unheard, idle, problems, restart } = reloaded;
        let wrong = |files: Vec<(PathBuf, Vec<Diagnostic>)>| {
            files.into_iter().map(|(file, wrong)| NotValid { file, problems: lines(&wrong) }).collect()
        };
        let idle = idle.into_iter().map(|(name, why)| Idle { name, why }).collect();
        InUse { playbooks, triggers, restart, not_valid: wrong(problems), unheard: wrong(unheard), idle, warning: gap }
    }
}

impl From<&NotReloaded> for AsBefore {
    fn from(error: &NotReloaded) -> Self {
        let said = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
        let said: Vec<String> = said.map(ToString::to_string).collect();
        AsBefore { error: said.join(": "), help: error.help(), problems: lines(error.problems()) }
    }
}
