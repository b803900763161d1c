//! The pages as people read them, and that nothing from outside becomes more than text.

use regex::Regex;
use serde_json::json;

use super::visitor::{Browser, shown, text_of};
use super::{ALERTS, PLAYBOOK, Served, alerts, place, start, token};
use crate::support::Runbook;

/// A fault that is found, understood, and fixed when somebody approves it.
const FAULT: &str = "
runbook: 1
name: note
title: The service hangs
code: SERVICE_HANGS
triggers:
  - alert: {source: alertmanager, match: {alertname: Note}}
  - schedule: {cron: '0 6 1 1 *', timezone: UTC}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
diagnose:
  file: {file: {path: hangs}, expect: exists}
  log: {command: {argv: [echo, 'a line of its log']}, effect: read, needs: [file]}
causes: {stuck: {title: It is stuck, when: diagnose.file.exists}}
remediate:
  restart: {fixes: [stuck], command: {argv: [rm, hangs]}, risk: disruptive, approve: {timeout: 15m}}
  settle: {fixes: [stuck], needs: [restart], command: {argv: ['true']}, risk: safe}
";

fn fault() -> Runbook {
    place("").file("playbooks/note.yaml", FAULT).file("hangs", "")
}

/// A server with a run that an alert has started, which waits for approval.
fn waits(runbook: &Runbook) -> (Served, String) {
    let mut served = start(runbook);
    served.alert(&["a"]).is(202);
    served.running.until_it_says("parked");
    (served, runbook.newest_run())
}

#[test]
fn a_run_that_waits_for_approval() {
    let runbook = fault();
    let (served, run) = waits(&runbook);
    let approver = Browser::sign_in(&served.client, &token("approver"));
    insta::assert_snapshot!("page_run_waits", shown(&approver.reads(&format!("/runs/{run}"))));
    insta::assert_snapshot!("page_runs", shown(&approver.reads("/runs")));
    insta::assert_snapshot!("page_tickets", shown(&approver.reads("/tickets")));
}

#[test]
fn the_other_pages() {
    let runbook = fault().file("playbooks/broken.yaml", "runbook: 1\nname: broken\n");
    let served = start(&runbook);
    let admin = Browser::sign_in(&served.client, &token("admin"));
    insta::assert_snapshot!("page_playbooks", shown(&admin.reads("/playbooks")));
    insta::assert_snapshot!("page_freeze", shown(&admin.reads("/freeze")));
    insta::assert_snapshot!("page_audit", shown(&admin.reads("/audit")));
    insta::assert_snapshot!("page_login", shown(&text_of(&served.client.get("/login", None).is(200).body)));
}

#[test]
fn runs_are_filtered_and_come_in_pages() {
    let runbook = place("").file("playbooks/other.yaml", PLAYBOOK.replace("name: note", "name: other"));
    for name in ["note", "other"] {
        runbook.args(["run", name]).done().exits(0);
    }
    (0..26).for_each(|_| drop(runbook.args(["run", "note"]).done().exits(0)));
    let served = start(&runbook);
    let browser = Browser::sign_in(&served.client, &token("viewer"));
    let count = |query: &str| browser.get(&format!("/runs{query}")).is(200).body.matches("href=\"/runs/").count();
    assert_eq!(count("?playbook=other"), 1);
    assert_eq!((count("?outcome=resolved"), count("?outcome=healthy"), count("?outcome=unfinished")), (0, 25, 0));
    assert_eq!((count("?from=2100-01-01"), count("?to=2100-01-01"), count("?to=2020-01-01")), (0, 25, 0));
    let first = browser.get("/runs").is(200).body;
    let (_, older) = first.split_once("href=\"/runs?").expect("a link to older runs");
    let older = older.split('"').next().expect("its end").replace("&amp;", "&");
    assert_eq!(count(&format!("?{older}")), 3, "28 of them in pages of 25");
}

#[test]
fn a_freeze_is_given_and_lifted_and_every_page_says_so() {
    let runbook = fault();
    let (served, run) = waits(&runbook);
    let admin = Browser::sign_in(&served.client, &token("admin"));
    admin.post("/freeze", &[("reason", " "), ("for", "")]).is(422);
    admin.post("/freeze", &[("reason", "migration"), ("for", "soon")]).is(422);
    admin.post("/freeze", &[("reason", "migration"), ("for", "2h")]).is(303);
    for path in ["/runs", &format!("/runs/{run}"), "/tickets", "/playbooks", "/freeze", "/audit"] {
        let text = admin.reads(path);
        assert!(
            text.contains("Frozen") && text.contains("By admin: migration") && text.contains("until "),
            "{path}: {text}"
        );
    }
    runbook.call("holds").exits(0).says("by admin, until ").says(": migration");
    let viewer = Browser::sign_in(&served.client, &token("viewer"));
    assert!(viewer.reads("/freeze").contains("An admin for all playbooks switches it"));
    assert!(!viewer.get("/freeze").body.contains("action=\"/unfreeze\""));
    admin.post("/unfreeze", &[("reason", "done")]).is(303);
    assert!(!admin.reads("/runs").contains("Frozen"));
}

#[test]
fn a_token_for_some_playbooks_sees_no_others() {
    let runbook = fault();
    let (served, run) = waits(&runbook);
    let narrow = Browser::sign_in(&served.client, &token("narrow"));
    for path in ["/runs", "/tickets", "/playbooks"] {
        let page = narrow.get(path).is(200).body;
        assert!(!page.contains("hangs") && !page.contains(&run), "{path}: {page}");
    }
    narrow.get(&format!("/runs/{run}")).is(404);
    narrow.get(&format!("/runs/{run}/events")).is(404);
    for word in ["approve", "reject", "resolve", "cancel"] {
        narrow.post(&format!("/runs/{run}/{word}"), &[("step", "remediate.restart")]).is(404);
    }
    narrow.post("/freeze", &[("reason", "x")]).is(403);
    narrow.post("/tickets/1/withdraw", &[]).is(404);
    assert!(runbook.exists("hangs"));
}

