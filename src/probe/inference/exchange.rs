//! One question and its answer, over HTTP or gRPC.

use std::time::Duration;

use prost::bytes::Bytes;
use reqwest::Url;
use serde_json::Value;

use super::config::{Config, ProtocolName};
use super::grpc::GrpcChannel;
use super::http::HttpChannel;
use super::lenient;
use super::route::{Route, Way};
use crate::base::Clock;
use crate::kind::{Context, StepError};

/// Asks the server with the credentials and limits of the step.
pub(super) struct Exchange {
    http: HttpChannel,
    /// With `protocol: grpc`.
    grpc: Option<GrpcChannel>,
    clock: Clock,
}

/// Why there is nothing to judge.
pub(super) enum NoAnswer {
    /// No connection, no answer in time, or one that broke off: the next request may fare better.
    Lost(StepError),
    /// Every further request would end in the same way.
    Hopeless(StepError),
}

impl NoAnswer {
    pub(super) fn into_error(self) -> StepError {
        match self {
            NoAnswer::Lost(error) | NoAnswer::Hopeless(error) => error,
        }
    }
}

/// An answer that says something about the model.
pub(super) struct Reply {
    pub said: Result<Bytes, Refusal>,
    pub took: Duration,
}

/// The server is alive and says no.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    /// The status: of HTTP such as 503, of gRPC such as 14.
    pub code: u16,
    /// The status with what the server says about it.
    pub said: String,
    /// Nothing is there, which tells nothing where a route is optional.
    pub no_such_route: bool,
}

impl Reply {
    /// The JSON of a good answer.
    pub(super) fn json(&self) -> Option<Value> {
        lenient::parse(self.said.as_ref().ok()?).ok()
    }
}

impl Exchange {
    pub(super) async fn new(config: &Config, server: &Url, context: &Context) -> Result<Self, StepError> {
        let speaks_grpc = config.protocol == ProtocolName::Grpc;
        Ok(Exchange {
            http: HttpChannel::new(config, server, context).await?,
            grpc: if speaks_grpc { Some(GrpcChannel::new(config, server, context).await?) } else { None },
            clock: context.services.clock,
        })
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    pub(super) async fn ask(&self, route: Route) -> Result<Reply, NoAnswer> {
        let started = self.elapsed();
        let said = match (route.way, &self.grpc) {
            (Way::Get, _) => self.http.get(&route.url).await,
            (Way::Post(json), _) => self.http.post(&route.url, json).await,
            (Way::Call(message), Some(grpc)) => grpc.call(&route.url, message).await,
            (Way::Call(_), None) => Err(NoAnswer::Hopeless(StepError::new("bug: a gRPC call without a channel"))),
        };
        Ok(Reply { said: said?, took: self.elapsed().saturating_sub(started) })
    }
}
