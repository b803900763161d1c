//! Messages about runs, from the real binary to a service on this machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::support::Runbook;

const PLAYBOOK: &str = "
runbook: 1
name: restart
title: The service hangs
recovery: {within: 0s}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
causes: {stuck: {title: It is stuck, when: 'true'}}
remediate:
  restart: {fixes: [stuck], command: {argv: [rm, hangs]}, risk: disruptive}
notify: {on: [started, approval, resolved, unresolved], to: ['discord:ops']}
";

/// Takes requests one after the other and answers each like Discord: `{"id": "1"}`, `{"id": "2"}`, and so on.
pub struct Service {
    pub address: String,
    /// The first line and the body of each request.
    pub requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Service {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/hook-hush", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        thread::spawn(move || {
            for stream in listener.incoming().take(20) {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut first, mut length) = (String::new(), 0);
                reader.read_line(&mut first).unwrap();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                        length = text.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let mut seen = seen.lock().unwrap();
                let first = first.trim().trim_end_matches(" HTTP/1.1").to_owned();
                seen.push((first, serde_json::from_slice(&body).unwrap()));
                let answer = format!("{{\"id\": \"{}\"}}", seen.len());
                let length = answer.len();
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
                stream.write_all((head + &answer).as_bytes()).unwrap();
            }
        });
        Service { address, requests }
    }

    pub fn calls(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(first, _)| first.clone()).collect()
    }

    pub fn titles(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|(_, body)| body["embeds"][0]["title"].as_str().unwrap().replace('\\', "")).collect()
    }
}

fn place(service: &Service) -> Runbook {
    let site = "{url: 'https://runbook.example.com', channels: {discord: {ops: {webhook: {env: HOOK}}}}}";
    Runbook::new()
        .file("runbook.yaml", site)
        .file("restart.yaml", PLAYBOOK)
        .file("hangs", "")
        .variable("HOOK", &service.address)
}

#[test]
fn a_message_is_edited_by_the_process_that_goes_on_with_the_run() {
    let service = Service::start();
    let place = place(&service);
    place.call("run restart.yaml").exits(3);
    let run = place.newest_run();
    place.call(&format!("approve {run} --reason seen")).exits(0);
    assert_eq!(
        service.calls(),
        [
            "POST /hook-hush?wait=true",
            "PATCH /hook-hush/messages/1?wait=true",
            "POST /hook-hush?wait=true",
            "PATCH /hook-hush/messages/1?wait=true",
        ]
    );
    let last = service.requests.lock().unwrap().last().unwrap().1.clone();
    assert_eq!(last["embeds"][0]["url"], format!("https://runbook.example.com/runs/{run}"));
    place.call("audit export").exits(0).does_not_say("hook-hush");
}

