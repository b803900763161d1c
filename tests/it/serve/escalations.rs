//! Escalations, from outside: ladders, answers by command, API, link and paging service, updates, kills.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};

use super::pager::{Pager, SECRET};
use super::visitor::{shown, text_of};
use super::{Client, Served, place, start, token};
use crate::clock::other_time;
use crate::support::{Runbook, wait_until};

const PLAYBOOK: &str = "
runbook: 1
name: down
title: The <service> is down
inputs: {target: {type: string, default: a}}
recovery: {within: 0s}
detect: {any: {down: {file: {path: 'down-{{inputs.target}}'}, holds: exists}}}
escalate: {policy: on-call}
";

/// The path of the page that a message to the first level links to.
pub fn link(pager: &Pager) -> String {
    let text = pager.to("first")["text"].as_str().expect("text").to_owned();
    let link = text.lines().find_map(|line| line.strip_prefix("To take it over in a browser: ")).expect("a link");
    link.strip_prefix("https://runbook.example.com").expect("the site's address").to_owned()
}

/// A place with a ladder of three, whose levels have so long.
pub fn ladder(pager: &Pager, within: &str) -> Runbook {
    let runbook =
        place("    pd: {pagerduty: {secret: {env: PD}}}\n").variable("PAGES", SECRET).variable("PD", "pd-secret");
    let mut site = runbook.read("runbook.yaml");
    site.push_str("url: https://runbook.example.com\ncontacts: {lead: {channel: 'webhook:lead', phone: +49 30 1}}\n");
    site.push_str(&format!(
        "escalation:\n  on-call:\n    levels: [{{tell: ['webhook:first'], within: {within}}}, {{tell: [lead], within: \
         {within}}}, {{tell: ['webhook:boss']}}]\nchannels:\n  webhook:\n"
    ));
    for name in ["first", "lead", "boss", "all"] {
        site.push_str(&format!("    {name}: {{url: '{}/{name}', secret: {{env: PAGES}}}}\n", pager.address));
    }
    runbook.write("runbook.yaml", site);
    runbook.write("playbooks/note.yaml", PLAYBOOK);
    runbook.write("down-a", "");
    runbook
}

pub fn escalation(client: &Client) -> Value {
    client.get("/api/v1/escalations", Some(&token("viewer"))).is(200).json()["escalations"][0].clone()
}

#[test]
fn a_run_of_the_command_line_tells_the_first_level_and_the_server_the_others() {
    let pager = Pager::start();
    let runbook = ladder(&pager, "3s");
    runbook.call("run down").exits(1).says("Escalated to level 1 (webhook:first)").says("runbook serve");
    assert_eq!(pager.told(), ["first escalated"]);
    let run = runbook.newest_run();
    let served = start(&runbook);
    wait_until("all levels are told", || pager.count("boss escalated") == 1);
    assert_eq!(pager.told(), ["first escalated", "lead escalated", "boss escalated"], "nobody twice");
    assert_eq!(escalation(&served.client)["run"], json!(run));
    runbook.args(["ack", &run, "--reason", "on it"]).done().exits(0).says("Acknowledged").says("webhook:lead: told");
    assert_eq!(pager.count("first acknowledged"), 1);
    assert!(pager.to("lead")["text"].as_str().expect("text").contains("Acknowledged by tester: on it"));
    runbook.args(["ack", &run]).done().exits(0).says("tester has acknowledged it already");
    runbook.args(["escalate", &run]).done().exits(2).says("tester has acknowledged it");
    let shown = runbook.args(["show", &run]).done().exits(0);
    shown.says("level 2 (lead): webhook:lead told").says("acknowledged by tester (command): on it");
    runbook.args(["report", &run]).done().exits(0).says("acknowledged by tester");
    let json = runbook.args(["show", &run, "--format", "json"]).done().exits(0).json();
    assert_eq!(json["escalation"]["acknowledged"]["by"], json!("tester"));
    // A later run that finds the fault gone closes it, and those who were asked hear of it.
    std::fs::remove_file(runbook.path("down-a")).expect("it was down");
    runbook.call("run down").exits(0);
    wait_until("it is closed", || escalation(&served.client)["closed"]["gone"] == json!(true));
    // They are told side by side, in whatever order.
    let ends = || ["first", "lead", "boss"].map(|who| pager.count(&format!("{who} resolved")));
    wait_until("the end is told", || ends().iter().all(|count| *count > 0));
    assert_eq!(ends(), [1, 1, 1]);
}

