//! Approvals by the API: who counts, what an answer is bound to, and that it is kept when it is acknowledged.

use std::sync::Barrier;

use serde_json::{Value, json};

use super::{Answer, Served, place, start, token};
use crate::support::Runbook;

const PLAYBOOK: &str = "
runbook: 1
name: restart
title: The service hangs
recovery: {within: 0s}
triggers:
  - alert: {source: alertmanager, match: {alertname: Note}}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
causes: {stuck: {title: It is stuck, when: 'true'}}
remediate:
  restart: {fixes: [stuck], command: {argv: [rm, hangs]}, approve: {by: [team], quorum: 2, timeout: 15m}}
";

const PEOPLE: [&str; 3] = ["ada", "grace", "edsger"];

/// A place where three people of a team have a token, and where something hangs.
fn team() -> Runbook {
    let mut runbook = place("");
    let mut site = runbook.read("runbook.yaml");
    for (person, role) in PEOPLE.into_iter().zip(["approver", "approver", "admin"]) {
        site.push_str(&format!("    {person}: {{token: {{env: TOKEN_{person}}}, role: {role}}}\n"));
        runbook = runbook.variable(&format!("TOKEN_{person}"), token(person));
    }
    site.push_str("contacts: {team: {members: [ada, grace, edsger]}, ada: {}, grace: {}, edsger: {}}\n");
    runbook.write("runbook.yaml", site);
    runbook.file("playbooks/note.yaml", PLAYBOOK).file("hangs", "")
}

/// A run that waits.
struct Waits {
    runbook: Runbook,
    served: Served,
    run: String,
}

impl Waits {
    /// One that an alert has started.
    fn from_alert() -> Self {
        let runbook = team();
        let mut served = start(&runbook);
        served.alert(&["a"]).is(202);
        served.running.until_it_says("parked");
        let run = runbook.newest_run();
        Waits { runbook, served, run }
    }

    fn say(&self, person: &str, word: &str, body: &Value) -> Answer {
        self.served.client.post(&format!("/api/v1/runs/{}/{word}", self.run), Some(&token(person)), body)
    }

    fn approval(&self) -> Value {
        let path = format!("/api/v1/runs/{}", self.run);
        self.served.client.get(&path, Some(&token("viewer"))).is(200).json()["approvals"][0].clone()
    }

    fn approve(&self, person: &str) -> Answer {
        let digest = self.approval()["digest"].clone();
        self.say(person, "approve", &json!({"step": "remediate.restart", "digest": digest, "reason": "seen"}))
    }

    fn until_it_is(&mut self, outcome: &str) {
        let Served { running, client } = &mut self.served;
        let path = format!("/api/v1/runs/{}", self.run);
        running.until(outcome, || client.get(&path, Some(&token("viewer"))).json()["outcome"] == json!(outcome));
    }
}

#[test]
fn two_people_of_the_team_approve_what_they_were_shown() {
    let mut waits = Waits::from_alert();
    let asked = waits.approval();
    assert_eq!(asked["request"]["command"]["argv"], json!(["rm", "hangs"]), "exactly what will be done: {asked}");
    waits.approve("ada").is(200);
    assert_eq!(waits.approval()["approved_by"], json!(["ada"]));
    assert!(waits.runbook.exists("hangs"));
    waits.approve("grace").is(200);
    waits
        .served
        .running
        .until("it is resolved", || waits.served.client.tickets()["closed"][0]["outcome"] == json!("resolved"));
    assert!(!waits.runbook.exists("hangs"));
    let report = waits.runbook.args(["report", &waits.run]).done().exits(0);
    report.says("ada").says("grace");
}

