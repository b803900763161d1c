//! Whether an answer is of the form that a JSON Schema describes.

use jsonschema::Validator;
use serde_json::Value;

use super::config::Config;
use super::protocol::Answer;
use crate::kind::StepError;
use crate::probe::text::clean;

/// Of what does not fit, in a message.
const QUOTED_BYTES: usize = 300;

/// The schemas of the step, ready to judge.
pub(super) struct Form {
    answer: Option<Validator>,
    text: Option<Validator>,
}

impl Form {
    pub(super) fn of(config: &Config) -> Result<Self, StepError> {
        let compile = |key: &str, schema: &Option<Value>| schema.as_ref().map(|schema| validator(key, schema));
        Ok(Form {
            answer: compile("answer_schema", &config.answer_schema).transpose()?,
            text: compile("text_schema", &config.text_schema).transpose()?,
        })
    }

    /// Why an answer is not as it must look.
    pub(super) fn fault(&self, answer: &Answer) -> Option<String> {
        let of_answer = self.answer.as_ref().and_then(|schema| {
            misfit(schema, answer.body.as_ref()?).map(|why| format!("the answer does not fit `answer_schema`: {why}"))
        });
        of_answer.or_else(|| self.text_fault(answer.text.as_deref()?))
    }

    fn text_fault(&self, text: &str) -> Option<String> {
        let schema = self.text.as_ref()?;
        match serde_json::from_str(text) {
            Ok(value) => misfit(schema, &value).map(|why| format!("the text does not fit `text_schema`: {why}")),
            Err(error) => {
                let text = clean(text.as_bytes(), QUOTED_BYTES);
                Some(format!("the text is not JSON, which `text_schema` wants ({error}): '{text}'"))
            }
        }
    }
}

fn validator(key: &str, schema: &Value) -> Result<Validator, StepError> {
    jsonschema::validator_for(schema).map_err(|error| {
        let place = error.schema_path().to_string();
        StepError::new(format!("`{key}` is not a JSON Schema: {error} (at {place})"))
            .help("write for example `{type: object, required: [predictions]}`; other files cannot be referred to")
    })
}

/// The first thing that does not fit, and where.
fn misfit(schema: &Validator, value: &Value) -> Option<String> {
    let error = schema.iter_errors(value).next()?;
    let place = error.instance_path().to_string();
    let place = if place.is_empty() { "its root".to_owned() } else { clean(place.as_bytes(), QUOTED_BYTES) };
    Some(format!("{} (at {place})", clean(error.to_string().as_bytes(), QUOTED_BYTES)))
}
