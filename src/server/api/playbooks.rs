//! `GET /api/v1/playbooks`: what can be run, what starts it, and which files are not valid.

use std::path::PathBuf;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::server::reply;
use crate::server::route::Call;

/// What can be run.
#[derive(Serialize, ToSchema)]
pub(in crate::server) struct Playbooks {
    playbooks: Vec<PlaybookSummary>,
    /// Files that are not valid; of each, the last good version is in use, if there was one. Empty for a token that is
    /// for some playbooks only.
    not_valid: Vec<NotValid>,
}

/// A playbook in a list.
#[derive(Serialize, ToSchema)]
struct PlaybookSummary {
    name: String,
    title: String,
    /// The error code it answers to.
    code: Option<String>,
    /// SHA-256 of its text, hexadecimal.
    digest: String,
    /// How many alerts start it.
    triggers: usize,
}

/// A file that is not valid.
#[derive(Serialize, ToSchema)]
struct NotValid {
    #[schema(value_type = String)]
    file: PathBuf,
    problems: Vec<String>,
}

pub async fn list(call: Call) -> Response {
    let (playbooks, rules, last) = (call.shared.shelf.playbooks(), call.shared.shelf.rules(), call.shared.shelf.last());
    let mine = playbooks.values().filter(|playbook| call.who.may_touch(&playbook.header.name));
    let shown: Vec<_> = mine
        .map(|playbook| {
            let name = &playbook.header.name;
            let triggers = rules.iter().filter(|rule| rule.playbook == *name).count();
            PlaybookSummary {
                name: name.clone(),
                title: playbook.header.title.clone(),
                code: playbook.header.code.clone(),
                digest: playbook.digest.clone(),
                triggers,
            }
        })
        .collect();
    let problems: Vec<_> = match call.who.may_touch_all() {
        false => Vec::new(),
        true => last
            .problems
            .iter()
            .map(|(file, problems)| {
                let problems = problems.iter().map(|problem| problem.message.clone()).collect();
                NotValid { file: file.clone(), problems }
            })
            .collect(),
    };
    reply::value(StatusCode::OK, Playbooks { playbooks: shown, not_valid: problems })
}
