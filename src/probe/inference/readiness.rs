//! What the server says of itself.

use prost::bytes::Bytes;

use super::config::Config;
use super::exchange::{Exchange, NoAnswer};
use super::protocol::{Protocol, ReadyRoute};
use super::route::Route;
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
        let route = ReadyRoute::required(Route::get(parse_url(url)?));
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
        if let Some(why) = ask_route(exchange, &route, &|message| protocol.unready(message)).await? {
            return Ok(Readiness::NotReady(why));
        }
    }
    Ok(Readiness::Ready)
}

/// Why this route says that it is not ready.
async fn ask_route(
    exchange: &Exchange,
    route: &ReadyRoute,
    unready: &(dyn Fn(&Bytes) -> Option<String> + Sync),
) -> Result<Option<String>, StepError> {
    let reply = exchange.ask(route.route.clone()).await.map_err(NoAnswer::into_error)?;
    let place = shown(&route.route.url);
    Ok(match reply.said {
        Ok(message) => unready(&message).map(|why| format!("{place}: {why}")),
        Err(refusal) if route.optional && refusal.no_such_route => None,
        Err(refusal) => Some(format!("{place} answers {}", refusal.said)),
    })
}
