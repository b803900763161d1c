//! What the protocols have in common: a case becomes a request, an answer becomes named tensors.

use std::collections::BTreeMap;

use prost::bytes::Bytes;
use reqwest::Url;
use serde_json::Value;

use super::config::{Config, ProtocolName};
use super::grpc::Grpc;
use super::json::AnyJson;
use super::openai::OpenAi;
use super::over_http::OverHttp;
use super::route::Route;
use super::tensor::{Datatypes, OutputTensor};
use super::tensorflow::TensorFlow;
use super::torchserve::TorchServe;
use super::v2::V2;
use crate::http::parse_url;
use crate::kind::StepError;
use crate::model::golden::Case;

/// A way to ask a model server; messages are bytes, whatever they are made of.
pub(super) trait Protocol: Send + Sync {
    /// Where a case is sent to.
    fn address(&self) -> &Url;

    /// What asks for a case.
    fn question(&self, case: &Case, datatypes: &Datatypes) -> Result<Route, StepError>;

    /// What an answer says. `wanted` are the outputs that will be looked at: an answer without names gives
    /// the only one of them. The error completes "the answer …".
    fn answer(&self, message: &Bytes, wanted: &[&str]) -> Result<Answer, String>;

    /// The routes that tell whether the server and the model are ready.
    fn readiness(&self) -> Vec<ReadyRoute>;

    /// Why a good answer of such a route means that it is not ready after all.
    fn unready(&self, message: &Bytes) -> Option<String>;

    /// Where the server describes the model's inputs.
    fn description(&self) -> Option<Route>;

    /// The element types in that description.
    fn datatypes(&self, description: &Bytes) -> Datatypes;
}

/// A protocol whose messages are JSON in bodies of HTTP; [`OverHttp`] makes a [`Protocol`] of it.
pub(super) trait JsonProtocol: Send + Sync {
    /// Where a case is posted to.
    fn address(&self) -> &Url;

    /// The body that asks for a case.
    fn request(&self, case: &Case, datatypes: &Datatypes) -> Result<Value, StepError>;

    /// What an answer says. `wanted` are the outputs that will be looked at: an answer without names gives
    /// the only one of them. The error completes "the answer …".
    fn answer(&self, body: &Value, wanted: &[&str]) -> Result<Answer, String>;

    /// The routes that tell whether the server and the model are ready.
    fn readiness(&self) -> Vec<ReadyRoute>;

    /// Why a 2xx answer of such a route means that it is not ready after all.
    fn unready(&self, _body: &Value) -> Option<String> {
        None
    }

    /// Where the server describes the model's inputs.
    fn description(&self) -> Option<Url> {
        None
    }

    /// The element types in that description.
    fn datatypes(&self, _description: &Value) -> Datatypes {
        Datatypes::new()
    }
}

pub(super) struct ReadyRoute {
    pub route: Route,
    /// Whether servers exist that do without it, so that its absence tells nothing.
    pub optional: bool,
}

impl ReadyRoute {
    pub(super) fn required(route: Route) -> Self {
        ReadyRoute { route, optional: false }
    }
}

/// What an answer says.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub tensors: BTreeMap<String, OutputTensor>,
    /// The text that a language model wrote.
    pub text: Option<String>,
    pub usage: Usage,
    /// The whole answer, where it is JSON.
    pub body: Option<Value>,
}

impl Answer {
    pub(super) fn of(tensors: BTreeMap<String, OutputTensor>) -> Self {
        Answer { tensors, ..Answer::default() }
    }
}

/// What an answer of a language model cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Usage {
    pub prompt_tokens: Option<u64>,
    pub completion_tokens: Option<u64>,
}

