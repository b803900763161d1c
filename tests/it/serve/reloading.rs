//! The site file and the playbooks, read again while the server goes on.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::client::answer;
use super::limits::looks_on;
use super::pager::{Pager, SECRET};
use super::visitor::Browser;
use super::{ALERTS, PLAYBOOK, Served, alerts, place, start, token};
use crate::support::Runbook;

fn reload(served: &Served) -> super::Answer {
    served.client.post("/api/v1/reload", Some(&token("admin")), &Value::Null)
}

fn change(runbook: &Runbook, from: &str, to: &str) {
    let site = runbook.read("runbook.yaml");
    assert!(site.contains(from), "{from} is not in {site}");
    runbook.write("runbook.yaml", site.replace(from, to));
}

/// What anybody is answered who asks for the runs.
fn asks(served: &Served, token: &str) -> u16 {
    served.client.get("/api/v1/runs", Some(token)).status
}

/// Writes a file that only its owner may read.
fn keep(runbook: &Runbook, name: &str, secret: &str) {
    runbook.write(name, secret);
    std::fs::set_permissions(runbook.path(name), Permissions::from_mode(0o600)).expect("our own file");
}

/// A place with one more, whose token is kept in a file.
fn with_token_in_a_file() -> Runbook {
    let runbook = place("");
    keep(&runbook, "ada.token", "first-token-of-ada");
    let site = runbook.read("runbook.yaml");
    runbook.write("runbook.yaml", site + "    ada: {token: {file: ada.token}, role: viewer}\n");
    runbook
}

#[test]
fn tokens_hooks_and_triggers_of_the_site_file_are_taken() {
    let runbook = with_token_in_a_file();
    let served = start(&runbook);
    let post = |hook: &str| served.client.post(hook, Some(ALERTS), &alerts(&["a"], "firing")).status;
    assert_eq!(
        (asks(&served, "first-token-of-ada"), post("/hooks/second"), post("/hooks/alertmanager")),
        (200, 401, 202)
    );
    let second = "  triggers: [{playbook: note, alert: {source: second, match: {alertname: Note}}}]\n  hooks:\n    \
                  second: {alertmanager: {token: {env: ALERTS}}}\n";
    change(&runbook, "  hooks:\n", second);
    served.client.post("/api/v1/runs", Some("first-token-of-ada"), &json!({"playbook": "note"})).is(403);
    change(&runbook, "file: ada.token}, role: viewer", "file: ada.token}, role: operator");
    let taken = reload(&served).is(200).json();
    assert_eq!((&taken["playbooks"], &taken["triggers"], &taken["restart"]), (&json!(1), &json!(1), &json!([])));
    assert_eq!(post("/hooks/second"), 202);
    // The trigger of the site file has replaced the playbook's own, so nothing is for this one.
    let other = served.client.post("/hooks/alertmanager", Some(ALERTS), &alerts(&["b"], "firing")).is(202);
    assert_eq!(other.json()["tickets"], json!([]), "{}", other.body);
    let hers = json!({"playbook": "note", "inputs": {"target": "hers"}});
    served.client.post("/api/v1/runs", Some("first-token-of-ada"), &hers).is(202);
    change(&runbook, "    second: {alertmanager: {token: {env: ALERTS}}}\n", "");
    change(&runbook, "{playbook: note, alert: {source: second, match: {alertname: Note}}}", "");
    reload(&served).is(200);
    assert_eq!(post("/hooks/second"), 401);
}

#[test]
fn what_was_opened_with_a_token_that_is_gone_ends_and_the_rest_goes_on() {
    let slow = PLAYBOOK.replace("argv: [sh, -c, 'echo", "argv: [sh, -c, 'while [ ! -e go ]; do sleep 0.05; done; echo");
    let runbook = with_token_in_a_file().file("playbooks/note.yaml", slow);
    let mut served = start(&runbook);
    let started = served.client.post("/api/v1/runs", Some(&token("operator")), &json!({"playbook": "note"})).is(202);
    let run = started.json()["run"].as_str().expect("a run").to_owned();
    let (hers, others) =
        (Browser::sign_in(&served.client, "first-token-of-ada"), Browser::sign_in(&served.client, &token("viewer")));
    let (mut stream, other_stream) =
        (looks_on(&served, &run, "first-token-of-ada"), looks_on(&served, &run, &token("viewer")));
    change(&runbook, "    ada: {token: {file: ada.token}, role: viewer}\n", "");
    reload(&served).is(200);
    assert_eq!((asks(&served, "first-token-of-ada"), asks(&served, &token("viewer"))), (401, 200));
    hers.get("/runs").is(303);
    others.get("/runs").is(200);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("it ends");
    assert!(!rest.contains("run_finished"), "{rest}");
    runbook.write("go", "");
    let mut rest = String::new();
    (&other_stream).read_to_string(&mut rest).expect("it ends with the run");
    assert!(rest.contains("run_finished"), "{rest}");
    served.running.until_it_says("healthy");
}

