//! Every fixture against `tests/fixtures/onnx/manifest.json`, by each engine that this machine has: the fault that
//! `onnx_load` names, the verdict of the golden cases, and those of the kinds that are made to find it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::models::{Desk, LIMIT, fixture_path, root};
use crate::support::Runbook;

#[derive(Deserialize)]
struct Manifest {
    files: Vec<Fixture>,
}

#[derive(Deserialize)]
struct Fixture {
    file: String,
    sha256: String,
    fault: Option<String>,
    golden: Option<String>,
    checks: BTreeMap<String, String>,
    why: String,
}

/// What needs a test of its own, and which: golden cases alone do not tell, or the model does not end by itself.
const ON_THEIR_OWN: [(&str, &str); 3] = [
    ("bad_bitflip.onnx", "only the SHA-256 tells"),
    ("bad_hang.onnx", "an_endless_model_is_ended_and_told"),
    ("bad_oom.onnx", "a_model_that_aborts_is_an_error_that_says_how_and_where"),
];

const KINDS: [&str; 10] = [
    "onnx_io",
    "onnx_validate",
    "onnx_determinism",
    "onnx_batch",
    "onnx_latency",
    "onnx_memory",
    "onnx_accuracy",
    "onnx_calibration",
    "onnx_drift",
    "onnx_compare",
];

fn fixtures() -> Vec<Fixture> {
    let text = std::fs::read(fixture_path("manifest.json")).unwrap();
    let fixtures = serde_json::from_slice::<Manifest>(&text).unwrap().files;
    fixtures.into_iter().filter(|fixture| fixture.file.ends_with(".onnx")).collect()
}

/// The settings that the manifest means.
fn config(kind: &str, model: &Path, engine: &str) -> Value {
    let sound = root().join("models/column-classifier/model.onnx");
    let rows = |name: &str| json!({"file": root().join(format!("models/column-classifier/data/{name}.npz"))});
    let more = match kind {
        "onnx_load" => json!({}),
        "onnx_io" => json!({
            "inputs": [{"name": "features", "element": "float32", "shape": [-1, 376]}],
            "outputs": [{"name": "probabilities", "element": "float32", "shape": [-1, 12]}],
        }),
        "onnx_validate" => json!({"inputs": rows("valid"), "probabilities": true}),
        "onnx_determinism" => json!({"inputs": rows("valid"), "runs": 3}),
        "onnx_batch" => json!({"inputs": rows("valid"), "sizes": [8], "runs": 2}),
        "onnx_latency" | "onnx_memory" => json!({"inputs": rows("valid"), "runs": 20}),
        "onnx_accuracy" => json!({"inputs": rows("valid"), "min_accuracy": 0.85}),
        "onnx_calibration" => json!({"inputs": rows("valid"), "max_error": 0.08}),
        "onnx_drift" => json!({"reference": rows("reference"), "current": rows("valid")}),
        "onnx_compare" => json!({"old": sound, "new": model, "inputs": rows("valid"), "runs": 2}),
        other => panic!("no settings for '{other}'"),
    };
    let mut config = json!({"require_engine": engine});
    if kind != "onnx_compare" {
        config["model"] = json!(model);
    }
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

/// Judges fixtures by one engine and counts.
struct Judge {
    desk: Desk,
    engine: &'static str,
    table: String,
    golden: usize,
    by_kinds: usize,
}

impl Judge {
    async fn all(mut self) {
        let fixtures = fixtures();
        for fixture in &fixtures {
            self.one(fixture).await;
        }
        assert_eq!(self.golden, fixtures.len() - ON_THEIR_OWN.len());
        assert!(self.by_kinds >= 20, "only {} verdicts of other kinds", self.by_kinds);
        let table = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fixtures-{}.txt", self.engine));
        std::fs::write(&table, &self.table).unwrap();
        let text = format!(
            "fixtures by {}: {} files, {} golden verdicts and {} of other kinds, all as in the manifest ({})\n",
            self.engine,
            fixtures.len(),
            self.golden,
            self.by_kinds,
            table.display()
        );
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }

    async fn one(&mut self, fixture: &Fixture) {
        let Fixture { file, fault, golden, why, checks, .. } = fixture;
        let loaded = self.output("onnx_load", file).await;
        assert_eq!(loaded["fault_kind"], fault.clone().unwrap_or_default(), "{} {file} ({why}): {loaded}", self.engine);
        let golden = match golden {
            Some(expected) => self.golden(file, expected).await,
            None => self.on_its_own(file),
        };
        for (kind, verdict) in checks {
            self.kind(kind, file, verdict).await;
        }
        let fault = fault.as_deref().unwrap_or("loads");
        let by_kinds = checks.iter().map(|(kind, verdict)| format!("{kind} {verdict}")).collect::<Vec<_>>().join(", ");
        self.table.push_str(&format!("{file:<24} {fault:<22} {golden:<12} {by_kinds}\n"));
    }

    async fn output(&self, kind: &str, file: &str) -> Value {
        let config = config(kind, &fixture_path(file), self.engine);
        self.desk.run(kind, config, LIMIT).await.unwrap().output
    }

    async fn golden<'a>(&mut self, file: &str, expected: &'a str) -> &'a str {
        let outcome = self.desk.golden(file, self.engine, LIMIT).await.unwrap();
        assert_eq!(outcome.output["verdict"], *expected, "{} {file}: {}", self.engine, outcome.output);
        assert_eq!(outcome.failure.is_none(), expected == "match", "{} {file}", self.engine);
        self.golden += 1;
        expected
    }

    fn on_its_own(&self, file: &str) -> &'static str {
        let found = ON_THEIR_OWN.iter().find(|(name, _)| *name == file);
        found.unwrap_or_else(|| panic!("{file} has neither a golden verdict nor a test of its own")).1
    }

    async fn kind(&mut self, kind: &str, file: &str, verdict: &str) {
        let config = config(kind, &fixture_path(file), self.engine);
        let outcome = self.desk.run(kind, config, LIMIT).await.unwrap();
        assert_eq!(outcome.output["verdict"], verdict, "{} {kind} of {file}: {:?}", self.engine, outcome.failure);
        let sound = ["good", "invariant", "calibrated", "equivalent", "deterministic", "matches", "valid"];
        assert_eq!(outcome.failure.is_none(), sound.contains(&verdict), "{} {kind} of {file}", self.engine);
        self.by_kinds += 1;
    }
}

