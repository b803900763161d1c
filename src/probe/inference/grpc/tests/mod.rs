//! The kind over gRPC, against servers that are right, wrong, slow, absent and rude.

mod double;

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Barrier;
use tonic::Status;

use super::messages::{InferParameter, ModelMetadataResponse, Parameter, ReadyResponse, TensorMetadata};
use crate::http::test_server::TestServer;
use crate::kind::{Context, Kind as _, Outcome, StepResult};
use crate::probe::inference::{Output, Step};
use double::{Act, Double, framed, raw, typed};

async fn run(config: Value) -> StepResult<Output> {
    Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
}

fn with(mut config: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn word(outcome: &Outcome<Output>) -> String {
    serde_json::to_value(outcome.output.verdict).unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn right_answers_pass_as_typed_lists_and_as_raw_bytes() {
    for answer in [typed(&[1, 2], &[0.25, 0.75]), raw(&[1, 2], &[0.25, 0.75])] {
        let server = Double::answering(answer).await;
        let form = json!({"schema": [{"name": "p", "datatype": "FP32", "shape": [-1, 2]}]});
        let outcome = run(with(server.config(), form)).await.unwrap();
        assert_eq!((word(&outcome).as_str(), outcome.failure), ("match", None));
        let output = outcome.output;
        assert_eq!((output.correct, output.samples, output.errors, output.wrong), (true, 1, 0, 0));
        assert!(output.mean.unwrap() > 0.0 && output.p50.is_none());
        assert_eq!(output.protocol, "grpc");
    }
}

#[tokio::test]
async fn the_request_is_as_the_server_describes_its_model() {
    let input = TensorMetadata { name: "ids".into(), datatype: "INT64".into() };
    let server = Double::acting([
        ("ModelMetadata", Act::say(&ModelMetadataResponse { inputs: vec![input] })),
        ("ModelInfer", Act::say(&typed(&[1], &[0.5]))),
    ])
    .await;
    let more = json!({
        "version": "3", "input": {"ids": [[1, 2]], "mask": [[0.5]]}, "datatypes": {"mask": "FP64"},
        "expect": {"p": [0.5]}, "parameters": {"priority": 1, "trace": true},
    });
    assert_eq!(run(with(server.config(), more)).await.unwrap().failure, None);
    assert_eq!(server.methods(), ["ModelMetadata", "ModelInfer"]);
    let asked = server.asked().remove(0);
    assert_eq!((asked.model_name.as_str(), asked.model_version.as_str()), ("ocr", "3"));
    let sent: Vec<_> = asked.inputs.iter().map(|input| (input.datatype.as_str(), input.shape.clone())).collect();
    assert_eq!(sent, [("INT64", vec![1, 2]), ("FP64", vec![1, 1])]);
    assert_eq!(asked.inputs[0].contents.as_ref().unwrap().int64_contents, [1, 2]);
    assert_eq!(asked.parameters["priority"], InferParameter { value: Some(Parameter::Int64(1)) });
    assert_eq!(asked.parameters["trace"], InferParameter { value: Some(Parameter::Bool(true)) });
}

#[tokio::test]
async fn what_has_no_typed_list_is_sent_as_raw_bytes() {
    let server = Double::answering(typed(&[1], &[0.5])).await;
    let more = json!({
        "input": {"a": [1], "b": [2]}, "datatypes": {"a": "FP16", "b": "INT32"}, "expect": {"p": [0.5]},
    });
    run(with(server.config(), more)).await.unwrap();
    let asked = server.asked().remove(0);
    // 1.0 as a float16, 2 as an int32.
    assert_eq!(asked.raw_input_contents, [vec![0x00, 0x3c], vec![2, 0, 0, 0]]);
    assert!(asked.inputs.iter().all(|input| input.contents.is_none()));
}

#[tokio::test]
async fn each_way_to_be_wrong_has_its_verdict() {
    let mut short = raw(&[1, 2], &[0.25, 0.75]);
    short.raw_output_contents[0].truncate(6);
    let wrong = [
        (Act::say(&typed(&[1, 2], &[0.75, 0.25])), "differs", "'p'[0, 0] is 0.75; expected 0.25"),
        (Act::say(&raw(&[1, 2], &[f32::NAN, 0.75])), "not_finite", "'p'[0, 0] is NaN"),
        (Act::say(&typed(&[1, 2], &[0.25, f32::INFINITY])), "not_finite", "'p'[0, 1] is inf"),
        (Act::say(&typed(&[2], &[0.25, 0.75])), "wrong_shape", "'p' has the shape [2]"),
        (Act::Say(Vec::new().into()), "wrong_shape", "'p' is not answered"),
        (Act::say(&typed(&[1, 3], &[0.25, 0.75])), "invalid", "shape [1, 3] but 2 elements"),
        (Act::say(&short), "invalid", "6 raw bytes"),
        (Act::Say(vec![0xff; 9].into()), "invalid", "no ModelInferResponse"),
    ];
    for (act, expected, says) in wrong {
        let server = Double::acting([("ModelInfer", act)]).await;
        let outcome = run(server.config()).await.unwrap();
        assert_eq!(word(&outcome), expected, "{says}");
        assert_eq!((outcome.output.correct, outcome.output.wrong), (false, 1));
        let failure = outcome.failure.unwrap();
        assert!(failure.contains(says) && failure.contains("1 of 1 cases"), "{failure}");
    }
}

#[tokio::test]
async fn readiness_is_told_apart_from_right_answers() {
    let (right, wrong) = (typed(&[1, 2], &[0.25, 0.75]), typed(&[1, 2], &[0.75, 0.25]));
    let ready = |ready| Act::say(&ReadyResponse { ready });
    let missing = Act::Refuse(Status::not_found("no such model"));
    // What the model's readiness says, what is answered, and what becomes of it.
    let combinations = [
        (ready(true), &right, "match", Some(true), true),
        (ready(true), &wrong, "differs", Some(true), false),
        (ready(false), &right, "not_ready", Some(false), true),
        (ready(false), &wrong, "not_ready", Some(false), false),
        (missing, &right, "not_ready", Some(false), true),
    ];
    for (says, answer, verdict, told, correct) in combinations {
        // `ServerReady` is not implemented, which some servers do without.
        let server = Double::acting([("ModelReady", says), ("ModelInfer", Act::say(answer))]).await;
        let outcome = run(with(server.config(), json!({"ready": true}))).await.unwrap();
        assert_eq!((word(&outcome).as_str(), outcome.output.ready, outcome.output.correct), (verdict, told, correct));
        let failure = outcome.failure.unwrap_or_default();
        let ready_but_wrong = failure.contains("the server says it is ready, but 1 of 1 cases are answered wrongly");
        assert_eq!(ready_but_wrong, verdict == "differs", "{failure}");
    }
    let server = Double::acting([("ServerReady", ready(false)), ("ModelInfer", Act::say(&right))]).await;
    assert_eq!(word(&run(with(server.config(), json!({"ready": true}))).await.unwrap()), "not_ready");
}

#[tokio::test]
async fn a_refusal_is_told_with_its_name_its_words_and_what_to_do() {
    let refusals = [
        (Status::not_found("no model 'ocr'"), 5, "NOT_FOUND (5): no model 'ocr'; check `model`"),
        (Status::unavailable("starting"), 14, "UNAVAILABLE (14): starting; it is starting, stopping"),
        (Status::resource_exhausted(""), 8, "RESOURCE_EXHAUSTED (8); it is overloaded"),
        (Status::invalid_argument("shape"), 3, "INVALID_ARGUMENT (3): shape; compare names"),
        (Status::internal("boom"), 13, "INTERNAL (13): boom; look into the log"),
    ];
    for (status, number, says) in refusals {
        let server = Double::acting([("ModelInfer", Act::Refuse(status))]).await;
        let outcome = run(server.config()).await.unwrap();
        assert_eq!((word(&outcome).as_str(), outcome.output.status), ("refused", Some(number)));
        assert_eq!((outcome.output.refused, outcome.output.unanswered, outcome.output.samples), (1, 0, 0));
        let failure = outcome.failure.unwrap();
        assert!(failure.contains("1 of 1 requests were refused") && failure.contains(says), "{failure}");
    }
}

#[tokio::test]
async fn a_closed_door_is_an_error_not_a_finding() {
    for (status, number) in [(Status::unauthenticated("no"), 16), (Status::permission_denied("no"), 7)] {
        let server = Double::acting([("ModelInfer", Act::Refuse(status))]).await;
        let error = run(server.config()).await.unwrap_err();
        assert!(error.code == Some(number) && error.help.as_ref().unwrap().contains("bearer"), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_an_error_after_the_request_timeout() {
    let server = Double::acting([("ModelInfer", Act::Hang)]).await;
    let error = run(with(server.config(), json!({"request_timeout": 0.1}))).await.unwrap_err();
    assert!(error.message.contains("no complete answer from 127.0.0.1"), "{error}");
    assert!(error.help.unwrap().contains("request_timeout"));
}

#[tokio::test]
async fn a_server_that_stops_in_the_middle_of_an_answer_is_an_error_too() {
    let server = Double::acting([("ModelInfer", Act::Stall(framed(64, &[0; 8])))]).await;
    let error = run(with(server.config(), json!({"request_timeout": 0.1}))).await.unwrap_err();
    assert!(error.message.contains("no complete answer"), "{error}");
}

#[tokio::test]
async fn a_slow_one_among_answered_ones_is_counted_apart() {
    let right = Act::say(&typed(&[1, 2], &[0.25, 0.75]));
    let server = Double::speaking(move |method, number| match (method, number) {
        ("ModelInfer", 3) => Some(Act::Hang),
        ("ModelInfer", _) => Some(right.clone()),
        _ => None,
    })
    .await;
    let config = with(server.config(), json!({"requests": 4, "request_timeout": 0.5}));
    let outcome = run(config).await.unwrap();
    assert_eq!((word(&outcome).as_str(), outcome.output.correct), ("unanswered", true));
    let output = outcome.output;
    assert_eq!((output.samples, output.errors, output.unanswered, output.refused), (3, 1, 1, 0));
}

/// An answer that broke off is no answer: nothing was measured.
#[tokio::test]
async fn an_answer_that_breaks_off_is_lost() {
    let whole = prost::Message::encode_to_vec(&typed(&[1, 2], &[0.25, 0.75]));
    let length = whole.len() as u32;
    let acts = [
        Act::Tear(framed(length, &whole[..5])),
        Act::Plain(200, framed(length, &whole[..5])),
        Act::Plain(200, framed(length, &whole)),
        Act::Plain(200, Vec::new().into()),
    ];
    for act in acts {
        let server = Double::acting([("ModelInfer", act)]).await;
        let error = run(server.config()).await.unwrap_err();
        assert!(error.message.contains("broke off"), "{error}");
    }
}

#[tokio::test]
async fn a_huge_answer_is_refused_by_its_length_alone() {
    // Only the length is huge; to wait for the rest would take for ever.
    let server = Double::acting([("ModelInfer", Act::Stall(framed(u32::MAX, &[0; 64])))]).await;
    let error = run(server.config()).await.unwrap_err();
    assert!(error.message.contains("larger than 16.0 MiB"), "{error}");
    let server = Double::answering(typed(&[1, 4096], &[0.125; 4096])).await;
    let error = run(with(server.config(), json!({"body_limit": 1024}))).await.unwrap_err();
    assert!(error.message.contains("larger than 1.0 KiB") && error.help.unwrap().contains("body_limit"));
    // The bounds of a server are its own affair, and a refusal.
    let server = Double::acting([("ModelInfer", Act::Refuse(Status::out_of_range("row 9")))]).await;
    assert_eq!(word(&run(server.config()).await.unwrap()), "refused");
}

#[tokio::test]
async fn the_wrong_door_is_named() {
    let server = Double::acting([("ModelInfer", Act::Plain(404, Vec::new().into()))]).await;
    let error = run(server.config()).await.unwrap_err();
    assert!(error.message.contains("does not speak gRPC") && error.help.as_ref().unwrap().contains("8001"), "{error}");
    let busy = Double::acting([("ModelInfer", Act::Plain(503, Vec::new().into()))]).await;
    assert_eq!(word(&run(busy.config()).await.unwrap()), "refused");

    let older = TestServer::raw("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    let error = run(with(server.config(), json!({"url": older.url("")}))).await.unwrap_err();
    assert!(error.message.contains("broke off") && error.help.as_ref().unwrap().contains("8001"), "{error}");

    let nobody = format!("grpc://{}", TestServer::refused().await);
    for more in [json!({}), json!({"requests": 100_000, "parallel": 8}), json!({"ready": true})] {
        let config = with(server.config(), json!({"url": nobody}));
        let error = run(with(config, more)).await.unwrap_err();
        assert!(error.message.contains("cannot connect to 127.0.0.1"), "{error}");
    }
}

#[tokio::test]
async fn requests_run_side_by_side_up_to_the_limit() {
    let answer = prost::Message::encode_to_vec(&typed(&[1, 2], &[0.25, 0.75]));
    let server = Double::acting([("ModelInfer", Act::Together(Arc::new(Barrier::new(4)), answer.into()))]).await;
    let outcome = run(with(server.config(), json!({"requests": 200, "parallel": 4}))).await.unwrap();
    assert_eq!(outcome.failure, None);
    let output = outcome.output;
    assert_eq!((output.requests, output.samples, server.most_at_once()), (200, 200, 4));
    assert!(output.p50.unwrap() <= output.p90.unwrap() && output.p95 <= output.slowest && output.p99.is_none());
    assert_eq!(output.histogram.total(), 200);
}

#[tokio::test]
async fn a_cancelled_check_ends_at_once() {
    let server = Double::acting([("ModelInfer", Act::Hang)]).await;
    let context = Context::for_tests();
    let check = Step::run(serde_json::from_value(server.config()).unwrap(), context.clone());
    let cancel = async {
        server.until_called().await;
        context.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(check, cancel);
    assert!(ended.unwrap_err().message.contains("cancelled"));
}

#[tokio::test]
async fn an_encrypted_connection_trusts_whom_the_step_names() {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, pair.cert.pem()).unwrap();
    let answer = typed(&[1, 2], &[0.25, 0.75]);
    let server = Double::with_tls(&pair.cert.pem(), &pair.signing_key.serialize_pem(), answer).await;
    for scheme in ["grpcs", "https"] {
        let url = format!("{scheme}://localhost:{}", server.port());
        let config = with(server.config(), json!({"url": url}));
        let outcome = run(with(config.clone(), json!({"tls": {"ca_file": authority}}))).await.unwrap();
        assert_eq!(outcome.failure, None);
        let error = run(config).await.unwrap_err();
        assert!(error.message.contains("cannot make a TLS connection"), "{error}");
        assert!(error.help.unwrap().contains("ca_file"));
    }
}

#[tokio::test]
async fn credentials_are_sent_with_every_call_and_never_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "hunter2hunter2\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let server = Double::acting([("ModelInfer", Act::Refuse(Status::unauthenticated("who?")))]).await;
    let more = json!({"bearer": {"file": file}, "headers": {"X-Team": "ocr"}});
    let error = run(with(server.config(), more)).await.unwrap_err();
    assert_eq!(server.header("authorization").unwrap(), "Bearer hunter2hunter2");
    assert_eq!(server.header("x-team").unwrap(), "ocr");
    assert!(server.header("grpc-timeout").is_some());
    assert!(!format!("{error:?}").contains("hunter2"));
    let error = run(with(server.config(), json!({"headers": {"trace-bin": "x"}}))).await.unwrap_err();
    assert!(error.message.contains("'trace-bin'"), "{error}");
}

#[tokio::test]
async fn settings_that_mean_nothing_over_grpc_are_refused_before_anything_is_sent() {
    let server = Double::answering(typed(&[1, 2], &[0.25, 0.75])).await;
    let address = format!("grpc://127.0.0.1:{}", server.port());
    for (more, says) in [
        (json!({"url": format!("{address}/v2")}), "has no path"),
        (json!({"model": null}), "needs the name of the model"),
        (json!({"answer_schema": {}}), "`answer_schema` has no meaning"),
        (json!({"parameters": {"a": [1]}}), "the parameter 'a'"),
        (json!({"datatypes": {"x": "INT8"}}), "cannot be sent as INT8"),
        (json!({"url": "grpc://bob:hunter2@host"}), "has a password in it"),
    ] {
        let error = run(with(server.config(), more)).await.unwrap_err();
        assert!(error.message.contains(says) && !error.message.contains("hunter2"), "{error}");
    }
    assert!(server.methods().is_empty());
}
