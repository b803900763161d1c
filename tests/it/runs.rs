//! Whole runs, one for each way they end by themselves, and what is shown of them.

use serde_json::{Value, json};

use crate::support::{Done, Runbook};

/// A model folder without its model: `{{HELPS}}` brings it back, or does not.
const PLAYBOOK: &str = "
runbook: 1
name: model-missing
title: The model is missing
code: MODEL_MISSING
inputs:
  model: {type: path, default: models/acme.onnx}
recovery: {within: 0s}
detect:
  any:
    missing: {file: {path: '{{inputs.model}}'}, holds: '!exists'}
diagnose:
  folder: {file: {path: models/.keep}, expect: exists, help: the folder of the models}
  backup: {file: {path: backup.onnx}, needs: [folder]}
causes:
  no_folder: {title: The folder is gone, when: diagnose.folder.failed}
  no_model: {title: The model is gone, when: diagnose.folder.passed}
severity: [{when: causes.no_folder, is: critical}, {is: high}]
remediate:
  make_folder:
    fixes: [no_folder]
    command: {argv: [mkdir, -p, models]}
  restore:
    fixes: [no_folder, no_model]
    needs: [make_folder]
    command: {argv: [sh, bring_back.sh, '{{inputs.model}}']}
    undo: {command: {argv: [touch, undone]}}
verify:
  readable: {file: {path: '{{inputs.model}}'}, expect: size > 0}
finally:
  note: {command: {argv: [touch, noted]}}
";

fn place(bring_back: &str) -> Runbook {
    Runbook::new()
        .file("playbooks/model-missing.yaml", PLAYBOOK)
        .file("backup.onnx", "weights")
        .file("models/.keep", "")
        .file("bring_back.sh", bring_back)
}

const HELPS: &str = "cp backup.onnx \"$1\"";

#[test]
fn healthy() {
    let place = place(HELPS).file("models/acme.onnx", "weights");
    insta::assert_snapshot!(place.call("run model-missing").exits(0).shown());
    assert!(place.exists("noted"), "finally runs whatever the outcome");
    assert_eq!(place.newest()["outcome"], "healthy");
}

#[test]
fn resolved() {
    let place = place(HELPS);
    insta::assert_snapshot!(place.call("run model-missing --yes").exits(0).shown());
    assert_eq!(place.read("models/acme.onnx"), "weights");
    assert!(!place.exists("undone"));
}

#[test]
fn unresolved_with_undo() {
    let place = place("exit 0");
    insta::assert_snapshot!(place.call("run model-missing --yes").exits(1).shown());
    assert!(place.exists("undone") && place.exists("noted"));
    let run = place.newest();
    assert_eq!(
        (&run["outcome"], &run["severity"], &run["causes"]),
        (&json!("unresolved"), &json!("high"), &json!(["no_model"]))
    );
}

#[test]
fn a_fix_that_fails_ends_unresolved_and_says_why() {
    let done = place("echo no backup here >&2; exit 3").call("run model-missing --yes").exits(1);
    insta::assert_snapshot!(done.shown());
}

#[test]
fn mitigated_when_the_fault_is_gone_but_something_is_not_as_it_should_be() {
    let place = place(": > \"$1\"");
    insta::assert_snapshot!(place.call("run model-missing --yes").exits(1).shown());
    assert_eq!(place.newest()["outcome"], "mitigated");
}

const SERVICE: &str = "
runbook: 1
name: service-down
title: The service is unhealthy
inputs: {api: {type: url}}
detect:
  any:
    unhealthy: {http: {get: '{{inputs.api}}/health', extract: {status: '$.status'}}, holds: status != \"healthy\", timeout: 5s}
remediate:
  restart: {command: {argv: [touch, restarted]}, risk: safe}
";

/// A port on which nothing listens: it was free a moment ago.
fn silent_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("its address"))
}

#[test]
fn a_service_that_does_not_answer_is_an_error_and_not_unhealthy() {
    let place = Runbook::new().file("service-down.yaml", SERVICE);
    let done =
        place.args(["run", "service-down.yaml", "--yes", "--input", &format!("api={}", silent_address())]).done();
    insta::assert_snapshot!(done.exits(5).shown());
    assert!(!place.exists("restarted"), "nothing is remediated on a guess");
    assert_eq!(place.newest()["outcome"], "error");
}

