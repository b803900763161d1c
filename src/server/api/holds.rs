//! `freeze`, `unfreeze`, `holds`: what people say to all runs at once.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::journal_failed;
use crate::base::{Timestamp, units};
use crate::engine::standing::{self, Order};
use crate::runtime::orders;
use crate::server::reply;
use crate::server::route::Call;

/// Nothing is changed by any run, until it is lifted.
#[derive(Deserialize, ToSchema)]
#[schema(as = FreezeOrder)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct Freeze {
    /// Why; not empty.
    reason: String,
    /// How long, such as `2h`; until it is lifted when absent.
    #[serde(default, rename = "for")]
    duration: Option<String>,
}

/// The end of a freeze.
#[derive(Deserialize, ToSchema)]
#[schema(as = UnfreezeOrder)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct Unfreeze {
    /// Why; not empty.
    reason: String,
}

/// What holds runs back.
#[derive(Serialize, ToSchema)]
pub(in crate::server) struct Holds {
    freeze: Option<standing::Freeze>,
    breakers: Vec<Breaker>,
}

/// A playbook that remediates no more for a target, until it is closed.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenBreaker)]
struct Breaker {
    playbook: String,
    target: String,
    since: Timestamp,
    why: String,
}

/// It is done, and durable.
#[derive(Serialize, ToSchema)]
pub(in crate::server) struct Done {}

pub async fn show(call: Call) -> Response {
    let now = call.shared.host.clock.now();
    let standing = match orders::standing(call.shared.host.journal.as_ref()) {
        Ok(standing) => standing,
        Err(error) => return journal_failed(&error),
    };
    let breakers = standing.open_breakers().filter(|(playbook, ..)| call.who.may_touch(playbook));
    let breaker = |(playbook, target, since, why): (&str, &str, _, &str)| Breaker {
        playbook: playbook.to_owned(),
        target: target.to_owned(),
        since,
        why: why.to_owned(),
    };
    let breakers = breakers.map(breaker).collect();
    reply::value(StatusCode::OK, Holds { freeze: standing.freeze(now).cloned(), breakers })
}

pub async fn freeze(call: Call) -> Response {
    let said: Freeze = match call.json() {
        Ok(said) => said,
        Err(refused) => return refused,
    };
    let duration: Option<Duration> = match said.duration.as_deref().map(units::parse_duration).transpose() {
        Ok(duration) => duration,
        Err(why) => return reply::problem(StatusCode::UNPROCESSABLE_ENTITY, why, ""),
    };
    let until = duration.map(|duration| call.shared.host.clock.now().plus(duration));
    give(&call, &said.reason, |by, reason| Order::Frozen { by, reason, until }).await
}

pub async fn unfreeze(call: Call) -> Response {
    match call.json::<Unfreeze>() {
        Ok(said) => give(&call, &said.reason, |by, reason| Order::Unfrozen { by, reason }).await,
        Err(refused) => refused,
    }
}

/// Whoever reads the audit trail a year later needs a reason, and everything is more than some playbooks.
async fn give(call: &Call, reason: &str, order: impl FnOnce(String, String) -> Order) -> Response {
    let reason = reason.trim();
    if reason.is_empty() {
        return reply::problem(StatusCode::UNPROCESSABLE_ENTITY, "the reason is empty", "");
    }
    if !call.who.may_touch_all() {
        return reply::problem(StatusCode::FORBIDDEN, "this token is for some playbooks only", "");
    }
    let (host, now) = (&call.shared.host, call.shared.host.clock.now());
    match orders::give(host.journal.as_ref(), now, order(call.who.name.clone(), reason.to_owned())).await {
        Ok(_) => reply::value(StatusCode::OK, Done {}),
        Err(error) => journal_failed(&error),
    }
}
