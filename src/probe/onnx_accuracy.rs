//! `onnx_accuracy`: how often is a classifier right?
//!
//! Precision, recall, F1 and their unweighted mean are those of scikit-learn's `precision_recall_fscore_support` with
//! `zero_division=0`; the interval is Wilson's (1927). The drop is relative to the baseline, as in the check of
//! train-test degradation of Deepchecks: (baseline − accuracy) / baseline.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::onnx::{Answers, Data, Feed, MOST_ITEMS, Session, check_count, check_share, labels, percent, with_model};
use crate::base::picture::{Picture, Shape, Unit};
use crate::kind::{Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::EngineIdentity;
use crate::statistics::{ClassScore, Confusion, wilson_interval};

/// A confusion matrix of more classes is only told by its worst mistakes.
const MOST_CLASSES: usize = 32;

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
    /// The least share of rows that must be right (top-1), 0.8 by default.
    #[serde(default = "default_floor")]
    min_accuracy: f64,
    /// The accuracy of the model before, to compare with; from another step for example.
    #[serde(default)]
    baseline: Option<f64>,
    /// How much accuracy may be lost against the baseline, as a share of it: 0.05 by default, so from 0.9 to 0.855.
    #[serde(default = "default_drop")]
    max_drop: f64,
    /// Classes that count as one, such as `[[0, 1]]` for two kinds of text.
    #[serde(default)]
    equal_classes: Vec<Vec<usize>>,
    /// The least number of rows: 30 by default. Of three rows only 0, 33, 67 or 100 % can be right.
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

fn default_floor() -> f64 {
    0.8
}

fn default_drop() -> f64 {
    0.05
}

fn default_rows() -> usize {
    30
}

fn default_batch() -> usize {
    32
}

/// What the rows say about the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Good,
    BelowFloor,
    Dropped,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `good`, `below_floor` or `dropped` (good enough by itself, but worse than the baseline allows).
    #[schemars(with = "String")]
    verdict: Verdict,
    /// The share of rows whose most likely class is the true one (top-1).
    accuracy: f64,
    /// The lower end of the 95 % interval of the true accuracy (Wilson's score interval): how much so many rows can tell.
    accuracy_low: f64,
    /// The upper end of that interval.
    accuracy_high: f64,
    /// Rows that were judged.
    rows: usize,
    /// Rows whose most likely class is the true one.
    correct: u64,
    /// Classes that the model tells apart.
    classes: usize,
    /// The unweighted mean of F1 over the classes that occur.
    macro_f1: f64,
    /// The class of which the smallest share of rows is found.
    worst_class: usize,
    /// That share.
    worst_recall: f64,
    /// The accuracy compared with; null without one.
    baseline: Option<f64>,
    /// The loss against the baseline as a share of it, below zero for a gain; null without a baseline.
    drop: Option<f64>,
    /// How the first 32 classes fare, as scikit-learn defines it.
    per_class: Vec<PerClass>,
    /// Rows by true class, then by predicted class; empty for more than 32 classes.
    confusion: Vec<Vec<u64>>,
    /// The 16 most frequent mistakes.
    mistakes: Vec<Mistake>,
    #[serde(flatten)]
    engine: EngineIdentity,
    /// What lowers the weight of this verdict: operators that draw random numbers, or what the engine may compute
    /// differently.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct PerClass {
    /// Counted from 0.
    class: usize,
    /// Of the rows predicted as this class, the share that is; 0 when there is none.
    precision: f64,
    /// Of the rows of this class, the share that was found; 0 when there is none.
    recall: f64,
    /// The harmonic mean of the two.
    f1: f64,
    /// Rows of this class.
    rows: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Mistake {
    /// The true class.
    class: usize,
    /// The class that the model gives.
    predicted: usize,
    /// Rows with this mistake.
    rows: u64,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_accuracy";
    const SUMMARY: &'static str =
        "Judges a classifier on rows with known labels: accuracy, precision, recall, confusion.";
    const EXAMPLE: &'static str = "onnx_accuracy:
  model: models/column-classifier/model.onnx
  inputs: {file: models/column-classifier/data/valid.npz}
  min_accuracy: 0.85";
    const IN_CHILD: bool = true;
    const PICTURES: &'static [Picture] = &[Picture {
        title: "F1 of each class",
        field: "per_class",
        shape: Shape::Bars { thing: "class", value: "f1", measure: "F1", unit: Unit::Number, limit: None },
    }];
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
    check_share("min_accuracy", config.min_accuracy)?;
    check_share("max_drop", config.max_drop)?;
    check_count("batch", config.batch)?;
    match config.baseline {
        Some(baseline) if !(baseline > 0.0 && baseline <= 1.0) => {
            Err(StepError::new(format!("baseline is {baseline}")).help("a baseline is an accuracy above 0, up to 1"))
        }
        _ => Ok(()),
    }
}

