//! Schedules and watches through the real server: due, once, over kills and days without a server.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::{Client, PLAYBOOK, Served, place, start, token};
use crate::clock::other_time;
use crate::support::Runbook;

const ALERT: &str = "alert: {source: alertmanager, match: {alertname: Note}, inputs: {target: labels.target}}";

/// A place whose playbook has this trigger instead.
fn with(trigger: &str) -> Runbook {
    place("").file("playbooks/note.yaml", PLAYBOOK.replace(ALERT, trigger))
}

fn ran(runbook: &Runbook) -> usize {
    runbook.read("ran.txt").lines().count()
}

fn schedules(client: &Client) -> Value {
    client.get("/api/v1/schedules", Some(&token("viewer"))).is(200).json()["schedules"].clone()
}

/// The ticks that runs were started for, as their triggers name them.
fn ticks(runbook: &Runbook) -> Vec<String> {
    let entries = runbook.call("audit export").exits(0).events();
    let body = |entry: &Value| serde_json::from_str::<Value>(entry["body"].as_str().expect("a text")).expect("JSON");
    let starts = entries.iter().filter(|entry| entry["kind"] == "run_started").map(body);
    let tick = |header: Value| {
        header["trigger"].as_str().and_then(|trigger| Some(trigger.split_once(" since ")?.1[..24].to_owned()))
    };
    starts.map(|header| tick(header).expect("a tick")).collect()
}

#[test]
fn a_schedule_runs_by_itself_and_is_shown_with_its_last_outcome() {
    let runbook = with("schedule: {cron: '* * * * * *', with: {target: nightly}}");
    let mut served = start(&runbook);
    served.running.until("it has run twice", || ran(&runbook) >= 2);
    served.running.until("its end is known", || schedules(&served.client)[0]["last"]["outcome"].is_string());
    let listed = schedules(&served.client)[0].clone();
    assert_eq!((&listed["kind"], &listed["playbook"]), (&json!("schedule"), &json!("note")));
    assert_eq!(listed["next"].as_array().map(Vec::len), Some(3), "{listed}");
    assert_eq!(served.client.get("/api/v1/schedules", Some(&token("narrow"))).is(200).json(), json!({"schedules": []}));
    assert!(runbook.read("ran.txt").lines().all(|line| line == "nightly"));
    served.running.kill();
    let shown = runbook.call("schedule").exits(0).stdout();
    assert!(shown.contains("note: * * * * * * UTC") && shown.contains("next  ") && shown.contains("last  "), "{shown}");
    assert_eq!(runbook.call("schedule --format json").exits(0).json()[0]["name"], listed["name"]);
    runbook.call("schedule another").exits(0).says("Nothing runs by itself");
}

/// The intent is durable before a run starts, and a tick is taken once, wherever the kill hits.
#[test]
fn a_tick_runs_once_over_restarts_and_kills() {
    let runbook = with("schedule: {cron: '* * * * * *', missed: run_all, overlap: queue}");
    for round in 1..=6 {
        let mut served = start(&runbook);
        // A run that was killed and goes on leaves another line, so lines alone do not count ticks.
        served.running.until("it runs", || ran(&runbook) >= round && ticks(&runbook).len() >= round);
        served.running.kill();
    }
    let served = start(&runbook);
    drop(served);
    let all = ticks(&runbook);
    let once: BTreeSet<&String> = all.iter().collect();
    assert_eq!(once.len(), all.len(), "{all:?}");
    assert!(all.len() >= 6);
    let verified = runbook.call("audit verify").exits(0).stdout();
    assert!(verified.contains(&format!("{} run", all.len())), "the streams are no runs: {verified}");
}

