//! `onnx_calibration`: is a classifier right as often as it says?
//!
//! The expected calibration error is the one of Naeini, Cooper and Hauskrecht (2015) over equally wide intervals as
//! in Guo and others, "On Calibration of Modern Neural Networks" (2017); the score is the one of Brier (1950) in its
//! form for several classes.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::onnx::{
    Answers, Data, Feed, Session, check_count, check_positive, check_share, labels, percent, with_model,
};
use crate::base::picture::{Picture, Shape};
use crate::kind::{Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::EngineIdentity;
use crate::statistics::{
    ReliabilityBin, brier_score, expected_calibration_error, maximum_calibration_error, mean, reliability,
};

/// More intervals than this hold too few rows to tell anything.
const MOST_BINS: usize = 100;

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model file: a classifier that answers one number for each class.
    #[schemars(extend("x-encode" = "path"))]
    model: PathBuf,
    /// The rows with known labels.
    inputs: Data,
    /// The true class of each row, as numbers from 0. Default: the array `labels` in the file of the inputs.
    #[serde(default)]
    labels: Option<Data>,
    /// The output with the numbers of the classes. Default: the first.
    #[serde(default)]
    output: Option<String>,
    /// Whether the model answers logits, so that softmax is to be applied. Default: false.
    #[serde(default)]
    logits: bool,
    /// The largest expected calibration error (ECE) that passes, such as 0.05. A few hundred rows alone make about
    /// 0.03 of it, so measure a healthy model first.
    max_error: f64,
    /// The largest Brier score that passes, from 0 to 2. Default: not judged.
    #[serde(default)]
    max_brier: Option<f64>,
    /// Equally wide intervals of confidence, 10 by default.
    #[serde(default = "default_bins")]
    bins: usize,
    /// The least number of rows, 100 by default: ten for each interval.
    #[serde(default = "default_rows")]
    min_rows: usize,
    /// Rows in one run, 32 by default.
    #[serde(default = "default_batch")]
    batch: usize,
    /// The engine that must judge: `onnxruntime`, or `embedded`, the one that is built in. Without it, ONNX Runtime where
    /// it is installed, else the embedded one.
    #[serde(default)]
    require_engine: Option<EngineName>,
}

fn default_bins() -> usize {
    10
}

fn default_rows() -> usize {
    100
}

fn default_batch() -> usize {
    32
}

/// What the rows say about the model's confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Calibrated,
    Overconfident,
    Underconfident,
    Inaccurate,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `calibrated`; `overconfident` or `underconfident` (the error is too large, and confidence is above or below
    /// accuracy on the whole); `inaccurate` (only the Brier score is too large).
    #[schemars(with = "String")]
    verdict: Verdict,
    /// The expected calibration error: the gap between confidence and accuracy in each interval, weighted by its rows
    /// (ECE, Naeini and others 2015; intervals as in Guo and others 2017).
    expected_error: f64,
    /// The largest gap in one interval (MCE).
    maximum_error: f64,
    /// The mean squared distance of the probabilities from the truth, summed over the classes: 0 is best, 2 is worst.
    brier: f64,
    /// The share of rows that is right.
    accuracy: f64,
    /// The mean probability of the predicted class.
    confidence: f64,
    /// Rows that were judged.
    rows: usize,
    /// Classes that the model tells apart.
    classes: usize,
    /// The reliability table: rows by confidence.
    table: Vec<Interval>,
    #[serde(flatten)]
    engine: EngineIdentity,
    /// What lowers the weight of this verdict: operators that draw random numbers, or what the engine may compute
    /// differently.
    warnings: Vec<String>,
}

/// Rows by their confidence.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Interval {
    /// Confidence is above this; a confidence of 0 is in the first interval.
    lower: f64,
    /// Confidence is at most this.
    upper: f64,
    /// Rows in the interval.
    rows: u64,
    /// Mean confidence; 0 without rows.
    confidence: f64,
    /// Share that is right; 0 without rows.
    accuracy: f64,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_calibration";
    const SUMMARY: &'static str = "Judges whether a classifier's confidence is the share of rows in which it is right.";
    const EXAMPLE: &'static str = "onnx_calibration:
  model: models/column-classifier/model.onnx
  inputs: {file: models/column-classifier/data/valid.npz}
  max_error: 0.08";
    const IN_CHILD: bool = true;
    const PICTURES: &'static [Picture] =
        &[Picture { title: "Share that is right by confidence", field: "table", shape: Shape::Reliability }];
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        check(&config)?;
        let model = config.model.clone();
        with_model(&model, config.require_engine, &context, move |session| judge(&config, session)).await
    }
}

fn check(config: &Config) -> Result<(), StepError> {
    check_share("max_error", config.max_error)?;
    check_positive("max_brier", config.max_brier.unwrap_or(0.0))?;
    check_count("batch", config.batch)?;
    if (1..=MOST_BINS).contains(&config.bins) {
        Ok(())
    } else {
        Err(StepError::new(format!("bins is {}", config.bins)).help(format!("`bins` is from 1 to {MOST_BINS}")))
    }
}

