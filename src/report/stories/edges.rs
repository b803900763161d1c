//! Runs that try the edges: many items, a run in the middle, hostile data.

use serde_json::{Value, json};

use super::{FILE, STEPS, Story, detected, finding};
use crate::engine::event::{ApprovalVerdict, AskedAnswer, Cause, Outcome, Phase, Risk, StepStatus};
use crate::engine::{Event, Record};

/// Two steps that run once per item: one of three items, one of forty.
pub fn items() -> Vec<Record> {
    let providers = ["ocr-v2", "vision", "layout"];
    let shards: Vec<Value> = (0..40).map(|shard| json!(shard)).collect();
    let mut story =
        Story::begin(&[("detect.shards", "http"), ("diagnose.models", "file"), ("diagnose.shards", "http")])
            .phase(Phase::Detect)
            .passed("detect.shards", 4, json!({"status": 200}))
            .detection(
                false,
                Some(true),
                vec![finding("shards", Some(true), "status == 200", &[("status", json!(200))])],
            )
            .phase(Phase::Diagnose)
            .then(
                0,
                Event::FannedOut {
                    step: "diagnose.models".into(),
                    items: providers.iter().map(|name| json!(name)).collect(),
                },
            )
            .then(0, Event::FannedOut { step: "diagnose.shards".into(), items: shards });
    for (position, name) in providers.iter().enumerate() {
        let output = json!({"path": format!("models/cad/{name}/model.onnx"), "size": 1_048_576 * (position + 1)});
        story = story.passed(&format!("diagnose.models[{position}]"), 2, output);
    }
    for shard in 0..40 {
        let failure = (shard == 17).then_some("status is 503");
        let output = json!({"status": if shard == 17 { 503 } else { 200 }});
        story = story.measured(&format!("diagnose.shards[{shard}]"), 5, output, failure);
    }
    story
        .finished("diagnose.models", StepStatus::Passed, json!([]), None, None)
        .finished("diagnose.shards", StepStatus::Failed, json!([]), Some("1 of 40 items failed"), None)
        .causes(vec![])
        .ends(Outcome::Unresolved, "no known cause was found")
}

/// A run in the middle: one step is done, two are running.
pub fn until_running() -> Vec<Record> {
    detected()
        .phase(Phase::Diagnose)
        .passed("diagnose.file", 1, json!({"exists": true, "path": FILE, "size": 34_918}))
        .attempt("diagnose.load", 1, json!({}))
        .attempt("diagnose.memory", 1, json!({}))
        .records
}

/// What may follow `until_running`: the load ends.
pub fn load_failed(last: &Record) -> Record {
    let event = Event::StepFinished {
        key: "diagnose.load".parse().unwrap(),
        status: StepStatus::Failed,
        output: Value::Null,
        reason: Some("the file is not an ONNX model".into()),
        help: None,
    };
    Record { seq: last.seq + 1, event, ..last.clone() }
}

/// Data from outside that tries to steer the terminal and to become markup.
pub fn hostile() -> Vec<Record> {
    let evil = "\u{1b}]0;owned\u{7}<script>alert(1)</script> | **bold** `code` [x](http://evil.example)\r\n# title";
    let mut values = finding("not_ready", Some(true), evil, &[(evil, json!(evil))]);
    values.why = Some(evil.into());
    let asks =
        AskedAnswer { name: evil.into(), title: Some(evil.into()), expected: evil.into(), default: Some(evil.into()) };
    let records = Story::begin(STEPS)
        .phase(Phase::Detect)
        .measured("detect.not_ready", 3, json!({ "status": evil, "path": "/tmp/\u{1b}[2J" }), Some(evil))
        .detection(false, Some(true), vec![values.clone()])
        .causes(vec![Cause { title: evil.into(), finding: values }])
        .phase(Phase::Remediate)
        .then(
            0,
            Event::ApprovalAsked {
                key: "remediate.restore".parse().unwrap(),
                summary: evil.into(),
                request: json!({"shell": evil, evil: evil}),
                risk: Risk::Destructive,
                expires_at: None,
                digest: evil.into(),
                quorum: Some(2),
                by: vec![evil.into()],
                answers: vec![asks],
            },
        )
        .answered("remediate.restore", ApprovalVerdict::Rejected, evil, evil)
        .then(0, Event::UndoFinished { key: "remediate.restore".parse().unwrap(), error: Some(evil.into()) })
        .told(evil, Some(evil))
        .ends(Outcome::Unresolved, evil);
    records
        .into_iter()
        .map(|mut record| {
            if let Event::RunStarted(started) = &mut record.event {
                started.title = evil.into();
                started.by = evil.into();
                started.trigger = evil.into();
                started.inputs = json!({ evil: evil });
            }
            record
        })
        .collect()
}
