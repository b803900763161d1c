//! Silences: what starts no run by itself for some time.

use serde_json::{Value, json};

use super::{ALERTS, Client, alerts, place, start, token};

/// Why a ticket came to nothing.
fn why(client: &Client, ticket: u64) -> String {
    let tickets = client.tickets();
    let mut closed = tickets["closed"].as_array().into_iter().flatten();
    let found = closed.find(|closed| closed["ticket"] == ticket).unwrap_or_else(|| panic!("{tickets}"));
    found["why"].as_str().unwrap_or_default().to_owned()
}

/// The same alert as it is sent again.
fn send(client: &Client, target: &str) {
    client.post("/hooks/alertmanager", Some(ALERTS), &alerts(&[target], "firing")).is(202);
}

#[test]
fn what_is_silenced_starts_nothing_over_a_kill_until_the_silence_ends() {
    let runbook = place("");
    // Without a server, and about one label only.
    let added = ["silence", "add", "--label", "target=quiet", "--for", "2h", "--reason", "planned work"];
    runbook.args(added).done().exits(0).says("Silence 1: until ");
    let mut served = start(&runbook);
    send(&served.client, "quiet");
    assert!(why(&served.client, 1).contains(": planned work (silence 1)"), "{}", served.client.tickets());
    send(&served.client, "loud");
    served.running.until_it_says("healthy");
    served.running.kill();
    drop(served);
    let mut served = start(&runbook);
    send(&served.client, "quiet");
    assert!(why(&served.client, 3).contains("(silence 1)"), "{}", served.client.tickets());
    runbook.call("holds").exits(0).says("silence 1: target=quiet by tester, until ");
    runbook.call("silence end 1").exits(0);
    runbook.call("silence list").exits(0).says("Nothing is silenced.");
    // It is the same alert still, and now it counts.
    send(&served.client, "quiet");
    served.running.until_it_says("healthy");
    assert_eq!(runbook.call("history --format json").exits(0).json().as_array().map(Vec::len), Some(2));
}

#[test]
fn what_waits_is_silenced_too_and_a_person_is_not() {
    let patient = super::PLAYBOOK.replace("labels.target}}", "labels.target}, for: 1h}");
    let runbook = place("").file("playbooks/note.yaml", patient);
    let mut served = start(&runbook);
    send(&served.client, "slow");
    assert_eq!(served.client.tickets()["open"].as_array().map(Vec::len), Some(1));
    let silence = json!({"matches": {"playbooks": ["note"]}, "for": "1h", "reason": "migration"});
    let number = served.client.post("/api/v1/silences", Some(&token("operator")), &silence).is(201).json();
    assert_eq!(number, json!({"silence": 1}));
    served.running.until("what waits is skipped", || served.client.tickets()["open"] == json!([]));
    assert!(why(&served.client, 1).contains("by operator: migration"), "{}", served.client.tickets());
    let by_hand = json!({"playbook": "note", "inputs": {"target": "hand"}});
    served.client.post("/api/v1/runs", Some(&token("operator")), &by_hand).is(202);
    served.running.until_it_says("healthy");
    let listed = served.client.get("/api/v1/silences", Some(&token("viewer"))).json();
    assert_eq!(listed["silences"][0]["playbooks"], json!(["note"]), "{listed}");
    served.client.call("DELETE", "/api/v1/silences/1", Some(&token("operator")), None).is(200);
    let after = served.client.get("/api/v1/silences", Some(&token("viewer"))).json();
    assert_eq!(after["silences"], Value::Array(Vec::new()));
}

#[test]
fn a_silence_says_what_it_is_about_and_ends() {
    let runbook = place("");
    let all = ["silence", "add", "--for", "1h", "--reason", "x"];
    runbook.args(all).done().exits(2).says("a silence of nothing").says("runbook freeze");
    let label = ["silence", "add", "--label", "host", "--for", "1h", "--reason", "x"];
    runbook.args(label).done().exits(2).says("'host' is no matcher of a label");
    runbook.args(["silence", "add", "--playbook", "note", "--reason", "x"]).done().exits(2).says("--for");
    let past = ["silence", "add", "--playbook", "note", "--until", "2020-01-01 00:00", "--reason", "x"];
    runbook.args(past).done().exits(2).says("has passed; nothing was silenced");
    runbook.call("silence end 7").exits(2).says("there is no silence 7");
    let served = start(&runbook);
    let nothing = json!({"matches": {}, "for": "1h", "reason": "x"});
    served.client.post("/api/v1/silences", Some(&token("admin")), &nothing).is(422);
    let timeless = json!({"matches": {"playbooks": ["note"]}, "for": "0s", "reason": "x"});
    served.client.post("/api/v1/silences", Some(&token("admin")), &timeless).is(422);
}

