//! What an alert says stays data: in arguments, and in the choice of hosts.

use std::net::TcpListener;

use serde_json::Value;

use super::{place, start};
use crate::support::Runbook;

/// The same as that of the other tests, without the pattern that keeps hostile text out.
const OPEN: &str = "
runbook: 1
name: note
title: Notes what an alert says
inputs:
  target: {type: string, default: nothing}
triggers:
  - alert: {source: alertmanager, match: {alertname: Note}, inputs: {target: labels.target}}
diagnose:
";

const NOTES: &str = "  noted: {command: {argv: [sh, show.sh, '{{inputs.target}}']}, effect: read}\n";

fn noting(steps: &str) -> Runbook {
    place("").file("playbooks/note.yaml", format!("{OPEN}{steps}")).file("show.sh", "printf %s \"$1\" > shown")
}

/// The run of an alert with this target, when it has ended.
fn run_of(runbook: &Runbook, target: &str) -> Value {
    let mut served = start(runbook);
    served.alert(&[target]).is(202);
    served.running.until("the run has ended", || served.client.tickets()["closed"][0]["run"].is_string());
    served.running.kill();
    runbook.newest()
}

#[test]
fn what_an_alert_says_reaches_a_program_as_it_is() {
    for hostile in ["$(touch canary)", "'; touch canary; '", "a\ntouch canary", "{{inputs.target}}"] {
        let runbook = noting(NOTES);
        let run = run_of(&runbook, hostile);
        assert_eq!((run["outcome"].as_str(), runbook.read("shown").as_str()), (Some("healthy"), hostile));
        assert!(!runbook.exists("canary"));
    }
}

/// As an option, a file to read, or a text that ends where the check did not: no program gets it.
#[test]
fn what_an_alert_says_becomes_no_option_of_a_program() {
    for hostile in ["--upload-file=/etc/passwd", "-rf", "@/etc/passwd", "a\0b"] {
        let runbook = noting(NOTES);
        let step = run_of(&runbook, hostile)["steps"]["diagnose.noted"].clone();
        assert_eq!(step["status"], "error", "{hostile:?}: {step}");
        assert!(!runbook.exists("shown"), "{hostile:?}");
    }
}

/// Whether somebody has connected.
fn is_connected_to(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).expect("a listener");
    listener.accept().is_ok()
}

const CALLED: &str = "
runbook: 1
name: called
title: Asks where it is told to
inputs: {host: {type: string}, port: {type: int}}
diagnose:
  ask: {http: {get: 'http://{{inputs.host}}:{{inputs.port}}/'}, timeout: 2s}
";

#[test]
fn what_an_alert_says_chooses_no_host() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    let asks = format!("  ask: {{http: {{get: 'http://{{{{inputs.target}}}}:{port}/'}}, timeout: 2s}}\n");
    let calls = format!(
        "  ask: {{playbook: {{name: called, inputs: {{host: '{{{{inputs.target}}}}', port: {port}}}}}, effect: read}}\n"
    );
    for steps in [asks, calls] {
        let runbook = noting(&steps).file("playbooks/called.yaml", CALLED);
        let step = run_of(&runbook, "127.0.0.1")["steps"]["diagnose.ask"].clone();
        assert_eq!(step["status"], "error", "{step}");
        assert!(!is_connected_to(&listener), "{steps}");
        // Done anew, its inputs are still those of the alert.
        runbook.args(["rerun", &runbook.newest_run(), "--from", "diagnose.ask"]).done();
        assert!(!is_connected_to(&listener), "{steps} done anew");
        // A person may name the same host.
        runbook.args(["run", "note", "--input", "target=127.0.0.1"]).done();
        assert!(is_connected_to(&listener), "{steps} by hand");
    }
}

#[test]
fn the_intake_is_no_run_of_the_audit_trail() {
    let runbook = noting(NOTES);
    run_of(&runbook, "a");
    runbook.args(["freeze", "--reason", "to have another stream that is no run"]).done().exits(0);
    runbook.call("audit verify").exits(0).says("of 1 run,");
}
