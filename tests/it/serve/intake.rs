//! Events come in: matched, kept, run once, and not lost when the server dies.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{ALERTS, alerts, place, start, token};
use crate::lab::Lab;
use crate::support::Runbook;

fn ran(runbook: &Runbook) -> Vec<String> {
    runbook.read("ran.txt").lines().map(str::to_owned).collect()
}

#[test]
fn an_alert_heals_the_lab() {
    let lab = Lab::of("cad", &["missing-file"]);
    let inputs = std::fs::read_to_string(lab.folder().join("inputs.yaml")).expect("the lab's inputs");
    let playbooks = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks/cad");
    let with: String = inputs
        .lines()
        .filter(|line| !line.starts_with("provider:"))
        .map(|line| format!("          {line}\n"))
        .collect();
    let site = format!(
        "playbooks: ['{playbooks}']\nserve:\n  address: 127.0.0.1:0\n  tokens: {{ada: {{token: {{env: ADA}}, role: viewer}}}}\n  \
         hooks: {{pages: {{alertmanager: {{token: {{env: ALERTS}}}}}}}}\n  triggers:\n    - playbook: model-load-error\n      \
         alert:\n        source: pages\n        match: {{alertname: ModelLoadFailure}}\n        with:\n{with}"
    );
    let runbook = Runbook::new().variable("ALERTS", ALERTS).variable("ADA", token("viewer")).file("runbook.yaml", site);
    let mut served = start(&runbook);
    let alert = json!({"version": "4", "groupKey": "{}", "truncatedAlerts": 0, "alerts": [
        {"status": "firing", "fingerprint": "8ad2a851fed716e7", "startsAt": "2026-11-22T15:47:12.206Z",
         "labels": {"alertname": "ModelLoadFailure"}, "annotations": {}}]});
    served.client.post("/hooks/pages", Some(ALERTS), &alert).is(202);
    // It asks before it disrupts; nobody is at the server's terminal.
    served.running.until_it_says("waits for approval");
    served.running.until_it_says("parked");
    let run = runbook.newest_run();
    runbook.args(["approve", &run, "--reason", "seen"]).done().exits(0);
    served.running.until("its ticket is closed", || {
        served.client.get("/api/v1/tickets", Some(&token("viewer"))).json()["closed"][0]["outcome"] == "resolved"
    });
    assert!(lab.is_healthy());
}

#[test]
fn captured_requests_of_alertmanager_are_understood() {
    let runbook = place("").file(
        "playbooks/note.yaml",
        super::PLAYBOOK.replace("{alertname: Note}", "{service: checkout}").replace("labels.target", "labels.region"),
    );
    let mut served = start(&runbook);
    let capture = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let (firing, resolved) = (
        capture(include_str!("fixtures/alertmanager-firing.json")),
        capture(include_str!("fixtures/alertmanager-resolved.json")),
    );
    served.client.post("/hooks/alertmanager", Some(ALERTS), &firing).is(202);
    served.running.until_it_says("healthy");
    assert_eq!(ran(&runbook), ["eu-1"]);
    served.client.post("/hooks/alertmanager", Some(ALERTS), &resolved).is(202);
    served.client.post("/hooks/alertmanager", Some(ALERTS), &firing).is(202);
    assert_eq!(served.client.tickets()["open"], json!([]), "a late copy starts nothing");
}

#[test]
fn what_does_not_fit_the_playbook_is_kept_and_starts_nothing() {
    let runbook = place("");
    let served = start(&runbook);
    served.alert(&["; rm -rf /"]).is(202);
    let closed = served.client.tickets()["closed"][0].clone();
    assert!(closed["why"].as_str().is_some_and(|why| why.contains("does not match")), "{closed}");
    assert!(closed["run"].is_null(), "it was refused when it came in, before anything was to run: {closed}");
    assert_eq!(runbook.call("history --format json").exits(0).json(), json!([]));
}

#[test]
fn t48_a_group_with_alerts_left_out_only_looks() {
    let acts =
        super::PLAYBOOK.replace("diagnose:", "causes: {always: {title: Always, when: 'true'}}\ndiagnose:").to_owned()
            + "remediate:\n  act: {fixes: [always], command: {argv: [touch, acted]}, risk: safe}\n";
    let runbook = place("").file("playbooks/note.yaml", acts);
    let mut served = start(&runbook);
    let mut group = alerts(&["one"], "firing");
    group["truncatedAlerts"] = 3.into();
    served.client.post("/hooks/alertmanager", Some(ALERTS), &group).is(202);
    served.running.until("the run has ended", || served.client.tickets()["closed"][0]["run"].is_string());
    assert!(!runbook.exists("acted"));
    assert_eq!(ran(&runbook), ["one"]);
    served.alert(&["two"]).is(202);
    served.running.until("a whole group acts", || runbook.exists("acted"));
}

#[test]
fn t40_only_a_known_token_gets_in_and_two_are_known_during_rotation() {
    let runbook = place("");
    let served = start(&runbook);
    let body = alerts(&["a"], "firing");
    for wrong in [None, Some(""), Some("alertmanager-toke"), Some("alertmanager-token2"), Some(token("admin").as_str())]
    {
        served.client.post("/hooks/alertmanager", wrong, &body).is(401);
        served.client.post("/hooks/unknown", wrong, &body).is(401);
    }
    assert_eq!(served.client.tickets(), json!({"open": [], "closed": []}));
    for right in [ALERTS, "token-before-rotation"] {
        served.client.post("/hooks/alertmanager", Some(right), &body).is(202);
    }
}

#[test]
fn a_full_queue_says_come_again_and_takes_nothing() {
    let slow =
        super::PLAYBOOK.replace("argv: [sh, -c, 'echo", "argv: [sh, -c, 'while [ ! -e go ]; do sleep 0.05; done; echo");
    let runbook = place("  runs: 1\n  queue: 2\n").file("playbooks/note.yaml", slow);
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.alert(&["b", "c"]).is(202);
    let refused = served.alert(&["d"]).is(503);
    assert!(refused.headers.to_lowercase().contains("retry-after: 10"), "{}", refused.headers);
    served.alert(&["b"]).is(202);
    runbook.write("go", "");
    served.running.until("all have run", || ran(&runbook).len() == 3);
    served.alert(&["d"]).is(202);
    served.running.until("what came again runs", || ran(&runbook).len() == 4);
}

#[test]
fn one_server_works_on_one_journal() {
    let runbook = place("");
    let _first = start(&runbook);
    runbook.call("serve").exits(2).says("another `runbook serve` works on");
}

#[test]
fn a_stop_lets_runs_end_and_what_waits_starts_with_the_next_server() {
    let slow = super::PLAYBOOK
        .replace("argv: [sh, -c, 'echo", "argv: [sh, -c, 'touch begun; while [ ! -e go ]; do sleep 0.05; done; echo");
    let runbook = place("  runs: 1\n").file("playbooks/note.yaml", slow);
    let mut served = start(&runbook);
    served.alert(&["first", "second"]).is(202);
    served.running.until("the first has begun", || runbook.exists("begun"));
    served.running.signal(Signal::TERM);
    served.running.until_it_says("Stopping");
    runbook.write("go", "");
    served.running.done().exits(0).says("Stopped.");
    assert_eq!(ran(&runbook), ["first"]);
    let mut served = start(&runbook);
    served.running.until("the second runs", || ran(&runbook) == ["first", "second"]);
}
