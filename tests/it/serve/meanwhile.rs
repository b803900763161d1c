//! Escalations of runs that have not ended: those that wait for a person whom nobody can reach, and those that take long.

use serde_json::json;

use super::escalations::ladder;
use super::pager::Pager;
use super::{start, token};
use crate::support::{Runbook, wait_until};

/// The place of a ladder, with something to approve and a time after which others are called.
fn asks(pager: &Pager, when: &str) -> Runbook {
    let playbook = format!(
        "runbook: 1\nname: down\ntitle: It is down\nrecovery: {{within: 0s}}\n\
         detect: {{any: {{down: {{file: {{path: down-a}}, holds: exists}}}}}}\n\
         causes: {{stuck: {{title: It is stuck, when: 'true'}}}}\n\
         remediate: {{restart: {{fixes: [stuck], command: {{argv: [rm, down-a]}}, approve: {{}}}}}}\n\
         escalate: {{policy: on-call, when: '{when}'}}\n"
    );
    ladder(pager, "30m").file("playbooks/note.yaml", playbook)
}

fn raised(runbook: &Runbook) -> usize {
    runbook.call("audit export").exits(0).stdout().matches("\"kind\":\"escalation_raised\"").count()
}

#[test]
fn a_run_that_nobody_answers_calls_for_help_over_a_kill_and_still_waits() {
    let pager = Pager::start();
    let runbook = asks(&pager, "unresolved || run_elapsed > 6s");
    let mut served = start(&runbook);
    let body = json!({"playbook": "down"});
    let run = served.client.post("/api/v1/runs", Some(&token("operator")), &body).is(202).json()["run"].clone();
    let path = format!("/api/v1/runs/{}", run.as_str().expect("a run"));
    served.running.until_it_says("parked");
    served.running.kill();
    drop(served.running.done());
    let served = start(&runbook);
    wait_until("somebody is called", || pager.count("first escalated") == 1);
    let shown = || served.client.get(&path, Some(&token("viewer"))).is(200).json();
    assert_eq!(shown()["outcome"], "parked", "{}", shown());
    let asked = shown()["approvals"][0].clone();
    let answer = json!({"step": "remediate.restart", "digest": asked["digest"], "reason": "seen"});
    served.client.post(&format!("{path}/approve"), Some(&token("approver")), &answer).is(200);
    wait_until("it goes on to its end", || shown()["outcome"] == "resolved");
    assert_eq!((raised(&runbook), pager.count("first escalated")), (1, 1), "{:?}", pager.told());
}

#[test]
fn a_run_that_takes_long_calls_for_help_before_its_end() {
    let pager = Pager::start();
    let runbook = ladder(&pager, "30m");
    let slow = runbook.read("playbooks/note.yaml").replace("within: 0s", "within: 1m, every: 1s");
    runbook.write("playbooks/note.yaml", slow + "remediate: {wait: {command: {argv: ['true']}}}\n");
    let playbook = runbook.read("playbooks/note.yaml");
    let timed = playbook.replace("policy: on-call", "policy: on-call, when: run_elapsed > 2s");
    runbook.write("playbooks/note.yaml", timed);
    let running = runbook.args(["run", "down", "--yes"]).start();
    wait_until("somebody is called", || pager.count("first escalated") == 1);
    // It goes on, and finds that the fault is gone.
    std::fs::remove_file(runbook.path("down-a")).expect("it was down");
    running.done().exits(0);
    assert_eq!((raised(&runbook), pager.count("first escalated")), (1, 1), "{:?}", pager.told());
}
