//! Tests with mirrors on this machine, good and bad ones.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Redirect;
use axum::routing::get;
use futures_util::StreamExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::http::test_server::TestServer;
use crate::kind::{Subject, entry};

const MODEL: &[u8] = b"a model, as far as a digest can tell";

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn mirror() -> Router {
    let manifest = format!("{}  model.onnx\n{}  other.onnx\n", digest(MODEL), digest(b"other"));
    let slow = || async {
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>("first piece")]);
        Body::from_stream(first.chain(futures_util::stream::pending()))
    };
    let pieces =
        || async { Body::from_stream(futures_util::stream::iter(MODEL.chunks(5).map(Ok::<_, std::io::Error>))) };
    let guarded = |headers: HeaderMap| async move {
        match headers.get("authorization").map(|value| value.as_bytes()) {
            Some(b"Bearer hunter22") => Ok(MODEL),
            _ => Err(StatusCode::UNAUTHORIZED),
        }
    };
    Router::new()
        .route("/v1/model.onnx", get(|| async { MODEL }))
        .route("/v1/unlisted.onnx", get(|| async { MODEL }))
        .route("/v1/SHA256SUMS", get(|| async { manifest }))
        .route("/chunked/model.onnx", get(pieces))
        .route("/damaged/model.onnx", get(|| async { "damaged" }))
        .route("/slow/model.onnx", get(slow))
        .route("/moved/model.onnx", get(|| async { Redirect::temporary("/v1/model.onnx") }))
        .route("/guarded/model.onnx", get(guarded))
        .route("/failing/model.onnx", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
}

/// A folder in which a file is to be replaced.
struct Place {
    folder: tempfile::TempDir,
    target: PathBuf,
}