#[test]
fn nobody_is_told_twice_over_kills_of_the_server() {
    let pager = Pager::start();
    let runbook = ladder(&pager, "2s");
    runbook.call("run down").exits(1);
    let mut rounds = 0;
    while pager.count("boss escalated") == 0 {
        let mut served = start(&runbook);
        rounds += 1;
        let before = pager.told().len();
        served.running.until("it is told or time has passed", || {
            pager.told().len() > before || pager.count("boss escalated") == 1
        });
        served.running.kill();
        drop(served.running.done());
        assert!(rounds < 10, "{:?}", pager.told());
    }
    let served = start(&runbook);
    wait_until("it listens", || escalation(&served.client)["climb"]["level"] == json!(3));
    for who in ["first", "lead", "boss"] {
        assert_eq!(pager.count(&format!("{who} escalated")), 1, "{:?}", pager.told());
    }
}

/// A server that starts reads what escalated within a day, what is over among it.
#[test]
fn what_is_over_is_not_told_again_by_a_server_that_starts_anew() {
    let pager = Pager::start();
    let runbook = ladder(&pager, "30m");
    // The fault of one target, told by the command and closed by the server.
    let comes_and_goes = |target: &str, resolved: usize| {
        let (down, run) = (format!("down-{target}"), format!("run down --input target={target}"));
        runbook.write(&down, "");
        runbook.call(&run).exits(1);
        std::fs::remove_file(runbook.path(&down)).expect("it was down");
        runbook.call(&run).exits(0);
        wait_until("the server has closed it", || pager.count("first resolved") == resolved);
    };
    let served = start(&runbook);
    comes_and_goes("a", 1);
    served.running.kill();
    drop(served.running.done());
    let _served = start(&runbook);
    comes_and_goes("b", 2);
    assert_eq!(pager.count("first escalated"), 2, "each fault once: {:?}", pager.told());
}

#[test]
fn a_run_of_the_server_is_escalated_and_acknowledged_by_the_api() {
    let pager = Pager::start();
    let runbook = ladder(&pager, "30m");
    let served = start(&runbook);
    let client = &served.client;
    let body = json!({"playbook": "down"});
    let run = client.post("/api/v1/runs", Some(&token("operator")), &body).is(202).json()["run"].clone();
    let run = run.as_str().expect("a run").to_owned();
    wait_until("the first level is told", || pager.count("first escalated") == 1);
    wait_until("it is written down", || escalation(client)["notices"][0]["to"]["webhook:first"]["sent"] == "delivered");
    assert_eq!(escalation(client)["acknowledged"], Value::Null);
    let path = |word: &str| format!("/api/v1/escalations/{run}/{word}");
    client.post(&path("ack"), Some(&token("viewer")), &json!({})).is(403);
    client.post(&path("ack"), Some(&token("narrow")), &json!({})).is(404);
    assert_eq!(client.get("/api/v1/escalations", Some(&token("narrow"))).is(200).json(), json!({"escalations": []}));
    client.post(&path("next"), Some(&token("operator")), &json!({})).is(200);
    wait_until("the next level is told", || pager.count("lead escalated") == 1);
    let taken = client.post(&path("ack"), Some(&token("operator")), &json!({"reason": "mine"})).is(200).json();
    assert_eq!((&taken["acknowledged"]["by"], &taken["acknowledged"]["way"]), (&json!("operator"), &json!("api")));
    client.post(&path("ack"), Some(&token("operator")), &json!({})).is(409);
    client.post(&path("next"), Some(&token("operator")), &json!({})).is(409);
    client.post(&path("close"), Some(&token("operator")), &json!({"reason": "by hand"})).is(200);
    wait_until("the end is told", || pager.count("first resolved") == 1);
    client.post("/api/v1/escalations/none/ack", Some(&token("operator")), &json!({})).is(404);
}

