//! A run that waits for a person: parked, approved, rejected, resumed; and what counts as a terminal.

use serde_json::json;

use crate::support::Runbook;

const PLAYBOOK: &str = "
runbook: 1
name: restart
title: The service hangs
recovery: {within: 0s}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
causes: {stuck: {title: It is stuck, when: 'true'}}
remediate:
  prepare: {fixes: [stuck], command: {argv: [touch, prepared]}, risk: safe}
  restart: {fixes: [stuck], needs: [prepare], command: {argv: [rm, hangs]}, risk: disruptive, help: Restarts the service}
finally:
  note: {command: {argv: [touch, noted]}}
";

fn parked() -> (Runbook, String) {
    let place = Runbook::new().file("restart.yaml", PLAYBOOK).file("hangs", "");
    place.call("run restart.yaml").exits(3);
    let run = place.newest_run();
    (place, run)
}

#[test]
fn without_a_terminal_the_run_parks_and_says_how_to_go_on() {
    let place = Runbook::new().file("restart.yaml", PLAYBOOK).file("hangs", "");
    insta::assert_snapshot!(place.call("run restart.yaml").exits(3).shown());
    assert!(place.exists("prepared") && place.exists("hangs"), "only what needs nobody's consent was done");
    assert_eq!(place.newest()["outcome"], "parked");
    insta::assert_snapshot!("parked_show", place.call("show").exits(0).shown());
}

/// A pipe that says yes is no person.
#[test]
fn an_answer_from_a_pipe_does_not_count() {
    let place = Runbook::new().file("restart.yaml", PLAYBOOK).file("hangs", "");
    place.args(["run", "restart.yaml"]).stdin("y\ny\n").done().exits(3);
    assert!(place.exists("hangs"));
}

#[test]
fn approved_later() {
    let (place, run) = parked();
    let done = place.args(["approve", &run, "--reason", "seen with the team"]).done().exits(0);
    insta::assert_snapshot!(done.shown());
    assert!(!place.exists("hangs") && place.exists("noted"));
    let shown = place.newest();
    assert_eq!((&shown["outcome"], &shown["steps"]["remediate.prepare"]["attempts"]), (&json!("resolved"), &json!(1)));
    place.call("audit export").exits(0).says("seen with the team");
}

#[test]
fn rejected_later() {
    let (place, run) = parked();
    insta::assert_snapshot!(place.args(["reject", &run, "--reason", "not today"]).done().exits(4).shown());
    assert!(place.exists("hangs") && place.exists("noted"), "the rest was cleaned up");
    assert_eq!(place.newest()["outcome"], "rejected");
}

#[test]
fn resumed_with_yes() {
    let (place, _) = parked();
    place.call("resume --yes").exits(0);
    assert!(!place.exists("hangs"));
}

#[test]
fn resumed_without_an_answer_it_parks_again() {
    let (place, run) = parked();
    place.args(["resume", &run]).done().exits(3);
    assert!(place.exists("hangs"));
    place.args(["resume", &run, "--yes"]).done().exits(0);
}

#[test]
fn what_has_ended_is_not_answered_again() {
    let (place, run) = parked();
    place.args(["approve", &run]).done().exits(0);
    for command in ["approve", "reject"] {
        place.args([command, &run]).done().exits(2).says("waits for approval");
    }
    place.args(["resume", &run]).done().exits(2);
    place.call("resume").exits(2).says("nothing to go on with");
    place.args(["resolve", &run, "remediate.restart", "--done", "--reason", "seen"]).done().exits(2).says("in doubt");
}

#[test]
fn a_step_that_does_not_wait_is_not_approved() {
    let (place, run) = parked();
    place.args(["approve", &run, "remediate.other"]).done().exits(2).says("remediate.other");
    place.args(["approve", "nothing"]).done().exits(2).says("nothing");
    assert!(place.exists("hangs"));
}

#[test]
fn what_was_approved_is_done_although_the_playbook_has_changed_since() {
    let (place, run) = parked();
    place.write("restart.yaml", PLAYBOOK.replace("[rm, hangs]", "[touch, stranger]"));
    place.args(["approve", &run]).done().exits(0);
    assert!(!place.exists("stranger") && !place.exists("hangs"));
}

/// Calls the playbook above twice over.
fn parked_inside() -> (Runbook, String) {
    let caller = |name: &str, called: &str| {
        format!(
            "runbook: 1\nname: {name}\ntitle: Calls another\nremediate:\n  \
             ready: {{command: {{argv: [sh, -c, 'echo x >> {name}-ready']}}, risk: safe}}\n  \
             recover: {{needs: [ready], playbook: {{name: {called}}}, risk: safe}}\n  \
             after: {{needs: [recover], command: {{argv: [sh, -c, 'echo x >> {name}-after']}}, risk: safe}}\n"
        )
    };
    let place = Runbook::new()
        .file("runbook.yaml", "playbooks: [books]\n")
        .file("books/restart.yaml", PLAYBOOK)
        .file("books/middle.yaml", caller("middle", "restart"))
        .file("books/outer.yaml", caller("outer", "middle"))
        .file("hangs", "");
    place.call("run outer").exits(3).says("waits for a person");
    let run = place.newest_run();
    (place, run)
}

const INSIDE: &str = "remediate.recover.1/remediate.recover.1";

#[test]
fn a_run_whose_called_playbook_asks_parks_and_an_answer_goes_on_with_all_of_them() {
    let (place, run) = parked_inside();
    assert_eq!(place.newest()["outcome"], "parked");
    let middle = format!("{run}/remediate.recover.1");
    place.args(["show", &run]).done().exits(0).says("waits for a person").says(&format!("runbook show {middle}"));
    place.args(["resume", &run]).done().exits(3);
    assert!(place.exists("hangs") && !place.exists("outer-after"), "it is asked again and nobody answered");
    let asked = format!("{run}/{INSIDE}");
    place.args(["approve", &asked, "--reason", "seen"]).done().exits(0);
    assert_eq!(place.newest()["outcome"], "resolved");
    let counts =
        ["outer-ready", "middle-ready", "middle-after", "outer-after"].map(|name| place.read(name).lines().count());
    assert_eq!(counts, [1, 1, 1, 1], "each once, in one run each");
    assert!(!place.exists("hangs"));
    place.args(["approve", &asked]).done().exits(2);
    place.call("audit verify").exits(0);
}

#[test]
fn a_no_inside_of_a_called_playbook_ends_all_of_them() {
    let (place, run) = parked_inside();
    place.args(["reject", &format!("{run}/{INSIDE}"), "--reason", "not today"]).done().exits(1);
    assert!(place.exists("hangs") && !place.exists("outer-after"));
    assert_eq!(place.newest()["outcome"], "unresolved");
}

#[test]
fn an_answer_that_a_freeze_keeps_from_being_heard_is_said_to_be_lost() {
    let (place, run) = parked_inside();
    place.args(["freeze", "--reason", "an audit"]).done().exits(0);
    let lost = place.args(["approve", &format!("{run}/{INSIDE}")]).done();
    assert!(place.exists("hangs"));
    assert_ne!(lost.status.code(), Some(0));
}
