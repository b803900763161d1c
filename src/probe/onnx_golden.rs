//! `onnx_golden`: does this model still give the answers it gave when it was known to be right?
//!
//! An answer `a` matches the golden `b` when |a − b| ≤ atol + rtol·|b|, the rule of `numpy.allclose`. A flip is a row whose
//! largest number (`numpy.argmax`) moved to another place.

use std::cell::Cell;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::onnx::{Bench, at_bench, beside, read_cases};
use crate::kind::{Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::golden::{self, Comparison, Golden, Tolerance, Verdict};
use crate::model::{EngineIdentity, LoadOptions, Model, Workbench};

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model file, such as `models/ocr-text/model.onnx`.
    #[schemars(extend("x-encode" = "path"))]
    model: PathBuf,
    /// The file with the golden cases. A bare file name such as `golden.json` lies beside the model; any
    /// other path is taken from the working folder. It is JSON:
    /// `{"cases": [{"name": "one", "inputs": {"features": {"shape": [1, 2], "data": [0.5, 1]}},
    /// "outputs": {"probabilities": {"shape": [1, 2], "data": [0.25, 0.75]}}}],
    /// "tolerance": {"absolute": 0.00001, "relative": 0.00001}}`, numbers in row-major order; or `.npz` as numpy
    /// saves it, with the arrays `inputs/NAME` and `outputs/NAME`, for several cases with `CASE/` before them:
    /// `numpy.savez_compressed("golden.npz", **{"inputs/features": rows, "outputs/probabilities": answers})`.
    #[schemars(extend("x-encode" = "path"))]
    cases: PathBuf,
    /// How precisely the model computes, which sets both tolerances: `float32` (0.00001), `float16` (0.001) or `int8`
    /// (0.05). Default: what the file says, else float32.
    #[serde(default)]
    precision: Option<Precision>,
    /// How far a number may be from the golden one, whatever its size: it matches when the distance is at most this
    /// plus `relative` times the golden number, the rule of `numpy.allclose`. Default: that of `precision`.
    #[serde(default)]
    absolute: Option<f64>,
    /// How far a number may be from the golden one in addition, as a share of it (0.01 is 1 %). Default: that of
    /// `precision`.
    #[serde(default)]
    relative: Option<f64>,
    /// The engine that must judge: `onnxruntime`, or `embedded`, the one that is built in. Without it, ONNX
    /// Runtime where it is installed, else the embedded one.
    #[serde(default)]
    require_engine: Option<EngineName>,
}

/// The numbers that a model computes with.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Precision {
    Float32,
    Float16,
    Int8,
}