#[test]
fn a_token_that_is_changed_is_two_until_the_one_before_is_taken_out() {
    let runbook = with_token_in_a_file();
    let served = start(&runbook);
    let session = Browser::sign_in(&served.client, "first-token-of-ada");
    keep(&runbook, "ada.before", "first-token-of-ada");
    keep(&runbook, "ada.token", "second-token-of-ada");
    change(&runbook, "file: ada.token}", "file: ada.token}, previous: {file: ada.before}");
    reload(&served).is(200);
    assert_eq!((asks(&served, "first-token-of-ada"), asks(&served, "second-token-of-ada")), (200, 200));
    session.get("/runs").is(200);
    change(&runbook, ", previous: {file: ada.before}", "");
    reload(&served).is(200);
    assert_eq!((asks(&served, "first-token-of-ada"), asks(&served, "second-token-of-ada")), (401, 200));
    session.get("/runs").is(303);
}

#[test]
fn a_role_that_is_taken_away_is_gone_from_the_page_too() {
    let runbook = place("");
    let served = start(&runbook);
    let admin = Browser::sign_in(&served.client, &token("admin"));
    change(&runbook, "TOKEN_admin}, role: admin", "TOKEN_admin}, role: viewer");
    reload(&served).is(200);
    admin.post("/freeze", &[("reason", "x")]).is(401);
    let again = Browser::sign_in(&served.client, &token("admin"));
    again.post("/freeze", &[("reason", "x")]).is(403);
    assert!(served.client.get("/api/v1/holds", Some(&token("viewer"))).json()["freeze"].is_null());
}

#[test]
fn a_request_whose_token_goes_while_its_body_comes_does_nothing() {
    let runbook = place("");
    let served = start(&runbook);
    let body = json!({"reason": "x"}).to_string();
    let mut stream = served.client.connect();
    let bearer = token("admin");
    let head = format!(
        "POST /api/v1/freeze HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {bearer}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    // It asks for the body when it knows whose request it is.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).expect("it asks for the body");
    assert!(asked.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&asked));
    change(
        &runbook,
        "    admin: {token: {env: TOKEN_admin}, role: admin}\n",
        "    chief: {token: {env: TOKEN_admin}, role: admin}\n",
    );
    reload(&served).is(200);
    stream.write_all(body.as_bytes()).expect("sent");
    assert_eq!(answer(&mut stream).map(|answer| answer.status), Some(401));
    assert!(served.client.get("/api/v1/holds", Some(&token("viewer"))).json()["freeze"].is_null());
}

#[test]
fn a_mistake_changes_nothing_and_is_named_everywhere_until_it_is_corrected() {
    let runbook = with_token_in_a_file();
    let served = start(&runbook);
    let good = runbook.read("runbook.yaml");
    let wrong = [
        ("  grace: 5s\n", "  grace: 5s\n  hoks: {}\n", "did you mean 'hooks'"),
        ("file: ada.token", "file: nothing.token", "nothing.token"),
        ("  hooks:\n", "  triggers: [{playbook: nothing, alert: {source: x, match: {a: b}}}]\n  hooks:\n", "nothing"),
        ("  grace: 5s\n", "  grace: 5s\n  tls: {certificate: no.pem, key: no.pem}\n", "no.pem"),
    ];
    for (from, to, said) in wrong {
        // Besides something that is fine alone.
        runbook.write("runbook.yaml", good.replace(from, to).replace("role: operator", "role: viewer"));
        runbook.write("playbooks/second.yaml", PLAYBOOK.replace("name: note", "name: second"));
        let refused = reload(&served).is(422);
        assert!(refused.body.contains(said), "{said}: {}", refused.body);
        assert_eq!(asks(&served, "first-token-of-ada"), 200);
        let listed = served.client.get("/api/v1/playbooks", Some(&token("viewer"))).json();
        assert_eq!(listed["playbooks"].as_array().map(Vec::len), Some(1), "{listed}");
        // What the wrong file takes from the operator is not taken, and so nothing else of it is.
        let run =
            json!({"playbook": "note", "inputs": {"target": said.replace(|sign: char| !sign.is_alphabetic(), "")}});
        served.client.post("/api/v1/runs", Some(&token("operator")), &run).is(202);
    }
    let figures = || served.client.get("/metrics", Some(&token("viewer"))).is(200).body;
    assert!(figures().contains("\nrunbook_reload_refused 1\n"), "{}", figures());
    let page = Browser::sign_in(&served.client, &token("viewer")).reads("/playbooks");
    assert!(page.contains("Read again and not taken") && page.contains("no.pem"), "{page}");
    runbook.write("runbook.yaml", good);
    reload(&served).is(200);
    assert!(figures().contains("\nrunbook_reload_refused 0\n"), "{}", figures());
    let page = Browser::sign_in(&served.client, &token("viewer")).reads("/playbooks");
    assert!(!page.contains("not taken"), "{page}");
}

