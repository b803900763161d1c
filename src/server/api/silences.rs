//! `/api/v1/silences`: what starts no run by itself for some time.

use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::holds::Done;
use super::journal_failed;
use crate::base::units;
use crate::engine::standing::{Matches, Order, Silence, Unfit};
use crate::runtime::orders;
use crate::server::reply;
use crate::server::route::Call;

/// The silences whose time is not over.
#[derive(Serialize, ToSchema)]
pub(in crate::server) struct Silences {
    silences: Vec<Silence>,
}

/// A silence to be.
#[derive(Deserialize, ToSchema)]
#[schema(as = SilenceOrder)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct Wanted {
    /// What it is about; it has to name something.
    matches: Matches,
    /// How long, such as `2h`.
    #[serde(rename = "for")]
    duration: String,
    /// Why; not empty.
    reason: String,
}

/// A silence that is durable.
#[derive(Serialize, ToSchema)]
pub(in crate::server) struct Silenced {
    /// Its name.
    silence: u64,
}

/// Whether the token may see and do something about what this is about: everything, or playbooks of its own.
fn is_for(call: &Call, matches: &Matches) -> bool {
    let own = !matches.playbooks.is_empty() && matches.playbooks.iter().all(|playbook| call.who.may_touch(playbook));
    call.who.may_touch_all() || own
}

pub async fn list(call: Call) -> Response {
    match orders::standing(call.shared.host.journal.as_ref()) {
        Ok(standing) => {
            let now = call.shared.host.clock.now();
            let silences = standing.silences(now).filter(|silence| is_for(&call, &silence.matches)).cloned().collect();
            reply::value(StatusCode::OK, Silences { silences })
        }
        Err(error) => journal_failed(&error),
    }
}

pub async fn add(call: Call) -> Response {
    let Wanted { matches, duration, reason } = match call.json() {
        Ok(wanted) => wanted,
        Err(refused) => return refused,
    };
    if let Err(unfit) = matches.check() {
        let help = match unfit {
            Unfit::Nothing => "name playbooks or labels; POST /api/v1/freeze is for everything",
            Unfit::Everything(_) => "name playbooks or a label that it has, too; POST /api/v1/freeze is for everything",
            Unfit::TooMany | Unfit::Pattern(..) => "",
        };
        return reply::problem(StatusCode::UNPROCESSABLE_ENTITY, unfit.to_string(), help);
    }
    if !is_for(&call, &matches) {
        return reply::problem(
            StatusCode::FORBIDDEN,
            "this token is for some playbooks only",
            "name them in `matches`",
        );
    }
    if reason.trim().is_empty() {
        return reply::problem(StatusCode::UNPROCESSABLE_ENTITY, "the reason is empty", "");
    }
    let (host, now) = (&call.shared.host, call.shared.host.clock.now());
    let until = match units::parse_duration(&duration) {
        Ok(duration) if !duration.is_zero() => now.plus(duration),
        Ok(_) => return reply::problem(StatusCode::UNPROCESSABLE_ENTITY, "it would end at once", ""),
        Err(why) => return reply::problem(StatusCode::UNPROCESSABLE_ENTITY, why, ""),
    };
    let order = Order::Silenced { matches, by: call.who.name.clone(), reason: reason.trim().to_owned(), until };
    match orders::give(host.journal.as_ref(), now, order).await {
        Ok(silence) => reply::value(StatusCode::CREATED, Silenced { silence }),
        Err(error) => journal_failed(&error),
    }
}

pub async fn end(call: Call) -> Response {
    let (host, now) = (&call.shared.host, call.shared.host.clock.now());
    let number = call.path.get("silence").and_then(|number| number.parse::<u64>().ok());
    let standing = match orders::standing(host.journal.as_ref()) {
        Ok(standing) => standing,
        Err(error) => return journal_failed(&error),
    };
    let own = |silence: &&Silence| Some(silence.number) == number && is_for(&call, &silence.matches);
    let Some(silence) = standing.silences(now).find(own) else {
        return reply::problem(StatusCode::NOT_FOUND, "there is no such silence", "GET /api/v1/silences lists them");
    };
    let order = Order::SilenceEnded { silence: silence.number, by: call.who.name.clone() };
    match orders::give(host.journal.as_ref(), now, order).await {
        Ok(_) => reply::value(StatusCode::OK, Done {}),
        Err(error) => journal_failed(&error),
    }
}