/// A place whose clock is in a file, and whose schedules a server has seen that is gone.
fn before_days_without_a_server(runbook: Runbook, library: &Path) -> Runbook {
    let runbook = runbook.file("clock", "@2026-03-27 12:00:00");
    let runbook = runbook.variable("LD_PRELOAD", library.display().to_string()).variable("FAKETIME_NO_CACHE", "1");
    let clock = runbook.path("clock").display().to_string();
    let runbook = runbook.variable("FAKETIME_TIMESTAMP_FILE", clock).variable("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut served = start(&runbook);
    let known = |one: &Value| one["next"].is_array();
    served.running.until("all are known", || {
        runbook.call("schedule --format json").json().as_array().is_some_and(|all| all.iter().all(known))
    });
    let count = runbook.call("schedule --format json").json().as_array().map_or(0, Vec::len);
    served.running.until("all count", || runbook.call("audit export").stdout().matches("began").count() >= count);
    served.running.kill();
    runbook
}

/// A server over the change of the clocks, three days later, which knows what was missed.
fn back_after_three_days(runbook: &Runbook) -> Served {
    runbook.write("clock", "@2026-03-30 12:00:00");
    let mut served = start(runbook);
    let Served { running, client } = &mut served;
    running.until("what was missed is known", || {
        schedules(client).as_array().is_some_and(|all| all.iter().all(|one| one["last_missed"].is_i64()))
    });
    served
}

/// The figure is about all schedules of a playbook and what its journal knows, so a restart neither forgets nor doubles.
#[test]
fn missed_ticks_are_a_figure_that_outlives_the_server() {
    let Some(library) = other_time() else { return };
    let figure = |client: &Client| client.figure("runbook_schedule_missed_ticks_total{playbook=\"note\"}");
    let two = "schedule: {cron: '0 6 * * *', timezone: Europe/Berlin, missed: skip}\n  \
               - schedule: {cron: '0 7 * * *', timezone: Europe/Berlin, missed: run_once}";
    let runbook = before_days_without_a_server(with(two), &library);
    let mut served = back_after_three_days(&runbook);
    served.running.until("what is made up for has run", || ran(&runbook) == 1);
    let metrics = served.client.metrics();
    assert_eq!(figure(&served.client), 5.0, "three of one, and two of the other:\n{metrics}");
    assert_eq!(figure(&served.client), 5.0, "looking counts nothing");
    served.running.until("nothing goes on", || served.client.tickets()["open"] == json!([]));
    served.running.kill();
    drop(served);
    let served = back_after_three_days(&runbook);
    assert_eq!(figure(&served.client), 5.0, "{}", served.client.metrics());
    assert!(served.client.metrics().contains("# TYPE runbook_schedule_missed_ticks_total counter"));
}

#[test]
fn t11_days_without_a_server_are_made_up_for_as_the_schedule_says() {
    let Some(library) = other_time() else { return };
    for (missed, runs) in [("skip", 0), ("run_once", 1), ("run_all, catch_up: 2", 2)] {
        let runbook = with(&format!("schedule: {{cron: '0 6 * * *', timezone: Europe/Berlin, missed: {missed}}}"));
        let runbook = before_days_without_a_server(runbook, &library);
        let mut served = back_after_three_days(&runbook);
        served.running.until("what is made up for has run", || ran(&runbook) == runs);
        let listed = schedules(&served.client)[0].clone();
        assert_eq!(listed["missed"], json!(3 - runs), "{missed}: {listed}");
        served.running.until("nothing goes on", || served.client.tickets()["open"] == json!([]));
        assert_eq!(ran(&runbook), runs, "{missed}");
    }
}

const WATCHED: &str = "
runbook: 1
name: watched
title: A file that must not be there
triggers:
  - watch: {every: 1s, flapping: {changes: 2, within: 1h}}
detect:
  any:
    there: {file: {path: trouble}, holds: exists}
diagnose:
  noted: {command: {argv: [sh, -c, 'echo seen >> ran.txt']}, effect: read}
";

#[test]
fn a_watch_records_nothing_until_it_holds_and_is_held_back_when_it_flaps() {
    let runbook = place("").file("playbooks/watched.yaml", WATCHED);
    let mut served = start(&runbook);
    let state = |client: &Client| schedules(client)[0].clone();
    served.running.until("it has looked", || state(&served.client)["kind"] == "watch");
    assert_eq!(runbook.call("history --format json").exits(0).json(), json!([]));
    runbook.write("trouble", "");
    served.running.until_it_says("started by watch");
    served.running.until("the run has ended", || state(&served.client)["last"]["outcome"].is_string());
    assert_eq!((ran(&runbook), &state(&served.client)["holds"]), (1, &json!(true)));
    for _ in 0..2 {
        std::fs::remove_file(runbook.path("trouble")).expect("it is there");
        served.running.until("it is over", || state(&served.client)["holds"] == json!(false));
        runbook.write("trouble", "");
        served.running.until("it is back", || state(&served.client)["holds"] == json!(true));
    }
    assert_eq!(state(&served.client)["held_back"], json!(true));
    served.running.until("the last run has ended", || served.client.tickets()["open"] == json!([]));
    let runs = runbook.call("history --format json").exits(0).json();
    assert_eq!(runs.as_array().map(Vec::len), Some(2), "one run more, then it is held back");
    served.running.kill();
    runbook.call("schedule").exits(0).says("held back: it changes too often");
}

#[test]
fn a_run_of_a_watch_looks_once_more_and_does_not_wait_again() {
    let patient = WATCHED.replace("holds: exists}", "holds: exists, for: 2s}");
    let runbook = place("").file("playbooks/watched.yaml", patient).file("trouble", "");
    let mut served = start(&runbook);
    served.running.until("the run has ended", || ran(&runbook) == 1);
    served.running.until("nothing goes on", || served.client.tickets()["open"] == json!([]));

    let events = runbook.call("audit export").exits(0).stdout();
    assert_eq!(events.matches("\"kind\":\"attempt_started\"").count(), 2, "one look and one step: {events}");
}

#[test]
fn mistakes_in_triggers_are_named_with_their_place() {
    let wrong = "schedule: {cron: '61 * * * *'}\n  - schedule: {cron: '0 6 * * *', timezone: Europe/Berlln}\n  \
                 - watch: {every: 30s}\n  - schedule: {every: 5m, with: {targett: x}}\n  \
                 - schedule: {cron: '0 0 31 4 *'}\n  - schedule: {}";
    let runbook = Runbook::new().file("note.yaml", PLAYBOOK.replace(ALERT, wrong));
    insta::assert_snapshot!(runbook.call("validate note.yaml").exits(2).shown());
    runbook.write("note.yaml", PLAYBOOK.replace(ALERT, "schedule: {every: -5m}"));
    runbook.call("validate note.yaml").exits(2).says("'-5m' is not a duration").says("note.yaml:8:23");
    let site = "serve:\n  triggers:\n    - playbook: note\n      schedule: {cron: '0 6 * *'}\n    - playbook: note\n";
    insta::assert_snapshot!(runbook.file("runbook.yaml", site).call("list").exits(2).shown());
}
