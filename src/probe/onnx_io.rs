//! `onnx_io`: does a model take and give what its callers expect?

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::onnx::{Broken, Feed, MOST_ITEMS, Session, with_model};
use crate::kind::{Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::EngineIdentity;
use crate::model::{Tensor, TensorInfo};

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model file.
    #[schemars(extend("x-encode" = "path"))]
    model: PathBuf,
    /// What the inputs must be, in order. Default: not judged.
    #[serde(default)]
    inputs: Option<Vec<Expected>>,
    /// What the outputs must be, in order. Default: not judged.
    #[serde(default)]
    outputs: Option<Vec<Expected>>,
    /// The number of features: the last size of the first input, such as 376. Default: not judged.
    #[serde(default)]
    features: Option<usize>,
    /// The number of classes: the last size of the first output, such as 12. Default: not judged.
    #[serde(default)]
    classes: Option<usize>,
    /// Whether to run the model once on two made-up rows, since a model may declare one shape and answer another. It is not
    /// run when an input's sizes beside the rows are open. Default: true.
    #[serde(default = "default_run")]
    run: bool,
    /// The engine that must judge: `onnxruntime`, or `embedded`, the one that is built in. Without it, ONNX Runtime where
    /// it is installed, else the embedded one.
    #[serde(default)]
    require_engine: Option<EngineName>,
}

fn default_run() -> bool {
    true
}

/// An input or output as the callers expect it; what is left out is not judged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The name by which it is given or answered.
    #[serde(default)]
    name: Option<String>,
    /// The element type, such as `float32` or `int64`.
    #[serde(default)]
    element: Option<String>,
    /// The size of each dimension; -1 is a size that may vary, such as the number of rows.
    #[serde(default)]
    shape: Option<Vec<i64>>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `matches`, `differs` (the declaration is not the contract), `untrue` (the model answers other than it declares) or
    /// `run_failed`.
    verdict: String,
    /// The last size of the first input; null when it may vary or there is none.
    features: Option<usize>,
    /// The last size of the first output; null when it may vary or there is none.
    classes: Option<usize>,
    /// Whether the model was run.
    ran: bool,
    /// What is not as it should be, in words; at most 16.
    differences: Vec<String>,
    /// The inputs that the model declares; at most 16.
    inputs: Vec<TensorInfo>,
    /// The outputs that the model declares; at most 16.
    outputs: Vec<TensorInfo>,
    #[serde(flatten)]
    engine: EngineIdentity,
    /// What lowers the weight of this verdict: operators that draw random numbers, or what the engine may compute
    /// differently.
    warnings: Vec<String>,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_io";
    const SUMMARY: &'static str = "Compares a model's inputs and outputs with what its callers expect of them.";
    const EXAMPLE: &'static str = "onnx_io:
  model: models/column-classifier/model.onnx
  inputs: [{name: features, element: float32, shape: [-1, 376]}]
  classes: 12";
    const IN_CHILD: bool = true;
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        let model = config.model.clone();
        with_model(&model, config.require_engine, &context, move |session| judge(&config, session)).await
    }
}

fn judge(config: &Config, session: &Session<'_>) -> StepResult<Output> {
    let (inputs, outputs) = (session.model.inputs(), session.model.outputs());
    let mut differences = Vec::new();
    side("input", config.inputs.as_deref(), inputs, &mut differences);
    side("output", config.outputs.as_deref(), outputs, &mut differences);
    let (features, classes) = (last_size(inputs), last_size(outputs));
    count("features", config.features, features, &mut differences);
    count("classes", config.classes, classes, &mut differences);
    let mut verdict = if differences.is_empty() { "matches" } else { "differs" };
    let feed = if config.run { runnable(inputs) } else { None };
    if let Some(feed) = &feed
        && let Some((worse, what)) = answered(session, feed)?
    {
        // What callers were promised is the nearer cause, so it keeps the verdict.
        verdict = if verdict == "matches" { worse } else { verdict };
        differences.push(what);
    }
    let why = (!differences.is_empty()).then(|| differences.join("; "));
    differences.truncate(MOST_ITEMS);
    let output = Output {
        verdict: verdict.to_owned(),
        features,
        classes,
        ran: feed.is_some(),
        differences,
        inputs: inputs.iter().take(MOST_ITEMS).cloned().collect(),
        outputs: outputs.iter().take(MOST_ITEMS).cloned().collect(),
        engine: session.engine.clone(),
        warnings: session.warnings.clone(),
    };
    Ok(Outcome::judged(output, why))
}

fn last_size(infos: &[TensorInfo]) -> Option<usize> {
    *infos.first()?.shape.last()?
}

fn count(what: &str, expected: Option<usize>, actual: Option<usize>, differences: &mut Vec<String>) {
    let Some(expected) = expected else { return };
    if actual != Some(expected) {
        let actual = actual.map_or("any number of".to_owned(), |actual| actual.to_string());
        differences.push(format!("the model has {actual} {what}, expected are {expected}"));
    }
}

fn side(side: &str, expected: Option<&[Expected]>, actual: &[TensorInfo], differences: &mut Vec<String>) {
    let Some(expected) = expected else { return };
    if expected.len() != actual.len() {
        let names: Vec<&str> = actual.iter().take(MOST_ITEMS).map(|info| &*info.name).collect();
        let (count, names) = (actual.len(), names.join(", "));
        differences.push(format!("the model has {count} {side}s ({names}), expected are {}", expected.len()));
    }
    for (expected, actual) in expected.iter().zip(actual) {
        tensor(side, expected, actual, differences);
    }
}

