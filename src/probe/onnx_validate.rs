//! `onnx_validate`: are a model's answers possible at all?
//!
//! NaN and infinity are faults as in Polygraphy's `--validate`; probabilities are from 0 to 1 and sum to 1 in each row.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::onnx::answers::Answering;
use super::onnx::{Answers, Broken, Data, Feed, Session, check_count, check_positive, with_model};
use crate::kind::{Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::EngineIdentity;
use crate::model::golden::Values;
use crate::model::{FaultKind, TensorInfo};

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model file.
    #[schemars(extend("x-encode" = "path"))]
    model: PathBuf,
    /// The rows to run. Default: numbers that are made up, the same each time; they scatter around zero, so rows of your
    /// own find more.
    #[serde(default)]
    inputs: Option<Data>,
    /// How many rows to make up, 256 by default.
    #[serde(default = "default_rows")]
    rows: usize,
    /// Rows in one run, 32 by default.
    #[serde(default = "default_batch")]
    batch: usize,
    /// The output to judge. Default: all of them.
    #[serde(default)]
    output: Option<String>,
    /// Whether each row of answers is a set of probabilities: from 0 to 1, summing to 1. Default: false.
    #[serde(default)]
    probabilities: bool,
    /// How far a sum of probabilities may be from 1, 0.001 by default; int8 models need about 0.01.
    #[serde(default = "default_tolerance")]
    tolerance: f64,
    /// The smallest number that may be answered. Default: any.
    #[serde(default)]
    minimum: Option<f64>,
    /// The largest number that may be answered. Default: any.
    #[serde(default)]
    maximum: Option<f64>,
    /// Whether the same answer to every row is allowed. Default: false.
    #[serde(default)]
    allow_constant: bool,
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

fn default_tolerance() -> f64 {
    0.001
}

/// What the answers are, the most telling fault last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Valid,
    NotProbabilities,
    OutOfRange,
    Constant,
    NotFinite,
    WrongShape,
    RunFailed,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `valid`, or the most telling fault: `run_failed`, `wrong_shape` (not as the model declares), `not_finite`,
    /// `constant` (the same answer to every row), `out_of_range`, `not_probabilities`.
    #[schemars(with = "String")]
    verdict: Verdict,
    /// Rows that were answered.
    rows: usize,
    /// Rows with NaN among the answers.
    nan_rows: usize,
    /// Rows with an infinity and no NaN among the answers.
    infinite_rows: usize,
    /// Rows with a number below `minimum` or above `maximum`.
    out_of_range_rows: usize,
    /// Rows that are no set of probabilities; 0 unless `probabilities` is set.
    improbable_rows: usize,
    /// Whether every row got the same answer.
    constant: bool,
    /// The smallest finite number answered; null when there is none.
    smallest: Option<f64>,
    /// The largest finite number answered; null when there is none.
    largest: Option<f64>,
    /// The first fault in words; null without one.
    first_fault: Option<String>,
    /// Whether the rows were made up.
    made_up: bool,
    #[serde(flatten)]
    engine: EngineIdentity,
    /// What lowers the weight of this verdict: operators that draw random numbers, or what the engine may compute
    /// differently.
    warnings: Vec<String>,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_validate";
    const SUMMARY: &'static str =
        "Judges whether a model's answers are possible: finite, in range, of the declared shape, not all the same.";
    const EXAMPLE: &'static str = "onnx_validate: {model: models/column-classifier/model.onnx, probabilities: true}";
    const IN_CHILD: bool = true;
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        check_count("rows", config.rows)?;
        check_count("batch", config.batch)?;
        check_positive("tolerance", config.tolerance)?;
        let model = config.model.clone();
        with_model(&model, config.require_engine, &context, move |session| judge(&config, session)).await
    }
}