const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

#[test]
fn the_link_of_a_message_shows_and_only_its_form_acknowledges() {
    let pager = Pager::start();
    let runbook = ladder(&pager, "30m");
    runbook.call("run down").exits(1);
    let text = pager.to("first")["text"].as_str().expect("text").to_owned();
    assert!(text.ends_with(&format!("runbook ack {}", runbook.newest_run())), "{text}");
    let path = link(&pager);
    let served = start(&runbook);
    let asks = served.client.get(&path, None).is(200);
    assert!(asks.body.contains("The &lt;service&gt; is down") && !asks.body.contains("<script"), "{}", asks.body);
    insta::assert_snapshot!("page_take_over", shown(&text_of(&asks.body)));
    let policy = asks.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'self'") && !policy.contains("script"), "{policy}");
    for (header, value) in
        [("referrer-policy", "no-referrer"), ("cache-control", "no-store"), ("x-frame-options", "DENY")]
    {
        assert_eq!(asks.header(header), Some(value), "{header}");
    }
    assert_eq!(escalation(&served.client)["acknowledged"], Value::Null, "looking changes nothing");
    let forged = path.replace("first", "boss");
    let longer = path.replace("until=1", "until=2");
    for wrong in [forged.as_str(), &longer, &path[..path.len() - 2], path.split('?').next().expect("a path")] {
        served.client.get(wrong, None).is(401);
        served.client.raw("POST", wrong, FORM, b"name=eve").expect("an answer").is(401);
    }
    assert_eq!(escalation(&served.client)["acknowledged"], Value::Null);
    served.client.raw("POST", &path, "content-type: application/json\r\n", b"{}").expect("an answer").is(415);
    let done = served.client.raw("POST", &path, FORM, b"name=Ada+%3Cb%3E").expect("an answer").is(200);
    assert!(done.body.contains("by <b>Ada &lt;b&gt; (webhook:first)</b>"), "{}", done.body);
    insta::assert_snapshot!("page_taken_over", shown(&text_of(&done.body)));
    let answer = escalation(&served.client)["acknowledged"].clone();
    assert_eq!((&answer["by"], &answer["way"]), (&json!("Ada <b> (webhook:first)"), &json!("link")));
    wait_until("whoever was told hears of it", || pager.count("first acknowledged") == 1);
    let again = served.client.raw("POST", &path, FORM, b"name=Eve").expect("an answer").is(200);
    assert!(again.body.contains("by <b>Ada") && !again.body.contains("Eve"), "{}", again.body);
}

#[test]
fn a_link_expires() {
    let Some(library) = other_time() else { return };
    let pager = Pager::start();
    let runbook = ladder(&pager, "30m");
    runbook.call("run down").exits(1);
    let path = link(&pager);
    let runbook = runbook.variable("LD_PRELOAD", library.display().to_string()).variable("FAKETIME", "+4d");
    let served = start(&runbook);
    let expired = served.client.get(&path, None).is(410);
    assert!(expired.body.contains("expired"), "{}", expired.body);
    served.client.raw("POST", &path, FORM, b"name=x").expect("an answer").is(410);
    assert_eq!(escalation(&served.client)["acknowledged"], Value::Null);
}

