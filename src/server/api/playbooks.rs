//! `GET /api/v1/playbooks`: what can be run, what starts it, and which files are not valid.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use crate::server::reply;
use crate::server::route::Call;

pub async fn list(call: Call) -> Response {
    let (playbooks, rules, last) = (call.shared.shelf.playbooks(), call.shared.shelf.rules(), call.shared.shelf.last());
    let mine = playbooks.values().filter(|playbook| call.who.may_touch(&playbook.header.name));
    let shown: Vec<_> = mine
        .map(|playbook| {
            let name = &playbook.header.name;
            let triggers = rules.iter().filter(|rule| rule.playbook == *name).count();
            json!({"name": name, "title": playbook.header.title, "code": playbook.header.code, "digest": playbook.digest, "triggers": triggers})
        })
        .collect();
    let problems: Vec<_> = match call.who.may_touch_all() {
        false => Vec::new(),
        true => last
            .problems
            .iter()
            .map(|(file, problems)| {
                let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
                json!({"file": file, "problems": messages})
            })
            .collect(),
    };
    reply::value(StatusCode::OK, json!({"playbooks": shown, "not_valid": problems}))
}
