//! `onnx_drift`: is what comes in still like what the model was made for?
//!
//! The population stability index is Σ (c − r) ln(c / r) over intervals at the quantiles of the reference (Siddiqi, "Credit Risk
//! Scorecards", 2006); what chance adds to it for n and m rows is that of Yurdakul (2018). The test of Kolmogorov and
//! Smirnov is corrected for the number of columns by Bonferroni, or by Benjamini and Hochberg (1995).

mod columns;
mod predictions;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blocking::run_blocking;
use super::onnx::{Data, Session, check_count, check_positive, check_share, with_model};
use crate::base::picture::{Picture, Shape, Unit};
use crate::kind::{Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::golden::Values;
use crate::statistics::Correction;
use columns::{Column, Columns};
use predictions::Predictions;

/// Rows that an interval should hold by expectation. With fewer, an empty one is common, and its logarithm alone would
/// look like drift.
const ROWS_A_BIN: usize = 20;

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The rows that are known to be good, such as a part of the training data. Any form that `current` may have; write
    /// it once with `numpy.savez_compressed("reference.npz", features=rows)` and keep it beside the model.
    reference: Data,
    /// The rows of now, with the same columns.
    current: Data,
    /// A classifier. With it, what is predicted for the rows is compared as well. Default: only the rows.
    #[serde(default)]
    #[schemars(extend("x-encode" = "path"))]
    model: Option<PathBuf>,
    /// The output of the model with the numbers of the classes. Default: the first.
    #[serde(default)]
    output: Option<String>,
    /// The population stability index (PSI) from which on a column has moved, 0.25 by default; 0.1 is worth a look. What
    /// so many rows reach by chance is added: `(1/n + 1/m) (bins - 1)`.
    #[serde(default = "default_psi")]
    max_psi: f64,
    /// Intervals for the index, cut at the quantiles of the reference, 10 by default; fewer when there are less than
    /// 20 rows for each.
    #[serde(default = "default_bins")]
    bins: usize,
    /// The probability of a false alarm, 0.05 by default.
    #[serde(default = "default_alpha")]
    alpha: f64,
    /// How the Kolmogorov-Smirnov test allows for the number of columns: `bonferroni` (the default; strict),
    /// `false_discovery` (Benjamini and Hochberg; finds more) or `none`.
    #[serde(default = "default_correction")]
    correction: Correction,
    /// The Kolmogorov-Smirnov distance below which a column has not moved, however certain the test is, 0.15 by default:
    /// with very many rows, harmless changes are certain.
    #[serde(default = "default_distance")]
    min_distance: f64,
    /// How many columns may have moved, 0 by default.
    #[serde(default)]
    max_moved: usize,
    /// How evenly the classes must still be predicted, as a share of the evenness for the reference, 0.5 by default.
    /// Below it the predictions have collapsed to a few classes.
    #[serde(default = "default_evenness")]
    min_evenness: f64,
    /// Rows in one run of the model, 32 by default.
    #[serde(default = "default_batch")]
    batch: usize,
    /// The engine that must judge: `onnxruntime`, or `embedded`, the one that is built in. Without it, ONNX Runtime where
    /// it is installed, else the embedded one.
    #[serde(default)]
    require_engine: Option<EngineName>,
}

fn default_psi() -> f64 {
    0.25
}

fn default_bins() -> usize {
    10
}

fn default_alpha() -> f64 {
    0.05
}

fn default_correction() -> Correction {
    Correction::Bonferroni
}

fn default_distance() -> f64 {
    0.15
}

fn default_evenness() -> f64 {
    0.5
}

