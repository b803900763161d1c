//! What the API shows: playbooks, reports, and runs page by page.

use serde_json::{Value, json};

use super::contract::Contract;
use super::{Served, place, start, token};

fn get(served: &Served, path: &str) -> Value {
    served.client.get(path, Some(&token("viewer"))).is(200).json()
}

/// The names of the runs of a list.
fn runs(list: &Value) -> Vec<String> {
    let runs = list["runs"].as_array().expect("runs");
    runs.iter().map(|run| run["run"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn runs_are_listed_page_by_page_and_by_what_became_of_them() {
    let failing = super::PLAYBOOK
        .replace("name: note", "name: fails")
        .replace("Note}", "Fails}")
        .replace("sh, -c, '", "sh, -c, 'exit 1; ");
    let runbook = place("").file("playbooks/fails.yaml", failing);
    for _ in 0..4 {
        runbook.call("run note").exits(0);
    }
    runbook.call("run fails");
    runbook.call("run note").exits(0);
    let served = start(&runbook);
    let all = runs(&get(&served, "/api/v1/runs"));
    assert_eq!(all.len(), 6);
    let (mut paged, mut path) = (Vec::new(), "/api/v1/runs?limit=4".to_owned());
    let mut pages = 0;
    loop {
        let page = get(&served, &path);
        paged.extend(runs(&page));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/runs?limit=4&cursor={next}");
    }
    assert_eq!((paged, pages), (all.clone(), 2), "each run once, and no empty page");
    assert!(get(&served, "/api/v1/runs?limit=6").get("next").is_none(), "a full last page has none after it");
    let failed = get(&served, "/api/v1/runs?playbook=fails")["runs"][0].clone();
    let outcome = failed["outcome"].as_str().expect("it has ended").to_owned();
    assert_eq!(runs(&get(&served, &format!("/api/v1/runs?outcome={outcome}"))), [all[1].clone()], "{failed}");
    assert_eq!(runs(&get(&served, "/api/v1/runs?outcome=healthy")).len(), 5);
    assert_eq!(runs(&get(&served, "/api/v1/runs?since=2h")).len(), 6);
    assert_eq!(runs(&get(&served, "/api/v1/runs?since=2999-01-01T00:00:00Z")), Vec::<String>::new());
}

#[test]
fn a_playbook_tells_what_it_takes_and_what_it_may_do() {
    let playbook = "
runbook: 1
name: restart
title: The service hangs
inputs:
  target: {type: string, pattern: '[a-z0-9-]+', help: Which service.}
  grace: {type: duration, default: 10s}
triggers:
  - alert: {source: alertmanager, match: {alertname: Hangs}, inputs: {target: labels.target}}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
causes: {stuck: {title: It is stuck, when: 'true'}}
remediate:
  restart: {fixes: [stuck], command: {argv: [rm, hangs]}, risk: destructive, help: Restarts it.}
";
    let served = start(&place("").file("playbooks/restart.yaml", playbook));
    let answer = served.client.get("/api/v1/playbooks/restart", Some(&token("viewer"))).is(200);
    Contract::of(&served).check("GET", "/api/v1/playbooks/{playbook}", &answer);
    let shown = answer.json();
    assert_eq!(shown["inputs"][0]["name"], "target");
    assert_eq!((&shown["inputs"][0]["type"], &shown["inputs"][0]["required"]), (&json!("string"), &json!(true)));
    assert_eq!((&shown["inputs"][1]["type"], &shown["inputs"][1]["default"]), (&json!("duration"), &json!("10s")));
    assert_eq!(shown["triggers"], json!([{"by": "alert", "source": "alertmanager"}]));
    assert_eq!(shown["causes"], json!([{"name": "stuck", "title": "It is stuck"}]));
    assert_eq!(shown["risk"], "destructive");
    let steps = shown["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 2, "a detection is one step, though it is looked at twice: {shown}");
    let fix = &steps[1];
    assert_eq!(
        (&fix["step"], &fix["risk"], &fix["asks"]),
        (&json!("remediate.restart"), &json!("destructive"), &json!(true))
    );
    served.client.get("/api/v1/playbooks/nothing", Some(&token("viewer"))).is(404);
}

#[test]
fn a_report_of_the_api_is_that_of_the_command_line() {
    let runbook = place("");
    runbook.call("run note").exits(0);
    let run = runbook.newest_run();
    let served = start(&runbook);
    for format in ["markdown", "html"] {
        let path = format!("/api/v1/runs/{run}/report?format={format}");
        let answer = served.client.get(&path, Some(&token("viewer"))).is(200);
        assert!(answer.headers.contains("nosniff"), "{}", answer.headers);
        let same = runbook.args(["report", &run, "--format", format]).done().exits(0).stdout().to_owned();
        // The server may write between the two, which moves the end of the audit trail.
        let told = |report: &str| report.split("The last entry of the audit trail").next().map(str::to_owned);
        assert_eq!(told(&answer.body), told(&same));
    }
    let shown = get(&served, &format!("/api/v1/runs/{run}/report?format=json"));
    assert_eq!(shown, runbook.args(["show", &run, "--format", "json"]).done().exits(0).json());
}

#[test]
fn what_the_api_shows_while_something_waits_is_as_the_document_says() {
    let asks = "
runbook: 1
name: asks
title: It asks
triggers:
  - alert: {source: alertmanager, match: {alertname: Note}}
  - schedule: {cron: '0 3 * * *'}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
causes: {stuck: {title: It is stuck, when: 'true'}}
remediate: {restart: {fixes: [stuck], command: {argv: [rm, hangs]}}}
";
    let runbook = place("").file("playbooks/note.yaml", asks).file("hangs", "");
    let mut served = start(&runbook);
    let contract = Contract::of(&served);
    contract.check("POST", "/hooks/{hook}", &served.alert(&["a"]).is(202));
    served.running.until_it_says("parked");
    for path in ["/api/v1/tickets", "/api/v1/runs", "/api/v1/schedules", "/api/v1/playbooks"] {
        contract.check("GET", path, &served.client.get(path, Some(&token("viewer"))).is(200));
    }
    let run = runs(&get(&served, "/api/v1/runs"))[0].clone();
    let shown = served.client.get(&format!("/api/v1/runs/{run}"), Some(&token("viewer"))).is(200);
    contract.check("GET", "/api/v1/runs/{run}", &shown);
    let digest = shown.json()["approvals"][0]["digest"].clone();
    let word = json!({"step": "remediate.restart", "digest": digest});
    let path = format!("/api/v1/runs/{run}/approve");
    contract.check(
        "POST",
        "/api/v1/runs/{run}/approve",
        &served.client.post(&path, Some(&token("approver")), &word).is(200),
    );
    let Served { running, client } = &mut served;
    running.until("nothing is live", || client.tickets()["open"] == json!([]));
    let started = served.client.post("/api/v1/runs", Some(&token("operator")), &json!({"playbook": "asks"})).is(202);
    contract.check("POST", "/api/v1/runs", &started);
}
