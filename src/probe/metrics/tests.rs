//! Tests against a service whose numbers change from reading to reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::json;

use super::*;
use crate::http::test_server::TestServer;
use crate::kind::entry;

const PAGE: &str = "# HELP queue_depth Jobs waiting\n# TYPE queue_depth gauge\n\
    queue_depth{queue=\"warmup\",host=\"a\"} 5\nqueue_depth{queue=\"warmup\",host=\"b\"} 7.5\n\
    queue_depth{queue=\"ocr\",host=\"a\"} NaN\nup 1\n";

async fn serving(pages: &'static [&'static str]) -> TestServer {
    let reading = Arc::new(AtomicUsize::new(0));
    let page = move || {
        let index = reading.fetch_add(1, Ordering::Relaxed);
        async move { pages[index.min(pages.len() - 1)] }
    };
    TestServer::serve(Router::new().route("/metrics", get(page))).await
}

async fn run(config: Value) -> StepResult<Value> {
    (entry::<Step>().run)(config, Context::for_tests()).await
}

async fn read(pages: &'static [&'static str], mut config: Value) -> Value {
    let server = serving(pages).await;
    config["url"] = json!(server.url("/metrics"));
    run(config).await.unwrap().output
}

#[tokio::test]
async fn series_are_chosen_by_labels_and_summed_up() {
    let output = read(&[PAGE], json!({"name": "queue_depth", "labels": {"queue": "warmup"}})).await;
    assert_eq!(output["value"], json!([5.0, 7.5]));
    assert_eq!((&output["count"], &output["missing"]), (&json!(2), &json!(false)));
    assert_eq!((&output["sum"], &output["min"], &output["max"]), (&json!(12.5), &json!(5.0), &json!(7.5)));
    assert_eq!((&output["type"], &output["help"]), (&json!("gauge"), &json!("Jobs waiting")));
    assert_eq!(output["series"][1], json!({"labels": {"host": "b", "queue": "warmup"}, "value": 7.5}));
    assert_eq!((&output["increase"], &output["quantile"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_metric_that_is_not_there_is_missing_and_not_zero() {
    for config in [json!({"name": "queue_depth", "labels": {"queue": "none"}}), json!({"name": "queue"})] {
        let output = read(&[PAGE], config).await;
        assert_eq!((&output["missing"], &output["value"]), (&json!(true), &json!([])));
        assert_eq!((&output["sum"], &output["first"]), (&Value::Null, &Value::Null));
    }
    let output = read(&[PAGE], json!({"name": "nothing", "delta": {"over": 0.01}})).await;
    assert_eq!((&output["missing"], &output["increase"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn numbers_that_are_not_finite_are_null_and_counted() {
    let output = read(&[PAGE], json!({"name": "queue_depth"})).await;
    assert_eq!((&output["value"], &output["nan"]), (&json!([5.0, 7.5, null]), &json!(1)));
    assert_eq!(output["sum"], 12.5);
}

#[tokio::test]
async fn growth_handles_restarts_and_new_series() {
    let pages: &[&str] = &[
        "jobs{a=\"1\"} 10\njobs{a=\"2\"} 100\njobs{a=\"gone\"} 5\n",
        "jobs{a=\"1\"} 14\njobs{a=\"2\"} 3\njobs{a=\"new\"} 2\n",
    ];
    let output = read(pages, json!({"name": "jobs", "delta": {"over": 0.05}})).await;
    assert_eq!(output["increase"], 9.0, "4 grown, 3 since the restart, 2 new");
    let rate = output["rate"].as_f64().unwrap();
    assert!(rate > 0.0 && rate <= 9.0 / 0.05, "{rate}");
    assert_eq!(output["value"], json!([14.0, 3.0, 2.0]));
}

#[tokio::test]
async fn a_gauge_that_falls_is_not_a_counter_that_started_again() {
    let pages: &[&str] = &["# TYPE memory gauge\nmemory 60\n", "# TYPE memory gauge\nmemory 58\n"];
    let output = read(pages, json!({"name": "memory", "delta": {"over": 0.01}})).await;
    assert_eq!(output["increase"], -2.0);
}

const BEFORE: &str =
    "lag_bucket{le=\"0.1\"} 100\nlag_bucket{le=\"1\"} 100\nlag_bucket{le=\"+Inf\"} 100\nlag_count 100\n";
const AFTER: &str =
    "# TYPE lag histogram\nlag_bucket{le=\"0.1\"} 100\nlag_bucket{le=\"1\"} 110\nlag_bucket{le=\"+Inf\"} 110\n";

#[tokio::test]
async fn a_histogram_becomes_a_quantile_of_all_or_of_what_is_new() {
    let config = json!({"name": "lag", "histogram": {"quantile": 0.5}});
    let output = read(&[AFTER], config).await;
    assert_eq!((&output["quantile"], &output["observations"]), (&json!(0.055), &json!(110.0)));
    assert_eq!((&output["value"], &output["type"]), (&json!([0.055]), &json!("histogram")));

    let config = json!({"name": "lag", "histogram": {"quantile": 0.5}, "delta": {"over": 0.01}});
    let output = read(&[BEFORE, AFTER], config.clone()).await;
    assert_eq!((&output["quantile"], &output["observations"]), (&json!(0.55), &json!(10.0)));

    let output = read(&[BEFORE, BEFORE], config).await;
    assert_eq!((&output["quantile"], &output["missing"]), (&Value::Null, &json!(false)));
    assert_eq!(output["value"], json!([]));
}

#[tokio::test]
async fn pages_that_cannot_be_read_are_errors() {
    let server = serving(&["<html>login</html>"]).await;
    let error = run(json!({"url": server.url("/metrics"), "name": "up"})).await.unwrap_err();
    assert!(error.message.contains("not a page of metrics") && error.message.contains("line 1"), "{error}");

    let broken = get(|| async { (StatusCode::BAD_GATEWAY, "") });
    let server = TestServer::serve(Router::new().route("/metrics", broken)).await;
    let error = run(json!({"url": server.url("/metrics"), "name": "up"})).await.unwrap_err();
    assert_eq!(error.code, Some(502));

    let server = TestServer::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nup 1\n").await;
    let error = run(json!({"url": server.url("/metrics"), "name": "up"})).await.unwrap_err();
    assert!(error.message.contains("broke off"), "{error}");
}

#[tokio::test]
async fn mistakes_are_found_before_anything_is_asked() {
    for config in [
        json!({"url": "http://a/", "name": "queue{x=\"1\"}"}),
        json!({"url": "http://a/", "name": "lag", "histogram": {"quantile": 95}}),
        json!({"url": "http://a/", "name": "lag", "delta": {"over": 0}}),
    ] {
        assert!(run(config.clone()).await.unwrap_err().help.is_some(), "{config}");
    }
}
