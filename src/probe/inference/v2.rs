//! The Open Inference Protocol, version 2, over HTTP: KServe, Triton, MLServer.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::{Map, Value, json};

use super::protocol::{Answer, JsonProtocol, ReadyRoute, Target, above, below};
use super::route::Route;
use super::tensor::{Datatypes, OutputTensor, datatype_of, elements};
use crate::kind::StepError;
use crate::model::golden::{Case, Values};

pub(super) struct V2 {
    infer: Url,
    /// `…/v2/models/NAME`, unless the step gave an address of another form.
    model: Option<Url>,
    /// `…/v2/health/ready`, when the address of the server is known.
    health: Option<Url>,
    parameters: Map<String, Value>,
}

impl V2 {
    pub(super) fn new(target: &Target, parameters: &Map<String, Value>) -> Self {
        let parameters = parameters.clone();
        let Some(name) = &target.model else {
            return V2 { infer: target.url.clone(), model: above(&target.url, "infer"), health: None, parameters };
        };
        let mut model = below(&target.url, ["v2", "models", name]);
        if let Some(version) = &target.version {
            model = below(&model, ["versions", version]);
        }
        let health = Some(below(&target.url, ["v2", "health", "ready"]));
        V2 { infer: below(&model, ["infer"]), model: Some(model), health, parameters }
    }
}

impl JsonProtocol for V2 {
    fn address(&self) -> &Url {
        &self.infer
    }

    fn request(&self, case: &Case, datatypes: &Datatypes) -> Result<Value, StepError> {
        let input = |(name, values): (&String, &Values)| {
            let datatype = datatype_of(datatypes, name);
            let data = elements(name, values, datatype)?;
            Ok(json!({"name": name, "shape": values.shape, "datatype": datatype, "data": data}))
        };
        let inputs: Vec<Value> = case.inputs.iter().map(input).collect::<Result<_, StepError>>()?;
        let mut request = json!({"inputs": inputs});
        if !self.parameters.is_empty() {
            request["parameters"] = Value::Object(self.parameters.clone());
        }
        Ok(request)
    }

    fn answer(&self, body: &Value, _wanted: &[&str]) -> Result<Answer, String> {
        let outputs = body.get("outputs").and_then(Value::as_array).ok_or("has no list `outputs`")?;
        Ok(Answer::of(outputs.iter().map(output).collect::<Result<BTreeMap<_, _>, String>>()?))
    }

    fn readiness(&self) -> Vec<ReadyRoute> {
        let health = self.health.iter().map(|url| ReadyRoute { route: Route::get(url.clone()), optional: true });
        let model = self.model.iter().map(|url| ReadyRoute::required(Route::get(below(url, ["ready"]))));
        health.chain(model).collect()
    }

    fn unready(&self, body: &Value) -> Option<String> {
        (body.get("ready") == Some(&Value::Bool(false))).then(|| "it answers `ready: false`".to_owned())
    }

    fn description(&self) -> Option<Url> {
        self.model.clone()
    }

    fn datatypes(&self, description: &Value) -> Datatypes {
        let inputs = description.get("inputs").and_then(Value::as_array).into_iter().flatten();
        let text = |input: &Value, key: &str| Some(input.get(key)?.as_str()?.to_owned());
        inputs.filter_map(|input| Some((text(input, "name")?, text(input, "datatype")?))).collect()
    }
}

fn output(output: &Value) -> Result<(String, OutputTensor), String> {
    let name = output.get("name").and_then(Value::as_str).ok_or("has an output without a name")?;
    let wrong = |what: &str| format!("has an output '{name}' that {what}");
    let shape = output.get("shape").cloned().unwrap_or_default();
    let shape = serde_json::from_value(shape).map_err(|_| wrong("has no valid shape"))?;
    let data = output.get("data").ok_or_else(|| wrong("has no data in JSON"))?;
    let mut tensor = OutputTensor::shaped(shape, data).map_err(|what| wrong(&what))?;
    tensor.datatype = output.get("datatype").and_then(Value::as_str).map(str::to_owned);
    Ok((name.to_owned(), tensor))
}
