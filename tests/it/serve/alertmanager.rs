//! A real Alertmanager at the door.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use serde_json::{Value, json};

use super::{ALERTS, Client, PLAYBOOK, place, start};
use crate::support::{Runbook, Running};

pub const PROGRAM: &str = "prometheus-alertmanager";
const TARGETS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Sends the alerts of each value of a label apart, and what was not taken again after a second.
pub fn alertmanager(runbook: &Runbook, hook: &str, label: &str, address: &str) -> (Running, Client) {
    let config = format!(
        "route: {{receiver: runbook, group_by: [{label}], group_wait: 0s, group_interval: 1s, repeat_interval: 4h}}\n\
         receivers:\n- name: runbook\n  webhook_configs:\n  - url: http://{hook}/hooks/alertmanager\n    \
         http_config: {{authorization: {{credentials: {ALERTS}}}}}\n"
    );
    runbook.write("alertmanager.yml", config);
    let arguments = [
        "--config.file=alertmanager.yml".to_owned(),
        "--storage.path=alertmanager".to_owned(),
        "--cluster.listen-address=".to_owned(),
        format!("--web.listen-address={address}"),
    ];
    until_ready(runbook, PROGRAM, &arguments, address)
}

/// Free a moment ago; these programs cannot be asked to choose one and to say which.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").to_string()
}

/// Starts a program that tells by `/-/ready` when it is.
pub fn until_ready(runbook: &Runbook, program: &'static str, arguments: &[String], address: &str) -> (Running, Client) {
    let mut running = runbook.program(program, arguments.iter().cloned()).start();
    let client = Client::new(address);
    running.until("it is ready", || TcpStream::connect(address).is_ok() && client.get("/-/ready", None).status == 200);
    (running, client)
}

/// How many of its requests the server has told to come again.
fn turned_away(alertmanager: &Client) -> u64 {
    let metrics = alertmanager.get("/metrics", None).body;
    let name = "alertmanager_notification_requests_failed_total{integration=\"webhook\"}";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

pub fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[test]
#[expect(clippy::print_stderr, reason = "what is not here and the figures are told")]
fn t47_what_is_told_to_come_again_by_a_full_queue_comes_again_and_nothing_is_lost() {
    if !is_installed(PROGRAM) {
        eprintln!("SKIPPED: overload with a real Alertmanager, which is not here; Debian has prometheus-alertmanager");
        return;
    }
    let slow = PLAYBOOK.replace("argv: [sh, -c, 'echo", "argv: [sh, -c, 'while [ ! -e go ]; do sleep 0.05; done; echo");
    let runbook = place("  runs: 1\n  queue: 1\n").file("playbooks/note.yaml", slow);
    let served = start(&runbook);
    let (mut running, client) = alertmanager(&runbook, served.client.address(), "target", &free_address());
    let alerts: Vec<Value> =
        TARGETS.iter().map(|target| json!({"labels": {"alertname": "Note", "target": target}})).collect();
    client.post("/api/v2/alerts", None, &json!(alerts)).is(200);
    running.until("some are turned away", || turned_away(&client) >= 4);
    runbook.write("go", "");
    let ran = || -> Vec<String> {
        if !runbook.exists("ran.txt") {
            return Vec::new();
        }
        runbook.read("ran.txt").lines().map(str::to_owned).collect()
    };
    running.until("all have come again", || ran().len() >= TARGETS.len());
    let once: BTreeSet<String> = ran().into_iter().collect();
    assert_eq!((once.len(), ran().len()), (TARGETS.len(), TARGETS.len()), "each of them once");
    eprintln!("t47: {} alerts, {} requests turned away, 0 lost", TARGETS.len(), turned_away(&client));
}
