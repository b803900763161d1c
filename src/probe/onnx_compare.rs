//! `onnx_compare`: may this model take the place of that one?
//!
//! Two models, one in two precisions, or one by two engines: the same rows, compared number by number and class by class.
//! Agreement is the share of rows with the same largest number; a flip is a row without.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::onnx::answers::Difference;
use super::onnx::{
    Answers, Data, Feed, MOST_ITEMS, Session, check_count, check_positive, check_share, labels, measure, percent,
    with_model,
};
use crate::kind::{Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::EngineIdentity;
use crate::statistics::{Confusion, Sorted, disagreements, wilson_interval};

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model that is trusted: the one in service, or the float32 one.
    #[schemars(extend("x-encode" = "path"))]
    old: PathBuf,
    /// The model that may take its place: a candidate, or the int8 one.
    #[schemars(extend("x-encode" = "path"))]
    new: PathBuf,
    /// The rows to compare on. Default: numbers that are made up; on them models agree less than on real rows.
    #[serde(default)]
    inputs: Option<Data>,
    /// The true class of each row. Default: the array `labels` if `with_labels` says so, else accuracy is not compared.
    #[serde(default)]
    labels: Option<Data>,
    /// Whether the file of the inputs has an array `labels`. Default: false.
    #[serde(default)]
    with_labels: bool,
    /// The output with the numbers of the classes. Default: the first.
    #[serde(default)]
    output: Option<String>,
    /// How many rows to make up, 256 by default.
    #[serde(default = "default_rows")]
    rows: usize,
    /// Rows in one run, 32 by default.
    #[serde(default = "default_batch")]
    batch: usize,
    /// The least share of rows to which both give the same class, 0.99 by default.
    #[serde(default = "default_agreement")]
    min_agreement: f64,
    /// The largest distance of two numbers that is allowed. Default: not judged.
    #[serde(default)]
    max_difference: Option<f64>,
    /// How much accuracy may be lost, in points: 0.01 by default, so from 0.95 to 0.94. Judged when there are labels.
    #[serde(default = "default_loss")]
    max_loss: f64,
    /// The longest median run of the new model as a multiple of the old one's, such as 1.2. Default: not judged.
    #[serde(default)]
    max_latency_ratio: Option<f64>,
    /// The largest file of the new model as a multiple of the old one's, such as 0.5. Default: not judged.
    #[serde(default)]
    max_size_ratio: Option<f64>,
    /// How often a run of one batch is timed, 100 by default.
    #[serde(default = "default_runs")]
    runs: usize,
    /// The engine that runs the old model, if it is to be another than that of the new one. Give the same file as `old` and
    /// `new`, `onnxruntime` here and `embedded` as `new_engine`, to compare the two engines. Default: the one that judges.
    #[serde(default)]
    old_engine: Option<EngineName>,
    /// The engine that runs the new model. Default: the one that judges.
    #[serde(default)]
    new_engine: Option<EngineName>,
    /// The engine that must judge: `onnxruntime`, or `embedded`, the one that is built in. Without it, ONNX Runtime where
    /// it is installed, else the embedded one.
    #[serde(default)]
    require_engine: Option<EngineName>,
}

fn default_rows() -> usize {
    256
}

fn default_batch() -> usize {
    32
}

fn default_agreement() -> f64 {
    0.99
}

fn default_loss() -> f64 {
    0.01
}

