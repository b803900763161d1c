//! An escalation on the page of its run: who was told, who comes next, taking over, and its end.

use serde_json::json;

use super::escalations::ladder;
use super::pager::Pager;
use super::visitor::Browser;
use super::{start, token};
use crate::support::wait_until;

#[test]
fn the_page_of_a_run_says_who_is_told_and_somebody_takes_over_there() {
    let pager = Pager::start();
    let runbook = ladder(&pager, "30m");
    let served = start(&runbook);
    let body = json!({"playbook": "down"});
    let started = served.client.post("/api/v1/runs", Some(&token("operator")), &body).is(202).json();
    let page = format!("/runs/{}", started["run"].as_str().expect("a run"));
    let (operator, viewer) =
        (Browser::sign_in(&served.client, &token("operator")), Browser::sign_in(&served.client, &token("viewer")));
    wait_until("the first level is told", || operator.reads(&page).contains("webhook:first told"));
    let text = operator.reads(&page);
    assert!(text.contains("escalated, and nobody has taken over yet") && text.contains("(in 29 min)"), "{text}");
    assert!(text.contains("webhook:boss: not told") && text.contains("I take over"), "{text}");
    assert!(operator.get(&page).body.contains("data-every=\"15\""), "it looks again: people answer elsewhere");
    assert!(!viewer.reads(&page).contains("I take over"));
    let list = viewer.reads("/runs");
    assert!(list.contains("nobody has taken over yet; told last: webhook:first"), "{list}");
    assert!(!Browser::sign_in(&served.client, &token("narrow")).reads("/runs").contains("Escalated"));
    let playbooks = viewer.reads("/playbooks");
    assert!(playbooks.contains("on-call: webhook:first → lead → webhook:boss"), "{playbooks}");
    viewer.post(&format!("{page}/acknowledge"), &[]).is(403);
    operator.post(&format!("{page}/next-level"), &[("reason", "")]).is(303);
    wait_until("the lead is told", || operator.reads(&page).contains("webhook:lead told"));
    let message = pager.to("lead");
    assert!(message["text"].as_str().is_some_and(|text| text.contains("lead (+49 30 1)")), "{message}");
    assert!(operator.get(&page).body.contains(r#"<a href="tel:+49301">+49 30 1</a>"#), "a telephone calls them");
    let answered = operator.post(&format!("{page}/acknowledge"), &[("reason", "on <it>")]).is(303);
    assert!(answered.header("location").is_some_and(|to| to.ends_with("?said=acknowledge")), "{}", answered.headers);
    let text = operator.reads(&page);
    assert!(text.contains("somebody has taken over") && text.contains("Acknowledged by operator"), "{text}");
    assert!(text.contains("on <it>") && !text.contains("I take over"), "{text}");
    let again = operator.post(&format!("{page}/acknowledge"), &[]).is(409);
    assert!(again.body.contains("operator has acknowledged it already"), "{}", again.body);
    operator.post(&format!("{page}/close"), &[("reason", "repaired by hand")]).is(303);
    let text = operator.reads(&page);
    assert!(text.contains("escalation closed") && text.contains("closed by operator: repaired by hand"), "{text}");
    assert!(!operator.get(&page).body.contains("data-every"), "nothing more comes");
    assert!(!viewer.reads("/runs").contains("Escalated"));
    wait_until("they hear of it", || pager.count("first resolved") == 1 && pager.count("lead resolved") == 1);
}