impl Place {
    fn with(old: Option<&[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().canonicalize().unwrap().join("model.onnx");
        if let Some(old) = old {
            fs::write(&target, old).unwrap();
        }
        Place { folder, target }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Nothing was replaced and nothing was left behind.
    fn is_untouched(&self) -> bool {
        self.names() == ["model.onnx"] && fs::read(&self.target).unwrap() == b"old"
    }
}

async fn run(config: Value) -> StepResult<Value> {
    (entry::<Step>().run)(config, Context::for_tests()).await
}

#[tokio::test]
async fn a_verified_file_replaces_the_old_one_which_comes_back_by_the_undo() {
    let server = TestServer::serve(mirror()).await;
    let place = Place::with(Some(b"old"));
    let config =
        json!({"url": server.url("/v1/model.onnx?sig=hunter2"), "to": place.target, "sha256": "from_manifest"});
    let output = run(config).await.unwrap().output;
    assert_eq!(fs::read(&place.target).unwrap(), MODEL);
    assert_eq!(
        (&output["changed"], &output["fetched"], &output["existed_before"]),
        (&json!(true), &json!(true), &json!(true))
    );
    assert_eq!((&output["sha256"], &output["bytes"]), (&json!(digest(MODEL)), &json!(MODEL.len())));
    assert_eq!(output["source"], server.url("/v1/model.onnx"));
    assert_eq!(fs::read(output["kept"].as_str().unwrap()).unwrap(), b"old");

    let subject = Some(Subject { request: Value::Null, output });
    let undo = entry::<crate::action::restore_kept::Step>().run;
    undo(json!({}), Context { subject, ..Context::for_tests() }).await.unwrap();
    assert!(place.is_untouched());
}

#[tokio::test]
async fn a_file_that_is_right_already_is_not_fetched() {
    let place = Place::with(Some(MODEL));
    let address = TestServer::refused().await;
    let config = json!({"url": format!("http://{address}/model.onnx"), "to": place.target, "sha256": digest(MODEL)});
    let output = run(config).await.unwrap().output;
    assert_eq!((&output["changed"], &output["fetched"], &output["kept"]), (&json!(false), &json!(false), &Value::Null));
    assert_eq!(output["bytes"], MODEL.len());
    assert_eq!(place.names(), ["model.onnx"]);
}

#[tokio::test]
async fn a_missing_file_is_made_with_the_wanted_mode() {
    let server = TestServer::serve(mirror()).await;
    let place = Place::with(None);
    let config = json!({
        "url": server.url("/chunked/model.onnx"), "to": place.target, "sha256": digest(MODEL).to_uppercase(), "mode": "0600",
    });
    let output = run(config).await.unwrap().output;
    assert_eq!((&output["existed_before"], &output["kept"]), (&json!(false), &Value::Null));
    assert_eq!(fs::metadata(&place.target).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(place.names(), ["model.onnx"]);
}

#[tokio::test]
async fn a_wrong_digest_is_an_error_that_touches_nothing() {
    let server = TestServer::serve(mirror()).await;
    let place = Place::with(Some(b"old"));
    let config = json!({"url": server.url("/damaged/model.onnx"), "to": place.target, "sha256": digest(MODEL)});
    let error = run(config).await.unwrap_err();
    assert!(error.message.contains(&digest(b"damaged")) && error.message.contains(&digest(MODEL)), "{error}");
    assert!(place.is_untouched());
}

#[tokio::test]
async fn a_transfer_that_breaks_off_touches_nothing() {
    let server = TestServer::raw("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this").await;
    let place = Place::with(Some(b"old"));
    let config = json!({"url": server.url("/model.onnx"), "to": place.target, "sha256": digest(MODEL)});
    let error = run(config).await.unwrap_err();
    assert!(error.message.contains("broke off after 9 bytes"), "{error}");
    assert!(place.is_untouched());
}

#[tokio::test]
async fn more_than_the_limit_is_refused_announced_or_not() {
    let server = TestServer::serve(mirror()).await;
    for path in ["/v1/model.onnx", "/chunked/model.onnx"] {
        let place = Place::with(Some(b"old"));
        let config = json!({"url": server.url(path), "to": place.target, "sha256": digest(MODEL), "size_limit": 10});
        let error = run(config).await.unwrap_err();
        assert!(error.message.contains("larger than 10 B"), "{error}");
        assert!(place.is_untouched());
    }
}

#[tokio::test]
async fn mirrors_that_do_not_deliver() {
    let server = TestServer::serve(mirror()).await;
    let place = Place::with(Some(b"old"));
    let address = TestServer::refused().await;
    for (url, expected, code) in [
        (server.url("/failing/model.onnx"), "503", Some(503)),
        (server.url("/nothing/model.onnx"), "404", Some(404)),
        (server.url("/guarded/model.onnx"), "401", Some(401)),
        (format!("http://{address}/model.onnx"), "refused", None),
    ] {
        let error = run(json!({"url": url, "to": place.target, "sha256": digest(MODEL)})).await.unwrap_err();
        assert!(error.message.contains(expected), "{error}");
        assert_eq!(error.code, code);
        assert!(place.is_untouched());
    }
}

#[tokio::test]
async fn redirects_are_followed_because_the_digest_protects() {
    let server = TestServer::serve(mirror()).await;
    let place = Place::with(Some(b"old"));
    let config =
        json!({"url": server.url("/moved/model.onnx"), "redirects": 1, "to": place.target, "sha256": digest(MODEL)});
    assert_eq!(run(config).await.unwrap().output["changed"], true);
}

#[tokio::test]
async fn the_token_goes_to_the_mirror_and_not_to_the_host_of_the_manifest() {
    let server = TestServer::serve(mirror()).await;
    let seen = Arc::new(std::sync::Mutex::new(None));
    let log = seen.clone();
    let manifest = get(move |headers: HeaderMap| async move {
        *log.lock().unwrap() = Some(headers.contains_key("authorization"));
        format!("{}  model.onnx\n", digest(MODEL))
    });
    let other = TestServer::serve(Router::new().route("/sums", manifest)).await;
    let place = Place::with(None);
    let token = place.folder.path().join("token");
    fs::write(&token, "hunter22").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let config = json!({
        "url": server.url("/guarded/model.onnx"), "to": place.target, "bearer": {"file": token},
        "sha256": "from_manifest", "manifest": other.url("/sums"),
    });
    assert_eq!(run(config).await.unwrap().output["changed"], true);
    assert_eq!(*seen.lock().unwrap(), Some(false));
}

#[tokio::test]
async fn a_manifest_without_the_file_is_an_error() {
    let server = TestServer::serve(mirror()).await;
    let place = Place::with(Some(b"old"));
    let to = place.target.with_file_name("else.onnx");
    let config = json!({"url": server.url("/v1/unlisted.onnx"), "to": to, "sha256": "from_manifest"});
    let error = run(config).await.unwrap_err();
    assert!(error.message.contains("'unlisted.onnx' or 'else.onnx'"), "{error}");

    let config = json!({"url": server.url("/chunked/model.onnx"), "to": place.target, "sha256": "from_manifest"});
    let error = run(config).await.unwrap_err();
    assert!(error.message.contains("manifest") && error.code == Some(404), "{error}");
    assert!(place.is_untouched());
}

#[tokio::test]
async fn a_local_backup_is_restored_by_its_manifest() {
    let place = Place::with(Some(b"old"));
    let backup = tempfile::tempdir().unwrap();
    fs::write(backup.path().join("model.onnx"), MODEL).unwrap();
    fs::write(backup.path().join("SHA256SUMS"), format!("{}  model.onnx\n", digest(MODEL))).unwrap();
    let from = backup.path().join("model.onnx");
    let output = run(json!({"from": from, "to": place.target, "sha256": "from_manifest"})).await.unwrap().output;
    assert_eq!(output["source"], json!(from));
    assert_eq!(fs::read(&place.target).unwrap(), MODEL);

    for (from, expected) in
        [(backup.path().join("none"), "cannot read"), (backup.path().to_owned(), "not a regular file")]
    {
        let error = run(json!({"from": from, "to": place.target, "sha256": digest(b"x")})).await.unwrap_err();
        assert!(error.message.contains(expected), "{error}");
    }
    let config = json!({"from": from, "to": place.target, "sha256": digest(b"x"), "size_limit": 1});
    assert!(run(config).await.unwrap_err().message.contains("larger than 1 B"));
}

/// Lets other tasks and threads work until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it happens within ten seconds");
}

#[tokio::test]
async fn a_cancelled_or_dropped_download_leaves_nothing_behind() {
    let server = TestServer::serve(mirror()).await;
    for drop_it in [false, true] {
        let place = Place::with(Some(b"old"));
        let context = Context::for_tests();
        let config = json!({"url": server.url("/slow/model.onnx"), "to": place.target, "sha256": digest(MODEL)});
        let attempt = tokio::spawn((entry::<Step>().run)(config, context.clone()));
        until(|| place.names().len() == 2).await;
        if drop_it {
            attempt.abort();
            assert!(attempt.await.unwrap_err().is_cancelled());
        } else {
            context.cancel.cancel();
            assert!(attempt.await.unwrap().unwrap_err().message.contains("cancelled"));
        }
        until(|| place.is_untouched()).await;
    }
}

#[tokio::test]
async fn a_mirror_that_hangs_runs_into_the_time_limit() {
    let server = TestServer::serve(mirror()).await;
    let place = Place::with(Some(b"old"));
    let context = Context { time_limit: Duration::from_millis(100), ..Context::for_tests() };
    let config = json!({"url": server.url("/slow/model.onnx"), "to": place.target, "sha256": digest(MODEL)});
    let error = (entry::<Step>().run)(config, context).await.unwrap_err();
    assert!(error.message.contains("within 100 ms"), "{error}");
    assert!(place.is_untouched());
}

#[tokio::test]
async fn mistakes_are_found_before_anything_is_fetched() {
    let place = Place::with(Some(b"old"));
    let good = json!({"url": "http://127.0.0.1:1/m", "to": place.target, "sha256": digest(MODEL)});
    let with = |key: &str, value: Value| {
        let mut config = good.clone();
        config[key] = value;
        config
    };
    for (config, expected) in [
        (with("from", json!("/backup/m")), "source is not clear"),
        (with("url", Value::Null), "source is not clear"),
        (with("sha256", json!("abc")), "not a SHA-256 digest"),
        (with("manifest", json!("http://127.0.0.1:1/S")), "a digest and a manifest"),
        (with("mode", json!("rw-r--r--")), "not a mode"),
        (with("mode", json!("17777")), "not a mode"),
        (with("to", json!(place.folder.path())), "not a regular file"),
        (with("to", json!(place.folder.path().join("none/m"))), "cannot find the folder"),
    ] {
        let error = run(config.clone()).await.unwrap_err();
        assert!(error.message.contains(expected) && error.help.is_some(), "{config}: {error:?}");
    }
}

#[test]
fn the_outputs_that_undo_reads_are_declared() {
    let fields: Vec<String> = entry::<Step>().outputs(&json!({})).into_iter().map(|field| field.name).collect();
    for name in ["path", "changed", "existed_before", "kept", "sha256", "sha256_before", "bytes", "source", "fetched"] {
        assert!(fields.iter().any(|field| field == name), "{name} in {fields:?}");
    }
}
