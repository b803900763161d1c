//! A real Alertmanager is quiet about an alert for as long as its run works on it, and not a moment longer.

use runbook::base::Timestamp;
use serde_json::{Value, json};

use super::alertmanager::{PROGRAM, alertmanager, free_address, is_installed};
use super::{ALERTS, Client, Served, place, start};
use crate::clock::other_time;
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
    /// The Alertmanager, which ends with the test.
    running: Running,
    alertmanager: Client,
}

fn lab() -> Option<Lab> {
    lab_in(place(""))
}

#[expect(clippy::print_stderr, reason = "what is not here is told")]
fn lab_in(place: Runbook) -> Option<Lab> {
    if !is_installed(PROGRAM) {
        eprintln!("SKIPPED: silences in a real Alertmanager, which is not here; Debian has prometheus-alertmanager");
        return None;
    }
    let address = free_address();
    let runbook = place.file("playbooks/broken.yaml", PLAYBOOK).file("hangs", "");
    let site = runbook.read("runbook.yaml");
    runbook.write(
        "runbook.yaml",
        format!("{site}alertmanagers: {{alertmanager: {{url: 'http://{address}', silence: true}}}}\n"),
    );
    let served = start(&runbook);
    let (running, alertmanager) = alertmanager(&runbook, served.client.address(), "target", &address);
    Some(Lab { runbook, served, running, alertmanager })
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

fn of(silences: &[Value], target: &str) -> Option<Value> {
    let is_of =
        |silence: &&Value| silence["matchers"].as_array().expect("a list").iter().any(|one| one["value"] == target);
    silences.iter().find(is_of).cloned()
}

fn end(silence: &Value) -> Timestamp {
    Timestamp::parse(silence["endsAt"].as_str().expect("a time")).expect("a time")
}

/// A run works on the first alert, and its server's clock can be put forward; the Alertmanager's stays behind.
fn lab_with_a_clock() -> Option<Lab> {
    let library = other_time()?;
    let site = place("").file("clock", "+0");
    let clock = site.path("clock").display().to_string();
    let site = site
        .variable("LD_PRELOAD", library.display().to_string())
        .variable("FAKETIME_TIMESTAMP_FILE", clock)
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut lab = lab_in(site)?;
    lab.runbook.write("ready", "");
    lab.fire(&[json!({"alertname": "Broken", "target": "a"})]);
    lab.served.running.until("it works", || lab.runbook.exists("begun"));
    wait_until("it is silenced", || lab.silenced() == 1);
    Some(lab)
}

impl Lab {
    /// So late that the silence is about to end. The server looks at all of them when something begins.
    fn put_forward(&self) {
        // In one step, so that nobody reads half a time.
        self.runbook.write("clock.new", "+200s");
        std::fs::rename(self.runbook.path("clock.new"), self.runbook.path("clock")).expect("one folder");
        self.fire(&[json!({"alertname": "Broken", "target": "b"})]);
    }
}

#[test]
fn a_silence_is_prolonged_while_its_run_works_and_stays_the_same_one() {
    let Some(lab) = lab_with_a_clock() else { return };
    let before = of(&lab.active(), "a").expect("it is silenced");
    lab.put_forward();
    wait_until("the other one is silenced at once, too", || of(&lab.active(), "b").is_some());
    let prolonged = || of(&lab.active(), "a").filter(|silence| end(silence) > end(&before));
    wait_until("it is prolonged", || prolonged().is_some());
    let after = prolonged().expect("it is there");
    assert!(end(&after).since(end(&before)).as_secs() >= 190, "{before} {after}");
    assert_eq!((&after["id"], &after["startsAt"]), (&before["id"], &before["startsAt"]), "never heard meanwhile");
    lab.runbook.write("go", "");
    wait_until("it is lifted", || lab.active().is_empty() && lab.silenced() == 0);
}

#[test]
fn a_silence_that_the_alertmanager_has_lost_is_placed_anew() {
    let Some(mut lab) = lab_with_a_clock() else { return };
    lab.running.kill();
    drop(lab.running.done());
    std::fs::remove_dir_all(lab.runbook.path("alertmanager")).expect("what it knew");
    let (hook, address) = (lab.served.client.address().to_owned(), lab.alertmanager.address().to_owned());
    (lab.running, lab.alertmanager) = alertmanager(&lab.runbook, &hook, "target", &address);
    assert_eq!(lab.active(), Vec::<Value>::new());
    lab.put_forward();
    wait_until("it is silenced again", || of(&lab.active(), "a").is_some());
    lab.runbook.write("go", "");
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
