//! Every route, asked by everybody there is: the exact answer.

use std::collections::BTreeSet;

use runbook::server::{Access, ROUTES};
use serde_json::{Value, json};

use super::contract::Contract;
use super::{ROLES, Served, place, start, token};
use crate::support::Runbook;

/// A route, what is sent, and what is answered to: nobody, a token that nobody has, the four roles, and an
/// administrator of another playbook.
type Row = (&'static str, &'static str, Value, [u16; 7]);

const SEEN: [u16; 7] = [401, 401, 200, 200, 200, 200, 200];
const OF_A_PLAYBOOK: [u16; 7] = [401, 401, 200, 200, 200, 200, 404];

fn rows() -> Vec<Row> {
    let reason = || json!({"reason": "x"});
    let start = json!({"playbook": "note", "inputs": {"target": "NOT IT"}});
    let answer = json!({"step": "diagnose.noted", "digest": "0"});
    let glass = json!({"step": "diagnose.noted", "digest": "0", "reason": "x"});
    let silence = json!({"matches": {"playbooks": ["note"]}, "for": "1h", "reason": "x"});
    let doubt = json!({"step": "diagnose.noted", "resolution": "done", "reason": "x"});
    vec![
        ("GET", "/health", Value::Null, [200; 7]),
        ("GET", "/metrics", Value::Null, [401, 401, 200, 200, 200, 200, 403]),
        ("POST", "/hooks/{hook}", json!({}), [401; 7]),
        ("GET", "/api/v1/openapi.json", Value::Null, SEEN),
        ("GET", "/api/v1/playbooks", Value::Null, SEEN),
        ("GET", "/api/v1/playbooks/{playbook}", Value::Null, OF_A_PLAYBOOK),
        ("GET", "/api/v1/tickets", Value::Null, SEEN),
        ("DELETE", "/api/v1/tickets/{ticket}", Value::Null, [401, 401, 403, 404, 404, 404, 404]),
        ("GET", "/api/v1/runs", Value::Null, SEEN),
        ("POST", "/api/v1/runs", start, [401, 401, 403, 422, 422, 422, 404]),
        ("GET", "/api/v1/runs/{run}", Value::Null, OF_A_PLAYBOOK),
        ("GET", "/api/v1/runs/{run}/report", Value::Null, OF_A_PLAYBOOK),
        ("GET", "/api/v1/runs/{run}/events", Value::Null, OF_A_PLAYBOOK),
        ("POST", "/api/v1/runs/{run}/cancel", Value::Null, [401, 401, 403, 409, 409, 409, 404]),
        ("POST", "/api/v1/runs/{run}/resolve", doubt, [401, 401, 403, 409, 409, 409, 404]),
        ("POST", "/api/v1/runs/{run}/approve", answer, [401, 401, 403, 403, 409, 409, 404]),
        ("POST", "/api/v1/runs/{run}/reject", reason(), [401, 401, 403, 403, 409, 409, 404]),
        ("POST", "/api/v1/runs/{run}/break-glass", glass, [401, 401, 403, 403, 403, 409, 404]),
        ("GET", "/api/v1/audit/checkpoint", Value::Null, SEEN),
        ("GET", "/api/v1/audit/proofs/inclusion", Value::Null, [401, 401, 200, 200, 200, 200, 403]),
        ("GET", "/api/v1/audit/proofs/consistency", Value::Null, SEEN),
        ("GET", "/api/v1/schedules", Value::Null, SEEN),
        ("GET", "/api/v1/escalations", Value::Null, SEEN),
        ("POST", "/api/v1/escalations/{run}/ack", reason(), [401, 401, 403, 409, 409, 409, 404]),
        ("POST", "/api/v1/escalations/{run}/next", reason(), [401, 401, 403, 409, 409, 409, 404]),
        ("POST", "/api/v1/escalations/{run}/close", reason(), [401, 401, 403, 409, 409, 409, 404]),
        ("GET", "/api/v1/holds", Value::Null, SEEN),
        ("GET", "/api/v1/silences", Value::Null, SEEN),
        ("POST", "/api/v1/silences", silence, [401, 401, 403, 201, 201, 201, 403]),
        ("DELETE", "/api/v1/silences/{silence}", Value::Null, [401, 401, 403, 404, 404, 404, 404]),
        ("POST", "/api/v1/freeze", reason(), [401, 401, 403, 403, 403, 200, 403]),
        ("POST", "/api/v1/unfreeze", reason(), [401, 401, 403, 403, 403, 200, 403]),
        ("POST", "/api/v1/reload", Value::Null, [401, 401, 403, 403, 403, 200, 403]),
    ]
}