fn judge(config: &Config, session: &Session<'_>) -> StepResult<Output> {
    let feed = Feed::of(session.model.inputs(), config.inputs.as_ref(), &config.model, config.rows)?;
    let mut findings = Findings::default();
    match Answers::of(session, &feed, config.batch) {
        Ok(answers) => findings.judge(config, session.model.outputs(), &answers)?,
        Err(Answering::Model(Broken::Fault(fault))) if fault.kind != FaultKind::WrongInput => {
            findings.note(Verdict::RunFailed, || fault.detail);
        }
        Err(Answering::Model(Broken::Shape(what))) => findings.note(Verdict::WrongShape, || what),
        // Stopped, or the rows do not suit the model: nothing was learnt about its answers.
        Err(other) => return Err(other.into()),
    }
    let output = findings.output(session, &feed);
    let why = output.first_fault.clone();
    Ok(Outcome::judged(output, why))
}

#[derive(Default)]
struct Findings {
    worst: Option<(Verdict, String)>,
    nan_rows: usize,
    infinite_rows: usize,
    out_of_range_rows: usize,
    improbable_rows: usize,
    constant: bool,
    range: Option<(f64, f64)>,
}

impl Findings {
    /// Keeps the first fault of the most telling kind.
    fn note(&mut self, verdict: Verdict, what: impl FnOnce() -> String) {
        if self.worst.as_ref().is_none_or(|(worst, _)| verdict > *worst) {
            self.worst = Some((verdict, what()));
        }
    }

    fn judge(&mut self, config: &Config, declared: &[TensorInfo], answers: &Answers) -> Result<(), StepError> {
        let judged = match &config.output {
            Some(name) => std::slice::from_ref(answers.output(Some(name))?),
            None => &answers.outputs[..],
        };
        for (name, values) in judged {
            self.shape(name, values, declared);
            let width: usize = values.shape[1..].iter().product();
            let rows = values.data.chunks_exact(width.max(1)).enumerate();
            rows.for_each(|(index, row)| self.row(config, name, index, row));
        }
        self.constant = judged.iter().all(|(_, values)| is_constant(values));
        if self.constant && !config.allow_constant {
            self.note(Verdict::Constant, || "every row gets the same answer".into());
        }
        Ok(())
    }

    fn shape(&mut self, name: &str, values: &Values, declared: &[TensorInfo]) {
        let Some(info) = declared.iter().find(|info| info.name == name) else { return };
        let same_rank = info.shape.len() == values.shape.len();
        // The first size is the number of rows of all runs together.
        let sizes = info.shape.iter().zip(&values.shape).skip(1);
        let fits =
            same_rank && sizes.into_iter().all(|(declared, size)| declared.is_none_or(|declared| declared == *size));
        if !fits {
            let (shape, rows) = (&values.shape[1..], &info.shape);
            self.note(Verdict::WrongShape, || {
                format!("each row of '{name}' has the shape {shape:?}; declared is {rows:?}")
            });
        }
    }

    fn row(&mut self, config: &Config, name: &str, index: usize, row: &[f64]) {
        let place = || format!("the answer '{name}' to row {index}");
        if let Some(number) = row.iter().find(|number| !number.is_finite()) {
            let nan = row.iter().any(|number| number.is_nan());
            *if nan { &mut self.nan_rows } else { &mut self.infinite_rows } += 1;
            self.note(Verdict::NotFinite, || format!("{} holds {number}", place()));
            return;
        }
        for number in row {
            let (low, high) = self.range.unwrap_or((*number, *number));
            self.range = Some((low.min(*number), high.max(*number)));
        }
        let (low, high) = (config.minimum.unwrap_or(f64::MIN), config.maximum.unwrap_or(f64::MAX));
        if let Some(number) = row.iter().find(|number| !(low..=high).contains(number)) {
            self.out_of_range_rows += 1;
            self.note(Verdict::OutOfRange, || format!("{} holds {number}, which is out of range", place()));
        }
        let sum: f64 = row.iter().sum();
        let possible = row.iter().all(|share| (-config.tolerance..=1.0 + config.tolerance).contains(share));
        if config.probabilities && !(possible && (sum - 1.0).abs() <= config.tolerance) {
            self.improbable_rows += 1;
            self.note(Verdict::NotProbabilities, || {
                format!("{} is no set of probabilities: its sum is {sum}", place())
            });
        }
    }

