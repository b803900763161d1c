//! What an alert would start, said without a server.

use crate::support::Runbook;

const PLAYBOOK: &str = "
runbook: 1
name: note
title: Notes that it ran
inputs:
  target: {type: string, pattern: '[a-z0-9-]+'}
triggers:
  - alert: {source: alertmanager, match: {alertname: Note, severity: {regex: 'critical|high'}}, inputs: {target: labels.target}}
diagnose:
  noted: {command: {argv: [sh, -c, 'echo \"$0\" >> ran.txt', '{{inputs.target}}']}, effect: read}
";

fn place() -> Runbook {
    let site = "playbooks: [playbooks]\nserve:\n  hooks:\n    pages: {alertmanager: {token: {env: PAGES}}}\n";
    Runbook::new().file("runbook.yaml", site).file("playbooks/note.yaml", PLAYBOOK)
}

fn payload(status: &str, labels: &str) -> String {
    let alert =
        format!(r#"{{"status":"{status}","fingerprint":"f","startsAt":"2026-11-22T15:47:12Z","labels":{labels}}}"#);
    format!(r#"{{"version":"4","groupKey":"{{}}","truncatedAlerts":0,"alerts":[{alert}]}}"#)
}

/// Each line says what becomes of the alert; the code of the exit, whether anything starts.
#[test]
fn it_says_what_starts_and_what_does_not_and_why() {
    let place = place();
    for (code, labels) in [
        (0, r#"{"alertname":"Note","severity":"high","target":"a-1"}"#),
        (1, r#"{"alertname":"Note","severity":"high","target":"a b; rm -rf /"}"#),
        (1, r#"{"alertname":"Note","severity":"high"}"#),
        (1, r#"{"alertname":"Note","severity":"low","target":"a-1"}"#),
        (1, r#"{"severity":"low"}"#),
    ] {
        place.write("alert.json", payload("firing", labels));
        insta::assert_snapshot!(place.call("alert alert.json").exits(code).shown());
    }
    place.write("alert.json", payload("resolved", r#"{"alertname":"Note","severity":"high","target":"a-1"}"#));
    place.call("alert alert.json").exits(1).says("note: what waits for it is taken back");
    place
        .call("alert --label alertname=Note --label severity=high --label target=a")
        .exits(0)
        .says("starts with target=a");
    let found = place.call("alert alert.json --hook pages --format json").exits(1).json();
    assert_eq!(found[0]["triggers"][0]["fate"], "resolves");
    assert!(!place.exists("ran.txt") && !place.state().join("journal.sqlite").exists(), "nothing was started or kept");
}

#[test]
fn what_cannot_be_held_against_triggers_is_named() {
    let place = place();
    place.call("alert alert.json").exits(2).says("alert.json cannot be read");
    place.write("alert.json", "{");
    place.call("alert alert.json").exits(2).says("the body is not JSON");
    place.call("alert --label a=b --hook page").exits(2).says("did you mean 'pages'?");
    let two = place.read("runbook.yaml") + "    others: {alertmanager: {token: {env: PAGES}}}\n";
    place.write("runbook.yaml", two);
    place.call("alert --label a=b").exits(2).says("--hook others or --hook pages");
}
