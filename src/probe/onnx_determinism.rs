//! `onnx_determinism`: does a model answer the same to the same?
//!
//! The definition: equal runs give equal answers, to the last bit or within a tolerance (the bitwise comparison of repeated
//! runs that Polygraphy makes between runners). The first run is what the others are compared with.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::onnx::answers::{Answers, Difference};
use super::onnx::{Data, Feed, Session, check_count, check_positive, with_model};
use crate::kind::{Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::EngineIdentity;

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model file.
    #[schemars(extend("x-encode" = "path"))]
    model: PathBuf,
    /// The rows to run. Default: numbers that are made up, the same each time.
    #[serde(default)]
    inputs: Option<Data>,
    /// Rows in each run, 8 by default; of given rows the first.
    #[serde(default = "default_rows")]
    rows: usize,
    /// How often the same rows are run, 10 by default.
    #[serde(default = "default_runs")]
    runs: usize,
    /// How far two answers to the same row may be apart. Default: 0, the same to the last bit.
    #[serde(default)]
    tolerance: f64,
    /// The engine that must judge: `onnxruntime`, or `embedded`, the one that is built in. Without it, ONNX Runtime where
    /// it is installed, else the embedded one.
    #[serde(default)]
    require_engine: Option<EngineName>,
}

fn default_rows() -> usize {
    8
}

fn default_runs() -> usize {
    10
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `deterministic` or `varies`.
    verdict: String,
    /// How often the rows were run.
    runs: usize,
    /// Rows in each run.
    rows: usize,
    /// Runs with an answer that is further from the one of the first run than the tolerance.
    differing_runs: usize,
    /// The largest distance between an answer and the one of the first run; null when NaN or infinity came and went.
    max_difference: Option<f64>,
    /// Rows, in all runs together, in which the largest number moved to another place, so that another label is chosen.
    label_flips: usize,
    /// What differs first, in words; null when nothing does.
    first_difference: Option<String>,
    #[serde(flatten)]
    engine: EngineIdentity,
    /// What lowers the weight of this verdict: operators that draw random numbers, or what the engine may compute
    /// differently.
    warnings: Vec<String>,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_determinism";
    const SUMMARY: &'static str = "Runs a model several times on the same rows and compares the answers.";
    const EXAMPLE: &'static str = "onnx_determinism: {model: models/column-classifier/model.onnx, runs: 10}";
    const IN_CHILD: bool = true;
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        check_count("rows", config.rows)?;
        check_positive("tolerance", config.tolerance)?;
        if config.runs < 2 {
            return Err(StepError::new("one run cannot be compared").help("write `runs: 2` or more"));
        }
        let model = config.model.clone();
        with_model(&model, config.require_engine, &context, move |session| judge(&config, session)).await
    }
}

fn judge(config: &Config, session: &Session<'_>) -> StepResult<Output> {
    let feed = Feed::of(session.model.inputs(), config.inputs.as_ref(), &config.model, config.rows)?;
    let feed = feed.limited(config.rows);
    let first = Answers::of(session, &feed, feed.rows)?;
    let (mut differing_runs, mut together) = (0, Difference::default());
    for _ in 1..config.runs {
        let difference = Difference::between(&Answers::of(session, &feed, feed.rows)?, &first)?;
        differing_runs += usize::from(difference.exceeds(config.tolerance));
        together.add(difference);
    }
    let output = Output {
        verdict: if differing_runs > 0 { "varies" } else { "deterministic" }.to_owned(),
        runs: config.runs,
        rows: feed.rows,
        differing_runs,
        max_difference: together.largest(),
        label_flips: together.label_flips,
        first_difference: together.first,
        engine: session.engine.clone(),
        warnings: session.warnings.clone(),
    };
    let why = failure(&output);
    Ok(Outcome::judged(output, why))
}

fn failure(output: &Output) -> Option<String> {
    if output.differing_runs == 0 {
        return None;
    }
    let first = output.first_difference.as_deref().unwrap_or_default();
    let (differing, others) = (output.differing_runs, output.runs - 1);
    Some(format!("{differing} of {others} repetitions differ from the first run; {first}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::probe::onnx::testing::{fixture, model, rows};

    async fn run(config: Value) -> StepResult<Output> {
        Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
    }

    #[tokio::test]
    async fn a_sound_model_repeats_itself_to_the_last_bit() {
        let outcome = run(json!({"model": model(), "inputs": rows("valid"), "rows": 32})).await.unwrap();
        assert_eq!(outcome.failure, None);
        let output = outcome.output;
        assert_eq!((&*output.verdict, output.runs, output.rows), ("deterministic", 10, 32));
        assert_eq!((output.max_difference, output.first_difference), (Some(0.0), None));
    }

    #[tokio::test]
    async fn noise_is_found_and_may_be_tolerated() {
        let outcome = run(json!({"model": fixture("bad_random")})).await.unwrap();
        let output = outcome.output;
        assert_eq!((&*output.verdict, output.differing_runs), ("varies", 9));
        assert!(output.max_difference.unwrap() > 0.0);
        assert!(outcome.failure.unwrap().contains("9 of 9 repetitions"));
        // Probabilities are never further apart than 1.
        let tolerant = run(json!({"model": fixture("bad_random"), "tolerance": 1})).await.unwrap();
        assert_eq!(tolerant.output.verdict, "deterministic");
    }

    #[tokio::test]
    async fn the_same_nan_is_the_same_answer() {
        let outcome = run(json!({"model": fixture("bad_nan"), "inputs": rows("valid"), "rows": 32})).await.unwrap();
        assert_eq!(outcome.output.verdict, "deterministic");
    }

    #[tokio::test]
    async fn one_run_proves_nothing() {
        assert!(run(json!({"model": model(), "runs": 1})).await.unwrap_err().help.is_some());
    }
}
