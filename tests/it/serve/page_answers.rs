//! What people say by the forms of a run's page: it is what the API does, under the same rules.

use serde_json::json;

use super::visitor::{Browser, field, from_here, text_of};
use super::{Served, place, start, token};
use crate::support::Runbook;

const PLAYBOOK: &str = "
runbook: 1
name: note
title: The service hangs
recovery: {within: 0s}
triggers:
  - alert: {source: alertmanager, match: {alertname: Note}}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
causes: {stuck: {title: It is stuck, when: 'true'}}
remediate:
  restart:
    fixes: [stuck]
    command: {argv: [mv, hangs, 'made {{answers.replicas}} for {{answers.ticket}}']}
    approve:
      quorum: 1
      answers:
        replicas: {type: int, min: 1, max: 10, title: How many replicas, default: 2}
        ticket: {type: string, title: The ticket of the incident}
";

fn waits(runbook: &Runbook) -> (Served, String) {
    let mut served = start(runbook);
    served.alert(&["a"]).is(202);
    served.running.until_it_says("parked");
    let run = runbook.newest_run();
    (served, format!("/runs/{run}"))
}

fn asks() -> Runbook {
    place("").file("playbooks/note.yaml", PLAYBOOK).file("hangs", "")
}

fn until_it_is(served: &mut Served, path: &str, outcome: &str) {
    let Served { running, client } = served;
    let path = format!("/api/v1{path}");
    running.until(outcome, || client.get(&path, Some(&token("viewer"))).json()["outcome"] == json!(outcome));
}

#[test]
fn a_form_approves_exactly_what_it_shows_and_the_run_ends() {
    let runbook = asks();
    let (mut served, path) = waits(&runbook);
    {
        let approver = Browser::sign_in(&served.client, &token("approver"));
        let page = approver.get(&path).is(200).body;
        let (step, digest) = (field(&page, "step").expect("a form"), field(&page, "digest").expect("a form"));
        let answer = |digest: &str, replicas: &str, ticket: &str| {
            let fields = [
                ("step", &*step),
                ("digest", digest),
                ("reason", "seen"),
                ("answer.replicas", replicas),
                ("answer.ticket", ticket),
            ];
            approver.post(&format!("{path}/approve"), &fields)
        };
        for (digest, replicas, ticket, why) in [
            ("0000000000000000", "3", "OPS-7", "what is asked is"),
            (&digest, "many", "OPS-7", "replicas"),
            (&digest, "11", "OPS-7", "replicas"),
            (&digest, "3", " ", "ticket"),
        ] {
            let refused = answer(digest, replicas, ticket).is(409);
            assert!(text_of(&refused.body).contains(why), "{why}: {}", text_of(&refused.body));
            assert!(refused.body.contains("id=\"questions\""), "the page of the run, with why");
            assert!(runbook.exists("hangs"));
        }
        let approved = answer(&digest, "3", "OPS-7").is(303);
        assert_eq!(approved.header("location"), Some(format!("{path}?said=approve").as_str()));
        answer(&digest, "3", "OPS-7").is(409);
    }
    until_it_is(&mut served, &path, "resolved");
    assert!(runbook.exists("made 3 for OPS-7"));
    let approver = Browser::sign_in(&served.client, &token("approver"));
    let text = approver.reads(&path);
    assert!(
        text.contains("✓ resolved") && text.contains("approved by approver with replicas = 3, ticket = OPS-7"),
        "{text}"
    );
    let page = approver.get(&path).body;
    assert!(!page.contains("<form method=\"post\" action=\"/runs"), "nothing is asked any more");
    assert!(!page.contains("data-events"), "nothing more comes");
}

#[test]
fn what_a_role_may_not_do_is_not_shown_and_is_refused() {
    let runbook = asks();
    let (served, path) = waits(&runbook);
    for (role, words) in [
        ("viewer", vec![]),
        ("operator", vec!["cancel", "resolve"]),
        ("approver", vec!["approve", "reject", "cancel", "resolve"]),
    ] {
        let browser = Browser::sign_in(&served.client, &token(role));
        let page = browser.get(&path).is(200).body;
        assert!(
            text_of(&page).contains("made ‹answers.replicas› for ‹answers.ticket›"),
            "everybody sees what is asked"
        );
        for word in ["approve", "reject", "cancel"] {
            assert_eq!(page.contains(&format!("action=\"{path}/{word}\"")), words.contains(&word), "{role} {word}");
        }
        for word in ["approve", "reject", "cancel", "resolve"].iter().filter(|word| !words.contains(word)) {
            let refused = browser.post(&format!("{path}/{word}"), &[("step", "remediate.restart")]);
            assert_eq!(refused.status, 403, "{role} {word}");
        }
    }
    assert!(runbook.exists("hangs"));
}

