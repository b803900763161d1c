//! The kind against servers that are right, wrong, slow, absent and rude.

mod doubles;
mod parity;
mod protocols;

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::json;
use sha2::Digest as _;
use tokio::sync::Barrier;

use super::*;
use crate::http::test_server::TestServer;
use crate::kind::StepError;
use doubles::{Double, run, v2_answer};

/// Two numbers in, two out.
fn config(server: &Double) -> Value {
    json!({
        "url": server.url(""), "model": "ocr", "datatypes": {"x": "FP32"},
        "input": {"x": [[0.5, 1]]}, "expect": {"p": [[0.25, 0.75]]},
    })
}

fn with(mut config: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn word(verdict: Verdict) -> String {
    serde_json::to_value(verdict).unwrap().as_str().unwrap().to_owned()
}

async fn verdict_of(answer: Value) -> (String, Outcome<Output>) {
    let server = Double::answering(answer).await;
    let outcome = run(config(&server)).await.unwrap();
    (word(outcome.output.verdict), outcome)
}

#[tokio::test]
async fn right_answers_pass() {
    let (verdict, outcome) = verdict_of(v2_answer(json!([1, 2]), json!([0.25, 0.750001]))).await;
    assert_eq!((verdict.as_str(), outcome.failure), ("match", None));
    let output = outcome.output;
    assert_eq!((output.correct, output.ready, output.parity, output.status), (true, None, None, None));
    assert_eq!((output.cases, output.matched, output.requests, output.samples, output.errors), (1, 1, 1, 1, 0));
    assert!(output.max_absolute_error > 0.0 && output.mean.unwrap() > 0.0 && output.throughput > 0.0);
    assert_eq!((output.p50, output.p95, output.p99_ms), (None, None, None));
}

#[tokio::test]
async fn each_way_to_be_wrong_has_its_verdict() {
    let wrong = [
        (v2_answer(json!([1, 2]), json!([0.75, 0.25])), "differs", "'p'[0, 0] is 0.75; expected 0.25"),
        (v2_answer(json!([1, 2]), json!([null, 0.75])), "not_finite", "'p'[0, 0] is NaN"),
        (v2_answer(json!([1, 2]), json!(["NaN", "-Infinity"])), "not_finite", "'p'[0, 0] is NaN"),
        (v2_answer(json!([2]), json!([0.25, 0.75])), "wrong_shape", "'p' has the shape [2]"),
        (json!({"outputs": []}), "wrong_shape", "'p' is not answered"),
        (v2_answer(json!([1, 3]), json!([0.25, 0.75])), "invalid", "shape [1, 3] but 2 elements"),
        (v2_answer(json!([1, 2]), json!(["cat", "dog"])), "invalid", "text, not numbers"),
        (json!({"ok": true}), "invalid", "no list `outputs`"),
    ];
    for (answer, expected, says) in wrong {
        let (verdict, outcome) = verdict_of(answer.clone()).await;
        assert_eq!(verdict, expected, "{answer}");
        let failure = outcome.failure.unwrap();
        assert!(failure.contains(says) && failure.contains("1 of 1 cases"), "{failure}");
        assert!(!outcome.output.correct);
        assert_eq!(outcome.output.matched, 0);
    }
}

#[tokio::test]
async fn changed_labels_and_numbers_that_are_none_are_counted() {
    let (_, outcome) = verdict_of(v2_answer(json!([1, 2]), json!([0.75, 0.25]))).await;
    assert_eq!((outcome.output.label_flips, outcome.output.max_absolute_error), (1, 0.5));
    assert!(outcome.failure.unwrap().contains("1 labels changed"));
    let (_, outcome) = verdict_of(v2_answer(json!([1, 2]), json!([null, null]))).await;
    assert_eq!(outcome.output.not_finite, 2);
}

#[tokio::test]
async fn words_that_json_lacks_are_understood() {
    let server = Double::speaking(|_| {
        (StatusCode::OK, r#"{"outputs": [{"name": "p", "shape": [1, 2], "data": [NaN, Infinity]}]}"#.into())
    });
    let outcome = run(config(&server.await)).await.unwrap();
    assert_eq!((word(outcome.output.verdict).as_str(), outcome.output.not_finite), ("not_finite", 2));
}

#[tokio::test]
async fn an_answer_that_is_not_json_is_invalid() {
    let server = Double::speaking(|_| (StatusCode::OK, "<html>\u{1b}[31mlogin</html>".into())).await;
    let outcome = run(config(&server)).await.unwrap();
    assert_eq!(word(outcome.output.verdict), "invalid");
    let failure = outcome.failure.unwrap();
    assert!(failure.contains("not JSON") && failure.contains("login") && !failure.contains('\u{1b}'), "{failure}");
}

#[tokio::test]
async fn a_refusal_is_told_with_its_status_and_its_words() {
    let refusals = [
        (StatusCode::SERVICE_UNAVAILABLE, r#"{"error": "the model 'ocr' is not loaded"}"#, "the model 'ocr' is not"),
        (StatusCode::NOT_FOUND, r#"{"error": {"message": "unknown model"}}"#, "404 Not Found: unknown model"),
        (StatusCode::TOO_MANY_REQUESTS, "slow down", "slow down"),
        (StatusCode::BAD_GATEWAY, "", "502 Bad Gateway"),
    ];
    for (status, body, says) in refusals {
        let server = Double::speaking(move |_| (status, body.to_owned())).await;
        let outcome = run(config(&server)).await.unwrap();
        let output = outcome.output;
        assert_eq!((word(output.verdict).as_str(), output.status), ("refused", Some(status.as_u16())));
        assert_eq!((output.correct, output.errors, output.error_rate, output.samples), (false, 1, 1.0, 0));
        let failure = outcome.failure.unwrap();
        assert!(failure.contains("1 of 1 requests were refused") && failure.contains(says), "{failure}");
    }
}

#[tokio::test]
async fn an_unusable_answer_is_an_error_not_a_finding() {
    let server = Double::speaking(|_| (StatusCode::UNAUTHORIZED, String::new())).await;
    let error = run(config(&server)).await.unwrap_err();
    assert!(error.code == Some(401) && error.help.unwrap().contains("bearer"));
    let server = Double::speaking(|_| (StatusCode::PERMANENT_REDIRECT, String::new())).await;
    assert_eq!(run(config(&server)).await.unwrap_err().code, Some(308));
    let huge = v2_answer(json!([1, 4096]), json!(vec![0.125; 4096]));
    let server = Double::answering(huge).await;
    let error = run(with(config(&server), json!({"body_limit": 1024}))).await.unwrap_err();
    assert!(error.message.contains("larger than 1.0 KiB"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let address = TestServer::refused().await;
    let config = json!({"url": format!("http://{address}"), "model": "ocr", "input": {}, "expect": {"p": [1]}});
    for more in [json!({}), json!({"requests": 100_000, "parallel": 8}), json!({"ready": true})] {
        let error = run(with(config.clone(), more)).await.unwrap_err();
        assert!(error.message.contains("cannot connect"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_an_error_after_the_request_timeout() {
    let server = Double::hanging().await;
    let error = run(with(config(&server), json!({"request_timeout": 0.05}))).await.unwrap_err();
    assert!(error.message.contains("no complete answer"), "{error}");
}

#[tokio::test]
async fn requests_that_get_lost_among_answered_ones_fail_unless_allowed() {
    let answer = v2_answer(json!([1, 2]), json!([0.25, 0.75])).to_string();
    let server = Double::hanging_on(3, answer).await;
    let config = with(config(&server), json!({"requests": 4, "request_timeout": 0.2}));
    let outcome = run(config.clone()).await.unwrap();
    let output = outcome.output;
    assert_eq!((word(output.verdict).as_str(), output.correct, output.error_rate), ("unanswered", true, 0.25));
    assert!(outcome.failure.unwrap().contains("1 of 4 requests got no answer"));

    server.start_over();
    let outcome = run(with(config, json!({"allowed_error_rate": 0.25}))).await.unwrap();
    assert_eq!((outcome.failure, word(outcome.output.verdict).as_str(), outcome.output.errors), (None, "match", 1));
}

#[tokio::test]
async fn a_case_without_any_answer_is_never_allowed() {
    let server = Double::speaking(|_| (StatusCode::SERVICE_UNAVAILABLE, String::new())).await;
    let outcome = run(with(config(&server), json!({"allowed_error_rate": 1}))).await.unwrap();
    assert_eq!(word(outcome.output.verdict), "refused");
    assert!(outcome.failure.is_some());
}

#[tokio::test]
async fn readiness_is_told_apart_from_right_answers() {
    let right = v2_answer(json!([1, 2]), json!([0.25, 0.75]));
    let wrong = v2_answer(json!([1, 2]), json!([0.75, 0.25]));
    // What the model's readiness says, what is answered, and what becomes of it.
    let combinations = [
        (json!({"ready": true}), &right, "match", Some(true), true),
        (json!({"ready": true}), &wrong, "differs", Some(true), false),
        (json!({"ready": false}), &right, "not_ready", Some(false), true),
    ];
    for (ready, answer, verdict, told, correct) in combinations {
        let server = Double::routes([
            ("/v2/models/ocr/ready", StatusCode::OK, ready.to_string()),
            ("/v2/models/ocr/infer", StatusCode::OK, answer.to_string()),
        ])
        .await;
        let outcome = run(with(config(&server), json!({"ready": true}))).await.unwrap();
        let output = outcome.output;
        assert_eq!((word(output.verdict).as_str(), output.ready, output.correct), (verdict, told, correct));
        assert_eq!(outcome.failure.is_none(), verdict == "match");
    }
}

#[tokio::test]
async fn a_route_of_its_own_can_tell_readiness() {
    let server = Double::routes([
        ("/healthz", StatusCode::SERVICE_UNAVAILABLE, r#"{"error": "loading"}"#.into()),
        ("/v2/models/ocr/infer", StatusCode::OK, v2_answer(json!([1, 2]), json!([0.25, 0.75])).to_string()),
    ])
    .await;
    let outcome = run(with(config(&server), json!({"ready_url": server.url("/healthz")}))).await.unwrap();
    assert_eq!(outcome.output.ready, Some(false));
    assert!(outcome.failure.unwrap().contains("/healthz answers 503 Service Unavailable: loading"));
    let error = run(json!({"url": server.url("/x"), "ready": true, "input": {}, "expect": {"p": [1]}})).await;
    assert!(error.unwrap_err().message.contains("where to ask"));
}

#[tokio::test]
async fn the_served_model_is_compared_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    std::fs::write(&file, "weights").unwrap();
    let digest = hex::encode(sha2::Sha256::digest("weights"));
    let answer = v2_answer(json!([1, 2]), json!([0.25, 0.75])).to_string();
    let told = [
        (format!("sha256:{}", digest.to_uppercase()), Some(true), "match"),
        ("0".repeat(64), Some(false), "other_model"),
        ("unknown".to_owned(), None, "match"),
    ];
    for (served, parity, verdict) in told {
        let server = Double::routes([
            ("/about", StatusCode::OK, json!({"models": [{"sha256": served}]}).to_string()),
            ("/v2/models/ocr/infer", StatusCode::OK, answer.clone()),
        ])
        .await;
        let hash = json!({"get": server.url("/about"), "path": "$.models[0].sha256"});
        let by_hash = json!({"model": file, "answers": false, "served_hash": hash});
        let outcome = run(with(config(&server), json!({"parity": by_hash}))).await.unwrap();
        assert_eq!((outcome.output.parity, word(outcome.output.verdict).as_str()), (parity, verdict));
        assert_eq!(outcome.output.file_sha256.as_ref(), Some(&digest));
        assert_eq!(outcome.failure.is_some(), parity == Some(false));
    }
}

#[tokio::test]
async fn credentials_go_to_the_server_of_the_model_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "hunter2hunter2\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let server = Double::answering(v2_answer(json!([1, 2]), json!([0.25, 0.75]))).await;
    let other = Double::answering(json!({})).await;
    let config = with(
        config(&server),
        json!({"bearer": {"file": file}, "headers": {"X-Team": "ocr"}, "ready_url": other.url("/ready")}),
    );
    run(config).await.unwrap();
    let (asked, elsewhere) = (server.requests(), other.requests());
    assert_eq!(asked[0].headers["authorization"], "Bearer hunter2hunter2");
    assert_eq!(asked[0].headers["x-team"], "ocr");
    assert_eq!(elsewhere.len(), 1);
    assert!(elsewhere[0].headers.get("authorization").is_none() && elsewhere[0].headers.get("x-team").is_none());
}

/// The server answers only when exactly as many requests are under way as should be.
#[tokio::test]
async fn requests_run_side_by_side_up_to_the_limit() {
    let answer = v2_answer(json!([1, 2]), json!([0.25, 0.75])).to_string();
    let server = Double::answering_together(Arc::new(Barrier::new(4)), answer).await;
    let outcome = run(with(config(&server), json!({"requests": 200, "parallel": 4}))).await.unwrap();
    assert_eq!(outcome.failure, None);
    let output = outcome.output;
    assert_eq!((output.requests, output.samples, server.most_at_once()), (200, 200, 4));
    assert!(output.p50.unwrap() <= output.p95.unwrap() && output.p95 <= output.slowest);
    assert_eq!((output.p99, output.p95.map(|seconds| seconds * 1000.0)), (None, output.p95_ms));
}

#[tokio::test]
async fn a_cancelled_check_ends_at_once() {
    let server = Double::hanging().await;
    let context = Context::for_tests();
    let check = Step::run(serde_json::from_value(config(&server)).unwrap(), context.clone());
    let cancel = async {
        server.until_asked().await;
        context.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(check, cancel);
    assert!(ended.unwrap_err().message.contains("cancelled"));
}

#[tokio::test]
async fn golden_files_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let cases = folder.path().join("golden.json");
    let case = |name: &str, number: f64| json!({"name": name, "inputs": {"x": {"shape": [1], "data": [number]}}, "outputs": {"p": {"shape": [1], "data": [number]}}});
    std::fs::write(&cases, json!({"cases": [case("one", 1.0), case("two", 2.0)]}).to_string()).unwrap();
    let server = Double::speaking(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        (StatusCode::OK, v2_answer(json!([1]), body["inputs"][0]["data"].clone()).to_string())
    })
    .await;
    let config = json!({"url": server.url(""), "model": "ocr", "datatypes": {"x": "FP32"}, "cases": cases});
    let outcome = run(with(config.clone(), json!({"requests": 5}))).await.unwrap();
    assert_eq!((outcome.failure, outcome.output.cases, outcome.output.matched), (None, 2, 2));
    assert_eq!(server.requests().len(), 5);
    // A case that is never sent is not judged.
    assert_eq!(run(with(config.clone(), json!({"requests": 1}))).await.unwrap().output.cases, 1);
    let error = run(with(config, json!({"cases": folder.path().join("absent.json")}))).await.unwrap_err();
    assert!(error.message.contains("cannot read the golden file"), "{error}");
}

/// One replica among several may be wrong; one right answer does not make up for it.
#[tokio::test]
async fn the_worst_answer_to_a_case_counts() {
    let right = v2_answer(json!([1, 2]), json!([0.25, 0.75])).to_string();
    let wrong = v2_answer(json!([1, 2]), json!([0.75, 0.25])).to_string();
    let server = Double::speaking(move |request| {
        (StatusCode::OK, if request.number == 2 { wrong.clone() } else { right.clone() })
    })
    .await;
    let outcome = run(with(config(&server), json!({"requests": 3}))).await.unwrap();
    assert_eq!((word(outcome.output.verdict).as_str(), outcome.output.matched), ("differs", 0));
}

#[tokio::test]
async fn the_form_of_an_answer_can_be_enough() {
    let server = Double::answering(v2_answer(json!([1, 2]), json!([0.25, null]))).await;
    let form = |schema: Value| json!({"url": server.url(""), "model": "ocr", "input": {}, "schema": [schema]});
    let fitting = json!({"name": "p", "datatype": "FP32", "shape": [-1, 2]});
    let outcome = run(form(fitting)).await.unwrap();
    assert_eq!((word(outcome.output.verdict).as_str(), outcome.output.not_finite), ("not_finite", 1));
    for (schema, says) in [
        (json!({"name": "p", "shape": [-1, 3]}), "'p' has the shape [1, 2]; expected [-1, 3]"),
        (json!({"name": "p", "shape": [2]}), "expected [2]"),
        (json!({"name": "p", "datatype": "INT64"}), "'p' is FP32; expected INT64"),
        (json!({"name": "q"}), "'q' is not answered"),
    ] {
        let outcome = run(form(schema)).await.unwrap();
        assert_eq!(word(outcome.output.verdict), "wrong_shape");
        assert!(outcome.failure.unwrap().contains(says));
    }
}

#[tokio::test]
async fn a_whole_answer_can_be_judged_by_a_json_schema() {
    let server = Double::answering(v2_answer(json!([1, 2]), json!([0.25, 0.75]))).await;
    let schema = |required: &str| json!({"answer_schema": {"type": "object", "required": [required]}, "expect": {}});
    let outcome = run(with(config(&server), schema("outputs"))).await.unwrap();
    assert_eq!((outcome.failure, outcome.output.correct), (None, true));
    let outcome = run(with(config(&server), schema("model_version"))).await.unwrap();
    assert_eq!((word(outcome.output.verdict).as_str(), outcome.output.correct), ("wrong_shape", false));
    let failure = outcome.failure.unwrap();
    assert!(failure.contains("does not fit `answer_schema`: \"model_version\" is a required"), "{failure}");
    // Nothing outside of the playbook is read.
    let elsewhere = json!({"answer_schema": {"$ref": "http://127.0.0.1:1/schema.json"}});
    let error = run(with(config(&server), elsewhere)).await.unwrap_err();
    assert!(error.message.contains("not a JSON Schema"), "{error}");
}

#[tokio::test]
async fn contradicting_settings_are_refused_before_anything_is_sent() {
    let server = Double::answering(json!({})).await;
    let refused = async |more: Value| -> StepError { run(with(config(&server), more)).await.unwrap_err() };
    for (more, says) in [
        (json!({"prompt": "hi"}), "`prompt` has no meaning with `protocol: v2`"),
        (json!({"columnar": true}), "`columnar`"),
        (json!({"cases": "golden.json"}), "not clear what to ask"),
        (json!({"input": null}), "not clear what to ask"),
        (json!({"expect": {}}), "nothing is expected"),
        (json!({"parallel": 65}), "`parallel` cannot be 65"),
        (json!({"requests": 0}), "`requests`"),
        (json!({"allowed_error_rate": 5}), "not a share"),
        (json!({"request_timeout": -1}), "`request_timeout`"),
        (json!({"absolute": -1}), "tolerance"),
        (json!({"model": ".."}), "not the name"),
        (json!({"model": null, "version": "1"}), "without `model`"),
        (json!({"parity": {"model": "m.onnx", "answers": false}}), "compares nothing"),
        (json!({"answer_schema": {"type": "nonsense"}}), "not a JSON Schema"),
        (json!({"url": "grpc://127.0.0.1:1"}), "the protocol is another"),
        (json!({"text_schema": {}}), "`text_schema` has no meaning"),
        (json!({"expect": {"p": [[1], [2, 3]]}}), "ragged"),
        (json!({"headers": {"a b": "c"}}), "not the name of a header"),
    ] {
        let error = refused(more).await;
        assert!(error.message.contains(says), "{error}");
    }
    assert_eq!(server.requests().len(), 0);
}
