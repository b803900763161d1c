//! `runbook serve`, from outside: a site file, a port, requests.

pub mod client;
pub mod visitor;

mod alertmanager;
mod answers;
mod api;
mod audit;
mod chromium;
mod contract;
mod escalations;
mod health;
mod in_doubt;
mod intake;
mod limits;
mod listing;
mod live_output;
mod logs;
mod meanwhile;
mod methods;
mod metrics;
mod outside;
mod page_answers;
mod page_escalation;
mod pager;
mod pages;
mod prometheus;
mod reloading;
mod routes;
mod schedules;
mod sign_in;
mod silenced;
mod silences;
#[cfg(feature = "otel")]
mod spans;
mod stopped;
mod storm;
mod systemd;
mod table;
mod take_over;
mod tls;
mod webdriver;

use serde_json::{Value, json};

use crate::support::{Runbook, Running};
pub use client::{Answer, Client};

pub const ALERTS: &str = "alertmanager-token";
pub const ROLES: [&str; 4] = ["viewer", "operator", "approver", "admin"];

/// Detects always, and leaves a line in a file for each run.
pub const PLAYBOOK: &str = "
runbook: 1
name: note
title: Notes that it ran
inputs:
  target: {type: string, pattern: '[a-z0-9-]+', default: nothing}
triggers:
  - alert: {source: alertmanager, match: {alertname: Note}, inputs: {target: labels.target}}
diagnose:
  noted: {command: {argv: [sh, -c, 'echo \"$0\" >> ran.txt', '{{inputs.target}}']}, effect: read}
";

/// A place whose server knows one hook and a token of each role.
pub fn place(more: &str) -> Runbook {
    let mut site = format!(
        "playbooks: [playbooks]\nserve:\n  address: 127.0.0.1:0\n  grace: 5s\n  hooks:\n    \
         alertmanager: {{alertmanager: {{token: {{env: ALERTS}}, previous: {{env: ALERTS_BEFORE}}}}}}\n{more}  tokens:\n"
    );
    let mut runbook = Runbook::new().variable("ALERTS", ALERTS).variable("ALERTS_BEFORE", "token-before-rotation");
    for role in ROLES {
        site.push_str(&format!("    {role}: {{token: {{env: TOKEN_{role}}}, role: {role}}}\n"));
        runbook = runbook.variable(&format!("TOKEN_{role}"), token(role));
    }
    site.push_str("    narrow: {token: {env: TOKEN_narrow}, role: admin, playbooks: [another]}\n");
    runbook.variable("TOKEN_narrow", token("narrow")).file("runbook.yaml", site).file("playbooks/note.yaml", PLAYBOOK)
}

pub fn token(role: &str) -> String {
    format!("token-of-{role}")
}

/// A started server.
pub struct Served {
    pub running: Running,
    pub client: Client,
}

pub fn start(runbook: &Runbook) -> Served {
    start_with(runbook, &[])
}

/// The same with options.
pub fn start_with(runbook: &Runbook, options: &[&str]) -> Served {
    let mut running = runbook.args(std::iter::once(&"serve").chain(options).copied()).start();
    running.until_it_says("Listening on ");
    let line = running.stdout.lines().rfind(|line| line.starts_with("Listening")).expect("it just said so").to_owned();
    let address = line.rsplit('/').next().expect("an address").to_owned();
    Served { running, client: Client::new(&address) }
}

impl Served {
    /// Posts alerts, each a name of its own, of the alert that the playbook waits for.
    pub fn alert(&self, targets: &[&str]) -> Answer {
        self.client.post("/hooks/alertmanager", Some(ALERTS), &alerts(targets, "firing"))
    }
}

pub fn alerts(targets: &[&str], status: &str) -> Value {
    let alert = |target: &&str| {
        json!({"status": status, "fingerprint": format!("f-{target}"), "startsAt": "2026-11-22T15:47:12.206Z",
               "labels": {"alertname": "Note", "target": target}, "annotations": {}})
    };
    let alerts: Vec<Value> = targets.iter().map(alert).collect();
    json!({"version": "4", "groupKey": "{}", "truncatedAlerts": 0, "receiver": "runbook", "status": status, "alerts": alerts})
}
