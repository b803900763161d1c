//! Tests against real servers on this machine.

use std::time::Duration;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Redirect;
use axum::routing::{any, get, post, put};
use serde_json::json;

use super::*;
use crate::http::test_server::TestServer;
use crate::kind::entry;

const HEALTH: &str = r#"{"status":"degraded","providers":[{"name":"a","up":true},{"name":"b","up":false}]}"#;

fn app() -> Router {
    Router::new()
        .route("/health", get(|| async { ([("content-type", "application/json"), ("x-build", "42")], HEALTH) }))
        .route("/text", get(|| async { "all is well" }))
        .route("/busy", any(|| async { (StatusCode::SERVICE_UNAVAILABLE, "queue is full") }))
        .route("/broken", any(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "<h1>oops</h1>") }))
        .route("/moved", get(|| async { Redirect::temporary("/health?token=hunter2") }))
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route("/large", get(|| async { format!("{}end", "x".repeat(2 << 20)) }))
        .route("/echo", post(|headers: HeaderMap, body: String| async move { describe(&headers, body) }))
        .route("/echo", put(|headers: HeaderMap, body: String| async move { describe(&headers, body) }))
        .route("/hang", get(std::future::pending::<&'static str>))
        .route("/hang-in-body", get(|| async { AxumBody::from_stream(one_piece_then_nothing()) }))
        .route("/chunked", get(|| async { AxumBody::from_stream(pieces()) }))
        .route("/headers", get(|headers: HeaderMap| async move { describe(&headers, String::new()) }))
}

fn describe(headers: &HeaderMap, body: String) -> String {
    let headers: BTreeMap<&str, &str> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    // Backwards, because a secret that a peer repeats as it is arrives masked.
    let credentials: String = headers.get("authorization").into_iter().flat_map(|text| text.chars().rev()).collect();
    json!({"headers": headers, "body": body, "credentials": credentials}).to_string()
}

type Piece = Result<&'static str, std::io::Error>;

fn pieces() -> impl futures_util::Stream<Item = Piece> {
    futures_util::stream::iter([Ok("{\"status\":"), Ok("\"healthy\""), Ok("}")])
}

fn one_piece_then_nothing() -> impl futures_util::Stream<Item = Piece> {
    use futures_util::StreamExt as _;
    futures_util::stream::iter([Ok("first")]).chain(futures_util::stream::pending())
}

async fn run(config: Value) -> StepResult<Value> {
    (entry::<Step>().run)(config, Context::for_tests()).await
}

#[tokio::test]
async fn a_reading_request_reports_what_it_found() {
    let server = TestServer::serve(app()).await;
    let outcome = run(json!({"get": server.url("/health?deep=1")})).await.unwrap();
    assert_eq!(outcome.failure, None);
    let output = outcome.output;
    assert_eq!((&output["status"], &output["ok"]), (&json!(200), &json!(true)));
    assert_eq!(output["json"]["providers"][1]["name"], "b");
    assert_eq!(output["body"], HEALTH);
    assert_eq!(output["bytes"], HEALTH.len());
    assert_eq!(output["headers"]["x-build"], "42");
    assert_eq!(output["url"], server.url("/health"));
    assert!(output["latency"].as_f64().unwrap() > 0.0);
    assert_eq!(output["latency_ms"].as_f64().unwrap(), output["latency"].as_f64().unwrap() * 1000.0);
}

#[tokio::test]
async fn one_match_is_a_value_none_is_null_and_many_are_a_list() {
    let server = TestServer::serve(app()).await;
    let config = json!({
        "get": server.url("/health"),
        "extract": {"status": "$.status", "names": "$.providers[*].name", "nothing": "$.nothing"},
        "header_extract": {"build": "X-Build", "absent": "X-Absent"},
    });
    let output = run(config.clone()).await.unwrap().output;
    assert_eq!(output["status"], "degraded", "a chosen name takes the place of the kind's own field");
    assert_eq!(output["names"], json!(["a", "b"]));
    assert_eq!((&output["nothing"], &output["absent"]), (&Value::Null, &Value::Null));
    assert_eq!(output["build"], "42");

    let fields = entry::<Step>().outputs(&config);
    let of = |name: &str| fields.iter().filter(|field| field.name == name).map(|field| &field.kind).collect::<Vec<_>>();
    assert_eq!(of("status"), [&Type::Any]);
    assert_eq!(of("build"), [&Type::Any]);
    assert_eq!(of("ok"), [&Type::Bool]);
    assert!(of("extracted").is_empty());
}

#[tokio::test]
async fn an_unexpected_status_of_a_reading_request_is_a_measurement() {
    let server = TestServer::serve(app()).await;
    assert_eq!(run(json!({"get": server.url("/busy")})).await.unwrap().failure, None);
    let outcome = run(json!({"get": server.url("/busy"), "status": "2xx"})).await.unwrap();
    assert_eq!(outcome.failure.unwrap(), "the answer is 503 Service Unavailable, expected 2xx");
    assert_eq!(outcome.output["body"], "queue is full");
    assert_eq!(run(json!({"get": server.url("/busy"), "status": [200, 503]})).await.unwrap().failure, None);
}

#[tokio::test]
async fn a_change_that_was_turned_away_is_an_error_with_a_code_and_a_refused_one_a_failure() {
    let server = TestServer::serve(app()).await;
    let error = run(json!({"post": server.url("/busy")})).await.unwrap_err();
    assert_eq!(error.code, Some(503));
    assert!(error.message.contains("queue is full"), "{error}");
    assert_eq!(run(json!({"post": server.url("/busy"), "status": 503})).await.unwrap().failure, None);
    let failure = run(json!({"post": server.url("/broken")})).await.unwrap().failure.unwrap();
    assert!(failure.contains("500"), "{failure}");
    let failure = run(json!({"post": server.url("/health")})).await.unwrap().failure.unwrap();
    assert!(failure.contains("405"), "{failure}");
}

#[tokio::test]
async fn bodies_and_headers_arrive_as_configured() {
    let server = TestServer::serve(app()).await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "hunter22\n").unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();

    let config = json!({
        "post": server.url("/echo"), "json": {"provider": "a\"b", "n": [1, null]},
        "headers": {"X-Trace": "t1", "X-Api-Key": {"file": token}}, "bearer": {"file": token}, "idempotency_header": true,
    });
    let echo = run(config).await.unwrap().output["json"].clone();
    let sent: Value = serde_json::from_str(echo["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent, json!({"provider": "a\"b", "n": [1, null]}));
    assert_eq!(echo["headers"]["content-type"], "application/json");
    assert_eq!(echo["headers"]["x-trace"], "t1");
    assert_eq!(echo["headers"]["x-api-key"], "[secret]");
    assert_eq!(echo["credentials"], "22retnuh reraeB");
    assert_eq!(echo["headers"]["authorization"], "Bearer [secret]");
    assert_eq!(echo["headers"]["idempotency-key"], "test-key");
    assert_eq!(echo["headers"].get("accept-encoding"), None, "a compressed body could not be looked into");

    let config = json!({
        "put": server.url("/echo"), "form": {"a b": "c&d"}, "basic": {"user": "u", "password": {"file": token}},
    });
    let echo = run(config).await.unwrap().output["json"].clone();
    assert_eq!(echo["body"], "a+b=c%26d");
    assert_eq!(echo["credentials"], "==gMyIXZ05WdopTd cisaB");
    assert_eq!(echo["headers"]["authorization"], "Basic [secret]");

    let echo = run(json!({"post": server.url("/echo"), "body": "plain"})).await.unwrap().output["json"].clone();
    assert_eq!(echo["body"], "plain");
}

