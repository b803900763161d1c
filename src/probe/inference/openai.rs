//! Servers that speak as OpenAI does: chat and embeddings.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::{Map, Value, json};

use super::config::Config;
use super::protocol::{Answer, JsonProtocol, ReadyRoute, Target, Usage, above, below};
use super::route::Route;
use super::tensor::{Datatypes, OutputTensor};
use crate::kind::StepError;
use crate::model::golden::Case;

pub(super) struct OpenAi {
    address: Url,
    models: Url,
    model: String,
    request: Value,
    embeddings: bool,
}

impl OpenAi {
    pub(super) fn new(target: &Target, config: &Config) -> Result<Self, StepError> {
        let model = target.model.clone().ok_or_else(|| {
            StepError::new("`protocol: openai` needs the name of the model")
                .help("write for example `model: llama-3.1-8b`")
        })?;
        let base = below(&above(&target.url, "v1").unwrap_or_else(|| target.url.clone()), ["v1"]);
        let (address, request) = match (&config.prompt, &config.text) {
            (Some(prompt), _) => (below(&base, ["chat", "completions"]), chat(&model, prompt)),
            (None, Some(text)) => (below(&base, ["embeddings"]), json!({"model": model, "input": text})),
            (None, None) => {
                return Err(StepError::new("`protocol: openai` asks no tensors").help("give `prompt` or `text`"));
            }
        };
        let request = with(request, &config.parameters);
        Ok(OpenAi { address, models: below(&base, ["models"]), model, request, embeddings: config.prompt.is_none() })
    }
}

/// Temperature 0 and few tokens: the same answer each time, and a small bill.
fn chat(model: &str, prompt: &str) -> Value {
    let messages = json!([{"role": "user", "content": prompt}]);
    json!({"model": model, "messages": messages, "temperature": 0, "max_tokens": 64, "stream": false})
}

fn with(mut request: Value, parameters: &Map<String, Value>) -> Value {
    for (key, value) in parameters {
        match (value, request.as_object_mut()) {
            (Value::Null, Some(entries)) => drop(entries.remove(key)),
            _ => request[key] = value.clone(),
        }
    }
    request
}

impl JsonProtocol for OpenAi {
    fn address(&self) -> &Url {
        &self.address
    }

    fn request(&self, _case: &Case, _datatypes: &Datatypes) -> Result<Value, StepError> {
        Ok(self.request.clone())
    }

    fn answer(&self, body: &Value, _wanted: &[&str]) -> Result<Answer, String> {
        let mut answer = Answer { usage: usage(body)?, ..Answer::default() };
        if self.embeddings {
            let vector = body.pointer("/data/0/embedding").ok_or("has no `data[0].embedding`")?;
            let tensor = OutputTensor::nested(vector).map_err(|what| format!("has an embedding that {what}"))?;
            answer.tensors = BTreeMap::from([("embedding".to_owned(), tensor)]);
        } else {
            let text = body.pointer("/choices/0/message/content").and_then(Value::as_str);
            answer.text = Some(text.ok_or("has no text at `choices[0].message.content`")?.to_owned());
        }
        Ok(answer)
    }

    /// The list of models: servers differ in their routes for one model and for health.
    fn readiness(&self) -> Vec<ReadyRoute> {
        vec![ReadyRoute::required(Route::get(self.models.clone()))]
    }

    fn unready(&self, body: &Value) -> Option<String> {
        let models = body.get("data").and_then(Value::as_array).into_iter().flatten();
        let served = models.filter_map(|model| model.get("id")?.as_str()).any(|id| id == self.model);
        (!served).then(|| format!("it does not list the model '{}'", self.model))
    }
}

/// Some servers leave the usage out; one that is not made of counts is no valid answer.
fn usage(body: &Value) -> Result<Usage, String> {
    let count = |key: &str| match body.get("usage").and_then(|usage| usage.get(key)) {
        None | Some(Value::Null) => Ok(None),
        Some(count) => count.as_u64().map(Some).ok_or_else(|| format!("has a `usage.{key}` that is not a count")),
    };
    Ok(Usage { prompt_tokens: count("prompt_tokens")?, completion_tokens: count("completion_tokens")? })
}
