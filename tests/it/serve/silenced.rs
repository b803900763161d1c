//! Silences: what starts no run by itself for some time.

use serde_json::{Value, json};

use super::{ALERTS, Client, alerts, place, start, token};

/// Why a ticket came to nothing.
fn why(client: &Client, ticket: u64) -> String {
    let tickets = client.tickets();
    let mut closed = tickets["closed"].as_array().into_iter().flatten();
    let found = closed.find(|closed| closed["ticket"] == ticket).unwrap_or_else(|| panic!("{tickets}"));
    found["why"].as_str().unwrap_or_default().to_owned()
}

/// The same alert as it is sent again.
fn send(client: &Client, target: &str) {
    client.post("/hooks/alertmanager", Some(ALERTS), &alerts(&[target], "firing")).is(202);
}

#[test]
fn what_is_silenced_starts_nothing_over_a_kill_until_the_silence_ends() {
    let runbook = place("");
    // Without a server, and about one label only.
    let added = ["silence", "add", "--label", "target=quiet", "--for", "2h", "--reason", "planned work"];
    runbook.args(added).done().exits(0).says("Silence 1: until ");
    let mut served = start(&runbook);
    send(&served.client, "quiet");
    assert!(why(&served.client, 1).contains(": planned work (silence 1)"), "{}", served.client.tickets());
    send(&served.client, "loud");
    served.running.until_it_says("healthy");
    served.running.kill();
    drop(served);
    let mut served = start(&runbook);
    send(&served.client, "quiet");
    assert!(why(&served.client, 3).contains("(silence 1)"), "{}", served.client.tickets());
    runbook.call("holds").exits(0).says("silence 1: target=quiet by tester, until ");
    runbook.call("silence end 1").exits(0);
    runbook.call("silence list").exits(0).says("Nothing is silenced.");
    // It is the same alert still, and now it counts.
    send(&served.client, "quiet");
    served.running.until_it_says("healthy");
    assert_eq!(runbook.call("history --format json").exits(0).json().as_array().map(Vec::len), Some(2));
}

#[test]
fn what_waits_is_silenced_too_and_a_person_is_not() {
    let patient = super::PLAYBOOK.replace("labels.target}}", "labels.target}, for: 1h}");
    let runbook = place("").file("playbooks/note.yaml", patient);
    let mut served = start(&runbook);
    send(&served.client, "slow");
    assert_eq!(served.client.tickets()["open"].as_array().map(Vec::len), Some(1));
    let silence = json!({"matches": {"playbooks": ["note"]}, "for": "1h", "reason": "migration"});
    let number = served.client.post("/api/v1/silences", Some(&token("operator")), &silence).is(201).json();
    assert_eq!(number, json!({"silence": 1}));
    served.running.until("what waits is skipped", || served.client.tickets()["open"] == json!([]));
    assert!(why(&served.client, 1).contains("by operator: migration"), "{}", served.client.tickets());
    let by_hand = json!({"playbook": "note", "inputs": {"target": "hand"}});
    served.client.post("/api/v1/runs", Some(&token("operator")), &by_hand).is(202);
    served.running.until_it_says("healthy");
    let listed = served.client.get("/api/v1/silences", Some(&token("viewer"))).json();
    assert_eq!(listed["silences"][0]["playbooks"], json!(["note"]), "{listed}");
    served.client.call("DELETE", "/api/v1/silences/1", Some(&token("operator")), None).is(200);
    let after = served.client.get("/api/v1/silences", Some(&token("viewer"))).json();
    assert_eq!(after["silences"], Value::Array(Vec::new()));
}

#[test]
fn a_silence_says_what_it_is_about_and_ends() {
    let runbook = place("");
    let all = ["silence", "add", "--for", "1h", "--reason", "x"];
    runbook.args(all).done().exits(2).says("a silence of nothing").says("runbook freeze");
    let label = ["silence", "add", "--label", "host", "--for", "1h", "--reason", "x"];
    runbook.args(label).done().exits(2).says("'host' is no label with its value");
    runbook.args(["silence", "add", "--playbook", "note", "--reason", "x"]).done().exits(2).says("--for");
    let past = ["silence", "add", "--playbook", "note", "--until", "2020-01-01 00:00", "--reason", "x"];
    runbook.args(past).done().exits(2).says("has passed; nothing was silenced");
    runbook.call("silence end 7").exits(2).says("there is no silence 7");
    let served = start(&runbook);
    let nothing = json!({"matches": {}, "for": "1h", "reason": "x"});
    served.client.post("/api/v1/silences", Some(&token("admin")), &nothing).is(422);
    let timeless = json!({"matches": {"playbooks": ["note"]}, "for": "0s", "reason": "x"});
    served.client.post("/api/v1/silences", Some(&token("admin")), &timeless).is(422);
}

#[test]
fn what_a_watch_sees_waits_for_the_end_of_the_silence() {
    let watched = "
runbook: 1
name: hangs
title: It hangs
recovery: {within: 0s}
triggers:
  - watch: {every: 1s}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
";
    let runbook = place("").file("playbooks/hangs.yaml", watched);
    runbook.args(["silence", "add", "--playbook", "hangs", "--for", "2h", "--reason", "x"]).done().exits(0);
    let mut served = start(&runbook);
    runbook.write("hangs", "");
    let watch = || served.client.get("/api/v1/schedules", Some(&token("viewer"))).json().to_string();
    served.running.until("it is seen", || watch().contains("\"holds\":true"));
    let history = || runbook.call("history --format json").exits(0).json().as_array().map_or(0, Vec::len);
    served.client.get("/health", None).is(200);
    assert_eq!(history(), 0);
    runbook.call("silence end 1").exits(0);
    served.running.until("a run has started", || history() == 1);
}