/// The protocol that the step asks for.
pub(super) fn choose(config: &Config) -> Result<Box<dyn Protocol>, StepError> {
    let target = Target::of(config)?;
    Ok(match config.protocol {
        ProtocolName::V2 => Box::new(OverHttp(V2::new(&target, &config.parameters))),
        ProtocolName::Grpc => Box::new(Grpc::new(target, &config.parameters)?),
        ProtocolName::TensorFlow => {
            Box::new(OverHttp(TensorFlow::new(target, config.signature.clone(), config.columnar)))
        }
        ProtocolName::TorchServe => Box::new(OverHttp(TorchServe::new(target, config.body.clone()))),
        ProtocolName::OpenAi => Box::new(OverHttp(OpenAi::new(&target, config)?)),
        ProtocolName::Json => Box::new(OverHttp(AnyJson::new(target.url, config)?)),
    })
}

/// A model at an address. Without a name the address is the whole one.
pub(super) struct Target {
    pub url: Url,
    pub model: Option<String>,
    pub version: Option<String>,
}

impl Target {
    fn of(config: &Config) -> Result<Self, StepError> {
        let target =
            Target { url: server_address(config)?, model: config.model.clone(), version: config.version.clone() };
        // These would vanish from the address, and another route would be asked.
        let hollow = |name: &&String| matches!(name.as_str(), "" | "." | "..");
        if let Some(name) = [&target.model, &target.version].into_iter().flatten().find(hollow) {
            return Err(StepError::new(format!("'{name}' is not the name or version of a model"))
                .help("write for example `model: ocr` and `version: '3'`"));
        }
        if target.version.is_some() && target.model.is_none() {
            return Err(StepError::new("`version` is given without `model`")
                .help("give `model`, or put the version into the `url`"));
        }
        Ok(target)
    }
}

/// The address of the server. One of gRPC may begin with `grpc` or `grpcs`: to the network that is `http` and `https`.
fn server_address(config: &Config) -> Result<Url, StepError> {
    let (scheme, rest) = config.url.split_once("://").unwrap_or_default();
    match (scheme, config.protocol) {
        ("grpc", ProtocolName::Grpc) => parse_url(&format!("http://{rest}")),
        ("grpcs", ProtocolName::Grpc) => parse_url(&format!("https://{rest}")),
        ("grpc" | "grpcs", _) => Err(StepError::new("this address is one of gRPC, but the protocol is another")
            .help("write `protocol: grpc`, the Open Inference Protocol over gRPC")),
        _ => parse_url(&config.url),
    }
}

/// An address below another one; each part is encoded, so that a name cannot lead elsewhere.
pub(super) fn below<'a>(base: &Url, parts: impl IntoIterator<Item = &'a str>) -> Url {
    let mut url = base.clone();
    // Only addresses such as `mailto:` have no path to extend, and `parse_url` refuses those.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(parts);
    }
    url
}

/// The address with the last part of its path taken away, if that is `last`.
pub(super) fn above(url: &Url, last: &str) -> Option<Url> {
    let mut url = url.clone();
    if url.path_segments()?.next_back()? != last {
        return None;
    }
    url.path_segments_mut().ok()?.pop();
    url.set_query(None);
    Some(url)
}

/// Numbers, or an object of numbers by name. Numbers alone belong to the only output that is wanted.
pub(super) fn named(value: &Value, wanted: &[&str]) -> Result<BTreeMap<String, OutputTensor>, String> {
    let tensor = |name: &str, value: &Value| match OutputTensor::nested(value) {
        Ok(tensor) => Ok((name.to_owned(), tensor)),
        Err(what) => Err(format!("has an output '{name}' that {what}")),
    };
    match (value, wanted) {
        (Value::Object(entries), _) => entries.iter().map(|(name, value)| tensor(name, value)).collect(),
        (_, [only]) => Ok(BTreeMap::from([tensor(only, value)?])),
        (_, names) => Err(format!("has one output without a name, but {} are expected", names.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_the_address() {
        let base = Url::parse("http://host/api/").unwrap();
        assert_eq!(below(&base, ["models", "a/../b?c"]).as_str(), "http://host/api/models/a%2F..%2Fb%3Fc");
        let url = Url::parse("http://host/v2/models/ocr/infer?x=1").unwrap();
        assert_eq!(above(&url, "infer").unwrap().as_str(), "http://host/v2/models/ocr");
        assert_eq!(above(&url, "predict"), None);
    }
}