fn default_runs() -> usize {
    100
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `equivalent`, or the most telling of: `disagrees`, `less_accurate`, `differs` (numbers are too far apart), `slower`,
    /// `larger`.
    verdict: String,
    /// The share of rows to which both give the same class.
    agreement: f64,
    /// Rows that were compared.
    rows: usize,
    /// Rows to which another class is given.
    flips: usize,
    /// The largest distance between two numbers; null when NaN or infinity stands against a number.
    max_difference: Option<f64>,
    /// The size of the new file as a multiple of the old one's.
    size_ratio: f64,
    /// Bytes of the old file.
    old_size: u64,
    /// Bytes of the new file.
    new_size: u64,
    /// The median run of the new model as a multiple of the old one's.
    latency_ratio: f64,
    /// Seconds of the old model's median run of one batch.
    old_seconds: f64,
    /// Seconds of the new model's median run of one batch.
    new_seconds: f64,
    /// The share of rows that the old model gets right; null without labels.
    old_accuracy: Option<f64>,
    /// The share of rows that the new model gets right; null without labels.
    new_accuracy: Option<f64>,
    /// The accuracy that is lost, in points, below zero for a gain; null without labels.
    loss: Option<f64>,
    /// The lower end of the 95 % interval of the new model's accuracy (Wilson's score interval); null without labels.
    new_accuracy_low: Option<f64>,
    /// The upper end of that interval; null without labels.
    new_accuracy_high: Option<f64>,
    /// The first 16 rows to which another class is given.
    flipped: Vec<Flip>,
    /// The engine that ran the new model; what is named `engine` ran the old one.
    new_engine: String,
    /// The version of that engine.
    new_engine_version: String,
    #[serde(flatten)]
    engine: EngineIdentity,
    /// What lowers the weight of this verdict: operators that draw random numbers, or what the engine may compute
    /// differently.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Flip {
    /// Counted from 0.
    row: usize,
    /// The class that the old model gives.
    old: usize,
    /// The class that the new model gives.
    new: usize,
}

/// What one of the models came to.
struct Side {
    answers: Answers,
    classes: usize,
    predictions: Vec<usize>,
    truth: Option<Vec<usize>>,
    seconds: f64,
    size: u64,
    engine: EngineIdentity,
    warnings: Vec<String>,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_compare";
    const SUMMARY: &'static str =
        "Compares a candidate or quantised model with the one in service: agreement, accuracy, speed, size.";
    const EXAMPLE: &'static str = "onnx_compare:
  old: models/column-classifier/model.onnx
  new: candidate.onnx
  inputs: {file: models/column-classifier/data/valid.npz}
  with_labels: true";
    const IN_CHILD: bool = true;
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        check(&config)?;
        let config = std::sync::Arc::new(config);
        // One after the other, so that neither is timed while the other runs.
        let old = side(&config, &config.old, config.old_engine, &context).await?;
        let new = side(&config, &config.new, config.new_engine, &context).await?;
        let output = output(&config, old, &new)?;
        let why = failure(&config, &output);
        Ok(Outcome::judged(output, why))
    }
}

fn check(config: &Config) -> Result<(), StepError> {
    check_share("min_agreement", config.min_agreement)?;
    check_share("max_loss", config.max_loss)?;
    check_count("rows", config.rows)?;
    check_count("batch", config.batch)?;
    check_count("runs", config.runs)?;
    check_positive("max_difference", config.max_difference.unwrap_or(0.0))?;
    check_positive("max_latency_ratio", config.max_latency_ratio.unwrap_or(0.0))?;
    check_positive("max_size_ratio", config.max_size_ratio.unwrap_or(0.0))?;
    match (config.inputs.is_some(), config.labels.is_some() || config.with_labels) {
        (false, true) => Err(StepError::new("made-up rows have no labels").help("give the rows as `inputs`")),
        _ => Ok(()),
    }
}

async fn side(
    config: &std::sync::Arc<Config>,
    model: &Path,
    engine: Option<EngineName>,
    context: &Context,
) -> Result<Side, StepError> {
    let (config, path) = (config.clone(), model.to_owned());
    let named = |error: StepError| StepError { message: format!("{}: {}", model.display(), error.message), ..error };
    let engine = engine.or(config.require_engine);
    with_model(model, engine, context, move |session| look(&config, &path, session)).await.map_err(named)
}

fn look(config: &Config, path: &Path, session: &Session<'_>) -> Result<Side, StepError> {
    /// More is not needed for a median that two models are compared by.
    const LONGEST: Duration = Duration::from_secs(20);
    // Both models are given the file beside the old one.
    let feed = Feed::of(session.model.inputs(), config.inputs.as_ref(), &config.old, config.rows)?;
    let answers = Answers::of(session, &feed, config.batch)?;
    let scores = answers.scores(config.output.as_deref())?;
    let truth = match (&config.labels, &config.inputs) {
        (given, Some(inputs)) if given.is_some() || config.with_labels => {
            Some(labels(given.as_ref(), inputs, &config.old, feed.rows, scores.classes)?)
        }
        _ => None,
    };
    let inputs = feed.slice(feed.batches(config.batch).next().unwrap_or(0..1))?;
    let timings = measure::timings(session, &inputs, 3, config.runs, LONGEST)?;
    let seconds = Sorted::new(timings.runs).map_or(0.0, |runs| runs.quantile(0.5));
    let size = std::fs::metadata(path).map_err(|error| StepError::because("cannot look at the file", &error))?.len();
    Ok(Side {
        classes: scores.classes,
        predictions: scores.predictions()?,
        answers,
        truth,
        seconds,
        size,
        engine: session.engine.clone(),
        warnings: session.warnings.clone(),
    })
}

