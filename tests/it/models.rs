//! Models judged by the real program in a process of its own, by each engine that this machine has: crashes, endless
//! loops, memory, the engines themselves. No model may end more than its own child.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use runbook::base::Clock;
use runbook::kind::{Context, Outcome, Services, StepError};
use runbook::model::EngineChoice;
use runbook::model::selection::Search;
use runbook::probe;
use runbook::site::Site;
use serde_json::{Value, json};

use crate::support::Runbook;

/// Longer than any sound check here takes on a busy machine, short enough to wait for the endless one.
pub const LIMIT: Duration = Duration::from_secs(20);
/// For the model that never ends.
const SHORT: Duration = Duration::from_secs(3);

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn fixture_path(name: &str) -> PathBuf {
    root().join("tests/fixtures/onnx").join(name)
}

/// A place where steps judge models through the real program.
pub struct Desk {
    state: tempfile::TempDir,
    pub site: Site,
}

impl Desk {
    pub fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut site = Site { state: state.path().to_owned(), ..Site::default() };
        site.program = Some(env!("CARGO_BIN_EXE_runbook").into());
        Desk { state, site }
    }

    pub async fn run(&self, kind: &str, config: Value, limit: Duration) -> Result<Outcome<Value>, StepError> {
        let services = Arc::new(Services::new(self.site.clone(), Clock::start()));
        let context = Context { services, time_limit: limit, ..Context::for_tests() };
        let kind = probe::KINDS.iter().find(|entry| entry.name == kind).unwrap();
        (kind.run)(config, context).await
    }

    async fn load(&self, model: &str, engine: &str) -> Outcome<Value> {
        let config = json!({"model": fixture_path(model), "require_engine": engine});
        self.run("onnx_load", config, LIMIT).await.unwrap()
    }

    pub async fn golden(&self, model: &str, engine: &str, limit: Duration) -> Result<Outcome<Value>, StepError> {
        let cases = root().join("models/column-classifier/golden.json");
        let config = json!({"model": fixture_path(model), "cases": cases, "require_engine": engine});
        self.run("onnx_golden", config, limit).await
    }

    /// The library of ONNX Runtime of this machine, if there is one.
    async fn library(&self) -> Option<PathBuf> {
        let named = Some(root().join(".onnxruntime/libonnxruntime.so")).filter(|path| path.exists());
        let program = env!("CARGO_BIN_EXE_runbook").into();
        let search = Search { program, named, known: self.state.path().join("tried.json") };
        match search.select().await.choice {
            EngineChoice::OnnxRuntime(library) => Some(library.path),
            EngineChoice::Embedded => None,
        }
    }

    /// The same place with ONNX Runtime, or `None`, said where the captured output of tests does not hide it.
    pub async fn with_onnxruntime() -> Option<Self> {
        let mut desk = Desk::new();
        desk.site.models.onnxruntime = desk.library().await;
        if desk.site.models.onnxruntime.is_none() {
            let text = "SKIPPED: checks by ONNX Runtime, which is not here; sh scripts/get-onnxruntime.sh brings it\n";
            std::io::stderr().write_all(text.as_bytes()).unwrap();
            return None;
        }
        Some(desk)
    }

    async fn endless(&self, engine: &str) {
        let error = self.golden("bad_hang.onnx", engine, SHORT).await.unwrap_err();
        assert!(error.message.contains("did not come to an end within 2.8 s"), "{error}");
        assert!(error.message.contains("while running case (1 of 9)"), "{error}");
        assert!(error.help.unwrap().contains("roll it back"));
    }
}

#[tokio::test]
async fn a_model_that_aborts_is_an_error_that_says_how_and_where() {
    let error = Desk::new().golden("bad_oom.onnx", "embedded", LIMIT).await.unwrap_err();
    assert!(error.message.starts_with("the model took the checker down: killed by signal 6 (abort)"), "{error}");
    assert!(error.message.contains("while running case (1 of 9)"), "{error}");
    assert!(error.message.contains("memory allocation of"), "{error}");
    assert!(error.help.unwrap().contains("models: {memory:"));
}

#[tokio::test]
async fn onnx_runtime_survives_the_model_that_wants_all_memory() {
    let Some(desk) = Desk::with_onnxruntime().await else { return };
    // No verdict on the model either, as with the engine that aborts: how much it may have is ours to say.
    let error = desk.golden("bad_oom.onnx", "onnxruntime", LIMIT).await.unwrap_err();
    assert!(error.message.contains("Failed to allocate memory"), "{error}");
    assert!(error.help.unwrap().contains("models: {memory:"));
}