#[test]
fn t54_answers_that_must_not_count_are_refused_and_change_nothing() {
    let waits = Waits::from_alert();
    let digest = waits.approval()["digest"].clone();
    let exact = json!({"step": "remediate.restart", "digest": digest});
    for (person, body, status) in [
        ("viewer", &exact, 403),
        ("operator", &exact, 403),
        ("approver", &exact, 409),
        ("admin", &exact, 409),
        ("narrow", &exact, 404),
        ("ada", &json!({"step": "remediate.restart", "digest": "0000"}), 409),
        ("ada", &json!({"step": "remediate.other", "digest": digest}), 409),
        ("ada", &json!({"step": "remediate.restart"}), 422),
        ("ada", &json!({"digest": digest}), 422),
        ("ada", &json!({"step": "remediate.restart", "digest": digest, "by": "grace"}), 400),
    ] {
        let answer = waits.say(person, "approve", body);
        assert_eq!(answer.status, status, "{person} {body}: {}", answer.body);
        assert_eq!(waits.approval()["approved_by"], json!([]), "{person} {body}");
    }
    waits.approve("ada").is(200);
    let again = waits.approve("ada").is(409);
    assert!(again.body.contains("has approved it already"), "{}", again.body);
    assert!(waits.runbook.exists("hangs"));
}

#[test]
fn t54_who_started_a_run_by_the_api_does_not_approve_it() {
    let runbook = team();
    let mut served = start(&runbook);
    let started = served.client.post("/api/v1/runs", Some(&token("ada")), &json!({"playbook": "restart"})).is(202);
    let run = started.json()["run"].as_str().expect("a run").to_owned();
    served.running.until_it_says("parked");
    let waits = Waits { runbook, served, run };
    let refused = waits.approve("ada").is(409);
    assert!(refused.body.contains("started the run"), "{}", refused.body);
    waits.approve("grace").is(200);
    waits.approve("edsger").is(200);
}

#[test]
fn one_who_may_answer_rejects() {
    let mut waits = Waits::from_alert();
    waits.say("approver", "reject", &json!({"reason": "not mine"})).is(409);
    waits.say("grace", "reject", &json!({"reason": "not today"})).is(200);
    waits.until_it_is("rejected");
    assert!(waits.runbook.exists("hangs"));
    waits.approve("ada").is(409);
}

#[test]
fn a_run_of_the_command_line_goes_on_here_when_it_is_approved_here() {
    let runbook = team();
    runbook.call("run restart").exits(3);
    let run = runbook.newest_run();
    let served = start(&runbook);
    let mut waits = Waits { runbook, served, run };
    waits.approve("ada").is(200);
    waits.approve("grace").is(200);
    waits.until_it_is("resolved");
}

/// Everybody of the team presses the button at once: two count, and who comes third is told that nothing waits.
fn all_at_once(waits: &mut Waits) {
    let digest = waits.approval()["digest"].clone();
    let body = json!({"step": "remediate.restart", "digest": digest, "reason": "seen"});
    let path = format!("/api/v1/runs/{}/approve", waits.run);
    let (ready, client) = (Barrier::new(PEOPLE.len()), &waits.served.client);
    let answers = std::thread::scope(|scope| {
        let each = PEOPLE.map(|person| {
            let (ready, path, body) = (&ready, &path, &body);
            scope.spawn(move || {
                ready.wait();
                client.post(path, Some(&token(person)), body)
            })
        });
        each.map(|one| one.join().expect("an answer"))
    });
    let mut said = answers.each_ref().map(|answer| answer.status);
    said.sort_unstable();
    assert_eq!(said, [200, 200, 409], "{:?}", answers.each_ref().map(|answer| &answer.body));
    waits.until_it_is("resolved");
    let report = waits.runbook.args(["report", &waits.run]).done().exits(0).stdout();
    for (person, answer) in PEOPLE.iter().zip(&answers) {
        // A whole word: the hash of an entry may well have "ada" in it.
        let named = report.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == *person);
        assert_eq!(named, answer.status == 200, "{person}: {report}");
    }
    waits.runbook.write("hangs", "");
}

#[test]
fn who_approves_a_run_of_the_command_line_in_the_same_moment_as_others_gets_a_clear_answer() {
    let runbook = team();
    let served = start(&runbook);
    let mut waits = Waits { runbook, served, run: String::new() };
    for _ in 0..8 {
        waits.runbook.call("run restart").exits(3);
        waits.run = waits.runbook.newest_run();
        all_at_once(&mut waits);
    }
}

