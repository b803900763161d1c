//! The figures for Prometheus: that they are right, who may read them, and that Prometheus likes their form.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{ALERTS, Client, PLAYBOOK, alerts, place, start, token};
use crate::tracing::tell;

impl Client {
    pub fn metrics(&self) -> String {
        self.get("/metrics", Some(&token("viewer"))).is(200).body
    }

    /// The value of one series, `name{label="value"}`; 0 when there is none.
    pub fn figure(&self, series: &str) -> f64 {
        figure(&self.metrics(), series)
    }
}

pub fn figure(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

fn slow() -> String {
    PLAYBOOK.replace("argv: [sh, -c, 'echo", "argv: [sh, -c, 'while [ ! -e go ]; do sleep 0.05; done; echo")
}

/// Every accepted event has started a run, has not, or waits.
fn is_balanced(metrics: &str) -> bool {
    let of = |name: &str, more: &str| figure(metrics, &format!("runbook_{name}{{playbook=\"note\"{more}}}"));
    let not_run: f64 = ["joined", "skipped", "cancelled"]
        .iter()
        .map(|why| of("triggers_not_run_total", &format!(",reason=\"{why}\"")))
        .sum();
    let waits = figure(metrics, "runbook_queue_length{state=\"held\"}")
        + figure(metrics, "runbook_queue_length{state=\"queued\"}");
    of("triggers_accepted_total", "") == of("triggers_started_total", "") + not_run + waits
}

#[test]
fn figures_follow_what_became_durable() {
    let runbook = place("  runs: 1\n").file("playbooks/note.yaml", slow());
    let mut served = start(&runbook);
    served.alert(&["a", "b", "c"]).is(202);
    served.alert(&["b"]).is(202);
    served.alert(&["NOT IT"]).is(202);
    served.client.post("/hooks/alertmanager", Some("a stranger"), &alerts(&["d"], "firing")).is(401);
    served.client.post("/hooks/guessed", None, &alerts(&["d"], "firing")).is(401);
    let metrics = served.client.metrics();
    let expected = [
        ("runbook_runs_live{state=\"running\"}", 1.0),
        ("runbook_queue_length{state=\"queued\"}", 2.0),
        ("runbook_triggers_accepted_total{playbook=\"note\"}", 4.0),
        ("runbook_triggers_not_run_total{playbook=\"note\",reason=\"skipped\"}", 1.0),
        ("runbook_hook_requests_total{hook=\"alertmanager\",status=\"202\"}", 3.0),
        ("runbook_hook_requests_total{hook=\"alertmanager\",status=\"401\"}", 1.0),
        ("runbook_hook_requests_total{hook=\"unknown\",status=\"401\"}", 1.0),
        ("runbook_alerts_received_total{hook=\"alertmanager\"}", 5.0),
        ("runbook_runs_total{outcome=\"healthy\",playbook=\"note\"}", 0.0),
        ("runbook_frozen", 0.0),
    ];
    for (series, value) in expected {
        assert_eq!(figure(&metrics, series), value, "{series} in\n{metrics}");
    }
    assert!(metrics.contains("runbook_runs_total{outcome=\"healthy\",playbook=\"note\"} 0"), "known before the first");
    assert!(is_balanced(&metrics), "{metrics}");
    runbook.write("go", "");
    served.running.until("all have run", || {
        served.client.figure("runbook_runs_total{outcome=\"healthy\",playbook=\"note\"}") == 3.0
    });
    served.client.post("/api/v1/freeze", Some(&token("admin")), &json!({"reason": "moving"})).is(200);
    let metrics = served.client.metrics();
    assert_eq!(figure(&metrics, "runbook_frozen"), 1.0);
    assert_eq!(figure(&metrics, "runbook_runs_started_total{playbook=\"note\"}"), 3.0);
    let steps = "runbook_step_duration_seconds_count{kind=\"command\",outcome=\"passed\"}";
    assert_eq!(figure(&metrics, steps), 3.0, "{metrics}");
    assert!(figure(&metrics, "runbook_journal_append_duration_seconds_count") > 6.0);
    assert!(is_balanced(&metrics), "{metrics}");
}

#[test]
fn a_run_that_goes_on_after_a_kill_is_counted_once() {
    let runbook = place("").file("playbooks/note.yaml", slow());
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.running.until("its step has begun", || served.client.figure("runbook_runs_live{state=\"running\"}") == 1.0);
    served
        .running
        .until("it is durable", || served.client.figure("runbook_runs_started_total{playbook=\"note\"}") == 1.0);
    served.running.kill();
    drop(served);
    let mut served = start(&runbook);
    runbook.write("go", "");
    served.running.until_it_says("healthy");
    let metrics = served.client.metrics();
    assert_eq!(figure(&metrics, "runbook_runs_started_total{playbook=\"note\"}"), 0.0, "it began before");
    assert_eq!(figure(&metrics, "runbook_runs_total{outcome=\"healthy\",playbook=\"note\"}"), 1.0);
    let steps = "runbook_step_duration_seconds_count{kind=\"command\",outcome=\"passed\"}";
    assert_eq!(figure(&metrics, steps), 1.0, "its kind is known from before:\n{metrics}");
}

#[test]
fn who_waits_for_approval_is_seen_also_after_a_restart_and_not_once_it_is_answered() {
    let asks = PLAYBOOK.replace("diagnose:", "causes: {always: {title: Always, when: 'true'}}\ndiagnose:")
        + "remediate:\n  act: {fixes: [always], command: {argv: [sh, -c, 'echo >> acted']}, approve: {}}\n";
    let runbook = place("").file("playbooks/note.yaml", asks);
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.running.until_it_says("parked");
    served.running.until("it is seen", || served.client.figure("runbook_approvals_waiting") == 1.0);
    let waits = "runbook_runs_live{state=\"waiting\"}";
    served.running.until("all of it is counted", || served.client.figure(waits) == 1.0);
    assert!(!served.client.metrics().contains("outcome=\"parked\""), "one that waits has not ended");
    served.running.kill();
    drop(served);
    let mut served = start(&runbook);
    served.running.until("it is seen again", || served.client.figure(waits) == 1.0);
    let metrics = served.client.metrics();
    assert_eq!(figure(&metrics, "runbook_approvals_waiting"), 1.0);
    assert!(figure(&metrics, "runbook_approval_oldest_age_seconds") > 0.0);
    runbook.args(["approve", &runbook.newest_run()]).done();
    served.running.until("nobody waits", || served.client.figure("runbook_approvals_waiting") == 0.0);
}

#[test]
fn figures_are_for_bearers_who_may_see_everything_and_for_this_machine_if_the_site_says_so() {
    let served = start(&place(""));
    served.client.get("/metrics", None).is(401);
    served.client.get("/metrics", Some(ALERTS)).is(401);
    served.client.get("/metrics", Some(&token("narrow"))).is(403);
    let answer = served.client.get("/metrics", Some(&token("viewer"))).is(200);
    assert!(answer.headers.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{}", answer.headers);
    drop(served);
    let served = start(&place("  metrics: loopback\n"));
    served.client.get("/metrics", None).is(200);
    served.client.get("/api/v1/runs", None).is(401);
    drop(served);
    place("  metrics: loopback\n  behind_proxy: true\n").call("serve").exits(2).says("metrics: loopback");
}

#[test]
fn promtool_has_nothing_to_say_against_the_figures() {
    let runbook = place("");
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.running.until_it_says("healthy");
    let metrics = served.client.metrics();
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        return tell("NOT CHECKED: the form of the figures, by promtool; Debian has prometheus");
    };
    promtool.stdin.take().expect("piped").write_all(metrics.as_bytes()).expect("it reads");
    let said = promtool.wait_with_output().expect("it ends");
    let everything = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success() && everything.is_empty(), "{everything}");
}