fn judge(config: &Config, session: &Session<'_>) -> StepResult<Output> {
    let feed = Feed::read(session.model.inputs(), &config.inputs, &config.model)?;
    if feed.rows < config.min_rows {
        return Err(StepError::new(format!("{} rows are too few to tell a calibration", feed.rows))
            .help(format!("give at least {} rows, or lower `min_rows`", config.min_rows)));
    }
    let scores = Answers::of(session, &feed, config.batch)?.scores(config.output.as_deref())?;
    let scores = scores.probabilities(config.logits)?;
    let truth = labels(config.labels.as_ref(), &config.inputs, &config.model, feed.rows, scores.classes)?;
    let predictions = scores.predictions()?;
    let correct: Vec<bool> = predictions.iter().zip(&truth).map(|(prediction, label)| prediction == label).collect();
    let confidences = scores.confidences();
    let rows: Vec<&[f64]> = scores.rows().collect();
    // The answers are shares and there is one label a row, so each of them is defined.
    let undefined = || StepError::new("bug: the calibration of these rows is not defined");
    let table = reliability(&confidences, &correct, config.bins).ok_or_else(undefined)?;
    let brier = brier_score(&rows, &truth).ok_or_else(undefined)?;
    let accuracy = correct.iter().filter(|correct| **correct).count() as f64 / correct.len() as f64;
    let mut output = Output {
        verdict: Verdict::Calibrated,
        expected_error: expected_calibration_error(&table),
        maximum_error: maximum_calibration_error(&table),
        brier,
        accuracy,
        confidence: mean(&confidences).ok_or_else(undefined)?,
        rows: rows.len(),
        classes: scores.classes,
        table: table.iter().map(interval).collect(),
        engine: session.engine.clone(),
        warnings: session.warnings.clone(),
    };
    output.verdict = verdict(config, &output);
    let why = failure(config, &output);
    Ok(Outcome::judged(output, why))
}

fn interval(bin: &ReliabilityBin) -> Interval {
    let ReliabilityBin { lower, upper, count, confidence, accuracy } = *bin;
    Interval { lower, upper, rows: count, confidence, accuracy }
}

fn verdict(config: &Config, output: &Output) -> Verdict {
    if output.expected_error > config.max_error {
        return if output.confidence > output.accuracy { Verdict::Overconfident } else { Verdict::Underconfident };
    }
    match config.max_brier {
        Some(most) if output.brier > most => Verdict::Inaccurate,
        _ => Verdict::Calibrated,
    }
}

fn failure(config: &Config, output: &Output) -> Option<String> {
    let error = || {
        format!(
            "the expected calibration error is {:.3}, {:.3} is the most; confidence is {} and accuracy {}",
            output.expected_error,
            config.max_error,
            percent(output.confidence),
            percent(output.accuracy)
        )
    };
    match output.verdict {
        Verdict::Calibrated => None,
        Verdict::Overconfident | Verdict::Underconfident => Some(error()),
        Verdict::Inaccurate => {
            let most = config.max_brier.unwrap_or(0.0);
            Some(format!("the Brier score is {:.3}, {most:.3} is the most", output.brier))
        }
    }
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
    async fn a_sound_model_is_calibrated() {
        let outcome = run(json!({"model": model(), "inputs": rows("valid"), "max_error": 0.08})).await.unwrap();
        assert_eq!(outcome.failure, None);
        let output = outcome.output;
        assert_eq!((output.verdict, output.rows, output.table.len()), (Verdict::Calibrated, 256, 10));
        assert!(output.expected_error <= output.maximum_error && output.brier < 0.2);
        assert_eq!(output.table.iter().map(|interval| interval.rows).sum::<u64>(), 256);
    }

    #[tokio::test]
    async fn confidence_without_accuracy_is_too_much_of_it() {
        let config = json!({"model": fixture("bad_permuted"), "inputs": rows("valid"), "max_error": 0.08});
        let outcome = run(config).await.unwrap();
        assert_eq!(outcome.output.verdict, Verdict::Overconfident);
        assert!(outcome.output.expected_error > 0.8 && outcome.output.brier > 1.0);
        assert!(outcome.failure.unwrap().contains("0.080 is the most"));
    }

    #[tokio::test]
    async fn logits_are_turned_into_probabilities_only_when_said() {
        let config = |logits| json!({"model": fixture("bad_logits"), "inputs": rows("valid"), "max_error": 0.08, "logits": logits});
        let error = run(config(false)).await.unwrap_err();
        assert!(error.message.contains("no set of probabilities"), "{error}");
        assert_eq!(run(config(true)).await.unwrap().output.verdict, Verdict::Calibrated);
    }

    #[tokio::test]
    async fn the_brier_score_has_its_own_limit() {
        let config = json!({"model": model(), "inputs": rows("valid"), "max_error": 0.08, "max_brier": 0.001});
        let outcome = run(config).await.unwrap();
        assert_eq!(outcome.output.verdict, Verdict::Inaccurate);
        assert!(outcome.failure.unwrap().contains("Brier"));
    }

    #[tokio::test]
    async fn too_few_rows_and_odd_settings_are_errors() {
        let (model, rows) = (model(), rows("valid"));
        let few = json!({"model": model, "inputs": rows, "max_error": 0.1, "min_rows": 999});
        assert!(run(few).await.unwrap_err().message.contains("too few"));
        let bins = json!({"model": model, "inputs": rows, "max_error": 0.1, "bins": 0});
        assert!(run(bins).await.unwrap_err().message.contains("bins is 0"));
    }
}
