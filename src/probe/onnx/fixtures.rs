//! Every fixture against every kind: the verdicts are those of `tests/fixtures/onnx/manifest.json`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::testing::{model, path, rows};
use crate::kind::{Context, Outcome, StepError};

#[derive(Deserialize)]
struct Manifest {
    files: Vec<Fixture>,
}

#[derive(Deserialize)]
struct Fixture {
    file: String,
    fault: Option<String>,
    checks: BTreeMap<String, String>,
}

fn fixtures() -> Vec<Fixture> {
    let text = std::fs::read(path("tests/fixtures/onnx/manifest.json")).unwrap();
    let fixtures = serde_json::from_slice::<Manifest>(&text).unwrap().files;
    fixtures.into_iter().filter(|fixture| fixture.file.ends_with(".onnx")).collect()
}

/// The settings that the manifest means.
fn config(kind: &str, model_file: &str) -> Value {
    let labelled = json!({"model": model_file, "inputs": rows("valid")});
    let with = |more: Value| {
        let mut config = labelled.clone();
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    match kind {
        "onnx_io" => json!({
            "model": model_file,
            "inputs": [{"name": "features", "element": "float32", "shape": [-1, 376]}],
            "outputs": [{"name": "probabilities", "element": "float32", "shape": [-1, 12]}],
        }),
        "onnx_validate" => with(json!({"probabilities": true})),
        "onnx_determinism" => with(json!({"runs": 3})),
        "onnx_batch" => with(json!({"sizes": [8], "runs": 2})),
        "onnx_latency" => with(json!({"runs": 20})),
        "onnx_memory" => with(json!({"runs": 20})),
        "onnx_accuracy" => with(json!({"min_accuracy": 0.85})),
        "onnx_calibration" => with(json!({"max_error": 0.08})),
        "onnx_drift" => json!({"model": model_file, "reference": rows("reference"), "current": rows("valid")}),
        "onnx_compare" => json!({"old": model(), "new": model_file, "inputs": rows("valid"), "runs": 2}),
        other => panic!("no settings for '{other}'"),
    }
}

const KINDS: [&str; 10] = [
    "onnx_io",
    "onnx_validate",
    "onnx_determinism",
    "onnx_batch",
    "onnx_latency",
    "onnx_memory",
    "onnx_accuracy",
    "onnx_calibration",
    "onnx_drift",
    "onnx_compare",
];

async fn run(kind: &str, file: &str) -> Result<Outcome<Value>, StepError> {
    let entry = crate::probe::KINDS.iter().find(|entry| entry.name == kind).unwrap();
    (entry.run)(config(kind, &path(&format!("tests/fixtures/onnx/{file}"))), Context::for_tests()).await
}

#[tokio::test]
async fn each_fixture_gets_the_verdict_of_the_manifest() {
    let mut judged = 0;
    for fixture in fixtures() {
        for (kind, verdict) in &fixture.checks {
            let outcome = run(kind, &fixture.file).await.unwrap();
            assert_eq!(outcome.output["verdict"], **verdict, "{kind} of {}: {:?}", fixture.file, outcome.failure);
            let sound = ["good", "invariant", "calibrated", "equivalent", "deterministic", "matches", "valid"];
            assert_eq!(outcome.failure.is_none(), sound.contains(&&**verdict), "{kind} of {}", fixture.file);
            judged += 1;
        }
    }
    assert!(judged >= 20, "only {judged} verdicts");
}

#[tokio::test]
async fn a_model_that_does_not_load_is_an_error_of_every_kind_that_measures() {
    let broken: Vec<Fixture> = fixtures().into_iter().filter(|fixture| fixture.fault.is_some()).collect();
    assert!(broken.len() >= 10, "only {} fixtures do not load", broken.len());
    for fixture in broken {
        let fault = fixture.fault.unwrap();
        for kind in KINDS {
            let error = run(kind, &fixture.file).await.unwrap_err();
            assert!(error.message.contains(&format!("does not load ({fault})")), "{kind} of {}: {error}", fixture.file);
            assert!(error.help.is_some(), "{kind} of {}", fixture.file);
        }
    }
}

#[tokio::test]
async fn a_missing_model_is_an_error() {
    for kind in KINDS {
        let error = run(kind, "nothing.onnx").await.unwrap_err();
        assert!(error.message.contains("does not load (missing)"), "{kind}: {error}");
    }
}
