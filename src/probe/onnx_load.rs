//! `onnx_load`: is this file a model that an engine loads?

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checksum::released;
use super::onnx::{Bench, at_bench, beside};
use crate::kind::{Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::preflight::{ModelFile, Released};
use crate::model::{EngineIdentity, LoadOptions, ModelFault, TensorInfo};

/// Lists in the output end here, so that a strange file cannot fill the journal.
const MOST_ITEMS: usize = 64;
/// Letters of a text in the output.
const MOST_LETTERS: usize = 256;

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model file, such as `models/ocr-text/model.onnx`.
    #[schemars(extend("x-encode" = "path"))]
    model: PathBuf,
    /// The SHA-256 of the released file, 64 hexadecimal digits. Default: not compared.
    #[serde(default)]
    sha256: Option<String>,
    /// A list of digests in which the model is named, as `sha256sum` writes it, or in JSON (a name that ends in `.json`)
    /// with the length as well: `{"files": [{"file": "model.onnx", "bytes": 51876, "sha256": "…"}]}`. A bare name such
    /// as `SHA256SUMS` lies beside the model. In place of `sha256`.
    #[serde(default)]
    #[schemars(extend("x-encode" = "path"))]
    manifest: Option<PathBuf>,
    /// The engine that must judge: `onnxruntime`, or `embedded`, the one that is built in. Without it, ONNX
    /// Runtime where it is installed, else the embedded one.
    #[serde(default)]
    require_engine: Option<EngineName>,
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
    #[serde(flatten)]
    engine: EngineIdentity,
    /// What is wrong, in words; null when the model loads.
    fault: Option<String>,
    /// The kind of the first fault: `missing`, `not_a_file`, `empty`, `too_large`, `lfs_pointer`, `malformed`,
    /// `unsupported_version`, `unsupported_operator`, `invalid_graph`, `dangling_name`, `duplicate_name`,
    /// `invalid_weights`, `external_data`, `external_data_missing`, `external_data_short`, `external_data_outside`,
    /// `engine_crashed`, `wrong_size` or `altered` (another length or SHA-256 than released); empty when the model loads.
    fault_kind: String,
    /// What to do about the fault; null when the model loads.
    remedy: Option<String>,
    /// Every fault that was found, in words.
    faults: Vec<String>,
    /// Things that are no faults but lower the weight of a verdict: operators that draw random numbers, or
    /// what the engine that judged may compute differently.
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
    const IN_CHILD: bool = true;
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        at_bench(config.require_engine, &context, move |bench| load(&config, bench)).await
    }
}

fn load(config: &Config, Bench { bench, mut warnings, .. }: Bench<'_>) -> StepResult<Output> {
    let path = &config.model;
    let expected = expected(config)?;
    let started = bench.clock.elapsed();
    let mut inspection = bench.inspect(path);
    if let Some(expected) = expected {
        inspection.compare_release(&expected);
    }
    let mut faults = std::mem::take(&mut inspection.faults);
    warnings.append(&mut inspection.warnings);
    let mut output = describe(path, &inspection.file, &warnings, bench.identity());
    if faults.is_empty() {
        faults.extend(bench.load_inspected(path, inspection, &LoadOptions::default()).err());
    }
    output.load_seconds = (bench.clock.elapsed() - started).as_secs_f64();
    judge(output, &faults)
}

fn expected(config: &Config) -> Result<Option<Released>, StepError> {
    match (&config.sha256, &config.manifest) {
        (None, None) => Ok(None),
        (Some(digest), None) if digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(Some(Released { sha256: digest.clone(), bytes: None }))
        }
        (Some(digest), None) => Err(StepError::new(format!("'{digest}' is not a SHA-256 digest"))
            .help("give 64 hexadecimal digits as sha256sum prints them, or a `manifest`")),
        (None, Some(manifest)) => released(&beside(&config.model, manifest), &config.model).map(Some),
        (Some(_), Some(_)) => {
            Err(StepError::new("a digest and a manifest are given").help("leave one of `sha256` and `manifest` out"))
        }
    }
}

/// A file that may not be read, or not loaded for want of memory, was not judged; every other fault is
/// a finding about the model.
fn judge(mut output: Output, faults: &[ModelFault]) -> StepResult<Output> {
    let Some(first) = faults.first() else { return Ok(Outcome::passed(output)) };
    if first.is_unjudged() {
        return Err(StepError::new(first.detail.clone()).help(first.remedy()));
    }
    output.fault = Some(first.detail.clone());
    output.fault_kind = first.kind.name().to_owned();
    output.remedy = Some(first.remedy().to_owned());
    output.faults = faults.iter().take(MOST_ITEMS).map(|fault| fault.detail.clone()).collect();
    let why = format!("{}; {}", first.detail, first.remedy());
    Ok(Outcome::failed(output, why))
}

fn describe(path: &Path, file: &ModelFile, warnings: &[String], engine: EngineIdentity) -> Output {
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
        engine,
        fault: None,
        fault_kind: String::new(),
        remedy: None,
        faults: Vec::new(),
        warnings: warnings.iter().take(MOST_ITEMS).map(|warning| shortened(warning)).collect(),
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

    /// One flipped bit in a weight is a valid model; nothing but its digest tells.
    #[tokio::test]
    async fn a_file_that_is_not_the_released_one_is_altered() {
        let check = async |model: &str, more: Value| {
            let mut config = json!({ "model": fixture(model) });
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
        };
        let listed = json!({"manifest": "SHA256SUMS"});
        let outcome = check("models/column-classifier/model.onnx", listed.clone()).await.unwrap();
        assert_eq!(outcome.failure, None);
        let released = json!({"sha256": outcome.output.sha256.to_uppercase()});
        assert_eq!(check("models/column-classifier/model.onnx", released.clone()).await.unwrap().failure, None);
        let outcome = check("tests/fixtures/onnx/bad_bitflip.onnx", released).await.unwrap();
        assert_eq!(outcome.output.fault_kind, "altered");
        assert!(outcome.failure.unwrap().contains("was released"));
        // What the bytes are tells more than that they differ.
        let manifest = json!({"manifest": fixture("models/faults/ocr-text/SHA256SUMS")});
        let unnamed = check("tests/fixtures/onnx/bad_empty.onnx", manifest).await.unwrap_err();
        assert!(unnamed.message.contains("gives"), "{unnamed}");
        let outcome = check("tests/fixtures/onnx/bad_empty.onnx", json!({"sha256": "0".repeat(64)})).await.unwrap();
        assert_eq!((&*outcome.output.fault_kind, outcome.output.faults.len()), ("empty", 2));
        assert!(check("models/ocr-text/model.onnx", json!({"sha256": "from_manifest"})).await.is_err());
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
        assert_eq!(
            outcome.output.warnings,
            [
                "operator RandomNormalLike gives another answer on each run: golden cases cannot hold; export the model for \
             inference"
            ]
        );
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
        let config = serde_json::from_value(json!({"model": fixture("models/ocr-text/model.onnx")})).unwrap();
        let error = Step::run(config, context).await.unwrap_err();
        assert!(error.message.starts_with("cancelled"));
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(shortened(&"ä".repeat(300)).chars().count(), MOST_LETTERS + 1);
        assert_eq!(shortened("short"), "short");
    }
}
