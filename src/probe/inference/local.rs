//! What the model file on disk answers to the cases: the part of `inference` that works in a process of its own, so
//! that a broken model or engine cannot take the check down.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::parity::ParityConfig;
use crate::kind::{self, Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::EngineIdentity;
use crate::model::golden::{self, Case, Values};
use crate::probe::onnx::session::Broken;
use crate::probe::onnx::{Session, with_model};

/// Runs the file on the cases. Not a key of playbooks: `inference` has it done by [`kind::part`].
pub struct Step;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model file.
    model: PathBuf,
    /// The inputs of each case, by the case's name.
    #[schemars(with = "Value")]
    cases: Vec<(String, BTreeMap<String, Values>)>,
    /// The outputs that are wanted; none for all.
    outputs: Vec<String>,
    /// The engine that must run it.
    require_engine: Option<EngineName>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// For each case its outputs by name.
    #[schemars(with = "Value")]
    pub(super) answers: Vec<BTreeMap<String, Values>>,
    #[serde(flatten)]
    pub(super) engine: EngineIdentity,
    /// What lowers the weight of these answers.
    pub(super) warnings: Vec<String>,
}

impl Kind for Step {
    const NAME: &'static str = "inference/local";
    const SUMMARY: &'static str = "Answers the cases of an inference check by a model file.";
    const EXAMPLE: &'static str =
        "inference/local: {model: models/ocr-text/model.onnx, cases: [], outputs: [], require_engine: null}";
    const IN_CHILD: bool = true;
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        let model = config.model.clone();
        with_model(&model, config.require_engine, &context, move |session| answer(&config, session)).await
    }
}

/// What the file of `parity` answers to `cases`.
pub(super) async fn answers(parity: &ParityConfig, cases: &[Case], context: &Context) -> Result<Output, StepError> {
    let inputs: Vec<_> = cases.iter().map(|case| (&case.name, &case.inputs)).collect();
    let mut config = json!({"model": parity.model, "cases": inputs, "outputs": parity.outputs});
    if let Some(engine) = parity.require_engine {
        config["require_engine"] = json!(engine);
    }
    let outcome = kind::part::<Step>(config, context).await.map_err(about_the_file)?;
    serde_json::from_value(outcome.output)
        .map_err(|error| StepError::because("bug: the answers of the model file cannot cross", &error))
}

fn about_the_file(error: StepError) -> StepError {
    StepError { message: format!("the model file of `parity` cannot be compared with: {}", error.message), ..error }
}

fn answer(config: &Config, session: &Session<'_>) -> StepResult<Output> {
    let count = config.cases.len();
    let answers = config.cases.iter().enumerate().map(|(index, (name, inputs))| {
        session.round("answering case", index + 1, count);
        if session.is_abandoned() {
            return Err(Broken::Stopped.into());
        }
        let answers = golden::answers(&*session.model, inputs).map_err(Broken::Fault)?;
        choose(&config.outputs, name, answers)
    });
    let answers = answers.collect::<Result<_, StepError>>()?;
    Ok(Outcome::passed(Output { answers, engine: session.engine.clone(), warnings: session.warnings.clone() }))
}

/// The wanted ones. Nothing can be compared with an answer that is no number.
fn choose(
    wanted: &[String],
    case: &str,
    mut answers: BTreeMap<String, Values>,
) -> Result<BTreeMap<String, Values>, StepError> {
    if let Some(name) = wanted.iter().find(|name| !answers.contains_key(*name)) {
        let known: Vec<&str> = answers.keys().map(String::as_str).collect();
        return Err(StepError::new(format!("it has no output '{name}'"))
            .help(format!("`outputs` of `parity` names some of: {}", known.join(", "))));
    }
    answers.retain(|name, _| wanted.is_empty() || wanted.contains(name));
    let broken = answers.iter().find(|(_, values)| values.data.iter().any(|number| !number.is_finite()));
    match broken {
        Some((name, _)) => Err(StepError::new(format!("its output '{name}' of case '{case}' is NaN or infinite"))
            .help("judge the file first with the kinds `onnx_validate` and `onnx_golden`")),
        None => Ok(answers),
    }
}