const HOSTILE: [&str; 7] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</pre></textarea><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{inputs.target}} &lt;b&gt; <!-- --> ]]>",
    "safe\u{202e}gpj.exe\u{200b}\u{1b}[31m",
];

/// What an alert says, what a step prints, what somebody gives as a reason: all of it is text on every page.
#[test]
fn t54_nothing_from_outside_becomes_part_of_a_page() {
    let open = PLAYBOOK
        .replace("pattern: '[a-z0-9-]+', ", "")
        .replace("diagnose:", "causes: {always: {title: Always, when: 'true'}}\ndiagnose:")
        + "  said: {command: {argv: [sh, said.sh, 'x {{inputs.target}}']}, effect: read}\n\
           remediate:\n  act: {fixes: [always], command: {argv: [echo, 'x {{inputs.target}}']}, approve: {}, help: 'About {{inputs.target}}'}\n";
    for hostile in HOSTILE {
        let runbook = place("").file("playbooks/note.yaml", &open).file("said.sh", "echo \"$1\"; echo \"$1\" >&2");
        let mut served = start(&runbook);
        let mut alert = alerts(&["a"], "firing");
        alert["alerts"][0]["labels"]["target"] = json!(hostile);
        alert["alerts"][0]["fingerprint"] = json!(hostile);
        served.client.post("/hooks/alertmanager", Some(ALERTS), &alert).is(202);
        served.running.until("it waits", || !served.client.tickets()["open"].as_array().is_none_or(Vec::is_empty));
        served.running.until_it_says("parked");
        let run = runbook.newest_run();
        let admin = Browser::sign_in(&served.client, &token("admin"));
        admin.post("/freeze", &[("reason", hostile)]).is(303);
        let query: String = form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
        let paths = [
            format!("/runs/{run}"),
            format!("/runs?playbook={query}&outcome={query}&from={query}&to={query}&before={query}"),
            format!("/runs/{run}?said={query}"),
            format!("/runs/{query}"),
            "/tickets".to_owned(),
            "/playbooks".to_owned(),
            "/freeze".to_owned(),
            "/audit".to_owned(),
        ];
        for path in paths {
            is_harmless(&admin.get(&path).body, &path, hostile);
        }
        let login = served.client.get(&format!("/login?next={query}"), None);
        is_harmless(&login.body, "/login", hostile);
    }
}

/// Every tag is one that the pages have, and no character turns text around.
fn is_harmless(page: &str, path: &str, hostile: &str) {
    assert!(!page.is_empty(), "{path}");
    assert_eq!(page.matches("<script").count(), 1, "{path} with {hostile}: {page}");
    for forbidden in ["<img", "<svg/", "onerror=alert(1)>", "<b>&", "<!--", "\u{202e}", "\u{200b}", "\u{1b}"] {
        assert!(!page.contains(forbidden), "{path} with {hostile} has {forbidden}: {page}");
    }
    assert!(!page.contains("href=\"javascript:"), "{path}: {page}");
    // Without the values of attributes, which stand in quotes that they cannot end.
    let page = Regex::new("=\"[^\"]*\"").expect("a pattern").replace_all(page, "=").into_owned();
    for tag in page.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
        assert!(!tag.contains(" on") && !tag.contains('\''), "{path}: <{tag}>");
    }
}

/// How much a browser has to load for a run of twenty steps, everything included, not packed.
#[test]
#[expect(clippy::print_stderr, reason = "the figures are told")]
fn pages_are_light() {
    let steps: String = (0..17)
        .map(|n| {
            format!(
                "  step_{n}: {{command: {{argv: [echo, 'line {n}']}}, effect: read, needs: [{}]}}\n",
                if n == 0 { String::new() } else { format!("step_{}", n / 2) }
            )
        })
        .collect();
    let steps = steps.replace("needs: [step_0]}\n  step_1", "needs: []}\n  step_1");
    let playbook = FAULT.replace("  file: {file", &format!("{steps}  file: {{file")).replace(
        "step_0: {command: {argv: [echo, 'line 0']}, effect: read, needs: []}",
        "step_0: {command: {argv: [echo, 'line 0']}, effect: read}",
    );
    let runbook = place("").file("playbooks/note.yaml", playbook).file("hangs", "");
    let (served, run) = waits(&runbook);
    let browser = Browser::sign_in(&served.client, &token("approver"));
    let assets: usize = ["page.css", "page.js", "icon.svg"]
        .iter()
        .map(|name| browser.get(&format!("/assets/{name}")).is(200).body.len())
        .sum();
    for (path, most) in
        [(format!("/runs/{run}"), 40_000), ("/runs".to_owned(), 20_000), ("/playbooks".to_owned(), 20_000)]
    {
        let page = browser.get(&path).is(200).body.len();
        eprintln!("weight: {path}: {page} bytes, with styles, script and icon {}", page + assets);
        assert!(page + assets < most, "{path}: {page} + {assets}");
    }
    let steps = served.client.get(&format!("/api/v1/runs/{run}"), Some(&token("viewer"))).json()["steps"]
        .as_object()
        .map_or(0, serde_json::Map::len);
    assert!(steps >= 20, "{steps}");
}
