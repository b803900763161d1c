//! `onnx_load`: is this file a model that an engine loads?

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::Clock;
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};
use crate::model::preflight::{self, Inspection, Limits, ModelFile};
use crate::model::{Engine, FaultKind, ModelFault, TensorInfo, detached};

/// Lists in the output end here, so that a strange file cannot fill the journal.
const MOST_ITEMS: usize = 64;
/// Letters of a text in the output.
const MOST_LETTERS: usize = 256;

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model file, such as `models/ocr-text/model.onnx`.
    model: PathBuf,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The file that was checked.
    path: String,
    /// Bytes of the file, without external data.
    size: u64,
    /// SHA-256 of the file in lower-case hexadecimal; empty when it could not be read.
    sha256: String,
    /// The version of the ONNX format; 0 when the file could not be decoded.
    ir_version: i64,
    /// The version of the standard operator set; 0 when it is not given.
    opset: i64,
    /// The program that wrote the file, with its version.
    producer: String,
    /// The version that the exporter gave the model.
    model_version: i64,
    /// Nodes of the graph, nested graphs included.
    nodes: usize,
    /// Bytes of all weights, external data included.
    weight_bytes: u64,
    /// Seconds that reading, checking and loading took.
    load_seconds: f64,
    /// The engine that loaded the model, such as `rten`.
    engine: String,
    /// Its version.
    engine_version: String,
    /// What is wrong, in words; null when the model loads.
    fault: Option<String>,
    /// The kind of the first fault: `missing`, `not_a_file`, `empty`, `too_large`, `lfs_pointer`, `malformed`,
    /// `unsupported_version`, `unsupported_operator`, `invalid_graph`, `invalid_weights`, `external_data` or
    /// `engine_crashed`; empty when the model loads.
    fault_kind: String,
    /// What to do about the fault; null when the model loads.
    remedy: Option<String>,
    /// Every fault that was found, in words.
    faults: Vec<String>,
    /// Things that are no faults, such as operators that draw random numbers.
    warnings: Vec<String>,
    /// How many inputs the model has.
    input_count: usize,
    /// How many outputs the model has.
    output_count: usize,
    /// The inputs, at most 64.
    inputs: Vec<TensorInfo>,
    /// The outputs, at most 64.
    outputs: Vec<TensorInfo>,
    /// How often each operator occurs; the 64 most frequent.
    operators: BTreeMap<String, usize>,
    /// What the exporter noted in the file, at most 64 entries.
    metadata: BTreeMap<String, String>,
    /// Files beside the model that hold weights, at most 64.
    external_files: Vec<String>,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_load";
    const SUMMARY: &'static str = "Loads an ONNX model and says what the file holds, or what is wrong with it.";
    const EXAMPLE: &'static str = "onnx_load: {model: models/ocr-text/model.onnx}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        let (engine, clock) = (context.services.engine(), context.services.clock);
        let loading = detached::run(move |_| load(&config.model, &*engine, clock));
        tokio::select! {
            biased;
            () = context.cancelled() => Err(StepError::new("cancelled while the model was loading")),
            loaded = loading => loaded.map_err(|error| StepError::because("the model could not be judged", &error))?,
        }
    }
}

fn load(path: &Path, engine: &dyn Engine, clock: Clock) -> StepResult<Output> {
    let started = clock.elapsed();
    let mut inspection = preflight::inspect(path, &Limits::EMBEDDED);
    let mut faults = std::mem::take(&mut inspection.faults);
    let mut output = describe(path, &inspection, engine);
    if faults.is_empty() {
        faults.extend(engine.load_inspected(path, inspection).err());
    }
    output.load_seconds = (clock.elapsed() - started).as_secs_f64();
    judge(output, faults)
}

/// A file that may not be read was not judged; every other fault is a finding about the model.
fn judge(mut output: Output, faults: Vec<ModelFault>) -> StepResult<Output> {
    let Some(first) = faults.first() else { return Ok(Outcome::passed(output)) };
    if first.kind == FaultKind::Unreadable {
        return Err(StepError::new(first.detail.clone()).help(first.remedy()));
    }
    output.fault = Some(first.detail.clone());
    output.fault_kind = first.kind.name().to_owned();
    output.remedy = Some(first.remedy().to_owned());
    output.faults = faults.iter().take(MOST_ITEMS).map(|fault| fault.detail.clone()).collect();
    let why = format!("{}; {}", first.detail, first.remedy());
    Ok(Outcome::failed(output, why))
}

fn describe(path: &Path, inspection: &Inspection, engine: &dyn Engine) -> Output {
    let file = &inspection.file;
    Output {
        path: path.display().to_string(),
        size: file.size,
        sha256: file.sha256.clone(),
        ir_version: file.ir_version,
        opset: file.opsets.get("ai.onnx").copied().unwrap_or(0),
        producer: shortened(&file.producer),
        model_version: file.model_version,
        nodes: file.node_count,
        weight_bytes: file.weight_bytes,
        load_seconds: 0.0,
        engine: engine.name().to_owned(),
        engine_version: engine.version(),
        fault: None,
        fault_kind: String::new(),
        remedy: None,
        faults: Vec::new(),
        warnings: inspection.warnings.iter().take(MOST_ITEMS).map(|warning| shortened(warning)).collect(),
        input_count: file.inputs.len(),
        output_count: file.outputs.len(),
        inputs: bounded(&file.inputs),
        outputs: bounded(&file.outputs),
        operators: most_frequent(&file.operators),
        metadata: metadata(file),
        external_files: file.external_files.iter().take(MOST_ITEMS).map(|name| shortened(name)).collect(),
    }
}