/// What a route needs in its query to answer with success.
fn query(path: &str) -> &'static str {
    match path {
        "/api/v1/audit/proofs/inclusion" => "?entry=1",
        "/api/v1/audit/proofs/consistency" => "?from=1",
        _ => "",
    }
}

fn callers() -> Vec<Option<String>> {
    let known = ROLES.into_iter().chain(["narrow"]).map(|name| Some(token(name)));
    [None, Some("nobody-has-this-token".to_owned())].into_iter().chain(known).collect()
}

/// A server that has done a run, and whose audit trail is signed.
fn with_a_run() -> (Runbook, Served, String) {
    let runbook = place("");
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.running.until_it_says("healthy");
    let run = runbook.newest_run();
    served.client.get("/api/v1/audit/proofs/inclusion?entry=1", Some(&token("viewer"))).is(200);
    (runbook, served, run)
}

#[test]
fn t41_every_route_answers_each_caller_as_the_table_says() {
    let (_runbook, served, run) = with_a_run();
    let (rows, contract) = (rows(), Contract::of(&served));
    let name = |method: &str, path: &str| format!("{method} {path}");
    let listed: BTreeSet<String> = rows.iter().map(|(method, path, ..)| name(method, path)).collect();
    let routes: BTreeSet<String> = ROUTES
        .iter()
        .filter(|route| route.is_for_programs())
        .map(|route| name(route.method.as_str(), route.path))
        .collect();
    assert_eq!(routes, listed, "each route has a row here");
    for (method, path, body, expected) in &rows {
        let filled = path
            .replace("{hook}", "alertmanager")
            .replace("{run}", &run)
            .replace("{ticket}", "7777")
            .replace("{silence}", "7777")
            .replace("{playbook}", "note");
        let filled = filled + query(path);
        for (caller, expected) in callers().iter().zip(expected) {
            let body = Some(body).filter(|body| !body.is_null());
            let answer = served.client.call(method, &filled, caller.as_deref(), body);
            assert_eq!(answer.status, *expected, "{method} {filled} by {caller:?}: {}", answer.body);
            contract.check(method, path, &answer);
        }
    }
}

#[test]
fn what_is_asked_wrongly_is_refused_as_the_document_says() {
    let (_runbook, served, run) = with_a_run();
    let contract = Contract::of(&served);
    let report = format!("/api/v1/runs/{run}/report");
    for (path, query, status) in [
        ("/api/v1/runs", "limit=0", 400),
        ("/api/v1/runs", "limit=many", 400),
        ("/api/v1/runs", "unfinished=perhaps", 400),
        ("/api/v1/runs", "outcome=splendid", 400),
        ("/api/v1/runs", "since=soon", 400),
        ("/api/v1/runs", "cursor=nowhere", 400),
        ("/api/v1/audit/proofs/inclusion", "", 422),
        ("/api/v1/audit/proofs/inclusion", "entry=0", 422),
        ("/api/v1/audit/proofs/inclusion", "entry=x", 400),
        ("/api/v1/audit/proofs/inclusion", "entry=99999999999", 404),
        ("/api/v1/audit/proofs/consistency", "", 422),
        ("/api/v1/audit/proofs/consistency", "from=2&to=1", 422),
        ("/api/v1/audit/proofs/consistency", "from=1&to=99999999999", 422),
        (report.as_str(), "format=pdf", 400),
    ] {
        let answer = served.client.get(&format!("{path}?{query}"), Some(&token("viewer")));
        assert_eq!(answer.status, status, "{path}?{query}: {}", answer.body);
        contract.check("GET", &path.replace(&run, "{run}"), &answer);
    }
}

#[test]
fn the_document_has_the_routes_of_the_table_with_their_roles_and_no_other() {
    let document = runbook::server::document();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            described.insert((method.to_uppercase(), path.clone(), operation["x-role"].clone().to_string()));
        }
    }
    let role = |access| match access {
        Access::Role(role) | Access::RoleOrLoopback(role) => json!(role).to_string(),
        _ => "null".to_owned(),
    };
    let routes: BTreeSet<_> = ROUTES
        .iter()
        .filter(|route| route.is_for_programs())
        .map(|route| (route.method.to_string(), route.path.to_owned(), role(route.access)))
        .collect();
    assert_eq!(described, routes);
}

#[test]
fn the_checked_in_document_is_the_served_one() {
    let served = start(&place(""));
    let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/openapi.json");
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(kept).expect("it is there")).expect("JSON");
    let now = served.client.get("/api/v1/openapi.json", Some(&token("viewer"))).is(200).json();
    assert!(kept == now, "write it anew: cargo run -- generate");
}
