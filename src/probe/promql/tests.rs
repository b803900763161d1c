//! Tests against a stand-in that answers as Prometheus 2.42 does.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::json;

use super::*;
use crate::base::Clock;
use crate::http::test_server::TestServer;
use crate::kind::{Services, entry};
use crate::site::{Prometheus, Site};

async fn run(config: Value) -> StepResult<Value> {
    (entry::<Step>().run)(config, Context::for_tests()).await
}

/// A server that gives one answer to instant queries.
async fn answering(status: u16, body: Value) -> TestServer {
    let status = StatusCode::from_u16(status).unwrap();
    TestServer::serve(Router::new().route("/api/v1/query", post(move || async move { (status, body.to_string()) })))
        .await
}

async fn found(data: Value) -> Value {
    let server = answering(200, json!({"status": "success", "data": data})).await;
    run(json!({"query": "q", "url": server.url("")})).await.unwrap().output
}

/// A server that answers with what it was asked, as the labels of a series.
/// Backwards, because a secret that a peer repeats as it is arrives masked.
fn credentials(headers: &HeaderMap) -> String {
    headers.get("authorization").into_iter().flat_map(|value| value.to_str().unwrap().chars().rev()).collect()
}

async fn echo() -> TestServer {
    let reply = |path: &'static str| {
        move |headers: HeaderMap, body: String| async move {
            let labels = json!({
                "path": path, "form": body,
                "authorization": credentials(&headers),
            });
            let data = match path {
                "range" => {
                    json!({"resultType": "matrix", "result": [{"metric": labels, "values": [[1, "2"], [2, "3"]]}]})
                }
                _ => json!({"resultType": "vector", "result": [{"metric": labels, "value": [1, "2"]}]}),
            };
            json!({"status": "success", "data": data, "warnings": ["one store did not answer"]}).to_string()
        }
    };
    let routes = Router::new()
        .route("/prefix/api/v1/query", post(reply("instant")))
        .route("/prefix/api/v1/query_range", post(reply("range")));
    TestServer::serve(routes).await
}

#[tokio::test]
async fn a_vector_gives_a_number_a_series() {
    let output = found(json!({"resultType": "vector", "result": [
        {"metric": {"provider": "a"}, "value": [1700000000.1, "3.5"]},
        {"metric": {"provider": "b"}, "value": [1700000000.1, "NaN"]},
        {"metric": {"provider": "c"}, "value": [1700000000.1, "+Inf"]},
    ]}))
    .await;
    assert_eq!(output["value"], json!([3.5, null, null]));
    assert_eq!((&output["first"], &output["count"], &output["nan"]), (&json!(3.5), &json!(3), &json!(2)));
    assert_eq!(output["empty"], false);
    assert_eq!(output["series"][0], json!({"labels": {"provider": "a"}, "value": 3.5}));
}

#[tokio::test]
async fn a_scalar_is_a_list_of_one_and_nothing_is_an_empty_list() {
    let output = found(json!({"resultType": "scalar", "result": [1700000000, "7"]})).await;
    assert_eq!((&output["value"], &output["empty"]), (&json!([7.0]), &json!(false)));
    let output = found(json!({"resultType": "vector", "result": []})).await;
    assert_eq!((&output["value"], &output["empty"], &output["first"]), (&json!([]), &json!(true), &Value::Null));
}