#[tokio::test]
async fn redirects_are_followed_only_when_asked() {
    let server = TestServer::serve(app()).await;
    // The second has a client of its own, because its connect timeout is not that of the shared one.
    for config in [json!({"get": server.url("/moved")}), json!({"get": server.url("/moved"), "connect_timeout": 3})] {
        let output = run(config).await.unwrap().output;
        assert_eq!((&output["status"], &output["ok"]), (&json!(307), &json!(false)));
    }
    let output = run(json!({"get": server.url("/moved"), "redirects": 5})).await.unwrap().output;
    assert_eq!((&output["status"], &output["url"]), (&json!(200), &json!(server.url("/health"))));
    let error = run(json!({"get": server.url("/loop"), "redirects": 5})).await.unwrap_err();
    assert!(error.message.contains("more often than the 5 times"), "{error}");
}

/// Answers each encrypted connection with a redirect; the certificate it shows, and its port.
fn encrypted(location: String) -> (String, u16) {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.unwrap().with_no_client_auth().with_single_cert(vec![pair.cert.der().clone()], key).unwrap();
    let config = std::sync::Arc::new(config);
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::Stream::new(&mut connection, &mut socket);
            drop(std::io::Read::read(&mut stream, &mut [0; 4096]));
            let head = "HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nConnection: close";
            drop(std::io::Write::write_all(&mut stream, format!("{head}\r\nLocation: {location}\r\n\r\n").as_bytes()));
        }
    });
    (pair.cert.pem(), port)
}

