//! What the server says of itself.

use reqwest::StatusCode;
use serde_json::Value;

use super::config::Config;
use super::exchange::{Exchange, NoAnswer};
use super::protocol::{Protocol, ReadyRoute};
use crate::http::{parse_url, shown};
use crate::kind::StepError;

/// Whether it was asked, and what it said: nothing, or why it is not ready.
pub(super) enum Readiness {
    NotAsked,
    Ready,
    NotReady(String),
}

impl Readiness {
    pub(super) fn told(&self) -> Option<bool> {
        match self {
            Readiness::NotAsked => None,
            Readiness::Ready => Some(true),
            Readiness::NotReady(_) => Some(false),
        }
    }
}

pub(super) async fn ask(config: &Config, exchange: &Exchange, protocol: &dyn Protocol) -> Result<Readiness, StepError> {
    if let Some(url) = &config.ready_url {
        let route = ReadyRoute::required(parse_url(url)?);
        // The body of a route that the step names may mean anything.
        return Ok(ask_route(exchange, &route, &|_| None).await?.map_or(Readiness::Ready, Readiness::NotReady));
    }
    if !config.ready {
        return Ok(Readiness::NotAsked);
    }
    let routes = protocol.readiness();
    if routes.is_empty() {
        return Err(StepError::new("it is not known where to ask whether the server is ready")
            .help("give `model` beside the address of the server, or `ready_url`"));
    }
    for route in routes {
        if let Some(why) = ask_route(exchange, &route, &|body| protocol.unready(body)).await? {
            return Ok(Readiness::NotReady(why));
        }
    }
    Ok(Readiness::Ready)
}

/// Why this route says that it is not ready.
async fn ask_route(
    exchange: &Exchange,
    route: &ReadyRoute,
    unready: &(dyn Fn(&Value) -> Option<String> + Sync),
) -> Result<Option<String>, StepError> {
    let reply = exchange.get(&route.url).await.map_err(NoAnswer::into_error)?;
    let place = shown(&route.url);
    if reply.status.is_success() {
        // An empty body is the usual one of health routes.
        return Ok(unready(&reply.json().unwrap_or(Value::Null)).map(|why| format!("{place}: {why}")));
    }
    if route.optional && reply.status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    Ok(Some(format!("{place} answers {}", reply.complaint())))
}
