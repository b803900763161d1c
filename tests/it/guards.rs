//! What keeps every run from changing anything: freezes, windows, budgets with their breakers,
//! preconditions. Through the program, across its restarts.

use serde_json::json;

use crate::support::Runbook;

/// A playbook that would touch the file `done`.
fn place(more: &str) -> Runbook {
    Runbook::new().file(
        "it.yaml",
        format!(
            "runbook: 1\nname: it\ntitle: It\n{more}remediate:\n  act:\n    command: {{argv: [sh, act.sh]}}\n    risk: safe\n"
        ),
    )
    .file("act.sh", "echo x >> done")
}

#[test]
fn t53_a_freeze_holds_every_run_across_restarts_until_it_is_lifted() {
    let place = place("");
    place.call("freeze --reason migration").exits(0).says("Frozen: no run changes anything");
    for _ in 0..2 {
        place.call("run it.yaml --yes").exits(1).says("everything is frozen");
        assert!(!place.exists("done"));
    }
    place.call("holds").exits(0).says("frozen since").says("migration");
    place.call("plan it.yaml").exits(0).says("everything is frozen");
    place.call("unfreeze --reason finished").exits(0);
    place.call("run it.yaml --yes").exits(0);
    assert!(place.exists("done"));
    place.call("holds").exits(0).says("Nothing keeps runs");
    place.call("audit verify").exits(0);
}

#[test]
fn a_freeze_needs_a_reason_and_an_end_that_lies_ahead() {
    let place = place("");
    place.args(["freeze", "--reason", " "]).done().exits(2).says("the reason is empty");
    place.args(["freeze", "--reason", "x", "--until", "2001-01-01 00:00"]).done().exits(2).says("has passed");
    place.args(["freeze", "--reason", "x", "--until", "soon"]).done().exits(2).says("'soon' is no time");
    place.call("unfreeze --reason x").exits(0).says("Nothing is frozen");
}

#[test]
fn t52_a_spent_budget_opens_a_breaker_that_only_a_person_closes() {
    let place = place("inputs: {host: {type: string}}\nbudget: {per: [inputs.host], runs: 3, window: 1h}\n");
    for _ in 0..3 {
        place.call("run it.yaml --yes -i host=a").exits(0);
    }
    for _ in 0..2 {
        place.call("run it.yaml --yes -i host=a").exits(1).says("the breaker is open: 3 runs remediated within 1 h");
    }
    assert_eq!(place.read("done").lines().count(), 3);
    place.call("run it.yaml --yes -i host=b").exits(0);
    place.call("breaker close it c --reason x").exits(2).says("open: it for a");
    place.call("breaker close it a --reason replaced").exits(0);
    place.call("run it.yaml --yes -i host=a").exits(0);
    assert_eq!(place.read("done").lines().count(), 5);
}

#[test]
fn a_window_that_is_closed_or_unknown_keeps_a_playbook_from_acting() {
    let place = place("within: [never]\n");
    place.call("run it.yaml --yes").exits(1).says("which the site file does not have");
    let always = "windows: {never: {from: '00:00', to: '00:00'}}\n";
    let place = place.file("runbook.yaml", always);
    place.call("run it.yaml --yes").exits(0);
    let place = place.file("runbook.yaml", "windows: {quiet: {from: '00:00', to: '00:00', withhold: true}}\n");
    place.call("run it.yaml --yes").exits(1).says("nothing is changed during 'quiet'");
    assert_eq!(place.read("done").lines().count(), 1);
}

#[test]
fn t56_a_precondition_that_no_longer_holds_refuses_the_step() {
    let place = place("").file(
        "it.yaml",
        "runbook: 1\nname: it\ntitle: It\nremediate:\n  act:\n    command: {argv: [sh, act.sh]}\n    risk: safe\n    \
         precondition: {file: {path: spare}, expect: exists}\n",
    );
    place.call("run it.yaml --yes").exits(1).says("its precondition does not hold");
    assert!(!place.exists("done"));
    let place = place.file("spare", "");
    place.call("run it.yaml --yes").exits(0);
    assert_eq!(place.newest()["steps"]["remediate.act"]["status"], json!("passed"));
}

/// The anchor is asked between the intent and its effect; whoever keeps it freezes everything at that moment.
#[test]
fn t53_a_freeze_that_comes_while_the_intent_is_written_is_seen_at_the_last_moment() {
    let place = place("").file("runbook.yaml", "audit: {anchors: [{git: {repository: kept}, required: true}]}\n");
    let freezes = format!(
        "git init --quiet kept\ncat > kept/.git/hooks/post-commit <<'END'\n#!/bin/sh\n[ -e ../armed ] || exit 0\nrm ../armed\n\
         RUNBOOK_STATE='{}' '{}' freeze --reason meanwhile\nEND\nchmod +x kept/.git/hooks/post-commit\n",
        place.state().display(),
        env!("CARGO_BIN_EXE_runbook"),
    );
    place.write("freezes.sh", freezes);
    drop(place.shell("freezes.sh").exits(0));
    place.write("armed", "");
    place.call("run it.yaml --yes").exits(1).says("not started: everything is frozen").says("meanwhile");
    assert!(!place.exists("armed") && !place.exists("done"));
    place.call("unfreeze --reason finished").exits(0);
    place.call("run it.yaml --yes").exits(0);
    assert!(place.exists("done"));
}