#[test]
fn what_takes_a_restart_is_named_and_stays_as_it_was() {
    let runbook = place("");
    let mut served = start(&runbook);
    change(&runbook, "address: 127.0.0.1:0", "address: 127.0.0.1:1");
    change(&runbook, "  grace: 5s\n", "  grace: 6s\n  streams: 3\n");
    change(&runbook, "playbooks: [playbooks]\n", "playbooks: [playbooks]\naudit: {every: 90s}\n");
    let said = reload(&served).is(200).json();
    assert_eq!(said["restart"], json!(["audit", "serve.address", "serve.streams"]));
    assert_eq!(asks(&served, &token("viewer")), 200);
    runbook.write("playbooks/second.yaml", PLAYBOOK.replace("name: note", "name: second"));
    served.running.signal(Signal::HUP);
    served.running.until_it_says("2 playbooks, 2 triggers");
    served.running.signal(Signal::TERM);
    served.running.done().says("`serve.address` has changed in the site file: that takes a restart");
}

const BROKEN: &str = "
runbook: 1
name: broken
title: It is broken
recovery: {within: 0s}
detect: {any: {hangs: {file: {path: runbook.yaml}, holds: exists}}}
notify: {on: [unresolved], to: ['webhook:team']}
";

#[test]
fn runs_after_it_tell_whom_the_new_file_names() {
    let (first, second) = (Pager::start(), Pager::start());
    let runbook = place("").variable("PAGES", SECRET).file("playbooks/broken.yaml", BROKEN);
    let site = runbook.read("runbook.yaml");
    let channel =
        format!("channels: {{webhook: {{team: {{url: '{}/team', secret: {{env: PAGES}}}}}}}}\n", first.address);
    runbook.write("runbook.yaml", site + &channel);
    let mut served = start(&runbook);
    served.client.post("/api/v1/runs", Some(&token("operator")), &json!({"playbook": "broken"})).is(202);
    let closed = || served.client.tickets()["closed"].as_array().map_or(0, Vec::len);
    served.running.until("the first is told", || first.count("team unresolved") == 1 && closed() == 1);
    change(&runbook, &first.address, &second.address);
    reload(&served).is(200);
    served.client.post("/api/v1/runs", Some(&token("operator")), &json!({"playbook": "broken"})).is(202);
    served.running.until("the second is told", || second.count("team unresolved") == 1);
    assert_eq!(first.told().len(), 1);
}

/// A channel that is taken out of the site file is still named by a playbook: better known now than at night.
#[test]
fn whom_the_new_file_does_not_have_is_named() {
    let told = format!("{PLAYBOOK}notify: {{on: [started], to: ['ntfy:people']}}\n");
    let runbook = place("").variable("TOPIC", "topic-of-people").file("playbooks/note.yaml", told);
    let channels = "channels: {ntfy: {people: {topic: {env: TOPIC}}, others: {topic: {env: TOPIC}}}}\n";
    runbook.write("runbook.yaml", runbook.read("runbook.yaml") + channels);
    let served = start(&runbook);
    let unheard = reload(&served).is(200).json();
    assert_eq!(unheard["unheard"], json!([]));
    change(&runbook, "people: {topic: {env: TOPIC}}, ", "");
    let taken = reload(&served).is(200).json();
    let wrong = taken["unheard"][0]["problems"][0].as_str().unwrap_or_default();
    assert!(wrong.contains("the site file has no channel 'ntfy:people'"), "{taken}");
    let stopped = |served: Served| {
        served.running.signal(Signal::TERM);
        served.running.done().exits(0)
    };
    stopped(served).does_not_say("would not hear of it");
    stopped(start(&runbook)).says("note.yaml means to tell people who would not hear of it:");
}

#[test]
fn a_server_that_can_do_nothing_says_what_is_missing() {
    let served = start(&Runbook::new().file("runbook.yaml", "serve: {address: '127.0.0.1:0'}\n"));
    served.running.signal(Signal::TERM);
    let said = served.running.done().exits(0);
    said.says("warning: there are no playbooks: ").says("warning: nobody can sign in or call the API: ");
}