#[tokio::test]
async fn a_redirect_never_leads_from_an_encrypted_connection_to_a_plain_one() {
    let server = TestServer::serve(app()).await;
    // The same host: what is refused is the way, not the place.
    let (certificate, port) = encrypted(server.url("/health").replace("127.0.0.1", "localhost"));
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, certificate).unwrap();
    let url = format!("https://localhost:{port}/");
    let config = json!({"get": url, "redirects": 5, "tls": {"ca_file": authority}});
    let error = run(config).await.unwrap_err();
    assert!(error.message.contains("from https to http"), "{error}");
}

#[tokio::test]
async fn a_long_body_is_cut_and_never_half_judged() {
    let server = TestServer::serve(app()).await;
    let output = run(json!({"get": server.url("/large")})).await.unwrap().output;
    assert_eq!((&output["bytes"], &output["truncated"]), (&json!(1 << 20), &json!(true)));
    assert_eq!(output["body"].as_str().unwrap().len(), 64 << 10);

    let error = run(json!({"get": server.url("/large"), "contains": "end"})).await.unwrap_err();
    assert!(error.help.unwrap().contains("body_limit"));
    let error = run(json!({"get": server.url("/large"), "extract": {"a": "$.a"}})).await.unwrap_err();
    assert!(error.help.unwrap().contains("body_limit"));
    let whole = json!({"get": server.url("/large"), "contains": "end", "body_limit": 4 << 20});
    assert_eq!(run(whole).await.unwrap().failure, None);
}

/// Masked before it is cut: half a secret would not be found later.
#[tokio::test]
async fn a_secret_that_a_body_repeats_is_masked_wherever_it_is_cut() {
    const REPEATED: &str = "repeated-by-the-peer, repeated-by-the-peer";
    crate::base::redaction::learn("repeated-by-the-peer").unwrap();
    let server = TestServer::serve(Router::new().route("/", get(|| async { REPEATED }))).await;
    for limit in 1..=REPEATED.len() {
        let output = run(json!({"get": server.url("/"), "body_limit": limit})).await.unwrap().output;
        let body = output["body"].as_str().unwrap();
        assert!(body.starts_with('[') && !body.contains("rep"), "{limit}: {body}");
    }
}

#[tokio::test]
async fn text_in_the_body() {
    let server = TestServer::serve(app()).await;
    assert_eq!(run(json!({"get": server.url("/text"), "contains": "is well"})).await.unwrap().failure, None);
    let failure = run(json!({"get": server.url("/text"), "contains": "on fire"})).await.unwrap().failure;
    assert_eq!(failure.unwrap(), "the body does not contain 'on fire'");
}

#[tokio::test]
async fn a_body_that_is_not_json_cannot_be_extracted_from() {
    let server = TestServer::serve(app()).await;
    let extract = json!({"state": "$.status"});
    let error = run(json!({"get": server.url("/text"), "extract": extract})).await.unwrap_err();
    assert!(error.message.contains("not JSON") && error.message.contains("all is well"), "{error}");
    assert_eq!(error.code, None);
    let error = run(json!({"get": server.url("/broken"), "extract": extract})).await.unwrap_err();
    assert_eq!(error.code, Some(500));
    let outcome = run(json!({"get": server.url("/broken"), "extract": extract, "status": 200})).await.unwrap();
    assert!(outcome.failure.is_some(), "the status was judged, so the step failed");
    assert_eq!(outcome.output["state"], Value::Null);
}

