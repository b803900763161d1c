//! Where messages go, what waits of them, and that none is lost.

use serde_json::{Value, json};

use super::{ALERTS, Served, place, start};
use crate::notify::Service;
use crate::support::Runbook;

/// Ends unresolved, always.
const PLAYBOOK: &str = "
runbook: 1
name: broken
title: It is broken
recovery: {within: 0s}
inputs: {target: {type: string, pattern: '[a-z]+'}}
triggers:
  - alert: {source: alertmanager, match: {alertname: Broken}, inputs: {target: labels.target}}
detect: {any: {hangs: {file: {path: runbook.yaml}, holds: exists}}}
";

const ROUTES: &str = "
  routes:
    - {name: team, match: {occasions: [unresolved], labels: {team: ml}}, to: ['discord:ml']}
    - {name: never, match: {occasions: [unresolved], severity: [critical]}, within: [closed], to: ['discord:ml']}
  default: ['discord:ops']
";

fn site(service: &Service, notify: &str) -> Runbook {
    let runbook = place("").variable("HOOK", &service.address).file("playbooks/broken.yaml", PLAYBOOK);
    let site = runbook.read("runbook.yaml");
    let channels = "channels: {discord: {ml: {webhook: {env: HOOK}}, ops: {webhook: {env: HOOK}}}}";
    let windows = "windows: {closed: {days: [mon], from: '00:00', to: '00:01'}}";
    runbook.write("runbook.yaml", format!("{site}{channels}\n{windows}\nnotify:{notify}"));
    runbook
}

fn alert(served: &Served, target: &str, labels: &Value) {
    let mut all = json!({"alertname": "Broken", "target": target});
    all.as_object_mut().expect("an object").extend(labels.as_object().expect("an object").clone());
    let alert = json!({"status": "firing", "fingerprint": target, "startsAt": "2026-11-22T15:47:12Z", "labels": all});
    let body = json!({"version": "4", "truncatedAlerts": 0, "status": "firing", "alerts": [alert]});
    served.client.post("/hooks/alertmanager", Some(ALERTS), &body).is(202);
}

/// How many messages wait in the outbox, by the program.
fn waiting(runbook: &Runbook) -> usize {
    runbook.call("notify log").exits(0).stdout().lines().filter(|line| line.contains(" waits: ")).count()
}

#[test]
fn labels_of_the_alert_choose_the_channel_and_the_journal_tells_why() {
    let service = Service::start();
    let runbook = site(&service, ROUTES);
    let mut served = start(&runbook);
    alert(&served, "a", &json!({"team": "ml"}));
    served.running.until("one is told", || service.calls().len() == 1);
    let closed = || served.client.tickets()["closed"].as_array().map_or(0, Vec::len);
    served.running.until("it is over", || closed() == 1);
    let run = runbook.newest_run();
    let said = runbook.call(&format!("notify log {run}")).exits(0);
    said.says("to discord:ml: route 'team': occasion unresolved, label team=ml")
        .says("not by route 'never': the severity is medium, not critical")
        .says("unresolved: discord:ml was told");
    let text = service.requests.lock().unwrap()[0].1["embeds"][0]["description"].to_string();
    assert!(text.contains("runbook run broken"), "{text}");

    alert(&served, "b", &json!({"team": "web"}));
    served.running.until("the default is told", || service.calls().len() == 2);
    served.running.until("it is over", || closed() == 2);
    let said = runbook.call(&format!("notify log {}", runbook.newest_run())).exits(0);
    said.says("to discord:ops: neither the playbook nor a route takes it").says("the label team is another one");
}

