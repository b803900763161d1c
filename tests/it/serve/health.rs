//! `/health` tells the truth: each part fails for real, is named with its time, and is well again.

use std::io::Write;

use serde_json::Value;

use super::{ALERTS, Client, Served, place, start};
use crate::support::{Runbook, Running};
use crate::tracing;

fn health(client: &Client) -> (u16, Value) {
    let answer = client.get("/health", None);
    (answer.status, answer.json())
}

fn is_ok(client: &Client, part: &str) -> bool {
    health(client).1["parts"][part]["ok"] == true
}

/// From now on, until the result is dropped, these system calls of the server go wrong.
pub fn break_calls(runbook: &Runbook, served: &mut Served, calls: &str, fault: &str) -> Running {
    let id = served.running.id();
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{fault}"));
    let output = tracing::trace_file(runbook).display().to_string();
    let pid = id.to_string();
    let strace =
        runbook.program("strace", ["-f", "-qq", "-o", &output, "-p", &pid, "-e", &trace, "-e", &inject]).start();
    served.running.until("every thread is traced", || {
        let threads = std::fs::read_dir(format!("/proc/{id}/task")).expect("its threads").flatten();
        threads
            .map(|thread| std::fs::read_to_string(thread.path().join("status")).unwrap_or_default())
            .all(|status| status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0")))
    });
    strace
}

#[test]
fn all_is_well_in_a_server_that_has_just_begun() {
    let served = start(&place(""));
    let (status, health) = health(&served.client);
    assert_eq!(status, 200, "{health}");
    assert_eq!(health["healthy"], true);
    for part in ["journal", "scheduler", "queue"] {
        assert_eq!(health["parts"][part]["ok"], true, "{health}");
    }
}

#[test]
fn a_full_disk_is_told_with_its_time_and_is_well_again_when_there_is_room() {
    if !tracing::is_possible("health with a full disk") {
        return;
    }
    let runbook = place("");
    let mut served = start(&runbook);
    assert!(is_ok(&served.client, "journal"));
    let strace = break_calls(&runbook, &mut served, "pwrite64", "error=ENOSPC");
    served.running.until("the journal is not well", || !is_ok(&served.client, "journal"));
    let (status, first) = health(&served.client);
    assert_eq!((status, &first["parts"]["journal"]["why"]), (503, &"the disk is full".into()), "{first}");
    assert!(first["parts"]["journal"]["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{first}");
    assert_eq!(served.client.figure("runbook_healthy{part=\"journal\"}"), 0.0);
    assert!(served.client.figure("runbook_journal_append_failures_total") > 0.0);
    strace.signal(rustix::process::Signal::INT);
    strace.done();
    served.running.until("it is well again", || health(&served.client).0 == 200);
}

#[test]
fn after_a_failed_sync_it_stays_ill_until_it_is_started_anew() {
    if !tracing::is_possible("health after a failed sync") {
        return;
    }
    let runbook = place("");
    let mut served = start(&runbook);
    assert!(is_ok(&served.client, "journal"));
    let strace = break_calls(&runbook, &mut served, "fdatasync,fsync", "error=EIO");
    served.running.until("the journal is not well", || !is_ok(&served.client, "journal"));
    strace.signal(rustix::process::Signal::INT);
    strace.done();
    served.alert(&["a"]).is(503);
    let (status, still) = health(&served.client);
    assert_eq!((status, &still["parts"]["journal"]["ok"]), (503, &false.into()), "{still}");
    served.running.kill();
    drop(served);
    assert_eq!(health(&start(&runbook).client).0, 200);
}

/// A disk that hangs: nothing fails, nothing is answered, and every part that waits for it says so in the end.
#[test]
fn a_disk_that_hangs_is_told_by_every_part_that_waits_for_it() {
    if !tracing::is_possible("health with a disk that hangs") {
        return;
    }
    let runbook = place("");
    let ticks = super::PLAYBOOK.replace("name: note", "name: ticks").replace(
        "triggers:\n  - alert: {source: alertmanager, match: {alertname: Note}, inputs: {target: labels.target}}",
        "triggers:\n  - schedule: {every: 1s}",
    );
    runbook.write("playbooks/ticks.yaml", ticks);
    let mut served = start(&runbook);
    served.running.until_it_says("ticks");
    let _strace = break_calls(&runbook, &mut served, "fdatasync,fsync", "delay_enter=100000000");
    // It will not be answered; nobody waits for it but the queue.
    let body = super::alerts(&["a"], "firing").to_string();
    let mut alert = served.client.connect();
    write!(
        alert,
        "POST /hooks/alertmanager HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer \
         {ALERTS}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    for part in ["journal", "scheduler", "queue"] {
        served.running.until("it is told", || !is_ok(&served.client, part));
    }
    let (status, health) = health(&served.client);
    assert_eq!((status, &health["parts"]["journal"]["why"]), (503, &"the disk does not answer".into()), "{health}");
    // At the end the delay of minutes is not waited for.
    served.running.kill();
}