#[test]
fn json_lines_are_one_event_each_and_end_with_the_result() {
    let place = place(HELPS);
    let events = place.call("run model-missing --yes --format json").exits(0).events();
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>(), "in order, none missing");
    let last = events.last().expect("events");
    assert_eq!(last["event"], "run_finished");
    assert_eq!((&last["outcome"], &last["severity"]), (&json!("resolved"), &json!("high")));
    assert_eq!(last["causes"], json!(["no_model"]));
    assert!(last["duration_ms"].is_u64(), "{last}");
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    insta::assert_snapshot!(kinds.join("\n"));
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

#[test]
fn show_as_json_has_the_promised_keys() {
    let place = place(HELPS);
    place.call("run model-missing --yes").exits(0);
    let run = place.newest();
    let promised = ["id", "playbook", "digest", "outcome", "severity", "inputs", "causes", "steps", "notifications"];
    for key in promised {
        assert!(keys(&run).contains(&key), "{key} is missing: {:?}", keys(&run));
    }
    assert_eq!(run["playbook"], "model-missing");
    assert_eq!(run["inputs"], json!({"model": "models/acme.onnx"}));
    assert_eq!(run["causes"], json!(["no_model"]));
    assert!(run["digest"].as_str().is_some_and(|digest| digest.len() == 64));
    for (name, step) in run["steps"].as_object().expect("steps by name") {
        for key in ["status", "attempts", "started_at", "duration_ms", "output", "error"] {
            assert!(keys(step).contains(&key), "{key} is missing in {name}: {step}");
        }
    }
    let restore = &run["steps"]["remediate.restore"];
    assert_eq!(
        (&restore["status"], &restore["attempts"], &restore["error"]),
        (&json!("passed"), &json!(1), &Value::Null)
    );
    assert_eq!(run["steps"]["remediate.make_folder"]["status"], "skipped");
    assert_eq!(run["steps"]["diagnose.folder"]["output"]["exists"], true);
}

fn after_both_endings() -> Runbook {
    let place = place(HELPS);
    place.call("run model-missing --yes").exits(0);
    place.call("run model-missing").exits(0);
    place
}

#[test]
fn history() {
    let place = after_both_endings();
    insta::assert_snapshot!(place.call("history").exits(0).shown());
    assert_eq!(place.call("history --format json").exits(0).json().as_array().map(Vec::len), Some(2));
    place.call("history --playbook other").exits(0).says("no runs");
    assert_eq!(place.call("history -n 1 --format json").json()[0]["outcome"], "healthy", "the newest first");
}

#[test]
fn show_for_people() {
    let place = place(HELPS);
    place.call("run model-missing --yes").exits(0);
    insta::assert_snapshot!(place.call("show").exits(0).shown());
    let run = place.newest_run();
    let shown = |name: &str| place.args(["show", name]).done().exits(0).stdout();
    assert_eq!(shown(&run), shown(&run[..run.len() - 2]), "the beginning of a name is enough");
}

#[test]
fn a_run_that_is_not_there() {
    let place = Runbook::new();
    insta::assert_snapshot!(place.call("show 0101").exits(2).shown());
    place.call("show").exits(2).says("no runs yet");
    place.call("report 0101").exits(2);
}

#[test]
fn the_incident_report() {
    let place = place(HELPS);
    place.call("run model-missing --yes").exits(0);
    let run = place.newest_run();
    insta::assert_snapshot!(place.args(["report", &run]).done().exits(0).shown());
}

#[test]
fn a_reader_that_goes_away_does_not_stop_the_run() {
    let place = place(HELPS).file("head.sh", "\"$RUNBOOK\" run model-missing --yes | head -n 1");
    let place = place.variable("RUNBOOK", env!("CARGO_BIN_EXE_runbook"));
    let done: Done = place.shell("head.sh");
    assert!(done.stdout().contains("model-missing"));
    assert_eq!(place.newest()["outcome"], "resolved");
}
