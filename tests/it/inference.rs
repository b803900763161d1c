//! The example playbook for live inference, run by the real program: against a server that is right and ones that are
//! not, and against MLServer where it is installed.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use runbook::model::golden::Golden;
use serde_json::{Value, json};

use crate::support::{Done, Runbook};

const EXAMPLE: &str = "examples/inference/served-model.yaml";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn run(place: &Runbook, inputs: &[(&str, String)]) -> Done {
    let mut arguments = vec!["run".to_owned(), path(EXAMPLE).display().to_string()];
    for (name, value) in inputs {
        arguments.extend(["--input".to_owned(), format!("{name}={value}")]);
    }
    place.args(arguments).done()
}

fn assert_causes(place: &Runbook, names: &[&str]) {
    assert_eq!(place.newest()["causes"], json!(names));
}

fn models(name: &str) -> (&'static str, String) {
    ("folder", path(name).display().to_string())
}

/// A server of the Open Inference Protocol in a thread of its own, which ends with the process of the test.
/// It adds `offset` to each number of the right answer.
fn serve(ready: bool, offset: f64) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let golden = Golden::read(&path("models/ocr-text/golden.json")).unwrap();
    let routes = Router::new()
        .route("/v2/models/ocr-text/ready", get(move || async move { Json(json!({"ready": ready})) }))
        .route("/v2/models/ocr-text/infer", post(infer))
        .with_state((golden, offset));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, routes).await.unwrap();
        });
    });
    format!("http://{address}")
}

async fn infer(State((golden, offset)): State<(Golden, f64)>, Json(request): Json<Value>) -> Json<Value> {
    let asked: Vec<f64> = serde_json::from_value(request["inputs"][0]["data"].clone()).unwrap();
    let case = golden.cases.iter().find(|case| case.inputs["features"].data == asked).unwrap();
    let right = &case.outputs["probabilities"];
    let data: Vec<f64> = right.data.iter().map(|number| number + offset).collect();
    let output = json!({"name": "probabilities", "datatype": "FP32", "shape": right.shape, "data": data});
    Json(json!({"model_name": "ocr-text", "outputs": [output]}))
}

#[test]
fn a_server_that_answers_as_the_file_is_healthy() {
    let place = Runbook::new();
    run(&place, &[("server", serve(true, 0.0)), models("models/ocr-text")]).exits(0);
    let steps = place.newest()["steps"].clone();
    let served = &steps["diagnose.served"]["output"];
    assert_eq!(
        (&served["verdict"], &served["ready"], &served["correct"]),
        (&json!("match"), &json!(true), &json!(true))
    );
    assert_eq!((&served["parity"], &served["parity_matched"]), (&json!(true), &json!(7)));
    let speed = &steps["diagnose.speed"]["output"];
    assert_eq!((&speed["samples"], &speed["p99"]), (&json!(200), &Value::Null));
    assert!(speed["p95"].as_f64().unwrap() > 0.0, "{speed}");
}

#[test]
fn ready_but_wrong_and_not_ready_are_two_causes() {
    // A server that answers wrongly does not answer as the file, either.
    for (ready, offset, causes) in [(true, 0.5, &["wrong", "other_model"][..]), (false, 0.0, &["not_ready"])] {
        let place = Runbook::new();
        run(&place, &[("server", serve(ready, offset)), models("models/ocr-text")]);
        assert_causes(&place, causes);
    }
}

/// The file is run in a process of its own, so a model that takes it down is told and nothing else ends.
#[test]
fn a_file_that_cannot_be_run_is_no_finding_about_the_server() {
    let place = Runbook::new();
    let folder = place.path("model");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(path("models/ocr-text/golden.json"), folder.join("golden.json")).unwrap();
    std::fs::copy(path("models/faults/ocr-text/future-opset.onnx"), folder.join("model.onnx")).unwrap();
    run(&place, &[("server", serve(true, 0.0)), ("folder", folder.display().to_string())]);
    let served = place.newest()["steps"]["diagnose.served"].clone();
    assert_eq!(served["status"], "error", "{served}");
    assert!(
        served["error"].as_str().unwrap().contains("the model file of `parity` cannot be compared with"),
        "{served}"
    );
    assert_causes(&place, &[]);
}

#[test]
fn the_documentation_shows_the_example_that_is_run() {
    let page = std::fs::read_to_string(path("docs/inference.md")).unwrap();
    assert!(
        page.contains(&std::fs::read_to_string(path(EXAMPLE)).unwrap()),
        "docs/inference.md differs from {EXAMPLE}"
    );
}

/// MLServer with the model `ocr-text`, run by Python's onnxruntime. It ends when this is dropped.
struct MlServer {
    process: Child,
    http: u16,
    grpc: u16,
}

impl MlServer {
    /// None, said where the captured output of tests does not hide it, when it is not installed.
    fn start(place: &Runbook) -> Option<Self> {
        let installed = path(".mlserver/bin");
        if !installed.join("mlserver").exists() {
            let text = "SKIPPED: inference against MLServer, which is not here; sh scripts/get-mlserver.sh brings it\n";
            std::io::stderr().write_all(text.as_bytes()).unwrap();
            return None;
        }
        let [http, grpc, metrics] = free_ports();
        let settings = json!({
            "host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "parallel_workers": 0,
            "debug": false,
        });
        place.write("server/settings.json", settings.to_string());
        for name in ["served.py", "model-settings.json"] {
            place.write(&format!("server/{name}"), std::fs::read(path("tests/fixtures/mlserver").join(name)).unwrap());
        }
        let mut process = Command::new("/bin/sh")
            .args(["-c", "exec \"$0\" start . 2>&1"])
            .arg(installed.join("mlserver"))
            .current_dir(place.path("server"))
            .env("PYTHONUNBUFFERED", "1")
            .env("SERVED_MODEL", path("models/ocr-text/model.onnx"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let server = MlServer { process, http, grpc };
        server.wait_until_up(output);
        Some(server)
    }

    /// Reads what it says until each of its three doors is open; ends when it ends.
    fn wait_until_up(&self, output: BufReader<impl std::io::Read + Send + 'static>) {
        let mut lines = output.lines().map_while(Result::ok);
        let opened = lines.by_ref().filter(|line| line.contains(" running on ")).take(3).count();
        assert_eq!(opened, 3, "MLServer ended before it was up");
        // What it says later must go somewhere, or it would stop at a full pipe.
        std::thread::spawn(move || lines.count());
    }
}

impl Drop for MlServer {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn free_ports() -> [u16; 3] {
    let listeners = [0; 3].map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

#[test]
fn a_real_model_server_is_judged_over_http_and_grpc() {
    let place = Runbook::new();
    let Some(server) = MlServer::start(&place) else { return };
    let doors =
        [("v2", format!("http://127.0.0.1:{}", server.http)), ("grpc", format!("grpc://127.0.0.1:{}", server.grpc))];
    for (protocol, address) in doors {
        let inputs = [("server", address), ("protocol", protocol.to_owned()), models("models/ocr-text")];
        run(&place, &inputs).exits(0);
        let served = place.newest()["steps"]["diagnose.served"]["output"].clone();
        assert_eq!((&served["ready"], &served["correct"]), (&json!(true), &json!(true)), "{protocol}");
        assert_eq!((&served["parity"], &served["parity_matched"]), (&json!(true), &json!(7)), "{protocol}");
        let absent = [&inputs[..], &[("model", "absent".to_owned())]].concat();
        run(&place, &absent);
        assert_causes(&place, &["not_ready"]);
    }
}
