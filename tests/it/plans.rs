//! `plan` looks for real and changes nothing.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::support::Runbook;

const PLAYBOOK: &str = "
runbook: 1
name: model-missing
title: The model is missing
detect: {any: {missing: {file: {path: model}, holds: '!exists'}}}
diagnose:
  backup: {file: {path: backup}}
causes:
  gone: {title: It is gone, when: '!detect.missing.exists'}
  no_backup: {title: There is no copy, when: '!diagnose.backup.exists'}
remediate:
  restore:
    fixes: [gone]
    command: {argv: [cp, '{{diagnose.backup.path}}', model]}
    undo: {command: {argv: [rm, model]}}
  check:
    needs: [restore]
    command: {argv: [test, '{{remediate.restore.exit_code}}', -eq, '0']}
    risk: safe
  fetch: {fixes: [no_backup], command: {argv: [touch, backup]}}
finally:
  note: {command: {argv: [touch, noted]}}
";

/// Every path below a folder with its content, as one digest.
fn tree(folder: &Path) -> String {
    let mut digest = Sha256::new();
    let mut names: Vec<_> = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    names.sort();
    for path in names {
        digest.update(path.as_os_str().as_encoded_bytes());
        digest.update(if path.is_dir() { tree(&path).into_bytes() } else { std::fs::read(&path).expect("a file") });
    }
    hex::encode(digest.finalize())
}

fn place() -> Runbook {
    Runbook::new().file("model-missing.yaml", PLAYBOOK).file("backup", "weights")
}

#[test]
fn a_plan_shows_what_would_be_done_and_changes_nothing() {
    let place = place();
    let before = tree(place.path("..").as_path());
    insta::assert_snapshot!(place.call("plan model-missing.yaml").exits(0).shown());
    assert_eq!(tree(place.path("..").as_path()), before, "working, state and home folder are as they were");
}

#[test]
fn a_plan_of_a_healthy_system() {
    let place = place().file("model", "weights");
    insta::assert_snapshot!(place.call("plan model-missing.yaml").exits(0).shown());
}

#[test]
fn a_plan_as_json_ends_with_the_plan() {
    let place = place();
    let events = place.call("plan model-missing.yaml --format json").exits(0).events();
    let plan = events.last().expect("a plan");
    assert_eq!(plan["event"], "plan");
    assert_eq!(plan["causes"], serde_json::json!(["gone"]));
    let mut would: Vec<String> = plan["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| format!("{} {}", step["step"].as_str().unwrap_or("?"), step["would"].as_str().unwrap_or("?")))
        .collect();
    would.sort();
    assert_eq!(would, ["remediate.check run", "remediate.fetch skip", "remediate.restore run"]);
}

#[test]
fn a_plan_that_cannot_look_says_so() {
    let text = PLAYBOOK.replace("file: {path: model}", "http: {get: 'http://127.0.0.1:1/'}").replace("!exists", "ok");
    let place = place().file("model-missing.yaml", text.replace("'!detect.missing.exists'", "'true'"));
    place.call("plan model-missing.yaml").exits(5).says("could not be told");
}
