//! `onnx_golden`: does this model still give the answers it gave when it was known to be right?

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};
use crate::model::golden::{self, Comparison, Golden, Tolerance, Verdict};
use crate::model::{Engine, FaultKind, ModelFault, detached};

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model file, such as `models/ocr-text/model.onnx`.
    model: PathBuf,
    /// The file with the golden cases. A bare file name such as `golden.json` lies beside the model; any
    /// other path is taken from the working folder. It is JSON:
    /// `{"cases": [{"name": "one", "inputs": {"features": {"shape": [1, 2], "data": [0.5, 1]}},
    /// "outputs": {"probabilities": {"shape": [1, 2], "data": [0.25, 0.75]}}}],
    /// "tolerance": {"absolute": 0.00001, "relative": 0.00001}}`, numbers in row-major order.
    cases: PathBuf,
    /// How far a number may be from the golden one, whatever its size. Default: what the file says, else 0.00001.
    /// float32 needs 0.00001, float16 about 0.001, int8 about 0.05.
    #[serde(default)]
    absolute: Option<f64>,
    /// How far a number may be from the golden one in addition, as a share of it (0.01 is 1 %). Default: what
    /// the file says, else 0.00001.
    #[serde(default)]
    relative: Option<f64>,
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
    /// The kind of fault of a model that does not load, as in `onnx_load`; else empty.
    fault_kind: String,
    /// What to do about a model that does not load; else null.
    remedy: Option<String>,
    /// The absolute tolerance that was used.
    absolute: f64,
    /// The relative tolerance that was used.
    relative: f64,
    /// The engine that ran the model, such as `rten`.
    engine: String,
    /// Its version.
    engine_version: String,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_golden";
    const SUMMARY: &'static str = "Runs an ONNX model on golden cases and compares its answers with the right ones.";
    const EXAMPLE: &'static str = "onnx_golden: {model: models/ocr-text/model.onnx, cases: golden.json}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        let engine = context.services.engine();
        let judging = detached::run(move |abandoned| judge(&config, &*engine, abandoned));
        tokio::select! {
            biased;
            () = context.cancelled() => Err(StepError::new("cancelled while the model was running")),
            judged = judging => judged.map_err(|error| StepError::because("the model could not be judged", &error))?,
        }
    }
}

fn judge(config: &Config, engine: &dyn Engine, abandoned: &dyn Fn() -> bool) -> StepResult<Output> {
    let golden = read_cases(config)?;
    let tolerance = tolerance(config, golden.tolerance)?;
    let (comparison, fault) = match engine.load(&config.model) {
        Ok(model) => (golden::judge(&*model, &golden.cases, tolerance, abandoned), None),
        // Not a finding about the model: nothing of it was seen.
        Err(fault) if fault.kind == FaultKind::Unreadable => {
            return Err(StepError::new(fault.detail.clone()).help(fault.remedy()));
        }
        Err(fault) => (Comparison::load_failed(golden.cases.len(), &fault), Some(fault)),
    };
    let why = failure(&comparison, fault.as_ref());
    Ok(Outcome::judged(output(comparison, fault, tolerance, engine), why))
}

fn read_cases(config: &Config) -> Result<Golden, StepError> {
    let path = cases_path(&config.model, &config.cases);
    Golden::read(&path).map_err(|error| {
        StepError::because(path.display(), &error)
            .help("`cases` names a golden file; its form is described at `cases` of the kind `onnx_golden`")
    })
}

fn cases_path(model: &Path, cases: &Path) -> PathBuf {
    let bare = cases.parent().is_some_and(|folder| folder.as_os_str().is_empty());
    match model.parent() {
        Some(folder) if bare => folder.join(cases),
        _ => cases.to_owned(),
    }
}

fn tolerance(config: &Config, of_file: Tolerance) -> Result<Tolerance, StepError> {
    let tolerance = Tolerance {
        absolute: config.absolute.unwrap_or(of_file.absolute),
        relative: config.relative.unwrap_or(of_file.relative),
    };
    tolerance.check().map_err(|what| StepError::new(what).help("write for example `absolute: 0.001`"))?;
    Ok(tolerance)
}

fn failure(comparison: &Comparison, fault: Option<&ModelFault>) -> Option<String> {
    let Comparison { mismatched, cases, label_flips, .. } = comparison;
    if let Some(fault) = fault {
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

fn output(comparison: Comparison, fault: Option<ModelFault>, tolerance: Tolerance, engine: &dyn Engine) -> Output {
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
        fault_kind: fault.as_ref().map_or(String::new(), |fault| fault.kind.name().to_owned()),
        remedy: fault.map(|fault| fault.remedy().to_owned()),
        absolute: tolerance.absolute,
        relative: tolerance.relative,
        engine: engine.name().to_owned(),
        engine_version: engine.version(),
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
        let error = run(json!({"model": model, "cases": cases, "absolute": -1.0})).await.unwrap_err();
        assert!(error.message.contains("tolerance"));
    }

    #[tokio::test]
    async fn without_cases_nothing_was_checked() {
        let model = path("models/ocr-text/model.onnx");
        let error = run(json!({"model": model, "cases": "absent.json"})).await.unwrap_err();
        assert!(error.message.contains("ocr-text/absent.json: cannot read the golden file"), "{error}");
        let error = run(json!({"model": model, "cases": "CARD.md"})).await.unwrap_err();
        assert!(error.message.contains("not valid"), "{error}");
    }

    #[test]
    fn only_a_bare_name_lies_beside_the_model() {
        let place = |cases: &str| cases_path(Path::new("models/a/model.onnx"), Path::new(cases));
        assert_eq!(place("golden.json"), Path::new("models/a/golden.json"));
        assert_eq!(place("./golden.json"), Path::new("./golden.json"));
        assert_eq!(place("/srv/golden.json"), Path::new("/srv/golden.json"));
    }
}