#[tokio::test]
async fn an_endless_model_is_ended_and_told() {
    Desk::new().endless("embedded").await;
    if let Some(desk) = Desk::with_onnxruntime().await {
        desk.endless("onnxruntime").await;
    }
}

#[tokio::test]
async fn the_memory_limit_of_the_site_holds_a_check() {
    let mut desk = Desk::new();
    let model = desk.state.path().join("large.onnx");
    std::fs::write(&model, wants_gibibytes()).unwrap();
    desk.site.models.memory = 512 << 20;
    let error = desk.golden(model.to_str().unwrap(), "embedded", LIMIT).await.unwrap_err();
    assert!(error.message.contains("memory allocation of 1577058304 bytes failed"), "{error}");
    assert!(error.help.unwrap().contains("512.0 MiB"));
}

/// `bad_oom.onnx` with one of its two factors of 2^20 made 1: 1.5 GiB a row, which most machines have.
fn wants_gibibytes() -> Vec<u8> {
    let mut model = std::fs::read(fixture_path("bad_oom.onnx")).unwrap();
    let factors = [1_i64 << 20, 1 << 20].map(i64::to_le_bytes).concat();
    let place = model.windows(16).position(|window| window == factors).unwrap();
    model[place + 8..place + 16].copy_from_slice(&1_i64.to_le_bytes());
    model
}

/// The embedded engine reads weights from files of certain names only. That is no fault of the model.
#[tokio::test]
async fn weights_that_the_embedded_engine_cannot_read_are_an_error() {
    let desk = Desk::new();
    let [model, weights] = ["model.onnx", "mlp376_ext.bins"].map(|name| desk.state.path().join(name));
    std::fs::copy(fixture_path("mlp376_ext.data"), &weights).unwrap();
    let mut content = std::fs::read(fixture_path("mlp376_ext.onnx")).unwrap();
    // A name of the same length, so that the lengths noted around it stay right.
    while let Some(place) = content.windows(15).position(|part| part == b"mlp376_ext.data") {
        content[place..place + 15].copy_from_slice(b"mlp376_ext.bins");
    }
    std::fs::write(&model, content).unwrap();
    let model = model.display().to_string();
    let config = json!({"model": model, "require_engine": "embedded"});
    let error = desk.run("onnx_load", config, LIMIT).await.unwrap_err();
    assert!(error.message.contains("mlp376_ext.bins") && error.help.unwrap().contains("ONNX Runtime"));
    assert!(desk.golden(&model, "embedded", LIMIT).await.is_err());
    let place = Runbook::new();
    place.args(["model", "inspect", &model]).done().exits(0).says("warning: weights lie in 'mlp376_ext.bins'");
    let Some(desk) = Desk::with_onnxruntime().await else { return };
    assert_eq!(desk.golden(&model, "onnxruntime", LIMIT).await.unwrap().output["verdict"], "match");
}

/// Crashes of any kind are told alike: by the signal and by what the child was doing.
#[tokio::test]
async fn a_model_that_crashes_is_an_error_that_says_how() {
    let mut desk = Desk::new();
    let checker = desk.state.path().join("checker");
    for (signal, meaning) in [("SEGV", "signal 11 (invalid memory access)"), ("ILL", "signal 4 (illegal instruction)")]
    {
        let script = format!("#!/bin/sh\necho gone wrong >&2\nkill -{signal} $$\n");
        std::fs::write(&checker, script).unwrap();
        std::fs::set_permissions(&checker, PermissionsExt::from_mode(0o755)).unwrap();
        desk.site.program = Some(checker.clone());
        let error = desk.golden("mlp376_ext.onnx", "embedded", LIMIT).await.unwrap_err();
        assert!(error.message.contains(&format!("killed by {meaning} while starting; it said: gone wrong")), "{error}");
    }
}

/// Models that end their child one way or another, and a sound one after them, in one run of the program.
const HOSTILE: &str = "
runbook: 1
name: hostile-models
title: Models that end what runs them
diagnose:
  endless:
    onnx_golden: {model: '{fixtures}/bad_hang.onnx', cases: '{golden}', require_engine: embedded}
    timeout: 3s
    on_error: continue
  greedy:
    onnx_golden: {model: '{fixtures}/bad_oom.onnx', cases: '{golden}', require_engine: embedded}
    on_error: continue
  sound:
    onnx_golden: {model: '{fixtures}/mlp376_ext.onnx', cases: '{golden}', require_engine: embedded}
    when: diagnose.endless.errored && diagnose.greedy.errored
";

