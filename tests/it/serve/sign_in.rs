//! Signing in, sessions, and forms that did not come from a page of the server.

use serde_json::json;

use super::visitor::{Browser, form, from_here, try_to_sign_in};
use super::{place, start, token};

#[test]
fn a_token_opens_a_session_that_opens_the_page_asked_for() {
    let served = start(&place(""));
    let asked = served.client.get("/runs/none?said=approve", None).is(303);
    assert_eq!(asked.header("location"), Some("/login?next=%2Fruns%2Fnone%3Fsaid%3Dapprove"));
    let login = served.client.get("/login?next=%2Fruns%2Fnone", None).is(200);
    assert!(login.body.contains("name=\"next\" value=\"/runs/none\""), "{}", login.body);
    let signed_in = try_to_sign_in(&served.client, &token("viewer"), "/runs/none").is(303);
    assert_eq!(signed_in.header("location"), Some("/runs/none"));
    let cookie = signed_in.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("runbook=") && cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
    assert!(!cookie.contains(&token("viewer")), "the token itself is not kept by the browser");
}

#[test]
fn t54_after_signing_in_nobody_is_sent_to_another_server() {
    let served = start(&place(""));
    for elsewhere in ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"] {
        let answer = try_to_sign_in(&served.client, &token("viewer"), elsewhere).is(303);
        assert_eq!(answer.header("location"), Some("/runs"), "{elsewhere}");
    }
}

#[test]
fn a_wrong_token_opens_nothing_and_guessing_is_slowed() {
    let served = start(&place(""));
    let wrong = |token: &str| try_to_sign_in(&served.client, token, "/runs");
    for token in ["", "nobody-has-this", "token-of-admi", "token-of-admin2"] {
        let refused = wrong(token).is(401);
        assert!(refused.header("set-cookie").is_none() && refused.body.contains("no token of this server"));
    }
    // A slow machine lets some more through.
    let mut tries = (0..100).map(|_| wrong("nobody-has-this"));
    tries.find(|answer| answer.status == 429).expect("it ends");
    let slowed = wrong(&token("admin")).is(429);
    assert!(slowed.header("retry-after").is_some() && slowed.header("set-cookie").is_none(), "{}", slowed.headers);
}

#[test]
fn signing_out_ends_the_session_and_a_made_up_one_is_none() {
    let served = start(&place(""));
    let browser = Browser::sign_in(&served.client, &token("viewer"));
    browser.get("/runs").is(200);
    let out = browser.post("/logout", &[]).is(303);
    assert!(out.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{}", out.headers);
    browser.get("/runs").is(303);
    for made_up in ["0".repeat(64), String::new(), token("viewer")] {
        let headers = format!("cookie: runbook={made_up}\r\n");
        assert_eq!(served.client.raw("GET", "/runs", &headers, b"").map(|answer| answer.status), Some(303));
    }
}

/// What a page of a stranger can make a browser send: the cookie goes along, and nothing is done.
#[test]
fn t54_forms_of_strangers_do_nothing() {
    let runbook = place("");
    let served = start(&runbook);
    let admin = Browser::sign_in(&served.client, &token("admin"));
    let other = Browser::sign_in(&served.client, &token("viewer"));
    let here = from_here(&served.client);
    let csrf = ("csrf", admin.csrf.as_str());
    let reason = ("reason", "by a stranger");
    let own = format!("origin: http://{}\r\n", served.client.address());
    for (headers, fields, why) in [
        (here.as_str(), vec![reason], "no token"),
        (&here, vec![reason, ("csrf", "")], "an empty token"),
        (&here, vec![reason, ("csrf", &other.csrf)], "the token of another session"),
        ("", vec![reason, csrf], "no word where it stood"),
        ("origin: https://evil.example\r\n", vec![reason, csrf], "another origin"),
        ("origin: null\r\n", vec![reason, csrf], "a hidden origin"),
        ("sec-fetch-site: cross-site\r\n", vec![reason, csrf], "another site"),
        (&format!("{own}sec-fetch-site: same-site\r\n"), vec![reason, csrf], "a neighbour"),
    ] {
        let answer = admin.raw_post("/freeze", headers, &fields);
        assert_eq!(answer.status, 403, "{why}: {}", answer.body);
    }
    // A form that pretends to be JSON, and JSON that pretends to be a form.
    let cookie = format!("cookie: {}\r\n{here}", admin.cookie);
    let body = form(&[reason, csrf]);
    for kind in ["application/json", "text/plain", "multipart/form-data; boundary=x"] {
        let headers = format!("content-type: {kind}\r\n{cookie}");
        let answer = served.client.raw("POST", "/freeze", &headers, body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 415, "{kind}");
    }
    assert!(served.client.get("/api/v1/holds", Some(&token("viewer"))).json()["freeze"].is_null());
    admin.raw_post("/freeze", &own, &[reason, csrf]).is(303);
    assert_eq!(served.client.get("/api/v1/holds", Some(&token("viewer"))).json()["freeze"]["by"], json!("admin"));
}

#[test]
fn t54_strangers_cannot_sign_somebody_in_under_their_name() {
    let served = start(&place(""));
    let body = form(&[("token", &token("admin")), ("next", "/runs")]);
    for headers in ["", "origin: https://evil.example\r\n", "sec-fetch-site: cross-site\r\n"] {
        let headers = format!("content-type: application/x-www-form-urlencoded\r\n{headers}");
        let answer = served.client.raw("POST", "/login", &headers, body.as_bytes()).expect("an answer");
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{headers}");
    }
}

#[test]
fn t54_a_session_does_nothing_on_the_api() {
    let served = start(&place(""));
    let admin = Browser::sign_in(&served.client, &token("admin"));
    let headers =
        format!("content-type: application/json\r\ncookie: {}\r\n{}", admin.cookie, from_here(&served.client));
    let freeze = served.client.raw("POST", "/api/v1/freeze", &headers, b"{\"reason\": \"x\"}").expect("an answer");
    assert_eq!(freeze.status, 401);
    for path in ["/api/v1/runs", "/api/v1/runs/none/events", "/api/v1/holds"] {
        admin.get(path).is(401);
    }
}

#[test]
fn behind_tls_the_cookie_is_bound_to_the_host() {
    let served = start(&place("  behind_proxy: true\n"));
    let answer = try_to_sign_in(&served.client, &token("viewer"), "/runs").is(303);
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(
        cookie.starts_with("__Host-runbook=") && cookie.contains("; Path=/;") && cookie.ends_with("; Secure"),
        "{cookie}"
    );
}

#[test]
fn every_answer_says_what_browsers_must_not_do() {
    let served = start(&place(""));
    let browser = Browser::sign_in(&served.client, &token("viewer"));
    for path in ["/runs", "/playbooks", "/login", "/nowhere", "/assets/page.js", "/api/v1/runs", "/runs/none", "/"] {
        let answer = browser.get(path);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        let kept = answer.header("cache-control").unwrap_or_default();
        assert_eq!(kept == "no-store", !path.starts_with("/assets"), "{path}: {kept}");
        assert!(!answer.body.contains("style=") && !answer.body.contains(" onclick"), "{path}");
    }
}
