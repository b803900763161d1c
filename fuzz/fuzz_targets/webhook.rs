//! Requests to the hooks of every source, right or damaged: each is refused or understood, nobody passes without the
//! secret, and what an event fills in an input is a part of what was sent.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use runbook::base::{Secret, Source, Timestamp, entropy};
use runbook::trigger::{Hook, Request, Rule, SOURCES};
use runbook::yaml;
use serde_json::{Value, json};

/// What any source reads; the rest of a request does not matter.
const HEADERS: [&str; 10] = [
    "authorization",
    "content-type",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-github-event",
    "x-github-delivery",
    "x-hub-signature-256",
    "x-grafana-alerting-signature",
    "x-pagerduty-signature",
];

/// Another one in every process, so that no kept input can know it.
static SECRET: LazyLock<String> =
    LazyLock::new(|| (0..4).map(|_| format!("{:016x}", entropy::random())).collect::<String>());

static HOOKS: LazyLock<Vec<Hook>> = LazyLock::new(|| {
    let settings = |example| yaml::parse(&Source::new("example.yaml", example)).expect("a valid example").to_json();
    let hook = |source| Hook { name: "hook".into(), source, settings: settings(source.example) };
    SOURCES.iter().map(hook).collect()
});

fuzz_target!(|input: (u8, Vec<(u8, &str)>, &[u8], i64)| {
    let (number, headers, body, at) = input;
    let hook = &HOOKS[usize::from(number) % HOOKS.len()];
    let headers: BTreeMap<String, String> = headers
        .into_iter()
        .map(|(name, value)| (HEADERS[usize::from(name) % HEADERS.len()].to_owned(), value.to_owned()))
        .collect();
    let request = Request { headers, body: body.to_owned(), at: Timestamp(at) };
    let secrets = [Secret::new(SECRET.clone()), Secret::new(SECRET.clone())];
    let admitted = (hook.source.admit)(&hook.settings, &request, &secrets);
    let verified = (hook.source.verify)(&hook.settings, &request, &secrets);
    assert!(admitted.is_err() || verified.is_err(), "{hook:?} lets in who does not know the secret");
    let Ok(delivery) = (hook.source.read)(&hook.settings, &request) else { return };
    for signal in &delivery.signals {
        let wanted = json!({"source": "hook", "inputs": {"label": "labels.alertname", "all": "body"},
            "when": "labels.alertname == \"x\" || body.status == \"firing\""});
        let trigger = serde_json::from_value(wanted).expect("a trigger");
        let rule = Rule::new("p", &trigger).expect("a rule");
        rule.takes(hook, signal);
        let Ok(inputs) = rule.from_event(signal) else { continue };
        let label = signal.labels.get("alertname").map(|label| Value::from(label.as_str()));
        assert_eq!(inputs.get("label"), label.as_ref(), "an input is what the label says");
    }
});
