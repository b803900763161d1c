//! Messages for programs: one JSON object a line, with run and step, and without secrets.

use serde_json::Value;

use super::{ALERTS, alerts, place, start_with};

#[test]
fn messages_are_json_with_run_and_step_and_without_secrets() {
    let secret = "opens \"each and any\" lock";
    let runbook = place("").variable("DOOR", secret).variable("RUNBOOK_LOG", "info,runbook=debug");
    runbook.write("runbook.yaml", "secrets: {door: {env: DOOR}}\n".to_owned() + &runbook.read("runbook.yaml"));
    let mut served = start_with(&runbook, &["--log-format", "json"]);
    let mut group = alerts(&["a"], "firing");
    // It stands in the line that says what the run was started by.
    group["alerts"][0]["fingerprint"] = secret.into();
    served.client.post("/hooks/alertmanager", Some(ALERTS), &group).is(202);
    served.running.until("it has ended", || served.client.tickets()["closed"][0]["outcome"] == "healthy");
    let run = runbook.newest_run();
    served.running.signal(rustix::process::Signal::TERM);
    let said = served.running.done().exits(0).says("alertmanager/[secret]").does_not_say("each and any").stderr();
    let lines: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let in_step = |line: &&Value| {
        let spans = line["spans"].as_array().into_iter().flatten();
        let named: Vec<(&Value, &Value)> = spans.map(|span| (&span["run"], &span["step"])).collect();
        named.iter().any(|(of, _)| **of == run) && named.iter().any(|(_, step)| **step == "diagnose.noted")
    };
    let ended = lines.iter().filter(in_step).find(|line| line["message"] == "an attempt has ended");
    assert_eq!(ended.map(|line| &line["kind"]), Some(&"command".into()), "{said}");
    assert!(ended.is_some_and(|line| line["timestamp"].is_string() && line["level"] == "DEBUG"), "{said}");
}

#[test]
fn the_beginning_and_end_of_runs_are_among_them() {
    let runbook = place("");
    let mut served = start_with(&runbook, &["--log-format", "json"]);
    served.alert(&["a"]).is(202);
    served.running.until("it has ended", || served.client.tickets()["closed"][0]["outcome"] == "healthy");
    served.running.signal(rustix::process::Signal::TERM);
    let said = served.running.done().exits(0).stderr();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let messages: Vec<&str> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert!(messages.iter().any(|message| message.starts_with("note started by alertmanager")), "{messages:?}");
    assert!(messages.iter().any(|message| message.starts_with("healthy: ")), "{messages:?}");
    let about_runs = lines.iter().filter(|line| line["level"] == "INFO");
    assert!(about_runs.clone().count() >= 2 && about_runs.clone().all(|line| line["run"].is_string()), "{said}");
}
