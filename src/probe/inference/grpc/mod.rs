//! The Open Inference Protocol, version 2, over gRPC: KServe, Triton, MLServer.

mod channel;
mod contents;
mod messages;
mod status;

use std::collections::{BTreeMap, HashMap};

use prost::Message;
use prost::bytes::Bytes;
use reqwest::Url;
use serde_json::{Map, Value};

use super::protocol::{Answer, Protocol, ReadyRoute, Target};
use super::route::Route;
use super::tensor::{Datatypes, datatype_of};
use crate::kind::StepError;
use crate::model::golden::{Case, Values};
pub(super) use channel::GrpcChannel;
use messages::{
    InferParameter, InferTensor, ModelInferRequest, ModelInferResponse, ModelMetadataResponse, ModelRequest, Parameter,
    ReadyResponse, ServerReadyRequest,
};

const SERVICE: &str = "inference.GRPCInferenceService";

pub(super) struct Grpc {
    /// Of the server, with an empty path.
    server: Url,
    infer: Url,
    model: ModelRequest,
    parameters: HashMap<String, InferParameter>,
}

impl Grpc {
    pub(super) fn new(target: Target, parameters: &Map<String, Value>) -> Result<Self, StepError> {
        if target.url.path() != "/" || target.url.query().is_some() {
            return Err(StepError::new("a gRPC address has no path")
                .help("write `url: grpc://127.0.0.1:8001` and name the model under `model`"));
        }
        let Some(name) = target.model else {
            return Err(
                StepError::new("a gRPC call needs the name of the model").help("write for example `model: ocr`")
            );
        };
        let parameters = parameters.iter().map(|(key, value)| Ok((key.clone(), parameter(key, value)?)));
        Ok(Grpc {
            infer: method(&target.url, "ModelInfer"),
            server: target.url,
            model: ModelRequest { name, version: target.version.unwrap_or_default() },
            parameters: parameters.collect::<Result<_, StepError>>()?,
        })
    }

    fn call(&self, name: &str, message: &impl Message) -> Route {
        Route::call(method(&self.server, name), message.encode_to_vec().into())
    }
}

fn method(server: &Url, name: &str) -> Url {
    let mut url = server.clone();
    url.set_path(&format!("/{SERVICE}/{name}"));
    url
}

fn parameter(key: &str, value: &Value) -> Result<InferParameter, StepError> {
    let parameter = match value {
        Value::Bool(flag) => Some(Parameter::Bool(*flag)),
        Value::String(text) => Some(Parameter::Text(text.clone())),
        Value::Number(number) => number.as_i64().map(Parameter::Int64).or(number.as_f64().map(Parameter::Double)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let wrong = || {
        StepError::new(format!("the parameter '{key}' cannot be sent in a gRPC call"))
            .help("a parameter is a text, a number, true or false")
    };
    Ok(InferParameter { value: Some(parameter.ok_or_else(wrong)?) })
}

impl Protocol for Grpc {
    fn address(&self) -> &Url {
        &self.infer
    }

    fn question(&self, case: &Case, datatypes: &Datatypes) -> Result<Route, StepError> {
        // The protocol wants all inputs as raw bytes or none.
        let in_raw = case.inputs.keys().any(|name| contents::is_raw_only(datatype_of(datatypes, name)));
        let (mut inputs, mut raw) = (Vec::new(), Vec::new());
        for (name, values) in &case.inputs {
            let datatype = datatype_of(datatypes, name);
            let mut input = tensor(name, values, datatype)?;
            if in_raw {
                raw.push(contents::raw(name, values, datatype)?);
            } else {
                input.contents = Some(contents::typed(name, values, datatype)?);
            }
            inputs.push(input);
        }
        let request = ModelInferRequest {
            model_name: self.model.name.clone(),
            model_version: self.model.version.clone(),
            parameters: self.parameters.clone(),
            inputs,
            raw_input_contents: raw,
        };
        Ok(Route::call(self.infer.clone(), request.encode_to_vec().into()))
    }

    fn answer(&self, message: &Bytes, _wanted: &[&str]) -> Result<Answer, String> {
        let response = ModelInferResponse::decode(message.clone())
            .map_err(|error| format!("is no ModelInferResponse ({error})"))?;
        Ok(Answer::of(contents::outputs(&response)?.into_iter().collect::<BTreeMap<_, _>>()))
    }

    fn readiness(&self) -> Vec<ReadyRoute> {
        let server = ReadyRoute { route: self.call("ServerReady", &ServerReadyRequest {}), optional: true };
        vec![server, ReadyRoute::required(self.call("ModelReady", &self.model))]
    }

    fn unready(&self, message: &Bytes) -> Option<String> {
        match ReadyResponse::decode(message.clone()) {
            Ok(ReadyResponse { ready: true }) => None,
            Ok(ReadyResponse { ready: false }) => Some("it answers `ready: false`".to_owned()),
            Err(error) => Some(format!("its answer cannot be read ({error})")),
        }
    }

    fn description(&self) -> Option<Route> {
        Some(self.call("ModelMetadata", &self.model))
    }

    fn datatypes(&self, message: &Bytes) -> Datatypes {
        let description = ModelMetadataResponse::decode(message.clone()).unwrap_or_default();
        description.inputs.into_iter().map(|input| (input.name, input.datatype)).collect()
    }
}

fn tensor(name: &str, values: &Values, datatype: &str) -> Result<InferTensor, StepError> {
    let shape: Result<Vec<i64>, _> = values.shape.iter().map(|size| i64::try_from(*size)).collect();
    let shape = shape.map_err(|error| StepError::because(format!("the input '{name}' is too large"), &error))?;
    Ok(InferTensor { name: name.to_owned(), datatype: datatype.to_owned(), shape, contents: None })
}

#[cfg(test)]
mod tests;