#[test]
fn the_paging_service_acknowledges_by_our_key() {
    let pager = Pager::start();
    let runbook = ladder(&pager, "30m");
    runbook.call("run down").exits(1);
    let key = pager.to("first")["dedup_key"].as_str().expect("a key").to_owned();
    let served = start(&runbook);
    let post = |key: &str, secret: &str| {
        let event = json!({"id": format!("01-{key}"), "event_type": "incident.acknowledged",
            "agent": {"summary": "Grace"}, "data": {"id": "P1", "incident_key": key}});
        let body = json!({"event": event}).to_string();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let headers = format!("content-type: application/json\r\nx-pagerduty-signature: v1={signature}\r\n");
        served.client.raw("POST", "/hooks/pd", &headers, body.as_bytes()).expect("an answer")
    };
    post(&key, "another-secret").is(401);
    assert_eq!(post("runbook:other:0", "pd-secret").is(202).json()["acknowledged"], json!(0));
    assert_eq!(escalation(&served.client)["acknowledged"], Value::Null);
    assert_eq!(post(&key, "pd-secret").is(202).json()["acknowledged"], json!(1));
    let answer = escalation(&served.client)["acknowledged"].clone();
    assert_eq!((&answer["by"], &answer["way"]), (&json!("Grace"), &json!("pd")));
}

#[test]
fn levels_without_times_are_told_by_command() {
    let pager = Pager::start();
    let runbook = ladder(&pager, "30m");
    let site = runbook.read("runbook.yaml").replace(", within: 30m", "");
    runbook.write("runbook.yaml", site);
    runbook.call("run down").exits(1).says("`runbook escalate");
    let run = runbook.newest_run();
    runbook.args(["escalate", &run]).done().exits(0).says("webhook:lead: told");
    runbook.args(["escalate", &run]).done().exits(0).says("webhook:boss: told");
    runbook.args(["escalate", &run]).done().exits(2).says("every level was told");
    assert_eq!(pager.told(), ["first escalated", "lead escalated", "boss escalated"]);
    runbook.call("run down").exits(1).does_not_say("error");
}

#[test]
fn mistakes_in_policies_are_named_with_their_place() {
    let pager = Pager::start();
    let runbook = ladder(&pager, "30m");
    runbook.write("playbooks/note.yaml", PLAYBOOK.replace("policy: on-call", "policy: on-cal"));
    insta::assert_snapshot!(runbook.call("validate").exits(2).shown());
    let site = runbook.read("runbook.yaml");
    let wrong = site.replace("tell: [lead], within", "tell: [laed], until: 1m, within").replace("'webhook:boss'", "");
    runbook.write("runbook.yaml", wrong);
    insta::assert_snapshot!(runbook.call("validate").exits(2).shown());
}

/// The examples as they are shipped, told to a stand-in.
fn example(pager: &Pager) -> Runbook {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/escalation");
    let read = |file: &str| std::fs::read_to_string(format!("{root}/{file}")).expect("an example");
    let site = read("runbook.yaml").replace("https://pages.example.com", &pager.address);
    let site =
        site + "serve:\n  address: 127.0.0.1:0\n  tokens: {viewer: {token: {env: TOKEN_viewer}, role: viewer}}\n";
    Runbook::new()
        .variable("PAGES_SECRET", SECRET)
        .variable("TOKEN_viewer", token("viewer"))
        .file("runbook.yaml", site)
        .file("playbooks/service-outage.yaml", read("playbooks/service-outage.yaml"))
        .file("service-is-down", "")
}

