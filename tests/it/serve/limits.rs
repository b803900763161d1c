//! What is bounded: those who look on, and how many requests a hook takes.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use super::{ALERTS, PLAYBOOK, Served, alerts, place, start, token};

/// Opens the events of a run and reads until they begin.
pub fn looks_on(served: &Served, run: &str, token: &str) -> TcpStream {
    let mut stream = served.client.connect();
    write!(stream, "GET /api/v1/runs/{run}/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n")
        .expect("sent");
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("run_started") {
        let mut part = [0; 1024];
        let length = stream.read(&mut part).expect("events");
        assert_ne!(length, 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&part[..length]);
    }
    stream
}

#[test]
fn only_so_many_look_on_and_a_place_is_free_again_when_one_goes() {
    let slow = PLAYBOOK.replace("argv: [sh, -c, 'echo", "argv: [sh, -c, 'while [ ! -e go ]; do sleep 0.05; done; echo");
    let runbook = place("  streams: 1\n").file("playbooks/note.yaml", slow);
    let mut served = start(&runbook);
    let started = served.client.post("/api/v1/runs", Some(&token("operator")), &json!({"playbook": "note"})).is(202);
    let run = started.json()["run"].as_str().expect("a run").to_owned();
    let first = looks_on(&served, &run, &token("viewer"));
    let path = format!("/api/v1/runs/{run}/events");
    let refused = served.client.get(&path, Some(&token("viewer"))).is(503);
    assert!(refused.headers.to_lowercase().contains("retry-after"), "{}", refused.headers);
    served.client.get("/api/v1/runs", Some(&token("viewer"))).is(200);
    drop(first);
    runbook.write("go", "");
    served.running.until("there is room again", || served.client.get(&path, Some(&token("viewer"))).status == 200);
}

#[test]
fn a_hook_takes_so_many_requests_and_strangers_use_up_none_of_them() {
    let runbook = place("  rate: 0.01\n");
    let served = start(&runbook);
    for _ in 0..5 {
        served.client.post("/hooks/alertmanager", Some("a stranger"), &alerts(&["a"], "firing")).is(401);
    }
    served.client.post("/hooks/alertmanager", Some(ALERTS), &alerts(&["a"], "firing")).is(202);
    let refused = served.client.post("/hooks/alertmanager", Some(ALERTS), &alerts(&["b"], "firing")).is(503);
    assert!(refused.headers.to_lowercase().contains("retry-after"), "{}", refused.headers);
    let tickets = served.client.tickets().to_string();
    assert!(!tickets.contains("f-b"), "what was told to come again is not kept: {tickets}");
}

#[test]
fn a_group_waits_and_then_runs_once_for_each_target() {
    let waits = PLAYBOOK.replace("match: {alertname: Note}", "match: {alertname: Note}, group_wait: 1s");
    let runbook = place("").file("playbooks/note.yaml", waits);
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.alert(&["b"]).is(202);
    assert!(!runbook.exists("ran.txt"), "the group waits");
    assert_eq!(served.client.tickets()["open"].as_array().map(Vec::len), Some(2));
    served.running.until("both have run", || served.client.tickets()["closed"].as_array().map(Vec::len) == Some(2));
    assert_eq!(runbook.read("ran.txt").lines().count(), 2);
}
