//! Writes a note with values into the run: what a person would have written into the incident channel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::kind::{Context, Effect, Kind, Outcome, StepResult};

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The note. Values are inserted with templates.
    pub text: String,
    /// Values to keep with it, by name.
    #[serde(default)]
    pub values: Map<String, Value>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The note as written.
    pub text: String,
    /// The values kept with it.
    pub values: Value,
}

impl Kind for Step {
    const NAME: &'static str = "report";
    const SUMMARY: &'static str = "Keeps a note and values in the run and its report.";
    const EXAMPLE: &'static str =
        "report: {text: 'Model {{inputs.provider}} was checked', values: {provider: '{{inputs.provider}}'}}";
    type Config = Config;
    type Output = Output;

    /// A note changes nothing but the run's own journal.
    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, _context: Context) -> StepResult<Output> {
        Ok(Outcome::passed(Output { text: config.text, values: Value::Object(config.values) }))
    }
}