fn output(config: &Config, old: Side, new: &Side) -> Result<Output, StepError> {
    if old.classes != new.classes {
        return Err(StepError::new(format!("the old model has {} classes, the new one {}", old.classes, new.classes))
            .help("models with other classes cannot take each other's place; compare them with an `onnx_io` step"));
    }
    let difference = Difference::between(&new.answers, &old.answers)?;
    let (rows, flips) = (old.predictions.len(), disagreements(&old.predictions, &new.predictions));
    let confusion = |side: &Side| Confusion::new(side.truth.as_ref()?, &side.predictions, side.classes);
    let (then, now) = (confusion(&old), confusion(new));
    let accuracy = |confusion: &Option<Confusion>| confusion.as_ref().map(Confusion::accuracy);
    let interval = now.as_ref().and_then(|now| wilson_interval(now.correct(), now.total(), 0.95));
    let mut output = Output {
        verdict: String::new(),
        agreement: 1.0 - flips as f64 / rows as f64,
        rows,
        flips,
        max_difference: difference.largest(),
        size_ratio: new.size as f64 / old.size.max(1) as f64,
        old_size: old.size,
        new_size: new.size,
        latency_ratio: new.seconds / old.seconds,
        old_seconds: old.seconds,
        new_seconds: new.seconds,
        old_accuracy: accuracy(&then),
        new_accuracy: accuracy(&now),
        loss: accuracy(&then).zip(accuracy(&now)).map(|(then, now)| then - now),
        new_accuracy_low: interval.map(|interval| interval.0),
        new_accuracy_high: interval.map(|interval| interval.1),
        flipped: flipped(&old.predictions, &new.predictions),
        new_engine: new.engine.engine.clone(),
        new_engine_version: new.engine.engine_version.clone(),
        engine: old.engine,
        warnings: both(old.warnings, &new.warnings),
    };
    output.verdict = verdict(config, &output, &difference).to_owned();
    Ok(output)
}

/// Of both models, each once.
fn both(mut old: Vec<String>, new: &[String]) -> Vec<String> {
    let more = new.iter().filter(|warning| !old.contains(warning)).cloned().collect::<Vec<_>>();
    old.extend(more);
    old
}

fn flipped(old: &[usize], new: &[usize]) -> Vec<Flip> {
    let pairs = old.iter().zip(new).enumerate().filter(|(_, (old, new))| old != new);
    pairs.take(MOST_ITEMS).map(|(row, (old, new))| Flip { row, old: *old, new: *new }).collect()
}

fn verdict(config: &Config, output: &Output, difference: &Difference) -> &'static str {
    let above = |value: f64, most: Option<f64>| most.is_some_and(|most| value > most);
    if output.agreement < config.min_agreement {
        "disagrees"
    } else if output.loss.is_some_and(|loss| loss > config.max_loss + 1e-12) {
        "less_accurate"
    } else if config.max_difference.is_some_and(|most| difference.exceeds(most)) {
        "differs"
    } else if above(output.latency_ratio, config.max_latency_ratio) {
        "slower"
    } else if above(output.size_ratio, config.max_size_ratio) {
        "larger"
    } else {
        "equivalent"
    }
}