fn tensor(side: &str, expected: &Expected, actual: &TensorInfo, differences: &mut Vec<String>) {
    if let Some(name) = expected.name.as_ref().filter(|name| **name != actual.name) {
        differences.push(format!("the {side} '{name}' is called '{}'", actual.name));
    }
    if let Some(element) = expected.element.as_ref().filter(|element| **element != actual.element) {
        differences.push(format!("the {side} '{}' is {}, expected is {element}", actual.name, actual.element));
    }
    let same = |(size, actual): (&i64, &Option<usize>)| *actual == usize::try_from(*size).ok();
    if let Some(shape) = &expected.shape
        && !(shape.len() == actual.shape.len() && shape.iter().zip(&actual.shape).all(same))
    {
        let actual_shape: Vec<i64> =
            actual.shape.iter().map(|size| size.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX))).collect();
        differences.push(format!("the {side} '{}' has the shape {actual_shape:?}, expected is {shape:?}", actual.name));
    }
}

/// Two rows, if they can be made up: with one alone, `[12]` for `[1, 12]` would pass in models that drop sizes of one.
fn runnable(inputs: &[TensorInfo]) -> Option<Feed> {
    const RUNNABLE: [&str; 3] = ["float32", "int32", "int64"];
    let known = inputs.iter().all(|info| RUNNABLE.contains(&&*info.element));
    if known { Feed::made_up(inputs, 2).ok() } else { None }
}

/// A verdict and its reason when the answers are not what the model declares.
fn answered(session: &Session<'_>, feed: &Feed) -> Result<Option<(&'static str, String)>, StepError> {
    let rows = feed.batches(2).next().unwrap_or(0..1);
    match session.run(&feed.slice(rows)?) {
        Ok(answers) => {
            let untrue = session.model.outputs().iter().find_map(|info| untrue(info, &answers));
            Ok(untrue.map(|what| ("untrue", what)))
        }
        Err(Broken::Fault(fault)) if !fault.is_unjudged() => {
            Ok(Some(("run_failed", format!("the model does not run: {}", fault.detail))))
        }
        Err(other) => Err(other.into()),
    }
}

fn untrue(info: &TensorInfo, answers: &[(String, Tensor)]) -> Option<String> {
    let Some((_, tensor)) = answers.iter().find(|(name, _)| *name == info.name) else {
        return Some(format!("the output '{}' is declared and not answered", info.name));
    };
    let same = |(declared, size): (&Option<usize>, &usize)| declared.is_none_or(|declared| declared == *size);
    let fits = info.shape.len() == tensor.shape().len() && info.shape.iter().zip(tensor.shape()).all(same);
    let what =
        || format!("the output '{}' is declared as {:?} and answered as {:?}", info.name, info.shape, tensor.shape());
    (!fits).then(what)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::probe::onnx::testing::{fixture, model};

    fn contract(model: String) -> Value {
        json!({
            "model": model,
            "inputs": [{"name": "features", "element": "float32", "shape": [-1, 376]}],
            "outputs": [{"name": "probabilities", "element": "float32", "shape": [-1, 12]}],
            "features": 376,
            "classes": 12,
        })
    }

    async fn run(config: Value) -> StepResult<Output> {
        Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
    }

    #[tokio::test]
    async fn a_model_that_keeps_the_contract_matches() {
        let outcome = run(contract(model())).await.unwrap();
        assert_eq!(outcome.failure, None);
        let output = outcome.output;
        assert_eq!(
            (&*output.verdict, output.features, output.classes, output.ran),
            ("matches", Some(376), Some(12), true)
        );
    }

    #[tokio::test]
    async fn each_broken_clause_is_named() {
        for (name, words) in [
            ("bad_width", "the model has 11 classes, expected are 12"),
            ("bad_width_in", "the model has 375 features, expected are 376"),
            ("bad_rank", "the output 'probabilities' has the shape [-1, 1, 12], expected is [-1, 12]"),
            ("bad_double_input", "the input 'features' is float64, expected is float32"),
        ] {
            let outcome = run(contract(fixture(name))).await.unwrap();
            assert_eq!(outcome.output.verdict, "differs", "{name}");
            let why = outcome.failure.unwrap();
            assert!(why.contains(words), "{name}: {why}");
        }
    }

    #[tokio::test]
    async fn a_declaration_is_held_to_an_answer() {
        let outcome = run(contract(fixture("bad_lying_shape"))).await.unwrap();
        assert_eq!(outcome.output.verdict, "untrue");
        assert!(outcome.failure.unwrap().contains("answered as [24]"));
        let mut unrun = contract(fixture("bad_lying_shape"));
        unrun["run"] = json!(false);
        assert_eq!(run(unrun).await.unwrap().output.verdict, "matches");
    }

    #[tokio::test]
    async fn names_and_numbers_of_values_are_part_of_it() {
        let config = json!({"model": model(), "inputs": [{"name": "pixels"}, {}], "outputs": []});
        let why = run(config).await.unwrap().failure.unwrap();
        assert!(
            why.contains("has 1 inputs (features), expected are 2") && why.contains("'pixels' is called 'features'")
        );
        assert!(why.contains("has 1 outputs (probabilities), expected are 0"), "{why}");
        assert_eq!(run(json!({"model": model()})).await.unwrap().output.verdict, "matches");
    }

    #[tokio::test]
    async fn a_model_that_does_not_load_has_no_contract() {
        assert!(run(contract(fixture("bad_unknown_op"))).await.unwrap_err().message.contains("unsupported_operator"));
    }
}