#[test]
fn a_run_goes_on_after_models_that_end_their_checker() {
    let cases = root().join("models/column-classifier/golden.json").display().to_string();
    let text = HOSTILE.replace("{fixtures}", &fixture_path("").display().to_string()).replace("{golden}", &cases);
    let place = Runbook::new().file("hostile-models.yaml", text);
    place.call("run hostile-models.yaml");
    let steps = place.newest()["steps"].clone();
    let of = |step: &str| steps[format!("diagnose.{step}")].clone();
    assert_eq!(
        [&of("endless")["status"], &of("greedy")["status"], &of("sound")["status"]],
        ["error", "error", "passed"]
    );
    assert!(of("endless").to_string().contains("it was stopped while running case (1 of 9)"), "{steps}");
    assert!(of("greedy").to_string().contains("killed by signal 6 (abort) while running case (1 of 9)"), "{steps}");
}

/// A parent that was killed cannot end its child; the child does it itself.
#[test]
fn a_child_whose_parent_is_gone_ends_itself() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_runbook"))
        .arg(runbook::model::SUBCOMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let cases = root().join("models/column-classifier/golden.json");
    let config = json!({"model": fixture_path("bad_hang.onnx"), "cases": cases});
    let attempt = json!({
        "kind": "onnx_golden", "config": config, "run": "test", "step": "diagnose.test", "attempt": 1,
        "idempotency_key": "test", "time_limit": {"secs": 600, "nanos": 0}, "warnings": [],
    });
    let request = json!({"engine": "embedded", "memory": 1_u64 << 32, "work": attempt}).to_string();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&u32::try_from(request.len()).unwrap().to_le_bytes()).unwrap();
    stdin.write_all(request.as_bytes()).unwrap();
    // It is at work: in the endless loop, or about to enter it.
    let mut said = [0; 4];
    child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    drop(stdin);
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

/// Every kind that judges models works through the child, under each engine.
#[tokio::test]
async fn every_kind_that_judges_models_works_in_its_child() {
    let mut desks = vec![(Desk::new(), "embedded")];
    desks.extend(Desk::with_onnxruntime().await.map(|desk| (desk, "onnxruntime")));
    let model = root().join("models/column-classifier/model.onnx");
    let rows = |name: &str| json!({"file": root().join(format!("models/column-classifier/data/{name}.npz"))});
    for (desk, engine) in &desks {
        for (kind, more) in [
            ("onnx_load", json!({})),
            ("onnx_golden", json!({"cases": "golden.json"})),
            ("onnx_io", json!({"features": 376})),
            ("onnx_validate", json!({"inputs": rows("valid"), "probabilities": true})),
            ("onnx_determinism", json!({})),
            ("onnx_batch", json!({"sizes": [1, 4], "runs": 5})),
            ("onnx_latency", json!({"runs": 50})),
            ("onnx_memory", json!({"runs": 50, "max_growth": 1 << 30})),
            ("onnx_accuracy", json!({"inputs": rows("valid")})),
            ("onnx_calibration", json!({"inputs": rows("valid"), "max_error": 0.5})),
            ("onnx_drift", json!({"reference": rows("reference"), "current": rows("valid")})),
        ] {
            let mut config = json!({"model": model, "require_engine": engine});
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let outcome =
                desk.run(kind, config, LIMIT).await.unwrap_or_else(|error| panic!("{engine} {kind}: {error}"));
            assert_eq!(outcome.failure, None, "{engine} {kind}");
            let judge = if *engine == "embedded" { "rten" } else { "onnxruntime" };
            assert_eq!(outcome.output["engine"], judge, "{kind}");
        }
        let config = json!({"old": model, "new": model, "runs": 3, "require_engine": engine});
        let outcome = desk.run("onnx_compare", config, LIMIT).await.unwrap();
        assert_eq!((&outcome.output["verdict"], &outcome.output["flips"]), (&json!("equivalent"), &json!(0)));
    }
}

#[tokio::test]
async fn a_result_names_its_engine() {
    let output = Desk::new().load("mlp376_ext.onnx", "embedded").await.output;
    assert_eq!((&output["engine"], &output["engine_sha256"]), (&json!("rten"), &Value::Null));
    let Some(desk) = Desk::with_onnxruntime().await else { return };
    let output = desk.load("mlp376_ext.onnx", "onnxruntime").await.output;
    assert_eq!(output["engine"], "onnxruntime");
    assert!(output["engine_version"].as_str().unwrap().starts_with("1."), "{output}");
    assert_eq!(output["engine_sha256"].as_str().unwrap().len(), 64);
    // Found once, it is remembered.
    assert!(desk.state.path().join("engines.json").exists());
}

