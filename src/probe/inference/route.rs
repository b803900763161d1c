//! A question on its way: where to, and in which way.

use prost::bytes::Bytes;
use reqwest::Url;

/// Cheap to clone: one question is asked many times.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub url: Url,
    pub way: Way,
}

#[derive(Debug, Clone)]
pub(super) enum Way {
    Get,
    /// JSON.
    Post(Bytes),
    /// A message of a gRPC call; the method is the path of the address.
    Call(Bytes),
}

impl Route {
    pub(super) fn get(url: Url) -> Self {
        Route { url, way: Way::Get }
    }

    pub(super) fn post(url: Url, json: Bytes) -> Self {
        Route { url, way: Way::Post(json) }
    }

    pub(super) fn call(url: Url, message: Bytes) -> Self {
        Route { url, way: Way::Call(message) }
    }
}
