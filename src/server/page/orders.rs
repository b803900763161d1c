//! What people say to a run by the forms of its page. Each is handed to the function of the API, which knows the rules.

use std::collections::BTreeMap;

use axum::response::Response;
use maud::html;
use serde_json::json;

use super::problem::Problem;
use super::{path_of, run, see};
use crate::engine::event::ApprovalVerdict;
use crate::playbook::inputs::Given;
use crate::server::api::answers::Said;
use crate::server::api::{answers, orders};
use crate::server::route::Call;

pub async fn approve(call: Call) -> Response {
    answer(call, ApprovalVerdict::Approved, "approve").await
}

pub async fn reject(call: Call) -> Response {
    answer(call, ApprovalVerdict::Rejected, "reject").await
}

/// The reason of this form is that of the emergency.
pub async fn break_glass(call: Call) -> Response {
    let mut said = said(call.form());
    said.break_glass = Some(std::mem::take(&mut said.reason));
    let answered = answers::answer(call.clone(), ApprovalVerdict::Approved, said).await;
    back(&call, "break-glass", answered).await
}

async fn answer(call: Call, verdict: ApprovalVerdict, word: &str) -> Response {
    let said = said(call.form());
    let answered = answers::answer(call.clone(), verdict, said).await;
    back(&call, word, answered).await
}

/// An answer as a form says it; what is left empty is not said, so that defaults hold.
fn said(mut form: BTreeMap<String, String>) -> Said {
    let (step, digest) = (form.remove("step"), form.remove("digest"));
    let reason = form.remove("reason").unwrap_or_default();
    let typed = form.into_iter().filter(|(_, value)| !value.trim().is_empty());
    let answers =
        typed.filter_map(|(name, value)| Some((name.strip_prefix("answer.")?.to_owned(), Given::Text(value))));
    Said { step, digest, reason, break_glass: None, answers: answers.collect() }
}

pub async fn resolve(call: Call) -> Response {
    let form = call.form();
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let body = json!({"step": field("step"), "resolution": field("resolution"), "reason": field("reason")});
    let resolved = orders::resolve(call.saying(&body)).await;
    back(&call, "resolve", resolved).await
}

pub async fn cancel(call: Call) -> Response {
    let cancelled = orders::cancel(call.clone()).await;
    back(&call, "cancel", cancelled).await
}

/// To the page of the run, with what came of it.
pub(super) async fn back(call: &Call, word: &str, answered: Response) -> Response {
    match Problem::of(answered).await {
        Some(problem) => run::page(call, problem.status, &html! { (problem.notice()) }).await,
        None => see(&format!("{}?said={word}", path_of(call.path.get("run").map_or("", String::as_str)))),
    }
}
