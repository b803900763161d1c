//! The REST interface of TensorFlow Serving.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::{Map, Value, json};

use super::protocol::{Answer, JsonProtocol, ReadyRoute, Target, above, below, named};
use super::route::Route;
use super::tensor::{Datatypes, nest_input};
use crate::kind::StepError;
use crate::model::golden::Case;

pub(super) struct TensorFlow {
    predict: Url,
    model: Option<Url>,
    signature: Option<String>,
    columnar: bool,
}

impl TensorFlow {
    pub(super) fn new(target: Target, signature: Option<String>, columnar: bool) -> Self {
        let (predict, model) = match (&target.model, &target.version) {
            (None, _) => (target.url.clone(), without_verb(&target.url)),
            (Some(name), None) => {
                let models = below(&target.url, ["v1", "models"]);
                (below(&models, [format!("{name}:predict").as_str()]), Some(below(&models, [name.as_str()])))
            }
            (Some(name), Some(version)) => {
                let versions = below(&target.url, ["v1", "models", name, "versions"]);
                (below(&versions, [format!("{version}:predict").as_str()]), Some(below(&versions, [version.as_str()])))
            }
        };
        TensorFlow { predict, model, signature, columnar }
    }

    fn inputs(&self, case: &Case, datatypes: &Datatypes) -> Result<(&'static str, Value), StepError> {
        let nested = |(name, values)| Ok((String::clone(name), nest_input(name, values, datatypes)?));
        let inputs = case.inputs.iter().map(nested).collect::<Result<Map<String, Value>, StepError>>()?;
        if self.columnar { Ok(("inputs", Value::Object(inputs))) } else { Ok(("instances", rows(inputs)?)) }
    }
}

/// `…/models/ocr` of `…/models/ocr:predict`.
fn without_verb(url: &Url) -> Option<Url> {
    let last = url.path_segments()?.next_back()?.to_owned();
    let name = last.strip_suffix(":predict")?;
    Some(below(&above(url, &last)?, [name]))
}

/// Row by row: a lone input bare, several as objects by name.
fn rows(inputs: Map<String, Value>) -> Result<Value, StepError> {
    let mut columns = Vec::new();
    for (name, input) in inputs {
        let Value::Array(rows) = input else {
            return Err(StepError::new(format!("the input '{name}' has no rows")).help("set `columnar: true`"));
        };
        columns.push((name, rows));
    }
    if let [(_, only)] = columns.as_mut_slice() {
        return Ok(Value::Array(std::mem::take(only)));
    }
    let count = columns.first().map_or(0, |(_, rows)| rows.len());
    if columns.iter().any(|(_, rows)| rows.len() != count) {
        return Err(StepError::new("the inputs do not have the same number of rows").help("set `columnar: true`"));
    }
    let row = |index: usize| -> Value {
        columns.iter().map(|(name, rows)| (name.clone(), rows[index].clone())).collect::<Map<_, _>>().into()
    };
    Ok((0..count).map(row).collect())
}

/// The outputs of `predictions`, in which several outputs come as one object for each row.
fn columns(predictions: &Value) -> Result<Value, String> {
    let Some(rows) = predictions.as_array() else { return Err("has `predictions` that are no list".into()) };
    if !rows.iter().any(Value::is_object) {
        return Ok(predictions.clone());
    }
    let mut columns = BTreeMap::<&String, Vec<Value>>::new();
    for row in rows {
        let row = row.as_object().ok_or("mixes rows with and without names")?;
        for (name, value) in row {
            columns.entry(name).or_default().push(value.clone());
        }
    }
    Ok(columns.into_iter().map(|(name, rows)| (name.clone(), Value::Array(rows))).collect::<Map<_, _>>().into())
}

impl JsonProtocol for TensorFlow {
    fn address(&self) -> &Url {
        &self.predict
    }

    fn request(&self, case: &Case, datatypes: &Datatypes) -> Result<Value, StepError> {
        let (key, inputs) = self.inputs(case, datatypes)?;
        let mut request = json!({key: inputs});
        if let Some(signature) = &self.signature {
            request["signature_name"] = signature.as_str().into();
        }
        Ok(request)
    }

    fn answer(&self, body: &Value, wanted: &[&str]) -> Result<Answer, String> {
        let outputs = match (body.get("predictions"), body.get("outputs")) {
            (Some(predictions), _) => columns(predictions)?,
            (None, Some(outputs)) => outputs.clone(),
            (None, None) => return Err("has neither `predictions` nor `outputs`".into()),
        };
        Ok(Answer::of(named(&outputs, wanted)?))
    }

    fn readiness(&self) -> Vec<ReadyRoute> {
        self.model.iter().cloned().map(Route::get).map(ReadyRoute::required).collect()
    }

    fn unready(&self, body: &Value) -> Option<String> {
        let versions = body.get("model_version_status").and_then(Value::as_array).into_iter().flatten();
        let states: Vec<&str> = versions.filter_map(|version| version.get("state")?.as_str()).collect();
        // While a version is exchanged, the old one is being unloaded beside the new one.
        (!states.contains(&"AVAILABLE")).then(|| match states.as_slice() {
            [] => "it tells no state of the model".to_owned(),
            states => format!("the state of the model is {}", states.join(", ")),
        })
    }
}