fn default_batch() -> usize {
    32
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `stable`, or the most telling of: `collapsed` (few classes are left), `predictions_moved`, `columns_moved`.
    verdict: String,
    /// Columns that were compared.
    columns: usize,
    /// Columns that moved: by the index, or by the test.
    moved_columns: usize,
    /// The column with the largest index, counted from 0.
    worst_column: usize,
    /// The population stability index of that column.
    worst_psi: f64,
    /// The index above which a column has moved: `max_psi` and what chance adds for so many rows.
    psi_limit: f64,
    /// What the index comes to on average when nothing moved.
    psi_noise: f64,
    /// Intervals that were used.
    bins: usize,
    /// Rows of the reference.
    reference_rows: usize,
    /// Rows of now.
    current_rows: usize,
    /// The index of the predicted classes; null without a model.
    prediction_psi: Option<f64>,
    /// The limit of that index; null without a model.
    prediction_psi_limit: Option<f64>,
    /// The Kolmogorov-Smirnov distance of the model's confidence; null without a model.
    confidence_distance: Option<f64>,
    /// The p-value of that test; null without a model.
    confidence_p_value: Option<f64>,
    /// How evenly the classes are predicted for the reference: 1 is all alike, 0 is one class. Null without a model.
    reference_evenness: Option<f64>,
    /// How evenly they are predicted now; null without a model.
    current_evenness: Option<f64>,
    /// The 16 columns that moved most.
    worst: Vec<Column>,
    /// The share of reference rows predicted as each of the first 16 classes; null without a model.
    reference_shares: Option<Vec<f64>>,
    /// The same of the rows of now; null without a model.
    current_shares: Option<Vec<f64>>,
    /// The engine that ran the model; null without one.
    engine: Option<String>,
    /// The version of that engine; null without a model.
    engine_version: Option<String>,
    /// SHA-256 of the engine's shared library; null for the embedded engine and without a model.
    engine_sha256: Option<String>,
    /// What lowers the weight of this verdict: operators that draw random numbers, or what the engine may compute
    /// differently.
    warnings: Vec<String>,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_drift";
    const SUMMARY: &'static str = "Compares the rows of now, and what a model predicts for them, with a reference.";
    const EXAMPLE: &'static str = "onnx_drift:
  model: models/column-classifier/model.onnx
  reference: {file: models/column-classifier/data/reference.npz}
  current: {file: models/column-classifier/data/valid.npz}";
    const IN_CHILD: bool = true;
    const PICTURES: &'static [Picture] = &[Picture {
        title: "Columns that moved most",
        field: "worst",
        shape: Shape::Bars {
            thing: "column",
            value: "psi",
            measure: "stability index",
            unit: Unit::Number,
            limit: Some("psi_limit"),
        },
    }];
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        check(&config)?;
        match config.model.clone() {
            Some(model) => {
                with_model(&model, config.require_engine, &context, move |session| judge(&config, Some(session))).await
            }
            None => run_blocking(&context, move |_| judge(&config, None)).await,
        }
    }
}

fn check(config: &Config) -> Result<(), StepError> {
    check_positive("max_psi", config.max_psi)?;
    check_share("min_distance", config.min_distance)?;
    check_share("min_evenness", config.min_evenness)?;
    check_count("batch", config.batch)?;
    if config.bins < 2 {
        return Err(StepError::new("one interval holds everything").help("write `bins: 10`, at least 2"));
    }
    if config.alpha > 0.0 && config.alpha < 1.0 {
        Ok(())
    } else {
        Err(StepError::new(format!("alpha is {}", config.alpha)).help("a probability is between 0 and 1: 0.05"))
    }
}

fn judge(config: &Config, session: Option<&Session<'_>>) -> StepResult<Output> {
    let columns = columns::compare(
        config,
        &table(config, session, &config.reference)?,
        &table(config, session, &config.current)?,
    )?;
    let predictions = session.map(|session| predictions::compare(config, session)).transpose()?;
    let output = output(session, columns, predictions, config);
    let why = failure(config, &output);
    Ok(Outcome::judged(output, why))
}