/// The form of an emergency stands apart, and only where others have to agree.
#[test]
fn the_glass_is_broken_by_a_form_of_its_own_with_a_reason() {
    {
        let runbook = asks();
        let (served, path) = waits(&runbook);
        let admin = Browser::sign_in(&served.client, &token("admin"));
        assert!(!admin.get(&path).body.contains("/break-glass"), "one who may answer needs no glass");
    }
    let runbook = asks().file("playbooks/note.yaml", PLAYBOOK.replace("quorum: 1", "quorum: 2"));
    let (mut served, path) = waits(&runbook);
    {
        let approver = Browser::sign_in(&served.client, &token("approver"));
        assert!(!approver.get(&path).body.contains("/break-glass"));
        let admin = Browser::sign_in(&served.client, &token("admin"));
        let page = admin.get(&path).is(200).body;
        assert!(text_of(&page).contains("Emergency: break the glass"), "{}", text_of(&page));
        assert!(page.contains(&format!("action=\"{path}/break-glass\"")), "{page}");
        let (step, digest) = (field(&page, "step").expect("a form"), field(&page, "digest").expect("a form"));
        let fields = |reason: &'static str| {
            [("step", &*step), ("digest", &*digest), ("reason", reason), ("answer.ticket", "OPS-7")]
        };
        let refused = admin.post(&format!("{path}/break-glass"), &fields(" ")).is(422);
        assert!(text_of(&refused.body).contains("breaking the glass needs a reason"), "{}", text_of(&refused.body));
        approver.post(&format!("{path}/break-glass"), &fields("the team sleeps")).is(403);
        admin.raw_post(&format!("{path}/break-glass"), &from_here(&served.client), &fields("the team sleeps")).is(403);
        assert!(runbook.exists("hangs"));
        let broken = admin.post(&format!("{path}/break-glass"), &fields("the team sleeps")).is(303);
        assert_eq!(broken.header("location"), Some(format!("{path}?said=break-glass").as_str()));
    }
    until_it_is(&mut served, &path, "resolved");
    let viewer = Browser::sign_in(&served.client, &token("viewer"));
    let text = viewer.reads(&path);
    assert!(text.contains("glass broken by admin") && text.contains("the team sleeps"), "{text}");
}

#[test]
fn a_form_rejects_with_a_reason() {
    let runbook = asks();
    let (mut served, path) = waits(&runbook);
    {
        let approver = Browser::sign_in(&served.client, &token("approver"));
        let fields = [("step", "remediate.restart"), ("reason", "not today"), ("answer.ticket", "")];
        approver.post(&format!("{path}/reject"), &fields).is(303);
    }
    until_it_is(&mut served, &path, "rejected");
    assert!(runbook.exists("hangs"));
    let viewer = Browser::sign_in(&served.client, &token("viewer"));
    assert!(viewer.reads(&path).contains("rejected by approver: not today"), "{}", viewer.reads(&path));
}

#[test]
fn a_form_stops_a_run() {
    let runbook = asks();
    let (mut served, path) = waits(&runbook);
    Browser::sign_in(&served.client, &token("operator")).post(&format!("{path}/cancel"), &[]).is(303);
    until_it_is(&mut served, &path, "cancelled");
}

#[test]
fn a_form_says_what_became_of_a_step_in_doubt() {
    let once = "
runbook: 1
name: note
title: Something that must not be repeated
triggers:
  - alert: {source: alertmanager, match: {alertname: Note}}
causes: {stuck: {title: It is stuck, when: 'true'}}
remediate:
  once: {fixes: [stuck], command: {argv: [sh, -c, 'echo $$ > begun; sleep 60']}, effect: once, risk: safe}
";
    let runbook = place("").file("playbooks/note.yaml", once);
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.running.until("it has begun", || !runbook.read("begun").is_empty());
    assert!(runbook.fail_shim_of("begun"));
    served.running.until_it_says("parked");
    let path = format!("/runs/{}", runbook.newest_run());
    {
        let operator = Browser::sign_in(&served.client, &token("operator"));
        assert!(operator.reads(&path).contains("in doubt remediate.once"), "{}", operator.reads(&path));
        let say = |resolution: &str, reason: &str| {
            let fields = [("step", "remediate.once"), ("resolution", resolution), ("reason", reason)];
            operator.post(&format!("{path}/resolve"), &fields)
        };
        say("perhaps", "seen").is(400);
        say("done", " ").is(422);
        say("done", "seen with my own eyes").is(303);
    }
    served.running.until("it goes on", || {
        !served.client.get(&format!("/api/v1{path}"), Some(&token("viewer"))).json()["outcome"].is_null()
    });
    let viewer = Browser::sign_in(&served.client, &token("viewer"));
    served.running.until("it is told", || viewer.reads(&path).contains("seen with my own eyes"));
}

#[test]
fn a_ticket_is_taken_back_and_events_come_to_a_browser() {
    let slow = super::PLAYBOOK.replace("match: {alertname: Note}", "match: {alertname: Note}, for: 1h");
    let runbook = place("").file("playbooks/note.yaml", slow);
    let served = start(&runbook);
    served.alert(&["a"]).is(202);
    let operator = Browser::sign_in(&served.client, &token("operator"));
    assert!(operator.reads("/tickets").contains("held until"));
    operator.post("/tickets/1/withdraw", &[]).is(303);
    operator.post("/tickets/1/withdraw", &[]).is(404);
    assert!(operator.reads("/tickets").contains("no run"), "{}", operator.reads("/tickets"));
    runbook.args(["run", "note"]).done().exits(0);
    let run = runbook.newest_run();
    let all = operator.get(&format!("/runs/{run}/events")).is(200).body;
    assert!(all.contains("run_started") && all.contains("run_finished"), "{all}");
    let rest = operator.get(&format!("/runs/{run}/events?after=1")).is(200).body;
    assert!(!rest.contains("run_started") && rest.contains("run_finished"), "{rest}");
}
