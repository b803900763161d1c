//! Models that people really ship, through the real program: load, golden cases by Python's ONNX Runtime, latency
//! and batches, by each engine. They are no part of this repository; `scripts/real-models.py` brings them.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Runbook;

/// Each model, and how far the embedded engine may be from ONNX Runtime: it adds up in another order, and the
/// deeper a network is, the more of that remains.
const MODELS: [(&str, f64); 5] = [
    ("magika", 1e-5),
    ("silero-vad", 1e-5),
    ("rapidocr-direction", 1e-5),
    ("rapidocr-detection", 1e-4),
    ("rapidocr-text", 1e-4),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Said where the captured output of tests does not hide it.
fn not_checked(what: &str, how: &str) {
    let text = format!("NOT CHECKED: {what}; {how}\n");
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

/// The folder of a model. Its golden cases are written last, so with them it is complete.
fn folder(name: &str) -> Option<PathBuf> {
    Some(root().join(".models").join(name)).filter(|folder| folder.join("golden.json").exists())
}

fn library() -> Option<PathBuf> {
    Some(root().join(".onnxruntime/libonnxruntime.so")).filter(|path| path.exists())
}

/// What an operator would ask of a model before it serves. The tolerance of the batches is that of float32.
fn playbook(folder: &Path, engine: &str, tolerance: f64) -> String {
    let folder = folder.display();
    format!(
        "
runbook: 1
name: real-model
title: A model that is really shipped
diagnose:
  load:
    onnx_load: {{model: '{folder}/model.onnx', manifest: SHA256SUMS, require_engine: {engine}}}
  golden:
    onnx_golden: {{model: '{folder}/model.onnx', cases: golden.json, absolute: {tolerance}, require_engine: {engine}}}
    needs: [load]
  latency:
    onnx_latency: {{model: '{folder}/model.onnx', inputs: {{file: rows.npz}}, runs: 20, max_p50: 5s, require_engine: {engine}}}
    needs: [golden]
  batch:
    onnx_batch: {{model: '{folder}/model.onnx', inputs: {{file: rows.npz}}, sizes: [2, 4], runs: 3, tolerance: 0.0001, require_engine: {engine}}}
    needs: [latency]
"
    )
}

/// The steps of a run on a model, all of which passed.
fn checked(folder: &Path, engine: &str, tolerance: f64) -> Value {
    let mut place = Runbook::new().file("real-model.yaml", playbook(folder, engine, tolerance));
    if let Some(library) = library() {
        place = place.file("runbook.yaml", format!("models: {{onnxruntime: '{}'}}\n", library.display()));
    }
    place.call("run real-model.yaml").exits(0);
    place.newest()["steps"].clone()
}

fn check(name: &str, engine: &str, tolerance: f64) {
    let Some(folder) = folder(name) else {
        return not_checked(&format!("the real model {name}"), "scripts/real-models.py brings it");
    };
    let steps = checked(&folder, engine, tolerance);
    let output = |step: &str| steps[format!("diagnose.{step}")]["output"].clone();
    let [load, golden, latency, batch] = ["load", "golden", "latency", "batch"].map(output);
    let judge = if engine == "embedded" { "rten" } else { engine };
    for part in [&load, &golden, &latency, &batch] {
        assert_eq!(part["engine"], judge, "{name}: {steps}");
    }
    assert_eq!((&golden["verdict"], &golden["cases"]), (&"match".into(), &2.into()));
    // The detector answers with a picture; the place of its largest number says nothing.
    assert!(golden["label_flips"] == 0 || name == "rapidocr-detection", "{name}: {golden}");
    assert_eq!((&latency["verdict"], &latency["runs"]), (&"fast".into(), &20.into()));
    assert_eq!((&batch["verdict"], batch["sweep"].as_array().unwrap().len()), (&"invariant".into(), 3));
    let text = format!(
        "real model {name}, {engine}: golden within {:.1e}, batch within {:.1e}, p50 {:.2} ms\n",
        golden["max_absolute_error"].as_f64().unwrap(),
        batch["max_difference"].as_f64().unwrap(),
        1000.0 * latency["p50"].as_f64().unwrap(),
    );
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

#[test]
fn the_embedded_engine_agrees_with_python_on_real_models() {
    for (name, tolerance) in MODELS {
        check(name, "embedded", tolerance);
    }
}

#[test]
fn onnx_runtime_agrees_with_python_on_real_models() {
    if library().is_none() {
        return not_checked("real models by ONNX Runtime", "sh scripts/get-onnxruntime.sh brings it");
    }
    for (name, _) in MODELS {
        // The same library in another program: nothing but the memory it works in may differ.
        check(name, "onnxruntime", 1e-6);
    }
}

/// A golden case that is off by a little is found: the proof above is not one that passes whatever happens.
#[test]
fn a_real_model_that_answers_otherwise_is_told() {
    let Some(folder) = folder("magika") else {
        return not_checked("the real model magika", "scripts/real-models.py brings it");
    };
    let cases = std::fs::read_to_string(folder.join("golden.json")).unwrap();
    let mut golden: Value = serde_json::from_str(&cases).unwrap();
    let number = &mut golden["cases"][1]["outputs"]["target_label"]["data"][7];
    *number = (number.as_f64().unwrap() + 1e-3).into();
    let place = Runbook::new().file("moved/golden.json", golden.to_string());
    std::fs::copy(folder.join("model.onnx"), place.path("moved/model.onnx")).unwrap();
    let step = format!("onnx_golden: {{model: '{}', cases: golden.json}}", place.path("moved/model.onnx").display());
    let text = format!("runbook: 1\nname: moved\ntitle: Moved\ndiagnose:\n  golden:\n    {step}\n");
    place.write("moved.yaml", text);
    place.call("run moved.yaml");
    let output = place.newest()["steps"]["diagnose.golden"]["output"].clone();
    assert_eq!((&output["verdict"], &output["mismatched"]), (&"differs".into(), &1.into()), "{output}");
}