/// A library that was cut off in the middle of a copy kills the process that loads it.
#[tokio::test]
async fn a_library_that_kills_its_process_is_refused_with_the_signal() {
    let mut desk = Desk::new();
    let Some(whole) = desk.library().await else {
        return drop(Desk::with_onnxruntime().await);
    };
    let cut = desk.state.path().join("libonnxruntime.so");
    let content = std::fs::read(whole).unwrap();
    std::fs::write(&cut, &content[..content.len() / 3]).unwrap();
    let why = refusal(&mut desk, &cut).await;
    assert!(why.contains("takes its process down: killed by signal 7"), "{why}");
}

#[tokio::test]
async fn what_is_no_library_of_onnx_runtime_is_refused_with_the_reason() {
    let mut desk = Desk::new();
    let text = desk.state.path().join("text.so");
    std::fs::write(&text, b"text").unwrap();
    let why = refusal(&mut desk, &text).await;
    assert!(why.contains("file too short"), "{why}");
    let why = refusal(&mut desk, Path::new("/nowhere/libonnxruntime.so")).await;
    assert!(why.contains("cannot be read: No such file"), "{why}");
}

#[test]
fn doctor_shows_what_is_there_and_what_was_refused() {
    let runbook = Runbook::new().file(".onnxruntime/libonnxruntime.so", "text");
    let done = runbook.call("doctor").exits(0);
    let done = done.says("✓ state").says("none yet, with SQLite 3.").says("the embedded engine");
    done.says("libonnxruntime.so refused: ").says("file too short").says("help: enough for most models");

    let named = Runbook::new().variable("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so");
    let report = named.call("doctor --format json").exits(5).json();
    assert_eq!((&report["sound"], &report["engine"]["engine"]), (&json!(false), &json!("rten")));
    assert_eq!(report["engines_tried"][0]["place"], "variable");
    let names: Vec<&str> =
        report["findings"].as_array().unwrap().iter().filter_map(|finding| finding["name"].as_str()).collect();
    assert_eq!(names, ["program", "site file", "playbooks", "state", "journal", "models", "journalctl", "systemctl"]);
    // It looked and left nothing behind.
    assert_eq!(std::fs::read_dir(named.state()).unwrap().count(), 0);
}

#[test]
fn doctor_goes_on_with_a_site_file_that_is_not_valid() {
    let runbook = Runbook::new().file("runbook.yaml", "playbook: [playbooks]\n");
    runbook.call("doctor").exits(5).says("✗ site file").says("runbook.yaml:1").says("✓ state");
}

#[test]
fn a_model_is_inspected_without_being_run() {
    let runbook = Runbook::new();
    let inspect = |name: &str, format: &str| {
        let path = fixture_path(name).display().to_string();
        runbook.args(["model", "inspect", &path, "--format", format]).done()
    };
    let done = inspect("mlp376_ext.onnx", "text").exits(0).says("IR 8, ai.onnx 17").says("✓ no faults");
    done.says("features float32[*, 376]").says("mlp376_ext.data").says("3 Add, 3 MatMul, 2 Relu, 1 Softmax");
    inspect("bad_lfs_pointer.onnx", "text").exits(1).says("✗ lfs_pointer").says("help: fetch the real file");
    let report = inspect("bad_dangling.onnx", "json").exits(1).json();
    assert_eq!((&report["sound"], &report["faults"][0]["kind"]), (&json!(false), &json!("dangling_name")));
    assert_eq!(report["judged_for"]["engine"], "rten");
    let sums = runbook.path("SHA256SUMS");
    std::fs::write(&sums, format!("{}  bad_bitflip.onnx\n", "0".repeat(64))).unwrap();
    let path = fixture_path("bad_bitflip.onnx").display().to_string();
    let done = runbook.args(["model", "inspect", &path, "--manifest", "SHA256SUMS"]).done();
    done.exits(1).says("✗ altered").says("help: copy the model again");
    inspect("absent.onnx", "text").exits(1).says("✗ missing").does_not_say("sha256");
}

/// The warning of a check with this library named in the site file.
async fn refusal(desk: &mut Desk, library: &Path) -> String {
    desk.site.models.onnxruntime = Some(library.to_owned());
    let outcome = desk.run("onnx_load", json!({"model": fixture_path("mlp376_ext.onnx")}), LIMIT).await.unwrap();
    assert_eq!(outcome.failure, None, "the next engine judges");
    let warnings = outcome.output["warnings"].as_array().unwrap().clone();
    let named = warnings.iter().filter_map(Value::as_str).find(|warning| warning.contains("of the site file"));
    named.unwrap_or_else(|| panic!("no warning in {}", outcome.output)).to_owned()
}