#[tokio::test]
async fn a_chunked_body_is_read_whole() {
    let server = TestServer::serve(app()).await;
    let output = run(json!({"get": server.url("/chunked"), "extract": {"state": "$.status"}})).await.unwrap().output;
    assert_eq!(output["state"], "healthy");
}

#[tokio::test]
async fn a_refused_connection_and_an_unknown_host_are_errors_that_help() {
    let address = TestServer::refused().await;
    let error = run(json!({"get": format!("http://{address}/x?token=hunter2")})).await.unwrap_err();
    assert!(error.message.contains(&format!("cannot connect to {address}")), "{error}");
    assert!(error.message.contains("refused") && !error.message.contains("hunter2"), "{error}");
    assert!(error.help.unwrap().contains("is the service running?"));

    let error = run(json!({"get": "http://nosuchhost.invalid/"})).await.unwrap_err();
    assert!(error.message.contains("nosuchhost.invalid"), "{error}");
}

#[tokio::test]
async fn broken_answers_are_errors() {
    let server = TestServer::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this").await;
    let error = run(json!({"get": server.url("/")})).await.unwrap_err();
    assert!(error.message.contains("broke off after 9 bytes"), "{error}");

    let server = TestServer::raw("SSH-2.0-OpenSSH_9.2\r\n").await;
    let error = run(json!({"get": server.url("/")})).await.unwrap_err();
    assert!(error.message.contains("no answer from"), "{error}");

    let error = run(json!({"get": server.url("/").replace("http:", "https:")})).await.unwrap_err();
    assert!(error.message.contains("TLS"), "{error}");
}

#[tokio::test]
async fn a_silent_service_runs_into_the_time_limit() {
    let server = TestServer::serve(app()).await;
    for path in ["/hang", "/hang-in-body"] {
        let context = Context { time_limit: Duration::from_millis(100), ..Context::for_tests() };
        let error = (entry::<Step>().run)(json!({"get": server.url(path)}), context).await.unwrap_err();
        assert!(error.message.contains("within 100 ms"), "{error}");
    }
}

#[tokio::test]
async fn a_cancelled_attempt_stops() {
    let server = TestServer::serve(app()).await;
    let context = Context::for_tests();
    let attempt = (entry::<Step>().run)(json!({"get": server.url("/hang")}), context.clone());
    let (result, ()) = tokio::join!(attempt, async { context.cancel.cancel() });
    assert!(result.unwrap_err().message.contains("cancelled"));
}

#[tokio::test]
async fn mistakes_are_found_before_anything_is_sent() {
    for (config, expected) in [
        (json!({}), "no method"),
        (json!({"get": "http://a/", "post": "http://a/"}), "two methods"),
        (json!({"get": "file:///etc/passwd"}), "not an http or https address"),
        (json!({"post": "http://a/", "json": 1, "body": "x"}), "two bodies"),
        (json!({"get": "http://a/", "headers": {"X-A": "a\r\nX-B: b"}}), "line break"),
        (json!({"get": "http://a/", "headers": {"X A": "a"}}), "not the name of a header"),
        (json!({"get": "http://a/", "extract": {"x": "$["}}), "not a JSONPath"),
        (json!({"get": "http://a/", "tls": {"ca_file": "/nonexistent"}}), "cannot read the certificates"),
        (json!({"get": "http://a/", "bearer": {"file": "/nonexistent"}}), "cannot get a secret"),
        (json!({"get": "http://a/", "connect_timeout": -1}), "connect_timeout"),
    ] {
        let error = run(config.clone()).await.unwrap_err();
        assert!(error.message.contains(expected), "{config}: {error}");
    }
}

#[test]
fn the_method_decides_the_effect() {
    for (method, effect) in [
        ("get", Effect::Read),
        ("head", Effect::Read),
        ("put", Effect::Idempotent),
        ("delete", Effect::Idempotent),
        ("post", Effect::Once),
        ("patch", Effect::Once),
    ] {
        assert_eq!(Step::effect(&json!({method: "http://a/"})), effect, "{method}");
    }
}
