//! What each protocol sends and how it reads what comes back.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::doubles::{Double, run, v2_answer};
use super::{with, word};
use crate::kind::Outcome;

type Finding = (String, Option<bool>, Option<String>);

/// Verdict, readiness and failure.
fn finding(outcome: Outcome<super::Output>) -> Finding {
    (word(outcome.output.verdict), outcome.output.ready, outcome.failure)
}

fn passed(ready: Option<bool>) -> Finding {
    ("match".to_owned(), ready, None)
}

/// The double answers everything that is not posted to `path` with `about`.
async fn server(path: &'static str, answer: Value, about: Value) -> Double {
    Double::speaking(move |request| {
        let body = if request.path == path { &answer } else { &about };
        (StatusCode::OK, body.to_string())
    })
    .await
}

#[tokio::test]
async fn v2_sends_the_element_types_that_the_server_describes() {
    let about = json!({"ready": true, "inputs": [{"name": "ids", "datatype": "INT64", "shape": [-1, 2]}]});
    let path = "/v2/models/a%20b/versions/3/infer";
    let server = server(path, v2_answer(json!([1]), json!([[0.5]])), about).await;
    let outcome = run(json!({
        "url": server.url(""), "model": "a b", "version": "3", "parameters": {"priority": 1}, "ready": true,
        "input": {"ids": [[1, 2]], "mask": [[0.5]]}, "datatypes": {"mask": "FP64"}, "expect": {"p": [0.5]},
    }));
    assert_eq!(finding(outcome.await.unwrap()), passed(Some(true)));
    let asked = server.requests();
    let paths: Vec<&str> = asked.iter().map(|request| request.path.as_str()).collect();
    let model = "/v2/models/a%20b/versions/3";
    assert_eq!(paths, ["/v2/health/ready", &format!("{model}/ready"), model, path]);
    let inputs = json!([
        {"name": "ids", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]},
        {"name": "mask", "shape": [1, 1], "datatype": "FP64", "data": [0.5]},
    ]);
    assert_eq!(asked[3].json(), json!({"inputs": inputs, "parameters": {"priority": 1}}));
}

#[tokio::test]
async fn v2_takes_a_whole_address_too() {
    let path = "/gateway/v2/models/ocr/infer";
    let server = server(path, v2_answer(json!([1]), json!([0.5])), json!({"ready": false})).await;
    let config = json!({"url": server.url(path), "input": {"x": [1]}, "expect": {"p": [0.5]}, "ready": true});
    let (verdict, ready, failure) = finding(run(config).await.unwrap());
    assert_eq!((verdict.as_str(), ready), ("not_ready", Some(false)));
    assert!(failure.unwrap().contains("/gateway/v2/models/ocr/ready: it answers `ready: false`"));
    assert_eq!(server.requests()[2].json()["inputs"][0]["datatype"], "FP32");
}

const AVAILABLE: &str = r#"{"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}"#;

#[tokio::test]
async fn tensorflow_is_asked_row_by_row() {
    let path = "/v1/models/ocr:predict";
    let about: Value = serde_json::from_str(AVAILABLE).unwrap();
    let single = server(path, json!({"predictions": [[0.25], [0.75]]}), about.clone()).await;
    let config = json!({
        "url": single.url("/"), "protocol": "tensorflow", "model": "ocr", "signature": "classify", "ready": true,
        "input": {"x": [[1], [2]]}, "expect": {"p": [[0.25], [0.75]]},
    });
    assert_eq!(finding(run(config.clone()).await.unwrap()), passed(Some(true)));
    let sent = single.requests()[1].json();
    assert_eq!(sent, json!({"signature_name": "classify", "instances": [[1.0], [2.0]]}));

    let answer = json!({"predictions": [{"p": 0.25, "q": [1]}, {"p": 0.75, "q": [2]}]});
    let several = server(path, answer, about).await;
    let both = json!({
        "url": several.url(""), "input": {"x": [[1], [2]], "y": [3, 4]}, "datatypes": {"y": "INT32"},
        "expect": {"p": [0.25, 0.75], "q": [[1], [2]]}, "ready": false,
    });
    assert_eq!(finding(run(with(config.clone(), both)).await.unwrap()), passed(None));
    let rows = json!([{"x": [1.0], "y": 3}, {"x": [2.0], "y": 4}]);
    assert_eq!(several.requests()[0].json()["instances"], rows);
    let uneven = run(with(config, json!({"input": {"x": [1], "y": [3, 4]}}))).await.unwrap_err();
    assert!(uneven.help.unwrap().contains("columnar"));
}

