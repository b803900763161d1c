//! Any JSON service: the body by a pattern, the outputs by JSONPaths.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::Value;
use serde_json_path::JsonPath;

use super::config::Config;
use super::protocol::{Answer, JsonProtocol, ReadyRoute};
use super::tensor::{Datatypes, OutputTensor, datatype_of, elements, nest_input};
use crate::kind::StepError;
use crate::model::golden::Case;

pub(super) struct AnyJson {
    url: Url,
    body: Value,
    outputs: Vec<(String, JsonPath)>,
}

impl AnyJson {
    pub(super) fn new(url: Url, config: &Config) -> Result<Self, StepError> {
        let body = config.body.clone().ok_or_else(|| {
            StepError::new("`protocol: json` needs a `body`").help("write for example `body: {rows: $features}`")
        })?;
        if config.outputs.is_empty() {
            return Err(StepError::new("`protocol: json` needs `outputs`")
                .help("say where each output stands: `outputs: {probabilities: '$.predictions'}`"));
        }
        let outputs = config.outputs.iter().map(|(name, path)| Ok((name.clone(), path.parse(name)?)));
        Ok(AnyJson { url, body, outputs: outputs.collect::<Result<_, StepError>>()? })
    }
}

impl JsonProtocol for AnyJson {
    fn address(&self) -> &Url {
        &self.url
    }

    fn request(&self, case: &Case, datatypes: &Datatypes) -> Result<Value, StepError> {
        fill(&self.body, case, datatypes)
    }

    fn answer(&self, body: &Value, _wanted: &[&str]) -> Result<Answer, String> {
        let mut tensors = BTreeMap::new();
        for (name, path) in &self.outputs {
            let found = match path.query(body).all().as_slice() {
                [] => continue,
                [only] => (*only).clone(),
                several => several.iter().map(|value| (*value).clone()).collect(),
            };
            let tensor = OutputTensor::nested(&found).map_err(|what| format!("has an output '{name}' that {what}"))?;
            tensors.insert(name.clone(), tensor);
        }
        Ok(Answer::of(tensors))
    }

    fn readiness(&self) -> Vec<ReadyRoute> {
        Vec::new()
    }
}

/// The pattern with every `$NAME`, `$NAME.data` and `$NAME.shape` replaced. A text is replaced as a whole
/// or not at all, so that numbers stay numbers.
pub(super) fn fill(pattern: &Value, case: &Case, datatypes: &Datatypes) -> Result<Value, StepError> {
    match pattern {
        Value::String(text) => match text.strip_prefix('$') {
            Some(name) => input(name, case, datatypes),
            None => Ok(pattern.clone()),
        },
        Value::Array(items) => items.iter().map(|item| fill(item, case, datatypes)).collect(),
        Value::Object(entries) => {
            let filled = entries.iter().map(|(key, value)| Ok((key.clone(), fill(value, case, datatypes)?)));
            Ok(Value::Object(filled.collect::<Result<_, StepError>>()?))
        }
        other => Ok(other.clone()),
    }
}

fn input(name: &str, case: &Case, datatypes: &Datatypes) -> Result<Value, StepError> {
    if let Some(values) = case.inputs.get(name) {
        return nest_input(name, values, datatypes);
    }
    let part = name.rsplit_once('.').and_then(|(name, part)| Some((name, part, case.inputs.get(name)?)));
    match part {
        Some((name, "data", values)) => Ok(elements(name, values, datatype_of(datatypes, name))?.into()),
        Some((_, "shape", values)) => Ok(values.shape.clone().into()),
        _ => Err(StepError::new(format!("the body names '${name}', but the case '{}' has no such input", case.name))
            .help(known_inputs(case))),
    }
}

fn known_inputs(case: &Case) -> String {
    match case.inputs.keys().map(|name| format!("${name}")).collect::<Vec<_>>().as_slice() {
        [] => "it has no input at all; a text in `body` cannot begin with $".to_owned(),
        names => format!("it has {}, each also with .data and .shape", names.join(", ")),
    }
}
