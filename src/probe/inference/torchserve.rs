//! TorchServe, whose handlers decide themselves what they take and answer.

use reqwest::Url;
use serde_json::{Map, Value};

use super::json::fill;
use super::protocol::{Answer, JsonProtocol, ReadyRoute, Target, below, named};
use super::route::Route;
use super::tensor::{Datatypes, nest_input};
use crate::kind::StepError;
use crate::model::golden::Case;

pub(super) struct TorchServe {
    predictions: Url,
    ping: Option<Url>,
    body: Option<Value>,
}

impl TorchServe {
    pub(super) fn new(target: Target, body: Option<Value>) -> Self {
        let Some(name) = &target.model else { return TorchServe { predictions: target.url, ping: None, body } };
        let parts = ["predictions", name].into_iter().chain(target.version.as_deref());
        TorchServe { predictions: below(&target.url, parts), ping: Some(below(&target.url, ["ping"])), body }
    }
}

impl JsonProtocol for TorchServe {
    fn address(&self) -> &Url {
        &self.predictions
    }

    /// Without a `body`: a lone input bare, as most handlers take it, several as an object by name.
    fn request(&self, case: &Case, datatypes: &Datatypes) -> Result<Value, StepError> {
        if let Some(body) = &self.body {
            return fill(body, case, datatypes);
        }
        let nested = |(name, values)| Ok((String::clone(name), nest_input(name, values, datatypes)?));
        let mut inputs = case.inputs.iter().map(nested).collect::<Result<Map<String, Value>, StepError>>()?;
        match inputs.values_mut().next() {
            Some(only) if case.inputs.len() == 1 => Ok(only.take()),
            _ => Ok(Value::Object(inputs)),
        }
    }

    fn answer(&self, body: &Value, wanted: &[&str]) -> Result<Answer, String> {
        Ok(Answer::of(named(body, wanted)?))
    }

    fn readiness(&self) -> Vec<ReadyRoute> {
        self.ping.iter().cloned().map(Route::get).map(ReadyRoute::required).collect()
    }

    fn unready(&self, body: &Value) -> Option<String> {
        let status = body.get("status").and_then(Value::as_str)?;
        (status != "Healthy").then(|| format!("its status is '{status}'"))
    }
}
