//! `/freeze`: the freeze and the open breakers, and the switch for who may use it.

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;

use super::frame::{self, Here};
use super::problem::Problem;
use super::{see, words};
use crate::base::Timestamp;
use crate::engine::standing::Standing;
use crate::report::line::Mark;
use crate::runtime::orders;
use crate::server::api::{holds, journal_failed};
use crate::server::route::Call;
use crate::site::Role;

pub async fn show(call: Call) -> Response {
    page(&call, StatusCode::OK, &html! {}).await
}

pub async fn freeze(call: Call) -> Response {
    let form = call.form();
    let duration = form.get("for").map(|text| text.trim()).filter(|text| !text.is_empty());
    let mut body = json!({"reason": form.get("reason").map_or("", String::as_str)});
    if let Some(duration) = duration {
        body["for"] = duration.into();
    }
    back(&call, holds::freeze(call.saying(&body)).await).await
}

pub async fn unfreeze(call: Call) -> Response {
    let body = json!({"reason": call.form().get("reason").map_or("", String::as_str)});
    back(&call, holds::unfreeze(call.saying(&body)).await).await
}

async fn back(call: &Call, answered: Response) -> Response {
    match Problem::of(answered).await {
        Some(problem) => page(call, problem.status, &problem.notice()).await,
        None => see("/freeze"),
    }
}

async fn page(call: &Call, status: StatusCode, notice: &Markup) -> Response {
    let standing = match orders::standing(call.shared.host.journal.as_ref()) {
        Ok(standing) => standing,
        Err(error) => {
            let problem = Problem::of(journal_failed(&error)).await;
            return problem.map_or_else(|| see("/runs"), |problem| problem.page(call, Here::Freeze));
        }
    };
    let now = call.shared.host.clock.now();
    let content = html! { (notice) (switch(call, &standing, now)) (breakers(call, &standing, now)) };
    frame::page(call, status, Here::Freeze, "Freeze", &content)
}

fn switch(call: &Call, standing: &Standing, now: Timestamp) -> Markup {
    let may = call.who.may(Role::Admin) && call.who.may_touch_all();
    html! {
        p { "While it is frozen, runs look and change nothing, whoever starts them." }
        @match standing.freeze(now) {
            Some(_) => {
                p { (words::state(Mark::Cancelled, "frozen")) }
                @if may { (form(call, "/unfreeze", "Lift the freeze", &html! {})) }
            }
            None => {
                p { (words::state(Mark::Passed, "not frozen")) }
                @if may {
                    (form(call, "/freeze", "■ Freeze", &html! {
                        label for="for" { "For how long " span.quiet { "(such as 2h; until it is lifted when empty)" } }
                        input #for name="for" autocomplete="off" size="8";
                    }))
                }
            }
        }
        @if !may { p.quiet { "An admin for all playbooks switches it." } }
    }
}

fn form(call: &Call, action: &str, button: &str, more: &Markup) -> Markup {
    html! {
        form.stack method="post" action=(action) {
            (words::csrf(call))
            label for="reason" { "Reason " span.quiet { "(kept in the audit trail)" } }
            input #reason name="reason" required autocomplete="off" maxlength="500";
            (more)
            div.buttons { button type="submit" { (button) } }
        }
    }
}

fn breakers(call: &Call, standing: &Standing, now: Timestamp) -> Markup {
    let open: Vec<_> = standing.open_breakers().filter(|(playbook, ..)| call.who.may_touch(playbook)).collect();
    html! {
        h2 { "Open breakers" }
        @if open.is_empty() { p.quiet { "None: no playbook has spent its budget." } }
        ul {
            @for (playbook, target, since, why) in open {
                li { (words::state(Mark::Alarm, "open")) " " code { (playbook) } " for " code { (target) } " since " (words::moment(since, now)) ": " (why) }
            }
        }
    }
}