#[tokio::test]
async fn tensorflow_is_asked_by_columns() {
    let path = "/v1/models/ocr/versions/2:predict";
    let loading = json!({"model_version_status": [{"version": "2", "state": "LOADING"}]});
    let server = server(path, json!({"outputs": {"p": [0.25], "q": 7}}), loading).await;
    let outcome = run(json!({
        "url": server.url(""), "protocol": "tensorflow", "model": "ocr", "version": "2", "columnar": true,
        "input": {"x": [[1]], "k": 3}, "datatypes": {"k": "INT32"}, "expect": {"p": [0.25], "q": 7}, "ready": true,
    }));
    let (verdict, ready, failure) = finding(outcome.await.unwrap());
    assert_eq!((verdict.as_str(), ready), ("not_ready", Some(false)));
    assert!(failure.unwrap().contains("LOADING"));
    assert_eq!(server.requests()[1].json(), json!({"inputs": {"x": [[1.0]], "k": 3}}));
}

#[tokio::test]
async fn torchserve_takes_what_its_handler_takes() {
    let server = server("/predictions/ocr/1.0", json!([[0.25, 0.75]]), json!({"status": "Healthy"})).await;
    let config = json!({
        "url": server.url(""), "protocol": "torchserve", "model": "ocr", "version": "1.0", "ready": true,
        "input": {"x": [[1, 2]]}, "expect": {"p": [[0.25, 0.75]]},
    });
    assert_eq!(finding(run(config.clone()).await.unwrap()), passed(Some(true)));
    assert_eq!(server.requests()[1].json(), json!([[1.0, 2.0]]));
    run(with(config.clone(), json!({"body": {"instances": "$x"}, "ready": false}))).await.unwrap();
    assert_eq!(server.requests()[2].json(), json!({"instances": [[1.0, 2.0]]}));
    run(with(config.clone(), json!({"input": {"x": [1], "y": [2]}, "ready": false}))).await.unwrap();
    assert_eq!(server.requests()[3].json(), json!({"x": [1.0], "y": [2.0]}));
    // Nobody can say which of two outputs an answer without names is.
    let outcome = run(with(config, json!({"expect": {"p": [1], "q": [1]}}))).await.unwrap();
    assert_eq!(word(outcome.output.verdict), "invalid");
}

#[tokio::test]
async fn torchserve_answers_labels_with_probabilities() {
    let unhealthy = json!({"status": "Partial Healthy"});
    let server = server("/predictions/cats", json!({"tabby": 0.75, "tiger": 0.25}), unhealthy).await;
    let outcome = run(json!({
        "url": server.url(""), "protocol": "torchserve", "model": "cats", "ready": true,
        "input": {"x": [1]}, "expect": {"tabby": 0.75},
    }));
    let (verdict, _, failure) = finding(outcome.await.unwrap());
    assert!(verdict == "not_ready" && failure.unwrap().contains("Partial Healthy"));
}

