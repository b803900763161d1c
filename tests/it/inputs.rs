//! Names and inputs that are wrong, and what the program says about them.

use crate::support::Runbook;

const PLAYBOOK: &str = "
runbook: 1
name: check-model
title: Checks a model
inputs:
  provider: {type: string, pattern: '[a-z]+', help: whose model it is, example: acme}
  limit: {type: bytes, default: 1 MiB}
  mode: {type: enum, values: [fast, slow], default: fast}
  wait: {type: duration, default: 5s}
  tries: {type: int, min: 1, max: 5, default: 2}
diagnose:
  look: {file: {path: 'models/{{inputs.provider}}'}}
";

fn place() -> Runbook {
    Runbook::new()
        .file("playbooks/check-model.yaml", PLAYBOOK)
        .file("playbooks/check-disk.yaml", "runbook: 1\nname: check-disk\ntitle: Checks the disk\n")
}

#[test]
fn a_missing_playbook_names_the_nearest() {
    insta::assert_snapshot!(place().call("run chek-model").exits(2).shown());
}

#[test]
fn a_missing_file_says_so() {
    insta::assert_snapshot!(place().call("run nowhere/check.yaml").exits(2).shown());
}

#[test]
fn a_missing_input_is_named_with_its_meaning_and_an_example() {
    insta::assert_snapshot!(place().call("run check-model").exits(2).shown());
}

#[test]
fn every_wrong_input_is_reported_at_once() {
    let wrong = "run check-model --input provider=ACME --input limit=plenty --input mode=quick --input wait=5 \
                 --input tries=9 --input provder=acme";
    insta::assert_snapshot!(place().call(wrong).exits(2).shown());
}

#[test]
fn an_input_without_a_value_is_explained() {
    insta::assert_snapshot!(place().call("run check-model --input provider").exits(2).shown());
}

#[test]
fn a_slip_in_a_file_of_inputs_is_found() {
    let place = place().file("inputs.yaml", "provder: acme\nlimit: 2 MiB\n");
    insta::assert_snapshot!(place.call("run check-model --inputs inputs.yaml").exits(2).shown());
}

#[test]
fn a_file_of_inputs_may_serve_several_playbooks() {
    let place = place().file("inputs.yaml", "provider: acme\napi: http://127.0.0.1:8000\n");
    place.call("run check-model --inputs inputs.yaml").exits(0);
    assert_eq!(place.newest()["inputs"]["provider"], "acme");
}

#[test]
fn the_command_line_wins_over_the_file() {
    let place = place().file("inputs.yaml", "provider: acme\n");
    place.call("run check-model --inputs inputs.yaml --input provider=other --input limit=2KiB").exits(0);
    let inputs = &place.newest()["inputs"];
    assert_eq!((&inputs["provider"], &inputs["limit"]), (&"other".into(), &2048.into()));
}

#[test]
fn nothing_is_recorded_of_a_run_that_could_not_start() {
    let place = place();
    place.call("run check-model").exits(2);
    place.call("history").exits(0).says("no runs yet");
}
