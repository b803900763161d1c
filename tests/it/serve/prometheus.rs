//! From a fault to its end with nothing played: Prometheus sees it, Alertmanager tells the server, a run fixes it, the
//! alert is resolved; and the rules about the server itself, by Prometheus' own tool.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::alertmanager::{self, alertmanager, free_address, is_installed, until_ready};
use super::{ALERTS, Client, Served, start, token};
use crate::lab::Lab;
use crate::support::{Runbook, Running};
use crate::tracing::tell;

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/prometheus/runbook.rules.yml");

/// A provider that does not work, seen by the platform's own figures.
const LAB_RULES: &str = "
groups:
  - name: lab
    rules:
      - alert: ModelLoadFailure
        expr: ocr_provider_health_score == 0
";

/// A server that looks after the lab, and shows its figures to this machine.
fn server(lab: &Lab) -> (Runbook, Served) {
    let inputs = std::fs::read_to_string(lab.folder().join("inputs.yaml")).expect("the lab's inputs");
    let with: String =
        inputs.lines().filter(|line| !line.starts_with("provider")).map(|line| format!("          {line}\n")).collect();
    let playbooks = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks/cad");
    let site = format!(
        "playbooks: ['{playbooks}']\nserve:\n  address: 127.0.0.1:0\n  tokens:\n    \
         viewer: {{token: {{env: VIEWER}}, role: viewer}}\n    ada: {{token: {{env: ADA}}, role: approver}}\n  \
         hooks: {{alertmanager: {{alertmanager: {{token: {{env: ALERTS}}}}}}}}\n  triggers:\n    - playbook: model-load-error\n      \
         alert:\n        source: alertmanager\n        match: {{alertname: ModelLoadFailure}}\n        \
         inputs: {{providers: labels.provider}}\n        with:\n{with}contacts: {{ml-platform: {{members: [ada]}}, ada: {{}}}}\n"
    );
    let runbook = Runbook::new()
        .variable("ALERTS", ALERTS)
        .variable("VIEWER", token("viewer"))
        .variable("ADA", token("ada"))
        .file("runbook.yaml", site);
    let served = start(&runbook);
    (runbook, served)
}

/// A Prometheus that scrapes the lab and the server every second.
fn prometheus(runbook: &Runbook, lab: &str, server: &str, alertmanager: &str) -> (Running, Client) {
    let bearer = token("viewer");
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         rule_files: [lab.rules.yml, '{RULES}']\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n\
         scrape_configs:\n\
         - {{job_name: lab, static_configs: [{{targets: ['{lab}']}}]}}\n\
         - {{job_name: runbook, authorization: {{credentials: {bearer}}}, static_configs: [{{targets: ['{server}']}}]}}\n"
    );
    runbook.write("prometheus.yml", config);
    runbook.write("lab.rules.yml", LAB_RULES);
    let address = free_address();
    let arguments = [
        "--config.file=prometheus.yml".to_owned(),
        "--storage.tsdb.path=tsdb".to_owned(),
        format!("--web.listen-address={address}"),
    ];
    until_ready(runbook, "prometheus", &arguments, &address)
}

