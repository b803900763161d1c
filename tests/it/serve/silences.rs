//! A real Alertmanager is quiet about an alert for as long as its run works on it, and not a moment longer.

use serde_json::{Value, json};

use super::alertmanager::{PROGRAM, alertmanager, free_address, is_installed};
use super::{ALERTS, Client, Served, place, start};
use crate::support::{Runbook, Running, wait_until};

/// Works until a file is there.
const PLAYBOOK: &str = "
runbook: 1
name: broken
title: It is broken
recovery: {within: 0s}
inputs: {target: {type: string, pattern: '[a-z]+'}}
triggers:
  - alert: {source: alertmanager, match: {alertname: Broken}, inputs: {target: labels.target}, concurrency: skip}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
diagnose: {ready: {command: {argv: [sh, -c, 'while [ ! -e ready ]; do sleep 0.05; done']}, effect: read}}
causes: {always: {title: Always, when: 'true'}}
remediate:
  act:
    fixes: [always]
    command: {argv: [sh, -c, 'touch begun; while [ ! -e go ]; do sleep 0.05; done; rm -f hangs']}
    risk: safe
";

struct Lab {
    runbook: Runbook,
    served: Served,
    /// Ends with the test.
    _running: Running,
    alertmanager: Client,
}

#[expect(clippy::print_stderr, reason = "what is not here is told")]
fn lab() -> Option<Lab> {
    if !is_installed(PROGRAM) {
        eprintln!("SKIPPED: silences in a real Alertmanager, which is not here; Debian has prometheus-alertmanager");
        return None;
    }
    let address = free_address();
    let runbook = place("").file("playbooks/broken.yaml", PLAYBOOK).file("hangs", "");
    let site = runbook.read("runbook.yaml");
    runbook.write(
        "runbook.yaml",
        format!("{site}alertmanagers: {{alertmanager: {{url: 'http://{address}', silence: true}}}}\n"),
    );
    let served = start(&runbook);
    let (running, alertmanager) = alertmanager(&runbook, served.client.address(), "target", &address);
    Some(Lab { runbook, served, _running: running, alertmanager })
}

impl Lab {
    fn fire(&self, alerts: &[Value]) {
        let alerts: Vec<Value> = alerts.iter().map(|labels| json!({"labels": labels})).collect();
        self.alertmanager.post("/api/v2/alerts", None, &json!(alerts)).is(200);
    }

    /// The silences that count now.
    fn active(&self) -> Vec<Value> {
        let all = self.alertmanager.get("/api/v2/silences", None).is(200).json();
        let all = all.as_array().expect("a list").iter();
        all.filter(|silence| silence["status"]["state"] == "active").cloned().collect()
    }

    /// How many alerts are silenced.
    fn silenced(&self) -> usize {
        let alerts = self.alertmanager.get("/api/v2/alerts?active=false&silenced=true", None).is(200).json();
        let alerts = alerts.as_array().expect("a list").iter();
        alerts.filter(|alert| alert["status"]["state"] == "suppressed").count()
    }
}

#[test]
fn an_alert_is_silenced_while_its_run_works_on_it_and_no_other_alert_is() {
    let Some(mut lab) = lab() else { return };
    lab.runbook.write("ready", "");
    lab.fire(&[json!({"alertname": "Broken", "target": "a"}), json!({"alertname": "Other", "target": "a"})]);
    lab.served.running.until("it works", || lab.runbook.exists("begun"));
    wait_until("it is silenced", || lab.active().len() == 1 && lab.silenced() == 1);
    let run = lab.runbook.newest_run();
    let silence = &lab.active()[0];
    let mut matchers = silence["matchers"].as_array().expect("a list").clone();
    matchers.sort_by_key(|matcher| matcher["name"].to_string());
    let exactly = |name: &str, value: &str| json!({"name": name, "value": value, "isRegex": false, "isEqual": true});
    assert_eq!(matchers, [exactly("alertname", "Broken"), exactly("target", "a")]);
    assert_eq!(silence["createdBy"], "runbook");
    assert!(silence["comment"].as_str().expect("a text").starts_with(&format!("runbook run {run} ")), "{silence}");
    lab.runbook.write("go", "");
    wait_until("it is lifted", || lab.active().is_empty() && lab.silenced() == 0);
    lab.runbook.call("audit verify").exits(0);
    lab.runbook.call("audit export").exits(0).says(r#"\"silence\":\"placed\""#).says(r#"\"silence\":\"lifted\""#);
}

#[test]
fn a_silence_that_a_killed_server_left_is_lifted_when_the_run_no_longer_works() {
    let Some(lab) = lab() else { return };
    lab.runbook.write("ready", "");
    lab.fire(&[json!({"alertname": "Broken", "target": "a"})]);
    wait_until("it is silenced", || lab.active().len() == 1);
    lab.served.running.kill();
    assert_eq!(lab.active().len(), 1, "nobody has lifted it");
    lab.runbook.write("go", "");
    let _served = start(&lab.runbook);
    wait_until("it is lifted", || lab.active().is_empty());
    lab.runbook.call("audit verify").exits(0);
}

#[test]
fn an_alert_that_cannot_be_silenced_alone_is_not_silenced() {
    let Some(mut lab) = lab() else { return };
    let alert = json!({"status": "firing", "fingerprint": "f", "startsAt": "2026-11-22T15:47:12Z",
                       "labels": {"alertname": "Broken", "target": "a"}});
    let body = json!({"version": "4", "truncatedAlerts": 0, "status": "firing", "alerts": [alert]});
    lab.served.client.post("/hooks/alertmanager", Some(ALERTS), &body).is(202);
    lab.served.running.until_it_says("broken started by alertmanager");
    // Has the labels of the first one and one more, so that a silence for the first one would hide it.
    lab.fire(&[json!({"alertname": "Broken", "target": "a", "zone": "b"})]);
    lab.runbook.write("ready", "");
    let kept = || lab.runbook.call("audit export").exits(0).stdout();
    wait_until("it has decided", || kept().contains(r#"\"silence\":"#));
    assert!(kept().contains("would hide other alerts"), "it is not silenced, and the trail says why");
    assert_eq!(lab.active(), Vec::<Value>::new());
    lab.runbook.write("go", "");
}