#[test]
fn what_is_held_back_survives_a_kill_and_becomes_one_message() {
    let service = Service::start();
    let runbook =
        site(&service, "\n  routes: [{match: {occasions: [unresolved]}, to: ['discord:ops']}]\n  group: {wait: 1h}\n");
    let mut served = start(&runbook);
    for target in ["a", "b", "c"] {
        alert(&served, target, &json!({}));
    }
    served.running.until("all of them wait", || waiting(&runbook) == 3);
    assert_eq!(service.calls(), Vec::<String>::new());
    served.running.kill();
    // Waiting is over sooner for the next server.
    let site = runbook.read("runbook.yaml").replace("wait: 1h", "wait: 0s");
    runbook.write("runbook.yaml", site);
    let mut served = start(&runbook);
    served.running.until("they are told", || waiting(&runbook) == 0 && service.calls().len() == 1);
    assert_eq!(service.titles(), ["3 runs of broken: unresolved"]);
    let text = service.requests.lock().unwrap()[0].1["embeds"][0]["description"].to_string();
    assert_eq!(text.matches("runbook show ").count(), 3, "{text}");
    runbook.call("notify log").exits(0).says("message 3, unresolved of run ");
    runbook.call("audit verify").exits(0);

    alert(&served, "d", &json!({}));
    served.running.until("it is edited", || service.calls().len() == 2);
    assert!(service.calls()[1].starts_with("PATCH "), "{:?}", service.calls());
    assert_eq!(service.titles()[1], "4 runs of broken: unresolved");
}

#[test]
fn what_is_more_than_a_channel_takes_becomes_a_summary() {
    let service = Service::start();
    let limit = "\n  routes: [{match: {occasions: [unresolved]}, to: ['discord:ops']}]\n  limits: {'discord:ops': {messages: 2, within: 4s}}\n";
    let runbook = site(&service, limit);
    let mut served = start(&runbook);
    for target in ["a", "b", "c", "d"] {
        alert(&served, target, &json!({}));
    }
    served.running.until("all are told", || {
        let log = runbook.call("notify log").exits(0).stdout();
        log.lines().filter(|line| line.contains("unresolved of run ")).count() == 4 && waiting(&runbook) == 0
    });
    assert_eq!(service.titles(), ["[medium] It is broken (broken): NOT resolved", "3 runs of broken: unresolved"]);
}

#[test]
fn the_server_says_at_the_start_when_nobody_would_hear_of_a_fault() {
    let service = Service::start();
    let silent = "\n  routes: [{match: {severity: [critical]}, to: ['discord:ops']}]\n";
    let runbook = site(&service, silent);
    let served = start(&runbook);
    served.running.interrupt();
    served.running.done().says("only the console is told when a run of broken").says("severity info");
    runbook.call("validate").exits(0).says("warning: only the console is told");
    let site = runbook.read("runbook.yaml").replace(silent, ROUTES);
    runbook.write("runbook.yaml", site);
    runbook.call("validate").exits(0).does_not_say("warning");
}

#[test]
fn a_route_can_be_asked_about_and_one_that_leads_nowhere_is_refused() {
    let service = Service::start();
    let runbook = site(&service, ROUTES).variable("TZ", "UTC");
    let asked = "notify route --on unresolved --severity critical --label team=ml --at";
    let said = runbook.call(&format!("{asked} 2026-11-23T00:00:30Z")).exits(0);
    said.says("  discord:ml  route 'team': occasion unresolved, label team=ml\n");
    runbook.call("notify route --severity critical --at 2026-11-23T00:00:30Z").exits(0).says("within closed");
    let said = runbook.call("notify route --severity critical --playbook broken --at 2026-11-24T00:00:30Z").exits(0);
    said.says("discord:ops  neither the playbook nor a route takes it").says("it is not within closed");
    runbook.call("notify route --at 03:00").exits(0).says("03:00:00");
    runbook.call("notify route --at soon").exits(2).says("is no moment");
    runbook.call("notify preview unresolved --playbook broken").exits(0).says("Now it goes to:").says("== discord:ops");
    for (right, wrong, code) in
        [("[closed]", "[nights]", "unknown-window"), ("['discord:ops']", "['discord:opps']", "unknown-channel")]
    {
        let site = runbook.read("runbook.yaml");
        runbook.write("runbook.yaml", site.replace(right, wrong));
        runbook.call("validate").exits(2).says(code);
        runbook.write("runbook.yaml", site);
    }
    let site = runbook.read("runbook.yaml");
    runbook.write("runbook.yaml", site.replace("severity: [critical]", "severity: [urgent]"));
    runbook.call("validate").exits(2).says("urgent");
}