fn bounded(infos: &[TensorInfo]) -> Vec<TensorInfo> {
    let bound = |info: &TensorInfo| TensorInfo {
        name: shortened(&info.name),
        element: info.element.clone(),
        shape: info.shape.iter().take(MOST_ITEMS).copied().collect(),
    };
    infos.iter().take(MOST_ITEMS).map(bound).collect()
}

fn most_frequent(operators: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let mut counted: Vec<(&String, &usize)> = operators.iter().collect();
    counted.sort_by_key(|(_, count)| Reverse(**count));
    counted.into_iter().take(MOST_ITEMS).map(|(name, count)| (shortened(name), *count)).collect()
}

fn metadata(file: &ModelFile) -> BTreeMap<String, String> {
    file.metadata.iter().take(MOST_ITEMS).map(|(key, value)| (shortened(key), shortened(value))).collect()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fixture(name: &str) -> String {
        format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    async fn run(model: &str) -> StepResult<Output> {
        let config = serde_json::from_value(json!({ "model": model })).unwrap();
        Step::run(config, Context::for_tests()).await
    }

    #[tokio::test]
    async fn a_sound_model_passes_with_what_it_holds() {
        let outcome = run(&fixture("models/column-classifier/model.onnx")).await.unwrap();
        assert_eq!(outcome.failure, None);
        let output = serde_json::to_value(outcome.output).unwrap();
        assert_eq!(output["fault"], Value::Null);
        assert_eq!(output["fault_kind"], "");
        assert_eq!((&output["ir_version"], &output["opset"], &output["nodes"]), (&json!(8), &json!(17), &json!(9)));
        // 376 x 32 + 32 x 16 + 16 x 12 weights and 32 + 16 + 12 biases of four bytes.
        assert_eq!(output["weight_bytes"], (376 * 32 + 32 * 16 + 16 * 12 + 60) * 4);
        assert_eq!(output["inputs"], json!([{"name": "features", "element": "float32", "shape": [null, 376]}]));
        assert_eq!(output["operators"], json!({"Add": 3, "MatMul": 3, "Relu": 2, "Softmax": 1}));
        assert_eq!(output["metadata"]["licence"], "MIT OR Apache-2.0");
        assert!(output["load_seconds"].as_f64().unwrap() > 0.0);
    }

    #[tokio::test]
    async fn a_fault_is_a_finding_with_its_kind_and_a_remedy() {
        for (name, kind) in [
            ("tests/fixtures/onnx/nothing.onnx", "missing"),
            ("tests/fixtures/onnx/bad_empty.onnx", "empty"),
            ("tests/fixtures/onnx/bad_truncated.onnx", "malformed"),
            ("tests/fixtures/onnx", "not_a_file"),
            ("models/faults/ocr-text/future-opset.onnx", "unsupported_version"),
        ] {
            let outcome = run(&fixture(name)).await.unwrap();
            assert_eq!(outcome.output.fault_kind, kind, "{name}");
            let remedy = outcome.output.remedy.unwrap();
            assert!(outcome.failure.unwrap().ends_with(&remedy), "{name}");
        }
    }

    #[tokio::test]
    async fn a_broken_file_still_has_a_size_and_a_hash() {
        let output = run(&fixture("tests/fixtures/onnx/bad_garbage.onnx")).await.unwrap().output;
        assert_eq!(output.size, 4096);
        assert_eq!(output.sha256.len(), 64);
    }

    #[tokio::test]
    async fn random_operators_are_a_warning() {
        let outcome = run(&fixture("tests/fixtures/onnx/bad_random.onnx")).await.unwrap();
        assert_eq!(outcome.failure, None);
        assert_eq!(outcome.output.warnings, ["operator RandomNormalLike gives another answer on each run"]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let circle = folder.path().join("model.onnx");
        std::os::unix::fs::symlink(&circle, &circle).unwrap();
        let error = run(circle.to_str().unwrap()).await.unwrap_err();
        assert!(error.message.starts_with("cannot read"), "{error}");
        assert!(error.help.is_some());
    }

    #[tokio::test]
    async fn a_dangling_link_is_told_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("model.onnx");
        std::os::unix::fs::symlink(folder.path().join("blob"), &link).unwrap();
        let outcome = run(link.to_str().unwrap()).await.unwrap();
        assert_eq!(outcome.output.fault_kind, "missing");
        assert!(outcome.failure.unwrap().contains("which does not exist"));
    }

    #[tokio::test]
    async fn a_cancelled_load_stops() {
        let context = Context::for_tests();
        context.cancel.cancel();
        let config = Config { model: fixture("models/ocr-text/model.onnx").into() };
        let error = Step::run(config, context).await.unwrap_err();
        assert!(error.message.starts_with("cancelled"));
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(shortened(&"ä".repeat(300)).chars().count(), MOST_LETTERS + 1);
        assert_eq!(shortened("short"), "short");
    }
}
