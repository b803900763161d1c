//! Is the served model the one on disk?

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::doubles::{Double, run};
use super::{with, word};
use crate::model::golden::{Golden, Values};
use crate::probe::onnx::testing::{fixture, model, path};

/// Answers each golden case of the column classifier as `change` makes it of the right answer.
async fn server(change: impl Fn(&mut Values) + Send + Sync + 'static) -> Double {
    let golden = std::fs::read(path("models/column-classifier/golden.json")).unwrap();
    let golden = Golden::parse(&golden).unwrap();
    Double::speaking(move |request| {
        let asked: Vec<f64> = serde_json::from_value(request.json()["inputs"][0]["data"].clone()).unwrap();
        let case = golden.cases.iter().find(|case| case.inputs.values().all(|values| values.data == asked)).unwrap();
        let output = |(name, values): (&String, &Values)| {
            let mut values = values.clone();
            change(&mut values);
            json!({"name": name, "datatype": "FP32", "shape": values.shape, "data": values.data})
        };
        (StatusCode::OK, json!({"outputs": case.outputs.iter().map(output).collect::<Vec<_>>()}).to_string())
    })
    .await
}

fn config(server: &Double, parity: Value) -> Value {
    json!({
        "url": server.url(""), "model": "classifier", "datatypes": {"features": "FP32"},
        "cases": path("models/column-classifier/golden.json"), "parity": parity,
    })
}

#[tokio::test]
async fn the_file_that_is_served_answers_alike() {
    let server = server(|_| {}).await;
    let outcome = run(config(&server, json!({"model": model(), "absolute": 1e-4}))).await.unwrap();
    assert_eq!((outcome.failure, word(outcome.output.verdict).as_str()), (None, "match"));
    let output = outcome.output;
    assert_eq!((output.parity, output.parity_cases, output.parity_matched), (Some(true), 9, 9));
    assert_eq!((output.parity_label_flips, output.served_sha256), (0, None));
    assert!(output.parity_engine.unwrap().starts_with("rten ") && output.file_sha256.unwrap().len() == 64);
}

/// The server is right, so only the comparison with the file can tell.
#[tokio::test]
async fn another_file_on_disk_is_found_by_its_answers() {
    let server = server(|_| {}).await;
    let outcome = run(config(&server, json!({"model": fixture("bad_permuted")}))).await.unwrap();
    assert_eq!((word(outcome.output.verdict).as_str(), outcome.output.correct), ("other_model", true));
    assert_eq!((outcome.output.parity, outcome.output.parity_label_flips), (Some(false), 16));
    let failure = outcome.failure.unwrap();
    assert!(failure.contains("is not the file on disk: they answer 9 of 9 cases differently, 16 labels"), "{failure}");
}

#[tokio::test]
async fn a_drifted_server_differs_from_the_file_and_from_what_is_right() {
    let server = server(|values| values.data.iter_mut().for_each(|number| *number += 0.01)).await;
    let outcome = run(config(&server, json!({"model": model()}))).await.unwrap();
    assert_eq!((word(outcome.output.verdict).as_str(), outcome.output.parity), ("differs", Some(false)));
    assert!((outcome.output.parity_max_absolute_error - 0.01).abs() < 1e-4);
    // The tolerance of the parity is its own.
    let outcome = run(config(&server, json!({"model": model(), "absolute": 0.1}))).await.unwrap();
    assert_eq!((word(outcome.output.verdict).as_str(), outcome.output.parity), ("differs", Some(true)));
}

#[tokio::test]
async fn the_file_alone_says_what_is_right() {
    let golden = std::fs::read(path("models/column-classifier/golden.json")).unwrap();
    let input = serde_json::to_value(&Golden::parse(&golden).unwrap().cases[0].inputs).unwrap();
    let server = server(|_| {}).await;
    let more = json!({"cases": null, "input": input});
    let right = config(&server, json!({"model": model(), "absolute": 1e-4}));
    assert_eq!(run(with(right, more.clone())).await.unwrap().failure, None);
    let other = config(&server, json!({"model": fixture("bad_permuted")}));
    assert_eq!(word(run(with(other, more)).await.unwrap().output.verdict), "other_model");
}

#[tokio::test]
async fn a_file_that_gives_no_answers_is_no_finding_about_the_server() {
    let server = server(|_| {}).await;
    for (parity, says) in [
        (json!({"model": path("models/absent.onnx")}), "cannot be compared with"),
        (json!({"model": fixture("bad_empty")}), "does not load (empty)"),
        (json!({"model": path("models/ocr-text/model.onnx")}), "cannot be compared with"),
        (json!({"model": model(), "outputs": ["nonsense"]}), "no output 'nonsense'"),
        (json!({"model": model(), "absolute": -1}), "tolerance"),
    ] {
        let error = run(config(&server, parity)).await.unwrap_err();
        assert!(error.message.contains(says), "{error}");
    }
    let nan = path("models/faults/ocr-text/nan.onnx");
    let cases = path("models/ocr-text/golden.json");
    let error = run(with(config(&server, json!({"model": nan})), json!({"cases": cases}))).await.unwrap_err();
    assert!(error.message.contains("is NaN or infinite") && error.help.unwrap().contains("onnx_validate"));
    // Nothing was asked of it.
    assert_eq!(server.requests().len(), 0);
    let text = json!({"url": server.url(""), "protocol": "openai", "model": "m", "prompt": "hi", "contains": "x"});
    let error = run(with(text, json!({"parity": {"model": model()}}))).await.unwrap_err();
    assert!(error.message.contains("no input on which the file"), "{error}");
}