fn chat_answer(text: &str) -> Value {
    json!({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": {"prompt_tokens": 9, "completion_tokens": 2}})
}

#[tokio::test]
async fn chat_is_judged_by_its_text() {
    let models = json!({"data": [{"id": "llama"}]});
    let server = server("/v1/chat/completions", chat_answer(" Paris.\n"), models).await;
    let config = json!({
        "url": server.url("/v1"), "protocol": "openai", "model": "llama", "prompt": "Capital of France?",
        "contains": "Paris", "ready": true, "parameters": {"max_tokens": null, "seed": 1},
    });
    let outcome = run(config.clone()).await.unwrap();
    assert_eq!((outcome.output.prompt_tokens, outcome.output.completion_tokens), (Some(9), Some(2)));
    assert!(outcome.output.text.as_ref().unwrap().contains("Paris."));
    assert_eq!(finding(outcome), passed(Some(true)));
    let sent = server.requests()[1].json();
    assert_eq!(sent["messages"], json!([{"role": "user", "content": "Capital of France?"}]));
    assert_eq!((&sent["temperature"], &sent["seed"], sent.get("max_tokens")), (&json!(0), &json!(1), None));

    assert_eq!(finding(run(with(config.clone(), json!({"equals": "Paris."}))).await.unwrap()), passed(Some(true)));
    for wrong in [json!({"equals": "Paris"}), json!({"contains": "Lyon"})] {
        let (verdict, _, failure) = finding(run(with(config.clone(), wrong)).await.unwrap());
        assert!(verdict == "differs" && failure.unwrap().contains("the answer is ' Paris.\\n'; expected"));
    }
    let (verdict, ready, _) = finding(run(with(config, json!({"model": "gone"}))).await.unwrap());
    assert_eq!((verdict.as_str(), ready), ("not_ready", Some(false)));
}

#[tokio::test]
async fn chat_that_answers_json_is_judged_by_a_schema() {
    let schema = json!({"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]});
    let answers = [
        (r#"{"total": 12.5}"#, None),
        (r#"{"total": "12.5"}"#, Some("is not of type \"number\" (at /total)")),
        ("The total is 12.5", Some("the text is not JSON")),
    ];
    for (text, says) in answers {
        let server = Double::answering(chat_answer(text)).await;
        let config = json!({
            "url": server.url(""), "protocol": "openai", "model": "llama", "prompt": "Total?", "text_schema": schema,
        });
        let outcome = run(config).await.unwrap();
        assert_eq!(outcome.failure.is_some(), says.is_some());
        assert!(outcome.failure.unwrap_or_default().contains(says.unwrap_or_default()));
    }
}

#[tokio::test]
async fn chat_without_text_or_with_a_strange_bill_is_invalid() {
    let mut strange = chat_answer("Paris");
    strange["usage"]["prompt_tokens"] = json!("nine");
    for answer in [json!({"choices": []}), strange] {
        let server = Double::answering(answer).await;
        let config = json!({
            "url": server.url(""), "protocol": "openai", "model": "llama", "prompt": "Hi", "contains": "Paris",
        });
        assert_eq!(word(run(config).await.unwrap().output.verdict), "invalid");
    }
}

#[tokio::test]
async fn embeddings_are_judged_by_their_numbers() {
    let server = server("/v1/embeddings", json!({"data": [{"embedding": [0.5, 0.25]}]}), json!({})).await;
    let config = json!({
        "url": server.url(""), "protocol": "openai", "model": "e5", "text": "hello", "absolute": 0.01,
        "expect": {"embedding": [0.505, 0.25]}, "schema": [{"name": "embedding", "shape": [2]}],
    });
    assert_eq!(finding(run(config.clone()).await.unwrap()), passed(None));
    assert_eq!(server.requests()[0].json(), json!({"model": "e5", "input": "hello"}));
    let (verdict, ..) = finding(run(with(config, json!({"absolute": 0.001}))).await.unwrap());
    assert_eq!(verdict, "differs");
}

#[tokio::test]
async fn any_json_is_asked_by_a_pattern() {
    let server = Double::answering(json!({"result": {"rows": [{"p": 0.25}, {"p": 0.75}]}, "note": "NaN"})).await;
    let config = json!({
        "url": server.url("/score?v=1"), "protocol": "json", "input": {"x": [[1, 2]], "n": 3},
        "datatypes": {"n": "INT64"},
        "body": {"rows": "$x", "flat": "$x.data", "shape": "$x.shape", "n": ["$n"], "mode": "fast"},
        "outputs": {"p": "$.result.rows[*].p", "absent": "$.nothing"}, "expect": {"p": [0.25, 0.75]},
    });
    let outcome = run(config.clone()).await.unwrap();
    assert!(outcome.output.url.ends_with("/score"));
    assert_eq!(finding(outcome), passed(None));
    let sent = json!({"rows": [[1.0, 2.0]], "flat": [1.0, 2.0], "shape": [1, 2], "n": [3], "mode": "fast"});
    assert_eq!(server.requests()[0].json(), sent);
    let (verdict, _, failure) = finding(run(with(config.clone(), json!({"expect": {"absent": [1]}}))).await.unwrap());
    assert!(verdict == "wrong_shape" && failure.unwrap().contains("'absent' is not answered"));

    let error = run(with(config.clone(), json!({"body": {"rows": "$y"}}))).await.unwrap_err();
    assert!(error.message.contains("'$y'") && error.help.unwrap().contains("$x"));
    let error = run(with(config, json!({"outputs": {"p": "$["}}))).await.unwrap_err();
    assert!(error.message.contains("not a JSONPath"));
}