/// The value of a query with one answer.
fn ask(prometheus: &Client, query: &str) -> Option<f64> {
    let query: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let answer = prometheus.get(&format!("/api/v1/query?query={query}"), None).is(200).json();
    answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

/// The alerts of the lab that Alertmanager holds as active.
fn active(alertmanager: &Client) -> usize {
    let alerts =
        alertmanager.get("/api/v2/alerts?active=true&filter=alertname%3DModelLoadFailure", None).is(200).json();
    alerts.as_array().map_or(0, Vec::len)
}

/// Approves whatever the run asks for, as its page shows it.
fn approve(client: &Client, run: &str) {
    let shown = client.get(&format!("/api/v1/runs/{run}"), Some(&token("viewer"))).is(200).json();
    for asked in
        shown["approvals"].as_array().into_iter().flatten().filter(|asked| asked["answer"]["verdict"] != "approved")
    {
        let answer = json!({"step": asked["step"], "digest": asked["digest"], "reason": "seen"});
        client.post(&format!("/api/v1/runs/{run}/approve"), Some(&token("ada")), &answer).is(200);
    }
}

#[test]
fn a_fault_is_seen_told_fixed_and_seen_to_be_over_by_the_real_programs() {
    if !is_installed(alertmanager::PROGRAM) || !is_installed("prometheus") {
        return tell("SKIPPED: a fault from Prometheus to its end; Debian has prometheus and prometheus-alertmanager");
    }
    let lab = Lab::of("cad", &[]);
    let (runbook, mut served) = server(&lab);
    let (_alertmanager, alerts) = alertmanager(&runbook, served.client.address(), "provider", &free_address());
    let (mut running, prometheus) = prometheus(&runbook, &lab.address(), served.client.address(), alerts.address());
    running.until("both are scraped", || ask(&prometheus, "min(up) + count(up)") == Some(3.0));
    assert_eq!(active(&alerts), 0);
    lab.suffer("missing-file");
    served.running.until_it_says("waits for approval");
    assert_eq!(active(&alerts), 1, "the alert fires");
    let open = served.client.tickets()["open"][0].clone();
    let demand = &open["is"]["demand"];
    assert_eq!(
        (&demand["playbook"], &demand["source"]),
        (&json!("model-load-error"), &json!("alertmanager")),
        "{open}"
    );
    assert_eq!(demand["inputs"]["providers"], json!("ocr-text"), "of the alert's label: {open}");
    served.running.until_it_says("parked");
    let run = runbook.newest_run();
    approve(&served.client, &run);
    let client = &served.client;
    served.running.until("the run fixes it", || client.tickets()["closed"][0]["outcome"] == "resolved");
    assert!(lab.is_healthy());
    running.until("the alert is resolved", || active(&alerts) == 0);
    // What the server says of itself has been scraped with the rest.
    let resolved = "sum(runbook_runs_total{playbook=\"model-load-error\", outcome=\"resolved\"})";
    running.until("it is counted", || ask(&prometheus, resolved) == Some(1.0));
    let firing = "count(ALERTS{alertname=~\"Runbook.*\", alertstate=\"firing\"})";
    assert_eq!(ask(&prometheus, firing), None, "nothing is wrong with the server itself");
    running.until("the end is told too", || {
        client.figure("runbook_hook_requests_total{hook=\"alertmanager\",status=\"202\"}") >= 2.0
    });
}

#[test]
fn the_rules_about_the_server_fire_when_they_should_and_ask_for_figures_that_there_are() {
    let rules = std::fs::read_to_string(RULES).expect("the rules");
    // Those with a label for each channel and each schedule need one of both.
    let runbook = super::place("");
    let channels = "channels: {ntfy: {ops: {topic: {env: TOPIC}}}}\n";
    runbook.write("runbook.yaml", channels.to_owned() + &runbook.read("runbook.yaml"));
    let daily = super::PLAYBOOK.replace("name: note", "name: daily").replace(
        "  - alert: {source: alertmanager, match: {alertname: Note}, inputs: {target: labels.target}}",
        "  - schedule: {every: 1d}",
    );
    runbook.write("playbooks/daily.yaml", daily);
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.running.until_it_says("healthy");
    let metrics = served.client.metrics();
    let names = regex::Regex::new(r"\brunbook_[a-z_]+").expect("a pattern");
    let mut asked: Vec<&str> = names.find_iter(&rules).map(|name| name.as_str()).collect();
    asked.sort_unstable();
    asked.dedup();
    assert!(asked.len() > 12, "{asked:?}");
    for name in asked {
        let family = name.trim_end_matches("_bucket");
        assert!(metrics.contains(&format!("# TYPE {family} ")), "{name} is no figure of:\n{metrics}");
    }
    if !is_installed("promtool") {
        return tell("NOT CHECKED: the rules about the server, by promtool; Debian has prometheus");
    }
    let folder = Path::new(RULES).parent().expect("its folder");
    let tested =
        Command::new("promtool").args(["test", "rules", "runbook.rules.test.yml"]).current_dir(folder).output();
    let tested = tested.expect("promtool starts");
    let said = format!("{}{}", String::from_utf8_lossy(&tested.stdout), String::from_utf8_lossy(&tested.stderr));
    assert!(tested.status.success(), "{said}");
    let tests = std::fs::read_to_string(folder.join("runbook.rules.test.yml")).expect("their tests");
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} has no test");
    }
}