fn failure(config: &Config, output: &Output) -> Option<String> {
    let number = |number: Option<f64>| number.unwrap_or(0.0);
    let Output { flips, rows, .. } = output;
    match &*output.verdict {
        "disagrees" => Some(format!(
            "{flips} of {rows} rows get another class ({} agree, {} is the least)",
            percent(output.agreement),
            percent(config.min_agreement)
        )),
        "less_accurate" => Some(format!(
            "accuracy falls from {} to {}; {} points may be lost",
            percent(number(output.old_accuracy)),
            percent(number(output.new_accuracy)),
            100.0 * config.max_loss
        )),
        "differs" => {
            let apart = output.max_difference.map_or("NaN or infinity".to_owned(), |apart| apart.to_string());
            Some(format!("answers are {apart} apart; {} is the most", number(config.max_difference)))
        }
        "slower" => Some(format!(
            "the new model takes {:.2} times as long; {} is the most",
            output.latency_ratio,
            number(config.max_latency_ratio)
        )),
        "larger" => Some(format!(
            "the new file is {:.2} times as large; {} is the most",
            output.size_ratio,
            number(config.max_size_ratio)
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::probe::onnx::testing::{fixture, model, rows};

    async fn run(new: &str, more: Value) -> StepResult<Output> {
        let mut config = json!({"old": model(), "new": new, "inputs": rows("valid"), "runs": 3});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
    }

    #[tokio::test]
    async fn a_model_is_equivalent_to_itself() {
        let limits = json!({"with_labels": true, "max_difference": 0, "max_size_ratio": 1});
        let outcome = run(&model(), limits).await.unwrap();
        assert_eq!(outcome.failure, None);
        let output = outcome.output;
        assert_eq!((&*output.verdict, output.agreement, output.rows), ("equivalent", 1.0, 256));
        assert_eq!((output.max_difference, output.loss, output.size_ratio), (Some(0.0), Some(0.0), 1.0));
        assert!(output.latency_ratio > 0.0);
    }

    #[tokio::test]
    async fn a_challenger_with_other_weights_agrees_on_labels() {
        let outcome = run(&fixture("mlp376_v2"), json!({"with_labels": true})).await.unwrap();
        assert_eq!(outcome.failure, None);
        assert!(outcome.output.max_difference.unwrap() > 1e-4);
        let strict = run(&fixture("mlp376_v2"), json!({"max_difference": 1e-5})).await.unwrap();
        assert_eq!(strict.output.verdict, "differs");
    }

    #[tokio::test]
    async fn the_int8_twin_is_smaller_and_as_good() {
        let limits = json!({"with_labels": true, "min_agreement": 0.97, "max_size_ratio": 0.5});
        let outcome = run(&fixture("mlp376_int8"), limits).await.unwrap();
        assert_eq!(outcome.failure, None);
        assert!(outcome.output.size_ratio < 0.5 && outcome.output.max_difference.unwrap() > 1e-3);
        let larger = run(&fixture("mlp376_int8"), json!({"min_agreement": 0.9, "max_size_ratio": 0.1})).await.unwrap();
        assert_eq!(larger.output.verdict, "larger");
    }

    #[tokio::test]
    async fn moved_labels_disagree_and_lose_accuracy() {
        let outcome = run(&fixture("bad_permuted"), json!({})).await.unwrap();
        assert_eq!(outcome.output.verdict, "disagrees");
        assert_eq!((outcome.output.flips, outcome.output.flipped.len()), (256, 16));
        let lax = run(&fixture("bad_permuted"), json!({"min_agreement": 0, "with_labels": true})).await.unwrap();
        assert_eq!(lax.output.verdict, "less_accurate");
        assert!(lax.failure.unwrap().contains("accuracy falls from 95.3 %"));
    }

    #[tokio::test]
    async fn a_slower_model_is_told() {
        let outcome = run(&model(), json!({"max_latency_ratio": 0})).await.unwrap();
        assert_eq!(outcome.output.verdict, "slower");
    }

    #[tokio::test]
    async fn models_of_other_classes_are_not_compared() {
        let error = run(&fixture("bad_width"), json!({})).await.unwrap_err();
        assert!(error.message.contains("12 classes, the new one 11"), "{error}");
        let error = run(&fixture("bad_truncated"), json!({})).await.unwrap_err();
        assert!(error.message.contains("bad_truncated.onnx: the model does not load"), "{error}");
        let error = run(&model(), json!({"inputs": null, "with_labels": true})).await.unwrap_err();
        assert!(error.message.contains("no labels"));
    }
}