#[test]
fn who_approves_a_run_of_the_server_in_the_same_moment_as_others_gets_a_clear_answer() {
    let mut waits = Waits::from_alert();
    all_at_once(&mut waits);
    for _ in 1..6 {
        let started =
            waits.served.client.post("/api/v1/runs", Some(&token("operator")), &json!({"playbook": "restart"}));
        waits.run = started.is(202).json()["run"].as_str().expect("a run").to_owned();
        waits.until_it_is("parked");
        all_at_once(&mut waits);
    }
}

#[test]
fn an_answer_that_was_acknowledged_outlives_the_server() {
    let mut waits = Waits::from_alert();
    waits.approve("ada").is(200);
    waits.served.running.kill();
    waits.served = start(&waits.runbook);
    assert_eq!(waits.approval()["approved_by"], json!(["ada"]));
    waits.approve("grace").is(200);
    waits.until_it_is("resolved");
}

#[test]
fn a_called_run_is_approved_and_its_callers_go_on() {
    let trigger = "triggers:\n  - alert: {source: alertmanager, match: {alertname: Note}}\n";
    let caller = format!(
        "{}  call: {{fixes: [stuck], playbook: {{name: restart}}, risk: safe}}\n",
        PLAYBOOK.replace("name: restart", "name: caller").split("  restart:").next().expect("the text before it")
    );
    let runbook =
        team().file("playbooks/note.yaml", PLAYBOOK.replace(trigger, "")).file("playbooks/caller.yaml", caller);
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.running.until_it_says("parked");
    let runs = runbook.call("history --all --format json").exits(0).json();
    let called =
        runs.as_array().into_iter().flatten().find_map(|run| run["run"].as_str().filter(|id| id.contains('/')));
    let run = called.unwrap_or_else(|| panic!("no called run in {runs}")).replace('/', "%2F");
    let mut waits = Waits { runbook, served, run };
    waits.approve("ada").is(200);
    waits.approve("grace").is(200);
    let Served { running, client } = &mut waits.served;
    running.until("the caller is resolved", || client.tickets()["closed"][0]["outcome"] == json!("resolved"));
    assert!(!waits.runbook.exists("hangs"));
}

#[test]
fn t54_glass_is_broken_as_on_the_command_line_with_a_reason_and_by_nobody_else() {
    let mut waits = Waits::from_alert();
    let digest = waits.approval()["digest"].clone();
    let said = |digest: &Value, reason: &str| json!({"step": "remediate.restart", "digest": digest, "reason": reason});
    let exact = said(&digest, "the team sleeps");
    for (person, body, status, why) in [
        ("viewer", &exact, 403, "may not do that"),
        ("operator", &exact, 403, "may not do that"),
        ("approver", &exact, 403, "may not do that"),
        ("ada", &exact, 403, "may not do that"),
        ("narrow", &exact, 404, "no run"),
        // The role is not enough: it is for who started the run, and those who may answer.
        ("admin", &exact, 409, "none of those who may answer"),
        ("edsger", &said(&digest, " "), 422, "needs a reason"),
        ("edsger", &said(&json!("0000"), "x"), 409, "what is asked is"),
        ("edsger", &json!({"step": "remediate.restart", "digest": digest}), 400, "reason"),
        ("edsger", &json!({"step": "remediate.restart", "reason": "x"}), 400, "digest"),
        ("edsger", &json!({"digest": digest, "reason": "x"}), 400, "step"),
    ] {
        let answer = waits.say(person, "break-glass", body);
        assert_eq!(answer.status, status, "{person} {body}: {}", answer.body);
        assert!(answer.body.contains(why), "{person} {body}: {}", answer.body);
        assert!(waits.runbook.exists("hangs"));
    }
    let exported = |waits: &Waits| waits.runbook.call("audit export").exits(0).stdout();
    assert!(!exported(&waits).contains("glass_broken"));
    waits.say("edsger", "break-glass", &exact).is(200);
    waits.until_it_is("resolved");
    assert!(!waits.runbook.exists("hangs"));
    assert!(exported(&waits).contains("\"kind\":\"glass_broken\""));
    let report = waits.runbook.args(["report", &waits.run]).done().exits(0);
    report.says("glass broken by edsger: the team sleeps");
}