#[test]
fn matchers_silence_as_in_alertmanager_over_a_restart() {
    let runbook = place("");
    let added = |matchers: &[&str]| {
        let labels = matchers.iter().flat_map(|matcher| ["--label", *matcher]);
        let rest = ["--for", "2h", "--reason", "planned work"];
        runbook.args(["silence", "add"].into_iter().chain(labels).chain(rest)).done()
    };
    added(&["alertname=Note", r#"target=~"web|db""#]).exits(0).says("Silence 1: until ");
    added(&[r#"target=~"x.*""#, "target!=xylophone", "team!~web.+"]).exits(0).says("Silence 2: until ");
    runbook.call("silence list").exits(0).says(r#"silence 1: alertname=Note target=~"web|db" by tester"#);
    let mut served = start(&runbook);
    for (ticket, target) in [(1, "web"), (2, "x-ray")] {
        send(&served.client, target);
        assert!(why(&served.client, ticket).contains(&format!("(silence {ticket})")), "{}", served.client.tickets());
    }
    for target in ["web2", "mydb", "xylophone"] {
        send(&served.client, target);
        served.running.until_it_says("healthy");
        served.running.stdout.clear();
    }
    assert_eq!(runbook.call("history --format json").exits(0).json().as_array().map(Vec::len), Some(3));
    let silence = json!({"matches": {"matchers": ["target=~\"mail-[0-9]+\""]}, "for": "1h", "reason": "move"});
    served.client.post("/api/v1/silences", Some(&token("operator")), &silence).is(201);
    send(&served.client, "mail-7");
    assert!(why(&served.client, 6).contains("by operator: move (silence 3)"), "{}", served.client.tickets());
    let listed = served.client.get("/api/v1/silences", Some(&token("viewer"))).json();
    assert_eq!(listed["silences"][2]["matchers"], silence["matches"]["matchers"], "{listed}");
}

#[test]
fn matchers_that_would_silence_everything_or_cannot_be_read_are_refused() {
    let runbook = place("");
    let served = start(&runbook);
    for (matcher, why) in [
        ("team!=a", "a silence of everything but a few: team!=\"a\" fits whatever has no such label"),
        ("team!~a", "a silence of everything but a few"),
        ("team=~.*", "a silence of everything but a few"),
        ("team=~(", "the pattern of team=~\"(\" cannot be used"),
        ("team=~x)|(y", "cannot be used"),
        (r"team=~(?:\w{300}){300}", "size limit"),
        ("team=\"a", "the quotes do not end"),
    ] {
        let add = ["silence", "add", "--label", matcher, "--for", "1h", "--reason", "x"];
        runbook.args(add).done().exits(2).says(why);
        let silence = json!({"matches": {"matchers": [matcher]}, "for": "1h", "reason": "x"});
        let refused = served.client.post("/api/v1/silences", Some(&token("admin")), &silence);
        assert!(matches!(refused.status, 400 | 422), "{matcher}: {}", refused.body);
        let told = refused.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(told.contains(why), "{told}");
    }
    let twice = ["silence", "add", "--label", "team=a", "--label", "team=b", "--for", "1h", "--reason", "x"];
    runbook.args(twice).done().exits(2).says("nothing has 'a' and 'b' as its label team");
    runbook.call("silence list").exits(0).says("Nothing is silenced.");
}

#[test]
fn what_a_watch_sees_waits_for_the_end_of_the_silence() {
    let watched = "
runbook: 1
name: hangs
title: It hangs
recovery: {within: 0s}
triggers:
  - watch: {every: 1s}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
";
    let runbook = place("").file("playbooks/hangs.yaml", watched);
    runbook.args(["silence", "add", "--playbook", "hangs", "--for", "2h", "--reason", "x"]).done().exits(0);
    let mut served = start(&runbook);
    runbook.write("hangs", "");
    let watch = || served.client.get("/api/v1/schedules", Some(&token("viewer"))).json().to_string();
    served.running.until("it is seen", || watch().contains("\"holds\":true"));
    let history = || runbook.call("history --format json").exits(0).json().as_array().map_or(0, Vec::len);
    served.client.get("/health", None).is(200);
    assert_eq!(history(), 0);
    runbook.call("silence end 1").exits(0);
    served.running.until("a run has started", || history() == 1);
}