    fn output(self, session: &Session<'_>, feed: &Feed) -> Output {
        let (verdict, first_fault) = self.worst.map_or((Verdict::Valid, None), |(verdict, what)| (verdict, Some(what)));
        Output {
            verdict,
            rows: feed.rows,
            nan_rows: self.nan_rows,
            infinite_rows: self.infinite_rows,
            out_of_range_rows: self.out_of_range_rows,
            improbable_rows: self.improbable_rows,
            constant: self.constant,
            smallest: self.range.map(|(low, _)| low),
            largest: self.range.map(|(_, high)| high),
            first_fault,
            made_up: feed.made_up,
            engine: session.engine.clone(),
            warnings: session.warnings.clone(),
        }
    }
}

/// Whether all rows, two at least, have the same numbers.
fn is_constant(values: &Values) -> bool {
    /// float32 sums in another order differ by about so much.
    const SLACK: f64 = 1e-6;
    let width: usize = values.shape[1..].iter().product();
    if values.shape[0] < 2 || width == 0 {
        return false;
    }
    let (first, rest) = values.data.split_at(width);
    let same = |(number, other): (&f64, &f64)| (number - other).abs() <= SLACK * other.abs().max(1.0);
    rest.chunks_exact(width).all(|row| row.iter().zip(first).all(same))
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
    async fn a_sound_model_is_valid_on_given_and_on_made_up_rows() {
        for inputs in [Value::Null, rows("valid")] {
            let made_up = inputs.is_null();
            let config = json!({"model": model(), "inputs": inputs, "probabilities": true, "minimum": 0, "maximum": 1});
            let outcome = run(config).await.unwrap();
            assert_eq!(outcome.failure, None);
            assert_eq!((outcome.output.verdict, outcome.output.rows), (Verdict::Valid, 256));
            assert_eq!(outcome.output.made_up, made_up);
            assert!(outcome.output.smallest >= Some(0.0) && outcome.output.largest <= Some(1.0));
        }
    }

    #[tokio::test]
    async fn impossible_answers_are_counted() {
        let nan = run(json!({"model": fixture("bad_nan"), "inputs": rows("valid")})).await.unwrap();
        assert!((1..256).contains(&nan.output.nan_rows) && nan.output.infinite_rows == 0);
        assert!(nan.failure.unwrap().contains("holds NaN"));
        let infinite = run(json!({"model": fixture("bad_inf"), "inputs": rows("valid")})).await.unwrap();
        assert!(infinite.output.infinite_rows > 0 && infinite.output.nan_rows == 0);
        let logits = run(json!({"model": fixture("bad_logits"), "probabilities": true})).await.unwrap();
        assert_eq!(logits.output.improbable_rows, 256);
        // Without the wish for probabilities, logits are as good as any numbers.
        assert_eq!(run(json!({"model": fixture("bad_logits")})).await.unwrap().output.verdict, Verdict::Valid);
        let range = run(json!({"model": fixture("bad_logits"), "minimum": 0, "probabilities": true})).await.unwrap();
        assert_eq!(range.output.verdict, Verdict::OutOfRange);
    }

    #[tokio::test]
    async fn the_same_answer_to_everything_is_a_fault_unless_allowed() {
        let config = |allowed| json!({"model": fixture("bad_constant"), "allow_constant": allowed});
        assert_eq!(run(config(false)).await.unwrap().output.verdict, Verdict::Constant);
        let outcome = run(config(true)).await.unwrap();
        assert_eq!((outcome.output.verdict, outcome.output.constant), (Verdict::Valid, true));
    }

    #[tokio::test]
    async fn rows_that_do_not_suit_the_model_are_no_finding() {
        let error = run(json!({"model": fixture("bad_width_in"), "inputs": rows("valid")})).await.unwrap_err();
        assert!(error.message.contains("did not run"), "{error}");
        let error = run(json!({"model": model(), "output": "logits"})).await.unwrap_err();
        assert!(error.help.unwrap().contains("probabilities"));
    }
}