async fn judge(desk: Desk, engine: &'static str) {
    Judge { desk, engine, table: String::new(), golden: 0, by_kinds: 0 }.all().await;
}

#[tokio::test]
async fn the_embedded_engine_gives_every_fixture_its_verdict() {
    judge(Desk::new(), "embedded").await;
}

#[tokio::test]
async fn onnx_runtime_gives_every_fixture_its_verdict() {
    if let Some(desk) = Desk::with_onnxruntime().await {
        judge(desk, "onnxruntime").await;
    }
}

/// Nothing but the list of the release tells one flipped bit from the released model, and it tells it.
#[tokio::test]
async fn a_list_of_the_release_tells_every_fixture_from_the_model() {
    let desk = Desk::new();
    let folder = tempfile::tempdir().unwrap();
    for Fixture { file, sha256, fault, .. } in fixtures() {
        let released = |bytes: u64, sha256: &str| {
            let list = folder.path().join("release.json");
            let files = json!({"files": [{"file": file, "bytes": bytes, "sha256": sha256}]});
            std::fs::write(&list, files.to_string()).unwrap();
            json!({"model": fixture_path(&file), "manifest": list, "require_engine": "embedded"})
        };
        let size = std::fs::metadata(fixture_path(&file)).unwrap().len();
        let loaded = async |config: Value| desk.run("onnx_load", config, LIMIT).await.unwrap().output;
        let own = fault.clone().unwrap_or_default();
        assert_eq!(loaded(released(size, &sha256)).await["fault_kind"], own, "{file}");
        let other = "0".repeat(64);
        let [altered, longer] = [loaded(released(size, &other)).await, loaded(released(size + 1, &other)).await];
        let told = |kind: &str| fault.clone().unwrap_or_else(|| kind.to_owned());
        assert_eq!(
            (&altered["fault_kind"], &longer["fault_kind"]),
            (&told("altered").into(), &told("wrong_size").into())
        );
    }
}

/// `model inspect` names every fault that needs no run, and says what to do about it.
#[test]
fn inspect_names_each_fault_with_its_remedy() {
    let place = Runbook::new();
    let inspect = |file: &str, more: &[&str]| {
        let path = fixture_path(file).display().to_string();
        place.args([&["model", "inspect", &path], more].concat()).done()
    };
    for Fixture { file, fault, .. } in fixtures() {
        let Some(fault) = fault else {
            inspect(&file, &[]).exits(0).says("✓ no faults in the file");
            continue;
        };
        inspect(&file, &[]).exits(1).says(&format!("✗ {fault}: ")).says("help: ");
        let report = inspect(&file, &["--format", "json"]).exits(1).json();
        assert_eq!((&report["sound"], &report["faults"][0]["kind"]), (&json!(false), &json!(fault)));
        assert!(!report["faults"][0]["remedy"].as_str().unwrap().is_empty());
    }
    inspect("bad_random.onnx", &[]).says("warning: operator RandomNormalLike gives another answer on each run");
    let manifest = fixture_path("manifest.json").display().to_string();
    inspect("bad_bitflip.onnx", &["--manifest", &manifest]).exits(0);
    place.write(
        "release.json",
        format!(r#"{{"files": [{{"file": "bad_bitflip.onnx", "bytes": 7, "sha256": "{:064}"}}]}}"#, 0),
    );
    let done = inspect("bad_bitflip.onnx", &["--manifest", "release.json"]).exits(1);
    done.says("✗ wrong_size: the file is 51876 bytes long; 7 were released").says("✗ altered");
}

#[tokio::test]
async fn a_model_that_does_not_load_is_an_error_of_every_kind_that_measures() {
    let desk = Desk::new();
    let broken: Vec<Fixture> = fixtures().into_iter().filter(|fixture| fixture.fault.is_some()).collect();
    assert!(broken.len() >= 10, "only {} fixtures do not load", broken.len());
    let missing = ("nothing.onnx".to_owned(), "missing".to_owned());
    let broken = broken.into_iter().map(|fixture| (fixture.file, fixture.fault.unwrap())).chain([missing]);
    for (file, fault) in broken {
        for kind in KINDS {
            let error = desk.run(kind, config(kind, &fixture_path(&file), "embedded"), LIMIT).await.unwrap_err();
            assert!(error.message.contains(&format!("does not load ({fault})")), "{kind} of {file}: {error}");
            assert!(error.help.is_some(), "{kind} of {file}");
        }
    }
}
