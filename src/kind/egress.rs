//! The resolver of everything that connects by a name: it gives no address that requests may not go to. It runs when
//! a connection is made, so an answer of the name server that changes between a check and the use changes nothing.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns::Name as CallName;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tonic::codegen::Service;

use crate::base::environment;
use crate::site::egress::{Egress, Refused};

/// Where the HTTP clients are told of a proxy, beside the same in small letters.
const PROXY_VARIABLES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// Behind a proxy there may be no name server that answers; requests must not wait long for that.
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

/// Resolves as the system does and filters what comes back.
#[derive(Clone)]
pub struct Resolver(pub(super) Arc<Egress>);

impl Resolver {
    async fn addresses(self, name: String) -> Result<std::vec::IntoIter<SocketAddr>, Failure> {
        // The port is set by who connects.
        let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
        // One bad address makes the whole name suspect: falling back to the others would hide it.
        found.iter().try_for_each(|address| self.0.check_resolved(&name, address.ip()))?;
        Ok(found.into_iter())
    }
}

/// For HTTP clients.
impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move { Ok(Box::new(resolver.addresses(name.as_str().to_owned()).await?) as Addrs) })
    }
}

/// For gRPC calls.
impl Service<CallName> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Failure;
    type Future = Pending<Self::Response>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: CallName) -> Self::Future {
        Box::pin(self.clone().addresses(name.as_str().to_owned()))
    }
}

/// Looks at a host before it is asked: an address never reaches the resolver, and neither does a name that a proxy
/// resolves. Such a name is resolved here as well; what only the proxy knows is left to it.
pub(super) async fn check_before(egress: &Egress, host: &str) -> Result<(), Refused> {
    egress.check_host(host)?;
    if !has_proxy() {
        return Ok(());
    }
    match tokio::time::timeout(LOOKUP_LIMIT, tokio::net::lookup_host((host, 0))).await {
        Ok(Ok(mut found)) => found.try_for_each(|address| egress.check_resolved(host, address.ip())),
        _ => Ok(()),
    }
}

fn has_proxy() -> bool {
    let is_set = |name: &str| environment::variable(name).is_some_and(|value| !value.is_empty());
    PROXY_VARIABLES.iter().any(|name| is_set(name) || is_set(&name.to_lowercase()))
}