#[tokio::test]
async fn what_gives_no_numbers_is_an_error() {
    for data in [
        json!({"resultType": "string", "result": [1, "text"]}),
        json!({"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {"count": "1"}]}]}),
        json!({"resultType": "vector", "result": [{"metric": {}, "value": [1, "many"]}]}),
    ] {
        let server = answering(200, json!({"status": "success", "data": data})).await;
        assert!(run(json!({"query": "q", "url": server.url("")})).await.is_err(), "{data}");
    }
}

#[tokio::test]
async fn prometheus_says_itself_what_is_wrong_with_a_query() {
    let refusal = json!({"status": "error", "errorType": "bad_data", "error": "1:5: parse error: unclosed left brace"});
    let server = answering(400, refusal).await;
    let error = run(json!({"query": "up{", "url": server.url("")})).await.unwrap_err();
    assert!(error.message.contains("unclosed left brace"), "{error}");
    assert_eq!(error.code, None);

    let refusal =
        json!({"status": "error", "errorType": "timeout", "error": "query timed out in expression evaluation"});
    let server = answering(503, refusal).await;
    let error = run(json!({"query": "up", "url": server.url("")})).await.unwrap_err();
    assert_eq!(error.code, Some(503));
}

#[tokio::test]
async fn something_else_than_prometheus_is_an_error() {
    let server = TestServer::serve(Router::new()).await;
    let error = run(json!({"query": "up", "url": server.url("")})).await.unwrap_err();
    assert!(error.message.contains("404"), "{error}");
    assert!(error.help.unwrap().contains("address"));
    let address = TestServer::refused().await;
    let error = run(json!({"query": "up", "url": format!("http://{address}")})).await.unwrap_err();
    assert!(error.message.contains("refused"), "{error}");
}

#[tokio::test]
async fn too_many_series_are_not_judged_by_a_part_of_them() {
    let item = json!({"metric": {}, "value": [1, "1"]});
    let data = |length| json!({"resultType": "vector", "result": vec![item.clone(); length]});
    let output = found(data(10_000)).await;
    assert_eq!(output["value"].as_array().unwrap().len(), 10_000);
    assert_eq!(output["series"].as_array().unwrap().len(), 100);
    assert_eq!(output["count"], 10_000);
    let server = answering(200, json!({"status": "success", "data": data(10_001)})).await;
    let error = run(json!({"query": "q", "url": server.url("")})).await.unwrap_err();
    assert!(error.help.unwrap().contains("aggregate"));
}

#[tokio::test]
async fn a_query_is_sent_as_it_is_written() {
    let server = echo().await;
    let config = json!({"query": "up{a=\"b&c\"} + 1", "url": server.url("/prefix/"), "at": "1700000000"});
    let output = run(config).await.unwrap().output;
    let labels = &output["series"][0]["labels"];
    assert_eq!(labels["form"], "query=up%7Ba%3D%22b%26c%22%7D+%2B+1&timeout=10000ms&time=1700000000");
    assert_eq!(output["warnings"], json!(["one store did not answer"]));
}

#[tokio::test]
async fn a_range_gives_the_numbers_of_every_moment() {
    let server = echo().await;
    let config = json!({
        "query": "up", "url": server.url("/prefix"), "range": {"window": 600.0, "step": 60.0},
        "at": "2023-11-14T22:13:20Z",
    });
    let output = run(config).await.unwrap().output;
    assert_eq!((&output["value"], &output["count"]), (&json!([2.0, 3.0]), &json!(1)));
    assert_eq!(output["series"][0]["value"], 3.0);
    let form = output["series"][0]["labels"]["form"].as_str().unwrap();
    assert!(form.ends_with("start=1699999400&end=1700000000&step=60"), "{form}");

    for (range, at) in [(json!({"window": 10.0, "step": 60.0}), "1"), (json!({"window": 60.0}), "yesterday")] {
        assert!(run(json!({"query": "up", "url": server.url(""), "range": range, "at": at})).await.is_err());
    }
}

#[tokio::test]
async fn the_token_of_the_site_goes_to_the_address_of_the_site_only() {
    let server = echo().await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "hunter22").unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let prometheus = Prometheus { url: server.url("/prefix"), token: Some(SecretReference::File(token)) };
    let site = Site { prometheus: Some(prometheus), ..Site::default() };
    let context = Context { services: Arc::new(Services::new(site, Clock::start())), ..Context::for_tests() };

    let sent = async |config| {
        let output = (entry::<Step>().run)(config, context.clone()).await.unwrap().output;
        output["series"][0]["labels"]["authorization"].clone()
    };
    assert_eq!(sent(json!({"query": "up"})).await, "22retnuh reraeB");
    assert_eq!(sent(json!({"query": "up", "url": server.url("/prefix")})).await, "");
}

#[tokio::test]
async fn without_a_source_the_error_names_the_key_to_set() {
    let error = run(json!({"query": "up"})).await.unwrap_err();
    assert!(error.help.unwrap().contains("prometheus: {url:"));
}
