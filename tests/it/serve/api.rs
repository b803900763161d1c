//! The API: who may do what, and what it answers.

use std::io::Write;

use runbook::server::{Access, ROUTES};
use runbook::site::Role;
use rustix::process::Signal;
use serde_json::json;

use super::client::answer;
use super::visitor::Browser;
use super::{ALERTS, ROLES, place, start, token};

const ALL: [Role; 4] = [Role::Viewer, Role::Operator, Role::Approver, Role::Admin];

const OPEN: [&str; 3] = ["/health", "/login", "/assets/{name}"];

/// Every route without a token, with one that nobody has, and with one of each role, as a token and as a session.
#[test]
fn t41_every_route_asks_for_its_role_and_only_health_and_signing_in_are_free() {
    let served = start(&place(""));
    let browsers = ROLES.map(|role| Browser::sign_in(&served.client, &token(role)));
    for route in ROUTES {
        let path = route.path.replace("{hook}", "alertmanager").replace("{run}", "none").replace("{ticket}", "7");
        let path = path.replace("{name}", "page.css");
        let method = route.method.as_str();
        let status = |token: Option<&str>| served.client.call(method, &path, token, Some(&json!({}))).status;
        assert_eq!(route.access == Access::Anybody, OPEN.contains(&route.path), "{method} {path} is free");
        match route.access {
            Access::Anybody => {}
            Access::Hook | Access::Link => {
                for stranger in [None, Some("nobody-has-this-token")] {
                    assert_eq!(status(stranger), 401, "{method} {path}");
                }
            }
            Access::Role(needed) | Access::RoleOrLoopback(needed) => {
                for stranger in [None, Some("nobody-has-this-token")] {
                    assert_eq!(status(stranger), 401, "{method} {path} without a right");
                }
                for ((role, name), browser) in ALL.into_iter().zip(ROLES).zip(&browsers) {
                    let status = status(Some(&token(name)));
                    assert_eq!(status == 403, role < needed, "{method} {path} as {name}: {status}");
                    assert_ne!(status, 401, "{method} {path} as {name}");
                    assert_eq!(browser.call(method, &path, &[]).status, 401, "{method} {path}: no session opens it");
                }
            }
            Access::Page(needed) => {
                // No token opens a page: what a browser never sends cannot be tricked out of it.
                let admin = token("admin");
                for stranger in [None, Some("nobody-has-this-token"), Some(&admin)] {
                    let expected = if method == "GET" { 303 } else { 401 };
                    assert_eq!(status(stranger), expected, "{method} {path} without a session");
                }
                if route.path == "/logout" {
                    continue;
                }
                for ((role, name), browser) in ALL.into_iter().zip(ROLES).zip(&browsers) {
                    let status = browser.call(method, &path, &[]).status;
                    assert_eq!(status == 403, role < needed, "{method} {path} as {name}: {status}");
                    assert_ne!(status, 401, "{method} {path} as {name}");
                }
            }
        }
    }
}

#[test]
fn t41_tricks_with_the_path_open_nothing() {
    let served = start(&place(""));
    let tricks = [
        "/api/v1/runs/",
        "//api/v1/runs",
        "/api/v1/%72uns",
        "/api/v1/runs;x",
        "/health/../api/v1/runs",
        "/api/v1/runs/x/events",
        "/API/v1/runs",
        "/api",
        "/hooks/",
        "/hooks/alertmanager%2f",
        "/health/",
        "/runs/",
        "//runs",
        "/RUNS",
        "/assets/",
        "/assets/../runs",
        "/assets/page.rs",
        "/runs/x/approve/",
    ];
    for path in tricks {
        served.client.get(path, None).is(401);
    }
    for method in ["PUT", "OPTIONS", "TRACE", "HEAD"] {
        served.client.call(method, "/api/v1/runs", None, None).is(401);
    }
    for method in ["PUT", "OPTIONS", "TRACE", "DELETE", "PATCH"] {
        served.client.call(method, "/runs", None, None).is(401);
    }
}

#[test]
fn a_token_for_some_playbooks_sees_and_touches_no_others() {
    let runbook = place("");
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.running.until_it_says("healthy");
    let run = runbook.newest_run();
    let narrow = token("narrow");
    assert_eq!(served.client.get("/api/v1/runs", Some(&narrow)).is(200).json(), json!({"runs": []}));
    assert_eq!(served.client.get("/api/v1/playbooks", Some(&narrow)).is(200).json()["playbooks"], json!([]));
    assert_eq!(served.client.get("/api/v1/tickets", Some(&narrow)).is(200).json()["closed"], json!([]));
    for path in ["", "/events", "/cancel"].map(|end| format!("/api/v1/runs/{run}{end}")) {
        let method = if path.ends_with("cancel") { "POST" } else { "GET" };
        served.client.call(method, &path, Some(&narrow), None).is(404);
    }
    served.client.post("/api/v1/runs", Some(&narrow), &json!({"playbook": "note"})).is(404);
    served.client.post("/api/v1/freeze", Some(&narrow), &json!({"reason": "x"})).is(403);
}