impl Precision {
    /// float16 rounds at 2^-11, which a few layers make about 0.001; an int8 step is 1/256 of the range of a layer.
    fn tolerance(self) -> Tolerance {
        match self {
            Precision::Float32 => Tolerance::default(),
            Precision::Float16 => Tolerance { absolute: 1e-3, relative: 1e-3 },
            Precision::Int8 => Tolerance { absolute: 0.05, relative: 0.05 },
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `match`, or the worst that was found: `differs`, `not_finite`, `wrong_shape`, `run_failed`, `load_failed`.
    #[schemars(with = "String")]
    verdict: Verdict,
    /// Cases in the file.
    cases: usize,
    /// Cases of which every number is within the tolerance.
    matched: usize,
    /// Cases of which at least one number is not.
    mismatched: usize,
    /// NaN and infinities among the answered numbers.
    not_finite: usize,
    /// Cases with a missing output or one of another shape.
    shape_mismatches: usize,
    /// Rows whose largest number is at another place, so that another label would be chosen.
    label_flips: usize,
    /// The largest distance between an answered and a golden number.
    max_absolute_error: f64,
    /// The largest distance as a share of the golden number, where that is not zero.
    max_relative_error: f64,
    /// The case with the worst verdict; null when all match.
    worst_case: Option<String>,
    /// What differs first in that case, in words; null when all match.
    first_difference: Option<String>,
    /// The kind of fault of a model that does not load, as in `onnx_load`, or does not run: `wrong_input`,
    /// `run_failed`, `engine_crashed`; else empty.
    fault_kind: String,
    /// What to do about a model that does not load or run; else null.
    remedy: Option<String>,
    /// The absolute tolerance that was used.
    absolute: f64,
    /// The relative tolerance that was used.
    relative: f64,
    #[serde(flatten)]
    engine: EngineIdentity,
    /// What lowers the weight of this verdict, such as an engine that may compute an operator differently.
    warnings: Vec<String>,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_golden";
    const SUMMARY: &'static str = "Runs an ONNX model on golden cases and compares its answers with the right ones.";
    const EXAMPLE: &'static str = "onnx_golden: {model: models/ocr-text/model.onnx, cases: golden.json}";
    const IN_CHILD: bool = true;
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        at_bench(config.require_engine, &context, move |bench| judge(&config, bench)).await
    }
}

fn judge(config: &Config, Bench { bench, mut warnings, abandoned }: Bench<'_>) -> StepResult<Output> {
    let golden = read_cases(&beside(&config.model, &config.cases))?;
    let tolerance = tolerance(config, golden.tolerance)?;
    let mut inspection = bench.inspect(&config.model);
    warnings.append(&mut inspection.warnings);
    let comparison = match bench.load_inspected(&config.model, inspection, &LoadOptions::default()) {
        Ok(model) => compare(&*model, &golden, tolerance, &bench, abandoned),
        Err(fault) => Comparison::load_failed(golden.cases.len(), &fault),
    };
    // Not a finding about the model: nothing of it was seen, or it could not be run out.
    if let Some(fault) = comparison.fault.as_ref().filter(|fault| fault.is_unjudged()) {
        return Err(StepError::new(fault.detail.clone()).help(fault.remedy()));
    }
    let why = failure(&comparison);
    Ok(Outcome::judged(output(comparison, tolerance, bench.identity(), warnings), why))
}

fn compare(
    model: &dyn Model,
    golden: &Golden,
    tolerance: Tolerance,
    bench: &Workbench,
    abandoned: &dyn Fn() -> bool,
) -> Comparison {
    let begun = Cell::new(0);
    let next = || {
        begun.set(begun.get() + 1);
        bench.round("running case", begun.get(), golden.cases.len());
        abandoned()
    };
    golden::judge(model, &golden.cases, tolerance, &next)
}

fn tolerance(config: &Config, of_file: Tolerance) -> Result<Tolerance, StepError> {
    let usual = config.precision.map_or(of_file, Precision::tolerance);
    let tolerance = Tolerance {
        absolute: config.absolute.unwrap_or(usual.absolute),
        relative: config.relative.unwrap_or(usual.relative),
    };
    tolerance.check().map_err(|what| StepError::new(what).help("write for example `absolute: 0.001`"))?;
    Ok(tolerance)
}

fn failure(comparison: &Comparison) -> Option<String> {
    let Comparison { mismatched, cases, label_flips, .. } = comparison;
    if let (Verdict::LoadFailed, Some(fault)) = (comparison.verdict, &comparison.fault) {
        return Some(format!("{}; {}", fault.detail, fault.remedy()));
    }
    if comparison.verdict == Verdict::Match {
        return None;
    }
    let case = comparison.worst_case.as_deref().unwrap_or_default();
    let difference = comparison.first_difference.as_deref().unwrap_or_default();
    let flips = if *label_flips > 0 { format!(", {label_flips} labels changed") } else { String::new() };
    Some(format!("{mismatched} of {cases} golden cases do not match{flips}; case '{case}': {difference}"))
}

fn output(comparison: Comparison, tolerance: Tolerance, engine: EngineIdentity, warnings: Vec<String>) -> Output {
    Output {
        verdict: comparison.verdict,
        cases: comparison.cases,
        matched: comparison.matched,
        mismatched: comparison.mismatched,
        not_finite: comparison.not_finite,
        shape_mismatches: comparison.shape_mismatches,
        label_flips: comparison.label_flips,
        max_absolute_error: comparison.max_absolute_error,
        max_relative_error: comparison.max_relative_error,
        worst_case: comparison.worst_case,
        first_difference: comparison.first_difference,
        fault_kind: comparison.fault.as_ref().map_or(String::new(), |fault| fault.kind.name().to_owned()),
        remedy: comparison.fault.map(|fault| fault.remedy().to_owned()),
        absolute: tolerance.absolute,
        relative: tolerance.relative,
        engine,
        warnings,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(name: &str) -> String {
        format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    async fn run(config: Value) -> StepResult<Output> {
        Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
    }

    async fn run_twin(name: &str) -> Outcome<Output> {
        let model = path(&format!("models/faults/ocr-text/{name}"));
        run(json!({"model": model, "cases": path("models/ocr-text/golden.json")})).await.unwrap()
    }

    #[tokio::test]
    async fn a_model_that_answers_as_before_matches() {
        let config = json!({"model": path("models/ocr-text/model.onnx"), "cases": "golden.json"});
        let outcome = run(config).await.unwrap();
        assert_eq!(outcome.failure, None);
        let output = outcome.output;
        assert_eq!((output.verdict, output.cases, output.matched, output.mismatched), (Verdict::Match, 7, 7, 0));
        assert_eq!((output.worst_case, output.first_difference), (None, None));
    }

    #[tokio::test]
    async fn each_way_to_be_wrong_has_its_verdict() {
        let outcome = run_twin("nan.onnx").await;
        assert_eq!(serde_json::to_value(outcome.output.verdict).unwrap(), "not_finite");
        // Six rows one by one and once more as a batch, ten classes each.
        assert_eq!(outcome.output.not_finite, 120);
        assert!(outcome.failure.unwrap().contains("is NaN; expected 0."));

        let outcome = run_twin("wrong-shape.onnx").await;
        assert_eq!((outcome.output.verdict, outcome.output.shape_mismatches), (Verdict::WrongShape, 7));

        let outcome = run_twin("future-opset.onnx").await;
        assert_eq!(outcome.output.verdict, Verdict::LoadFailed);
        assert_eq!(outcome.output.fault_kind, "unsupported_version");
        assert!(outcome.failure.unwrap().contains("opset) 99"));
    }

    #[tokio::test]
    async fn permuted_labels_are_counted() {
        let model = path("tests/fixtures/onnx/bad_permuted.onnx");
        let outcome =
            run(json!({"model": model, "cases": path("models/column-classifier/golden.json")})).await.unwrap();
        assert_eq!(outcome.output.verdict, Verdict::Differs);
        assert_eq!(outcome.output.label_flips, 16);
        assert!(outcome.failure.unwrap().contains("9 of 9 golden cases do not match, 16 labels changed"));
    }

    #[tokio::test]
    async fn the_tolerance_of_the_step_wins_over_that_of_the_file() {
        let model = path("tests/fixtures/onnx/bad_permuted.onnx");
        let cases = path("models/column-classifier/golden.json");
        // Probabilities are never further apart than 1.
        let outcome = run(json!({"model": model, "cases": cases, "absolute": 1.0})).await.unwrap();
        assert_eq!(outcome.output.verdict, Verdict::Match);
        assert_eq!((outcome.output.absolute, outcome.output.relative), (1.0, 1e-5));
        let outcome = run(json!({"model": model, "cases": cases, "precision": "int8", "absolute": 1.0})).await.unwrap();
        assert_eq!((outcome.output.absolute, outcome.output.relative), (1.0, 0.05));
        let error = run(json!({"model": model, "cases": cases, "absolute": -1.0})).await.unwrap_err();
        assert!(error.message.contains("tolerance"));
    }

    #[tokio::test]
    async fn a_quantised_model_is_right_at_its_own_precision() {
        let model = path("tests/fixtures/onnx/mlp376_int8.onnx");
        let cases = path("models/column-classifier/golden.json");
        let as_float = run(json!({"model": model, "cases": cases, "precision": "float16"})).await.unwrap();
        assert_eq!((as_float.output.verdict, as_float.output.absolute), (Verdict::Differs, 1e-3));
        let as_int8 = run(json!({"model": model, "cases": cases, "precision": "int8"})).await.unwrap();
        assert_eq!((as_int8.output.verdict, as_int8.output.label_flips), (Verdict::Match, 0));
    }

    #[tokio::test]
    async fn without_cases_nothing_was_checked() {
        let model = path("models/ocr-text/model.onnx");
        let error = run(json!({"model": model, "cases": "absent.json"})).await.unwrap_err();
        assert!(error.message.contains("ocr-text/absent.json: cannot read the golden file"), "{error}");
        let error = run(json!({"model": model, "cases": "CARD.md"})).await.unwrap_err();
        assert!(error.message.contains("not valid"), "{error}");
    }
}