#[test]
fn a_drill_is_marked_wherever_somebody_looks() {
    let service = Service::start();
    let place = place(&service);
    place.call("run restart.yaml --drill --yes").exits(0).says("DRILL");
    assert!(service.titles().iter().all(|title| title.starts_with("[DRILL] ")), "{:?}", service.titles());
    place.call("show").exits(0).says("DRILL: The service hangs");
    let run = place.newest_run();
    place.call(&format!("report {run}")).exits(0).says("DRILL: The service hangs");
    place.call("audit export").exits(0).says(r#"\"trigger\":\"drill\""#);
}

#[test]
fn a_preview_sends_nothing_and_a_test_sends_one_marked_message() {
    let service = Service::start();
    let place = place(&service);
    for line in ["notify preview approval", "notify preview resolved --playbook restart.yaml --channel discord:ops"] {
        place.call(line).exits(0).says("== discord:ops (not sent)").does_not_say("hook-hush");
    }
    place.call("notify preview approval --channel console").exits(0).says("\nTo approve it:\nrunbook approve ");
    assert_eq!(service.calls(), Vec::<String>::new());
    place.call("notify test discord:ops").exits(0).says("discord:ops: delivered in ");
    assert!(service.titles()[0].starts_with("[TEST] "), "{:?}", service.titles());

    place.call("run restart.yaml --yes").exits(0);
    let run = place.newest_run();
    place.call(&format!("notify preview resolved --run {run} --channel console")).exits(0).says(&run);
    place.call(&format!("notify preview parked --run {run}")).exits(2).says("has not been 'parked'");
}

#[test]
fn a_channel_that_is_gone_fails_the_test_but_not_a_run() {
    let place = place(&Service { address: "http://127.0.0.1:1/hook-hush".into(), requests: Arc::default() });
    place.call("notify test discord:ops").exits(5).says("not delivered").does_not_say("hook-hush");
    place.call("notify test discord:opps").exits(2).says("did you mean 'discord:ops'");
}

const NOT_ON_CALL: &str = "
runbook: 1
name: restart
title: The service hangs
recovery: {within: 0s}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
diagnose: {mark: {file: {path: hangs}}}
causes: {stuck: {title: It is stuck, when: diagnose.mark.exists}}
impact: {affected: search, summary: 'Nobody finds anything since {{diagnose.mark.size}} of 3 machines answer'}
remediate:
  restart: {fixes: [stuck], command: {argv: [rm, hangs]}, risk: disruptive, help: Restart search}
";

/// The communication template of the MODEL_LOAD_ERROR runbook: each of its lines says something.
#[test]
fn people_who_are_not_on_call_read_what_the_fault_means_for_them() {
    let service = Service::start();
    let site = "{channels: {discord: {people: {webhook: {env: HOOK}}}},
                 notify: {status: {every: 30m, usually: 45m, to: ['discord:people']}}}";
    let place = Runbook::new()
        .file("runbook.yaml", site)
        .file("restart.yaml", NOT_ON_CALL)
        .file("hangs", "12")
        .variable("HOOK", &service.address);
    let parked = place.call("run restart.yaml").exits(3);
    parked.says("impact search: Nobody finds anything since 2 of 3 machines answer");
    let run = place.newest_run();
    place.call(&format!("approve {run} --reason seen")).exits(0);
    let told: Vec<String> =
        service.requests.lock().unwrap().iter().map(|(_, body)| body["embeds"][0].to_string()).collect();
    let before = &told[told.len() - 2];
    for line in [
        "The service hangs - search",
        "Status: Mitigating",
        "Impact: Nobody finds anything since 2 of 3 machines answer",
        "ETA: about ",
        "Restart search (somebody has to agree to that)",
        "Make sure that the fault is gone",
        "Updates: every 30 minutes or on status change",
    ] {
        assert!(before.replace('\\', "").contains(line), "{line}: {told:#?}");
    }
    let last = told.last().expect("an update").replace('\\', "");
    assert!(
        last.contains("Status: Resolved") && last.contains("- Restart search") && last.contains("ETA: done"),
        "{last}"
    );
    place
        .call("notify preview status-update --playbook restart.yaml")
        .exits(0)
        .says("discord:people  `notify: {status: …}` of the site file")
        .says("== discord:people (not sent)");
    place.call(&format!("report {run}")).exits(0).says("search: Nobody finds anything since 2 of 3 machines answer");
    place.call(&format!("show {run} --format json")).exits(0).says(r#""affected": "search""#);
}

const CALLED: &str = "
runbook: 1
name: called
title: Called
recovery: {within: 0s}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
escalate: {policy: ops}
";

/// A pager that rings once for each of them rings three times for one fault.
#[test]
fn a_called_run_leaves_it_to_its_caller_to_tell_how_it_fares() {
    let caller = "runbook: 1\nname: caller\ntitle: Caller\nrecovery: {within: 0s}\n\
                  detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}\n\
                  remediate: {call: {playbook: {name: called}, risk: safe}}\n";
    let site = "playbooks: [playbooks]\ncontacts: {ops: {channel: console}}\n\
                notify: {routes: [{to: [console]}], status: {every: 30m, to: [console]}}\n";
    let place = Runbook::new()
        .file("runbook.yaml", site)
        .file("playbooks/called.yaml", CALLED)
        .file("playbooks/caller.yaml", format!("{caller}escalate: {{policy: ops}}\n"))
        .file("hangs", "");
    place
        .call("run caller")
        .exits(1)
        .says("\n[medium] Caller (caller): NOT resolved\n\ncaller ended after ")
        .says("\n[medium] Caller (caller): escalated to ops\n")
        .says("\nStatus: Investigating\n")
        .does_not_say("Called (called)")
        .does_not_say("Called - called")
        .does_not_say("\u{21b3} escalation");
    place.call("audit export").exits(0).does_not_say("Called - called");
    // Nobody else would call for help.
    place.write("playbooks/caller.yaml", caller);
    place.call("run caller").exits(1).says("escalation raised to ops");
}
