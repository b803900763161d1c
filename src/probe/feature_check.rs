//! `feature_check`: are these feature vectors fit to be given to a model?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blocking::run_blocking;
use super::onnx::{Data, MOST_ITEMS, check_share, percent};
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};
use crate::statistics::mean;

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The feature vectors, one a row; a missing number is NaN, `null` in JSON or an empty cell.
    data: Data,
    /// How many features each vector must have, such as 376.
    features: usize,
    /// The smallest value a feature may have. Default: any.
    #[serde(default)]
    minimum: Option<f64>,
    /// The largest value a feature may have. Default: any.
    #[serde(default)]
    maximum: Option<f64>,
    /// The largest share of missing values in one feature, 0 by default: none may be missing.
    #[serde(default)]
    max_missing: f64,
    /// How many features may have the same value in every row: any number by default, since some are rarely used. With
    /// fewer than two rows this is not judged.
    #[serde(default)]
    max_constant: Option<usize>,
}

/// What the vectors are, the most telling fault last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Valid,
    Constant,
    OutOfRange,
    Missing,
    Infinite,
    WrongLength,
    Empty,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `valid`, or the most telling fault: `empty` (no rows), `wrong_length`, `infinite`, `missing`, `out_of_range`,
    /// `constant`.
    #[schemars(with = "String")]
    verdict: Verdict,
    /// Feature vectors in the file.
    rows: usize,
    /// Features that each vector must have.
    features: usize,
    /// Vectors of another length; they are not looked at further.
    wrong_length_rows: usize,
    /// Missing numbers (NaN).
    nan: usize,
    /// Infinite numbers.
    infinite: usize,
    /// Numbers below `minimum` or above `maximum`.
    out_of_range: usize,
    /// Features with the same value in every row; 0 below two rows.
    constant_features: usize,
    /// The largest share of missing values in one feature.
    worst_missing: f64,
    /// Which feature that is, counted from 0.
    worst_feature: usize,
    /// The smallest finite value; null when there is none.
    smallest: Option<f64>,
    /// The mean of the finite values; null when there is none.
    mean: Option<f64>,
    /// The largest finite value; null when there is none.
    largest: Option<f64>,
    /// The 16 features with the most values that are not fit, counted from 0.
    worst: Vec<Feature>,
}

#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Feature {
    /// Counted from 0.
    feature: usize,
    /// Missing values.
    nan: usize,
    /// Infinite values.
    infinite: usize,
    /// Values below `minimum` or above `maximum`.
    out_of_range: usize,
    /// The smallest finite value; null when there is none.
    smallest: Option<f64>,
    /// The largest finite value; null when there is none.
    largest: Option<f64>,
}

impl Kind for Step {
    const NAME: &'static str = "feature_check";
    const SUMMARY: &'static str =
        "Judges feature vectors before a model sees them: length, missing and infinite numbers, ranges.";
    const EXAMPLE: &'static str =
        "feature_check: {data: {file: models/column-classifier/data/valid.npz, array: features}, features: 376}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        check_share("max_missing", config.max_missing)?;
        if config.features == 0 {
            return Err(StepError::new("features is 0").help("write how many features a vector must have"));
        }
        run_blocking(&context, move |stop| {
            let rows = config.data.read_rows(None, "features")?;
            stop.check()?;
            Ok(judge(&config, &rows))
        })
        .await
    }
}

fn judge(config: &Config, rows: &[Vec<f64>]) -> Outcome<Output> {
    let fit: Vec<&[f64]> = rows.iter().filter(|row| row.len() == config.features).map(Vec::as_slice).collect();
    let features: Vec<Feature> = (0..config.features).map(|feature| look(config, &fit, feature)).collect();
    let output = output(config, rows, &fit, features);
    let why = failure(config, &output, rows);
    Outcome::judged(output, why)
}

/// One feature over all rows.
fn look(config: &Config, rows: &[&[f64]], feature: usize) -> Feature {
    let mut found = Feature { feature, ..Feature::default() };
    let (low, high) = (config.minimum.unwrap_or(f64::MIN), config.maximum.unwrap_or(f64::MAX));
    for value in rows.iter().map(|row| row[feature]) {
        if value.is_nan() {
            found.nan += 1;
        } else if value.is_infinite() {
            found.infinite += 1;
        } else {
            found.out_of_range += usize::from(value < low || value > high);
            found.smallest = Some(found.smallest.map_or(value, |smallest| smallest.min(value)));
            found.largest = Some(found.largest.map_or(value, |largest| largest.max(value)));
        }
    }
    found
}

fn output(config: &Config, rows: &[Vec<f64>], fit: &[&[f64]], mut features: Vec<Feature>) -> Output {
    let sum = |count: fn(&Feature) -> usize| features.iter().map(count).sum::<usize>();
    let worst = features.iter().max_by_key(|feature| (feature.nan, std::cmp::Reverse(feature.feature)));
    let finite: Vec<f64> = fit.iter().copied().flatten().copied().filter(|value| value.is_finite()).collect();
    let constant = features.iter().filter(|feature| feature.smallest.is_some() && feature.smallest == feature.largest);
    let mut output = Output {
        verdict: Verdict::Valid,
        rows: rows.len(),
        features: config.features,
        wrong_length_rows: rows.len() - fit.len(),
        nan: sum(|feature| feature.nan),
        infinite: sum(|feature| feature.infinite),
        out_of_range: sum(|feature| feature.out_of_range),
        constant_features: if fit.len() < 2 { 0 } else { constant.count() },
        worst_missing: worst.map_or(0.0, |worst| worst.nan as f64 / fit.len().max(1) as f64),
        worst_feature: worst.map_or(0, |worst| worst.feature),
        smallest: finite.iter().copied().reduce(f64::min),
        mean: mean(&finite),
        largest: finite.iter().copied().reduce(f64::max),
        worst: Vec::new(),
    };
    output.verdict = verdict(config, &output);
    let unfit = |feature: &Feature| feature.nan + feature.infinite + feature.out_of_range;
    features.retain(|feature| unfit(feature) > 0);
    features.sort_by_key(|feature| std::cmp::Reverse(unfit(feature)));
    features.truncate(MOST_ITEMS);
    output.worst = features;
    output
}

