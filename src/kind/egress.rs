//! The resolver of the HTTP clients: it gives no address that requests may not go to. It runs when a connection
//! is made, so an answer of the name server that changes between a check and the use changes nothing.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::site::egress::Egress;

/// Resolves as the system does and filters what comes back.
pub(super) struct Resolver(pub(super) Egress);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.0.clone();
        Box::pin(async move {
            // The port is set by who connects.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut addresses: Vec<SocketAddr> = Vec::new();
            for address in found {
                // One bad address makes the whole name suspect: falling back to the others would hide it.
                egress.check_resolved(name.as_str(), address.ip())?;
                addresses.push(address);
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