fn judge(config: &Config, session: &Session<'_>) -> StepResult<Output> {
    let feed = Feed::read(session.model.inputs(), &config.inputs, &config.model)?;
    if feed.rows < config.min_rows {
        return Err(StepError::new(format!("{} rows are too few to tell an accuracy", feed.rows))
            .help(format!("give at least {} rows, or lower `min_rows`", config.min_rows)));
    }
    let scores = Answers::of(session, &feed, config.batch)?.scores(config.output.as_deref())?;
    let truth = labels(config.labels.as_ref(), &config.inputs, &config.model, feed.rows, scores.classes)?;
    let merged = |classes: Vec<usize>| -> Vec<usize> {
        classes.into_iter().map(|class| representative(class, &config.equal_classes)).collect()
    };
    let confusion = Confusion::new(&merged(truth), &merged(scores.predictions()?), scores.classes)
        .ok_or_else(|| StepError::new("a class in `equal_classes` is not one of the model's"))?;
    let output = output(config, &confusion, session);
    let why = failure(config, &output);
    Ok(Outcome::judged(output, why))
}

/// The smallest class of the group that holds the class.
fn representative(class: usize, groups: &[Vec<usize>]) -> usize {
    let group = groups.iter().find(|group| group.contains(&class));
    group.and_then(|group| group.iter().min().copied()).unwrap_or(class)
}

fn output(config: &Config, confusion: &Confusion, session: &Session<'_>) -> Output {
    let (accuracy, scores) = (confusion.accuracy(), confusion.scores());
    let drop = config.baseline.map(|baseline| (baseline - accuracy) / baseline);
    let (low, high) = wilson_interval(confusion.correct(), confusion.total(), 0.95).unwrap_or((0.0, 1.0));
    let present = scores.iter().enumerate().filter(|(_, score)| score.support > 0);
    let worst = present.min_by(|left, right| left.1.recall.total_cmp(&right.1.recall));
    let verdict = match drop {
        _ if accuracy < config.min_accuracy => Verdict::BelowFloor,
        Some(drop) if drop > config.max_drop => Verdict::Dropped,
        _ => Verdict::Good,
    };
    Output {
        verdict,
        accuracy,
        accuracy_low: low,
        accuracy_high: high,
        rows: confusion.total() as usize,
        correct: confusion.correct(),
        classes: scores.len(),
        macro_f1: confusion.macro_f1(),
        worst_class: worst.map_or(0, |(class, _)| class),
        worst_recall: worst.map_or(0.0, |(_, score)| score.recall),
        baseline: config.baseline,
        drop,
        per_class: scores.iter().take(MOST_CLASSES).enumerate().map(per_class).collect(),
        confusion: matrix(confusion, scores.len()),
        mistakes: confusion.worst_confusions(MOST_ITEMS).into_iter().map(mistake).collect(),
        engine: session.engine.clone(),
        warnings: session.warnings.clone(),
    }
}

fn matrix(confusion: &Confusion, classes: usize) -> Vec<Vec<u64>> {
    if classes > MOST_CLASSES { Vec::new() } else { confusion.rows().map(<[u64]>::to_vec).collect() }
}

fn per_class((class, score): (usize, &ClassScore)) -> PerClass {
    PerClass { class, precision: score.precision, recall: score.recall, f1: score.f1, rows: score.support }
}

