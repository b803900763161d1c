//! `POST /hooks/NAME`: events come in. 202 is said when they are durable, 503 when they should come again, and 4xx
//! only for what would never be taken.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::escalation::What;
use crate::engine::intake::Fact;
use crate::journal::JournalError;
use crate::runtime::escalations::cases;
use crate::server::access::{self, Who};
use crate::server::desk::NotTaken;
use crate::server::route::Call;
use crate::server::{Shared, matching, reply};
use crate::trigger::{Acknowledgement, Hook, Refusal, Request};

/// Judges by the headers. A hook that there is not is refused like one whose secret is wrong.
pub(in crate::server) fn admit(shared: &Shared, name: &str, headers: &HeaderMap) -> Result<Who, Response> {
    let door = shared.door();
    let hook = door.hook(name).ok_or_else(reply::unknown)?;
    let request = Request { headers: access::plain(headers), body: Vec::new(), at: shared.host.clock.now() };
    match (hook.source.admit)(&hook.settings, &request, door.secrets_of(name)) {
        Ok(()) => Ok(Who::nobody(name)),
        Err(refusal) => Err(refused(name, &refusal)),
    }
}

/// Events that are taken, durably.
#[derive(Serialize, ToSchema)]
#[schema(as = EventsTaken)]
pub(in crate::server) struct Taken {
    /// How many things were reported.
    signals: usize,
    /// What became of those that a trigger is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    tickets: Option<Vec<Fact>>,
    /// Present when this delivery has been taken before.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<bool>,
    /// Present when somebody took over at a paging service: how many escalations that is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<usize>,
}

impl Taken {
    fn signals(signals: usize) -> Self {
        Taken { signals, tickets: None, replay: None, acknowledged: None }
    }
}

pub async fn take(call: Call) -> Response {
    // Once more: while the body came, the site file may have been read again.
    let door = call.shared.door();
    let Some(hook) = door.hook(&call.who.name) else { return reply::unknown() };
    let at = call.shared.host.clock.now();
    let request = Request { headers: call.headers(), body: call.body.to_vec(), at };
    if let Err(refusal) = (hook.source.verify)(&hook.settings, &request, door.secrets_of(&hook.name)) {
        return refused(&hook.name, &refusal);
    }
    // Only what is authentic is counted, so that no stranger uses up the share of a sender.
    if !door.pace.take(&hook.name, at) {
        return reply::later("more requests came than this hook takes");
    }
    if let Some(answer) = (hook.source.acknowledged)(&hook.settings, &request) {
        return take_over(&call.shared, hook, answer).await;
    }
    let delivery = match (hook.source.read)(&hook.settings, &request) {
        Ok(delivery) => delivery,
        Err(refusal) => return refused(&hook.name, &refusal),
    };
    call.shared.metrics.alerts_came(&hook.name, delivery.signals.len());
    let replay = |id: &String| call.shared.desk.look(|intake| intake.knows_delivery(id, at));
    if delivery.id.as_ref().is_some_and(replay) {
        return reply::value(StatusCode::ACCEPTED, Taken { replay: Some(true), ..Taken::signals(0) });
    }
    let asked = matching::asked(&call.shared, hook, &delivery);
    if asked.is_empty() {
        tracing::info!(hook = hook.name, signals = delivery.signals.len(), "no trigger is for what came in");
        return reply::value(
            StatusCode::ACCEPTED,
            Taken { tickets: Some(Vec::new()), ..Taken::signals(delivery.signals.len()) },
        );
    }
    match call.shared.desk.take(asked).await {
        Ok(facts) => taken(delivery.signals.len(), &facts),
        Err(NotTaken::Full) => reply::later("the queue is full"),
        Err(error) => reply::later(error.to_string()),
    }
}

/// Somebody has taken over at the paging service. What is not about an escalation of ours is nobody's.
async fn take_over(shared: &Shared, hook: &Hook, answer: Acknowledgement) -> Response {
    let host = &shared.host;
    let later = |error: JournalError| {
        tracing::error!(%error, "an acknowledgement cannot be written down");
        reply::later("it could not be written down")
    };
    let cases = match cases(host.journal.as_ref()) {
        Ok(cases) => cases,
        Err(error) => return later(error),
    };
    let ours = cases.open_cases().filter(|case| case.climb.is_some() && case.subject.incident == answer.incident);
    let (way, by) = (hook.name.clone(), answer.by);
    let whats: Vec<What> = ours
        .map(|case| What::Acknowledge {
            case: case.run.clone(),
            by: by.clone(),
            reason: String::new(),
            way: way.clone(),
        })
        .collect();
    let acknowledged = whats.len();
    match host.escalations(whats).await {
        Ok(_) => reply::value(StatusCode::ACCEPTED, Taken { acknowledged: Some(acknowledged), ..Taken::signals(0) }),
        Err(error) => later(error),
    }
}

/// What became of each event.
fn taken(signals: usize, facts: &[Fact]) -> Response {
    let tickets = facts.iter().filter(|fact| !matches!(fact, Fact::Accepted { .. })).cloned().collect();
    reply::value(StatusCode::ACCEPTED, Taken { tickets: Some(tickets), ..Taken::signals(signals) })
}

fn refused(hook: &str, refusal: &Refusal) -> Response {
    tracing::warn!(hook, %refusal, "a request to a hook is refused");
    match refusal {
        Refusal::NotAuthentic(_) => reply::unknown(),
        Refusal::Malformed(why) => reply::problem(StatusCode::BAD_REQUEST, why.clone(), ""),
    }
}