#[test]
fn the_example_tells_its_levels_after_15_and_30_minutes_and_keeps_people_informed() {
    let pager = Pager::start();
    let runbook = example(&pager);
    runbook.call("validate").exits(0);
    let Some(library) = other_time() else { return };
    let clock = runbook.path("clock").display().to_string();
    runbook.write("clock", "+0");
    let runbook = runbook
        .variable("LD_PRELOAD", library.display().to_string())
        .variable("FAKETIME_TIMESTAMP_FILE", clock)
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    runbook.call("run service-outage").exits(1);
    assert_eq!(pager.count("on-call escalated"), 1);
    assert!(pager.count("stakeholders status-update") >= 1, "{:?}", pager.told());
    let update = pager.to("stakeholders")["text"].as_str().expect("text").to_owned();
    for line in ["Impact: Nobody can use it", "ETA: about ", "Updates: every 30 minutes"] {
        assert!(update.contains(line), "{line}: {update}");
    }
    let updates = || pager.count("stakeholders status-update");
    let before = updates();
    let Served { running: _running, client } = start(&runbook);
    // Renamed into its place: a clock that is half written is another time.
    let set = |time: &str| {
        runbook.write("clock.new", time);
        std::fs::rename(runbook.path("clock.new"), runbook.path("clock")).expect("one folder");
    };
    set("+15m");
    wait_until("the lead is told", || pager.count("lead escalated") == 1);
    assert_eq!((pager.count("management escalated"), updates()), (0, before));
    set("+31m");
    wait_until("management is told", || pager.count("management escalated") == 1);
    wait_until("people are kept informed", || updates() == before + 1);
    // Everybody once more, as the policy says.
    set("+75m");
    wait_until("the second round begins", || pager.count("on-call escalated") == 2);
    std::fs::remove_file(runbook.path("service-is-down")).expect("it was down");
    runbook.call("run service-outage").exits(0);
    wait_until("it is closed", || escalation(&client)["closed"]["gone"] == json!(true));
    let last = || pager.to("stakeholders")["text"].as_str().is_some_and(|text| text.contains("Status: Resolved"));
    wait_until("the last update is told", last);
}

/// How a message went is written down in a moment at which the next level is due already.
#[test]
fn a_level_that_falls_due_while_another_one_is_told_is_told_too() {
    let clock: Arc<OnceLock<PathBuf>> = Arc::default();
    let set = |clock: &Path, time: &str| {
        let new = clock.with_extension("new");
        std::fs::write(&new, time).and_then(|()| std::fs::rename(new, clock)).expect("one folder");
    };
    let known = clock.clone();
    let pager = Pager::start_with(move |who| {
        if let Some(clock) = known.get().filter(|_| who == "lead") {
            set(clock, "+31m");
        }
    });
    let runbook = example(&pager);
    let Some(library) = other_time() else { return };
    let file = clock.get_or_init(|| runbook.path("clock"));
    set(file, "+0");
    let runbook = runbook
        .variable("LD_PRELOAD", library.display().to_string())
        .variable("FAKETIME_TIMESTAMP_FILE", file.display().to_string())
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    runbook.call("run service-outage").exits(1);
    let _served = start(&runbook);
    set(file, "+15m");
    wait_until("the lead is told", || pager.count("lead escalated") == 1);
    wait_until("management is told", || pager.count("management escalated") == 1);
}

#[test]
fn the_tables_of_the_example_choose_the_first_to_be_told_by_severity() {
    let cases = [
        ("iit-support", "critical", "support escalated"),
        ("iit-support", "low", "support escalated"),
        ("warmup-support", "critical", "lead escalated"),
        ("warmup-support", "high", "platform escalated"),
        ("warmup-support", "medium", "development escalated"),
        ("cad-models", "medium", "engineering escalated"),
        ("datacloak", "high", "operations escalated"),
    ];
    for (policy, severity, told) in cases {
        let pager = Pager::start();
        let runbook = example(&pager);
        let playbook = runbook.read("playbooks/service-outage.yaml");
        let playbook = playbook.replace("policy: service-outage", &format!("policy: {policy}"));
        let playbook = playbook.lines().filter(|line| !line.starts_with("notify:")).collect::<Vec<_>>().join("\n");
        runbook.write("playbooks/service-outage.yaml", format!("{playbook}\nseverity: [{{is: {severity}}}]\n"));
        runbook.call("run service-outage").exits(1);
        assert_eq!(pager.told(), [told], "{policy} {severity}");
    }
    // What cannot wait goes on at once: the commander, then those who repair.
    let pager = Pager::start();
    let runbook = example(&pager);
    let playbook =
        runbook.read("playbooks/service-outage.yaml").replace("policy: service-outage", "policy: cad-models");
    runbook.write("playbooks/service-outage.yaml", format!("{playbook}severity: [{{is: critical}}]\n"));
    runbook.call("run service-outage").exits(1);
    for who in ["commander", "engineering", "platform"] {
        assert_eq!(pager.count(&format!("{who} escalated")), 1, "{:?}", pager.told());
    }
}