#[test]
fn a_run_is_started_watched_and_shown() {
    let runbook = place("");
    let mut served = start(&runbook);
    let start = json!({"playbook": "note", "inputs": {"target": "by-hand"}});
    let started = served.client.post("/api/v1/runs", Some(&token("operator")), &start).is(202).json();
    let run = started["run"].as_str().expect("it starts at once").to_owned();
    let events = served.client.get(&format!("/api/v1/runs/{run}/events"), Some(&token("viewer"))).is(200);
    assert!(events.body.contains("run_started") && events.body.contains("run_finished"), "{}", events.body);
    served.running.until_it_says("healthy");
    let shown = served.client.get(&format!("/api/v1/runs/{run}"), Some(&token("viewer"))).is(200).json();
    let listed = served.client.get("/api/v1/runs", Some(&token("viewer"))).json()["runs"][0].clone();
    assert_eq!((&listed["by"], &shown["outcome"]), (&json!("operator"), &json!("healthy")), "{shown}");
    let wrong = json!({"playbook": "note", "inputs": {"target": "NOT IT"}});
    served.client.post("/api/v1/runs", Some(&token("operator")), &wrong).is(422);
}

#[test]
fn a_live_run_is_cancelled_and_a_second_one_is_refused() {
    let slow = super::PLAYBOOK
        .replace("argv: [sh, -c, 'echo", "argv: [sh, -c, 'touch begun; while [ ! -e go ]; do sleep 0.05; done; echo");
    let runbook = place("").file("playbooks/note.yaml", slow);
    let mut served = start(&runbook);
    let start = json!({"playbook": "note"});
    let run = served.client.post("/api/v1/runs", Some(&token("operator")), &start).is(202).json()["run"].clone();
    served.running.until("it has begun", || runbook.exists("begun"));
    served.client.post("/api/v1/runs", Some(&token("operator")), &start).is(409);
    let path = format!("/api/v1/runs/{}/cancel", run.as_str().expect("a name"));
    served.client.call("POST", &path, Some(&token("operator")), None).is(202);
    runbook.write("go", "");
    served.running.until_it_says("cancelled");
}

#[test]
fn t53_a_freeze_by_the_api_holds_for_the_command_line_and_the_other_way_round() {
    let runbook = place("");
    let served = start(&runbook);
    served.client.post("/api/v1/freeze", Some(&token("admin")), &json!({"reason": " "})).is(422);
    served.client.post("/api/v1/freeze", Some(&token("admin")), &json!({"reason": "migration"})).is(200);
    runbook.call("holds").exits(0).says("by admin: migration");
    runbook.args(["unfreeze", "--reason", "done"]).done().exits(0);
    assert!(served.client.get("/api/v1/holds", Some(&token("viewer"))).json()["freeze"].is_null());
}

#[test]
fn a_trigger_whose_source_is_misspelt_is_named_at_the_start() {
    let runbook = place("");
    runbook.write("playbooks/note.yaml", super::PLAYBOOK.replace("source: alertmanager", "source: alertmanger"));
    let served = start(&runbook);
    served.running.signal(Signal::TERM);
    served.running.done().exits(0).says(
        "the source 'alertmanger' starts nothing: a trigger waits for it, and no hook of the site file is it; \
         did you mean 'alertmanager'?",
    );
}

#[test]
fn a_playbook_that_becomes_invalid_stays_as_it_was() {
    let runbook = place("");
    let mut served = start(&runbook);
    runbook.write("playbooks/note.yaml", "runbook: 1\nname: note\n");
    runbook.write("playbooks/new.yaml", super::PLAYBOOK.replace("name: note", "name: new").replace("Note}", "New}"));
    served.running.signal(Signal::HUP);
    served.running.until_it_says("2 playbooks, 2 triggers");
    let listed = served.client.get("/api/v1/playbooks", Some(&token("viewer"))).json();
    assert_eq!(listed["playbooks"].as_array().map(Vec::len), Some(2), "{listed}");
    assert!(listed["not_valid"][0]["file"].as_str().is_some_and(|file| file.ends_with("note.yaml")), "{listed}");
    served.alert(&["still"]).is(202);
    served.running.until_it_says("healthy");
}

#[test]
fn t42_bodies_are_bounded_and_of_one_form() {
    let served = start(&place(""));
    let post = |headers: &str, body: &[u8]| {
        let headers = format!("authorization: Bearer {ALERTS}\r\n{headers}");
        served.client.raw("POST", "/hooks/alertmanager", &headers, body).map_or(0, |answer| answer.status)
    };
    assert_eq!(post("content-type: text/plain\r\n", b"{}"), 415);
    assert_eq!(post("content-type: application/json\r\ncontent-encoding: gzip\r\n", b"{}"), 415);
    assert_eq!(post("content-type: application/json\r\n", b"{not json"), 400);
    let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    assert_eq!(post(&format!("content-type: application/json\r\n{many}"), b"{}"), 431);
    // Judged by what the headers say, before any of the body has come.
    let head = |token: &str, length: usize| {
        let mut stream = served.client.connect();
        let lines =
            format!("host: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-length: {length}");
        write!(stream, "POST /hooks/alertmanager HTTP/1.1\r\n{lines}\r\n\r\n").expect("sent");
        answer(&mut stream).map(|answer| answer.status)
    };
    assert_eq!(head(ALERTS, (1 << 20) + 1), Some(413));
    assert_eq!(head("a stranger", 1 << 30), Some(401));
}

#[test]
fn other_machines_are_not_served_in_clear() {
    let runbook = crate::support::Runbook::new().file("runbook.yaml", "serve: {address: '0.0.0.0:0'}");
    runbook.call("serve").exits(2).says("behind_proxy");
}