/// Rows and columns of a file.
fn table(config: &Config, session: Option<&Session<'_>>, data: &Data) -> Result<Values, StepError> {
    let input = session.and_then(|session| session.model.inputs().first());
    let mut values = data.read(config.model.as_deref(), input.map_or("features", |input| &input.name))?;
    let rows = values.shape.first().copied().unwrap_or(0);
    let width: usize = values.shape.iter().skip(1).product();
    if let Some(place) = values.data.iter().position(|value| !value.is_finite()) {
        let (row, column) = (place / width.max(1), place % width.max(1));
        let what = format!("{}: row {row}, column {column} is {}", data.file.display(), values.data[place]);
        return Err(
            StepError::new(what).help("drift of missing values is not judged; a `feature_check` step counts them")
        );
    }
    let least = 2 * ROWS_A_BIN;
    if rows < least || width == 0 {
        return Err(StepError::new(format!("{}: {rows} rows are too few to tell drift", data.file.display()))
            .help(format!("give at least {least} rows; a few hundred are better")));
    }
    values.shape = vec![rows, width];
    Ok(values)
}

fn output(
    session: Option<&Session<'_>>,
    columns: Columns,
    predictions: Option<Predictions>,
    config: &Config,
) -> Output {
    let part = predictions.as_ref();
    Output {
        verdict: verdict(config, &columns, part).to_owned(),
        columns: columns.count,
        moved_columns: columns.moved,
        worst_column: columns.worst.first().map_or(0, |worst| worst.column),
        worst_psi: columns.worst.first().map_or(0.0, |worst| worst.psi),
        psi_limit: columns.limit,
        psi_noise: columns.noise,
        bins: columns.bins,
        reference_rows: columns.rows.0,
        current_rows: columns.rows.1,
        prediction_psi: part.map(|part| part.psi),
        prediction_psi_limit: part.map(|part| part.limit),
        confidence_distance: part.map(|part| part.confidence.statistic),
        confidence_p_value: part.map(|part| part.confidence.p_value),
        reference_evenness: part.map(|part| part.evenness.0),
        current_evenness: part.map(|part| part.evenness.1),
        worst: columns.worst,
        reference_shares: part.map(|part| part.shares.0.clone()),
        current_shares: part.map(|part| part.shares.1.clone()),
        engine: session.map(|session| session.engine.engine.clone()),
        engine_version: session.map(|session| session.engine.engine_version.clone()),
        engine_sha256: session.and_then(|session| session.engine.engine_sha256.clone()),
        warnings: session.map(|session| session.warnings.clone()).unwrap_or_default(),
    }
}

fn verdict(config: &Config, columns: &Columns, predictions: Option<&Predictions>) -> &'static str {
    match predictions {
        Some(predictions) if predictions.collapsed(config) => "collapsed",
        Some(predictions) if predictions.moved(config) => "predictions_moved",
        _ if columns.moved > config.max_moved => "columns_moved",
        _ => "stable",
    }
}

fn failure(config: &Config, output: &Output) -> Option<String> {
    let moved = format!(
        "{} of {} columns moved, the most column {} (index {:.2}, limit {:.2})",
        output.moved_columns, output.columns, output.worst_column, output.worst_psi, output.psi_limit
    );
    let number = |number: Option<f64>| number.unwrap_or(0.0);
    match &*output.verdict {
        "collapsed" => Some(format!(
            "the predictions collapsed to few classes: evenness was {:.2} and is {:.2}, {:.2} is the least; {moved}",
            number(output.reference_evenness),
            number(output.current_evenness),
            number(output.reference_evenness) * config.min_evenness
        )),
        "predictions_moved" => Some(format!(
            "the predictions moved: classes by an index of {:.2} (limit {:.2}), confidence by {:.2} (limit {:.2}); {moved}",
            number(output.prediction_psi),
            number(output.prediction_psi_limit),
            number(output.confidence_distance),
            config.min_distance
        )),
        "columns_moved" => Some(moved),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