fn verdict(config: &Config, output: &Output) -> Verdict {
    let faults = [
        (Verdict::Empty, output.rows == 0),
        (Verdict::WrongLength, output.wrong_length_rows > 0),
        (Verdict::Infinite, output.infinite > 0),
        (Verdict::Missing, output.worst_missing > config.max_missing),
        (Verdict::OutOfRange, output.out_of_range > 0),
        (Verdict::Constant, config.max_constant.is_some_and(|most| output.constant_features > most)),
    ];
    faults.into_iter().find(|(_, found)| *found).map_or(Verdict::Valid, |(verdict, _)| verdict)
}

fn failure(config: &Config, output: &Output, rows: &[Vec<f64>]) -> Option<String> {
    let worst = output.worst.first().map_or(0, |worst| worst.feature);
    let rows_of = output.rows;
    Some(match output.verdict {
        Verdict::Valid => return None,
        Verdict::Empty => "there is no feature vector".to_owned(),
        Verdict::WrongLength => {
            let other = rows.iter().map(Vec::len).find(|length| *length != config.features).unwrap_or(0);
            let (count, features) = (output.wrong_length_rows, config.features);
            format!("{count} of {rows_of} vectors have another length than {features}; the first has {other}")
        }
        Verdict::Infinite => format!("{} values are infinite; feature {worst} is the worst", output.infinite),
        Verdict::Missing => format!(
            "feature {} is missing in {} of the rows; {} may be",
            output.worst_feature,
            percent(output.worst_missing),
            percent(config.max_missing)
        ),
        Verdict::OutOfRange => {
            format!("{} values are out of range; feature {worst} is the worst", output.out_of_range)
        }
        Verdict::Constant => format!("{} features have the same value in every row", output.constant_features),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::probe::onnx::testing::rows;

    async fn check(text: &str, more: Value) -> Outcome<Output> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vectors.json");
        std::fs::write(&file, text).unwrap();
        let mut config = json!({"data": {"file": file}, "features": 3});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await.unwrap()
    }

    #[tokio::test]
    async fn sound_vectors_are_valid() {
        let config = json!({"data": rows("valid"), "features": 376, "minimum": -10, "maximum": 10, "max_constant": 0});
        let outcome = Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await.unwrap();
        assert_eq!(outcome.failure, None);
        let output = outcome.output;
        assert_eq!((output.verdict, output.rows, output.constant_features), (Verdict::Valid, 256, 0));
        assert!(output.smallest.unwrap() < -3.0 && output.mean.unwrap().abs() < 0.5 && output.worst.is_empty());
    }

    #[tokio::test]
    async fn each_fault_has_its_verdict() {
        let none = json!({});
        let verdict = async |text: &str, more: Value| check(text, more).await.output.verdict;
        assert_eq!(verdict("[]", none.clone()).await, Verdict::Empty);
        assert_eq!(verdict("[[1, 2, 3], [1, 2]]", none.clone()).await, Verdict::WrongLength);
        assert_eq!(verdict("[[1, 2, 3, 4]]", none.clone()).await, Verdict::WrongLength);
        assert_eq!(verdict("[[1, null, 3]]", none.clone()).await, Verdict::Missing);
        assert_eq!(verdict("[[1, 2, 30]]", json!({"maximum": 10})).await, Verdict::OutOfRange);
        assert_eq!(verdict("[[1, 2, 3], [1, 4, 5]]", json!({"max_constant": 0})).await, Verdict::Constant);
        assert_eq!(verdict("[1, 2, 3]", json!({"max_constant": 0})).await, Verdict::Valid);
    }

    #[tokio::test]
    async fn a_share_of_missing_values_may_be_allowed() {
        let text = "[[1, null, 3], [1, 2, 3], [null, null, 3], [1, 2, 3]]";
        assert_eq!(check(text, json!({"max_missing": 0.5})).await.failure, None);
        let outcome = check(text, json!({"max_missing": 0.25})).await;
        assert_eq!(outcome.failure.unwrap(), "feature 1 is missing in 50.0 % of the rows; 25.0 % may be");
        assert_eq!(outcome.output.worst.iter().map(|worst| worst.nan).collect::<Vec<_>>(), [2, 1]);
    }

    #[tokio::test]
    async fn infinite_values_are_never_fit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vectors.csv");
        std::fs::write(&file, "1,2,inf\n1,2,3\n").unwrap();
        let config = json!({"data": {"file": file}, "features": 3, "max_missing": 1});
        let outcome = Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await.unwrap();
        assert_eq!((outcome.output.verdict, outcome.output.worst[0].feature), (Verdict::Infinite, 2));
    }

    #[tokio::test]
    async fn a_missing_file_is_an_error() {
        let config = json!({"data": {"file": "/nowhere/x.npy"}, "features": 3});
        assert!(Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await.is_err());
    }
}