fn mistake((class, predicted, rows): (usize, usize, u64)) -> Mistake {
    Mistake { class, predicted, rows }
}

fn failure(config: &Config, output: &Output) -> Option<String> {
    let Output { correct, rows, accuracy, .. } = output;
    let right = format!("{correct} of {rows} rows are right ({})", percent(*accuracy));
    match output.verdict {
        Verdict::Good => None,
        Verdict::BelowFloor => Some(format!(
            "{right}, at least {} must be; of class {} only {} are found",
            percent(config.min_accuracy),
            output.worst_class,
            percent(output.worst_recall)
        )),
        Verdict::Dropped => Some(format!(
            "{right}, which is {} less than the baseline of {}; {} may be lost",
            percent(output.drop.unwrap_or(0.0)),
            percent(output.baseline.unwrap_or(0.0)),
            percent(config.max_drop)
        )),
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
    async fn a_good_classifier_is_good() {
        let outcome = run(json!({"model": model(), "inputs": rows("valid"), "min_accuracy": 0.85})).await.unwrap();
        assert_eq!(outcome.failure, None);
        let output = outcome.output;
        assert_eq!((output.verdict, output.rows, output.classes), (Verdict::Good, 256, 12));
        // ONNX Runtime 1.31 gets the same rows right.
        assert_eq!(output.correct, 244);
        assert!(output.accuracy_low < output.accuracy && output.accuracy < output.accuracy_high);
        assert_eq!(output.confusion.iter().flatten().sum::<u64>(), 256);
        assert_eq!(output.per_class.iter().map(|class| class.rows).sum::<u64>(), 256);
    }

    #[tokio::test]
    async fn moved_labels_are_below_the_floor() {
        let outcome = run(json!({"model": fixture("bad_permuted"), "inputs": rows("valid")})).await.unwrap();
        assert_eq!(outcome.output.verdict, Verdict::BelowFloor);
        assert!(outcome.output.accuracy < 0.05);
        assert!(outcome.failure.unwrap().contains("at least 80.0 % must be"));
    }

    #[tokio::test]
    async fn a_loss_against_the_baseline_is_told_apart() {
        let config = json!({"model": model(), "inputs": rows("shifted"), "min_accuracy": 0.5, "baseline": 0.94});
        let outcome = run(config).await.unwrap();
        assert_eq!(outcome.output.verdict, Verdict::Dropped);
        assert!(outcome.output.drop.unwrap() > 0.05);
        assert!(outcome.failure.unwrap().contains("less than the baseline of 94.0 %"));
    }

    #[tokio::test]
    async fn classes_may_count_as_one() {
        let everything: Vec<usize> = (0..12).collect();
        let config = json!({"model": fixture("bad_permuted"), "inputs": rows("valid"), "equal_classes": [everything]});
        assert_eq!(run(config).await.unwrap().output.accuracy, 1.0);
    }

    #[tokio::test]
    async fn what_was_not_measured_is_an_error() {
        let message = async |config: Value| run(config).await.unwrap_err().message;
        let (model, rows) = (model(), rows("valid"));
        let few = json!({"model": model, "inputs": rows, "min_rows": 1000});
        assert!(message(few).await.contains("256 rows are too few"));
        let broken = json!({"model": fixture("bad_truncated"), "inputs": rows});
        assert!(message(broken).await.contains("does not load (malformed)"));
        let narrow = json!({"model": fixture("bad_width_in"), "inputs": rows});
        assert!(message(narrow).await.contains("the model did not run"));
        let flat = json!({"model": fixture("bad_lying_shape"), "inputs": rows});
        assert!(message(flat).await.contains("for 32 rows"));
        let nan = json!({"model": fixture("bad_nan"), "inputs": rows});
        assert!(message(nan).await.contains("holds NaN"));
        let wrong = json!({"model": model, "inputs": rows, "labels": {"file": rows["file"], "array": "features"}});
        assert!(message(wrong).await.contains("256 labels"));
        let floor = json!({"model": model, "inputs": rows, "min_accuracy": 85});
        assert!(message(floor).await.contains("min_accuracy is 85"));
    }
}
