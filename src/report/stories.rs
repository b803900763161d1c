//! Runs told by hand, for the tests of every reporter. Times are fixed.

mod edges;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::base::{RunId, StepKey, Timestamp};
use crate::engine::event::{
    Answers, ApprovalVerdict, AttemptResult, Cause, FORMAT, Finding, Impact, Outcome, Phase, Risk, Role, RunStarted,
    Severity, StepOutline, StepStatus,
};
use crate::engine::{Event, Record};

/// What was written, shared with the test that looks at it.
#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub use edges::{hostile, items, load_failed, until_running};

pub fn all() -> Vec<(&'static str, Vec<Record>)> {
    vec![
        ("healthy", healthy()),
        ("resolved", resolved()),
        ("unresolved", unresolved()),
        ("rejected", rejected()),
        ("parked", parked()),
        ("error", error()),
        ("items", items()),
    ]
}

struct Story {
    now: i64,
    records: Vec<Record>,
}

const FILE: &str = "models/cad/ocr-v2/model.onnx";

impl Story {
    fn begin(steps: &[(&str, &str)]) -> Self {
        let outline = |(id, kind): &(&str, &str)| StepOutline {
            id: (*id).to_owned(),
            phase: phase_of(id),
            kind: (*kind).to_owned(),
            needs: Vec::new(),
            help: None,
        };
        let started = RunStarted {
            format: FORMAT,
            playbook: "model-load-error".into(),
            title: "OCR or vision model fails to load".into(),
            code: Some("MODEL_LOAD_ERROR".into()),
            file: "playbooks/cad/model-load-error.yaml".into(),
            digest: "9f2c".repeat(16),
            inputs: json!({"provider": "ocr-v2", "models_dir": "models/cad", "min_memory": 536_870_912}),
            by: "ada".into(),
            trigger: "hand".into(),
            withheld: None,
            from_outside: BTreeSet::new(),
            labels: std::collections::BTreeMap::new(),
            rerun_of: None,
            steps: steps.iter().map(outline).collect(),
        };
        Story { now: 1_795_369_212_000, records: Vec::new() }.then(0, Event::RunStarted(Box::new(started)))
    }

    fn then(mut self, after_ms: i64, event: Event) -> Self {
        self.now += after_ms;
        self.records.push(Record {
            run: RunId::from("1122-174012-k3f9".to_owned()),
            seq: self.records.len() as u64 + 1,
            at: Timestamp(self.now),
            event,
        });
        self
    }

    fn phase(self, phase: Phase) -> Self {
        self.then(0, Event::PhaseStarted { phase })
    }

    fn attempt(self, key: &str, attempt: u32, request: Value) -> Self {
        let key = key.parse().unwrap();
        self.then(0, Event::AttemptStarted { key, role: Role::Main, attempt, request, time_limit_ms: 30_000 })
    }

    /// A whole step of one attempt that measured something.
    fn measured(self, key: &str, took_ms: i64, output: Value, failure: Option<&str>) -> Self {
        let status = if failure.is_some() { StepStatus::Failed } else { StepStatus::Passed };
        let result = AttemptResult::Measured { output: output.clone(), failure: failure.map(str::to_owned) };
        let name: StepKey = key.parse().unwrap();
        let ended = Event::AttemptEnded { key: name, role: Role::Main, attempt: 1, result };
        self.attempt(key, 1, json!({})).then(took_ms, ended).finished(key, status, output, failure, None)
    }

    fn passed(self, key: &str, took_ms: i64, output: Value) -> Self {
        self.measured(key, took_ms, output, None)
    }

    fn finished(self, key: &str, status: StepStatus, output: Value, reason: Option<&str>, help: Option<&str>) -> Self {
        let key = key.parse().unwrap();
        let (reason, help) = (reason.map(str::to_owned), help.map(str::to_owned));
        self.then(0, Event::StepFinished { key, status, output, reason, help })
    }

    fn skipped(self, key: &str, reason: &str) -> Self {
        let name = key.parse().unwrap();
        self.then(0, Event::StepSkipped { key: name, reason: reason.into() }).finished(
            key,
            StepStatus::Skipped,
            Value::Null,
            None,
            None,
        )
    }

    fn detection(self, recheck: bool, holds: Option<bool>, evidence: Vec<Finding>) -> Self {
        self.then(0, Event::DetectionSettled { recheck, holds, evidence })
    }

    fn causes(self, causes: Vec<Cause>) -> Self {
        let summary = Some("no text is read from pictures".into());
        let impact = Impact { affected: Some("ocr-v2".into()), summary };
        self.then(0, Event::CausesFound { causes, severity: Severity::High, impact: Some(impact) })
    }

    fn asked(self, key: &str) -> Self {
        let key = key.parse().unwrap();
        let expires_at = Some(Timestamp(self.now + 900_000));
        let summary = format!("download the model of ocr-v2 to {FILE}");
        let (digest, quorum, by) = ("4f1c8a2b90d3e765".to_owned(), None, Vec::new());
        let asked = Event::ApprovalAsked {
            key,
            summary,
            request: download(),
            risk: Risk::Disruptive,
            expires_at,
            digest,
            quorum,
            by,
            answers: Vec::new(),
        };
        self.then(1, asked)
    }

    fn answered(self, key: &str, verdict: ApprovalVerdict, by: &str, reason: &str) -> Self {
        let key = key.parse().unwrap();
        self.then(
            4_000,
            Event::ApprovalSettled { key, verdict, by: by.into(), reason: reason.into(), answers: Answers::new() },
        )
    }

    fn told(self, on: &str, error: Option<&str>) -> Self {
        self.then(
            20,
            Event::NotificationSent {
                on: on.into(),
                channel: "slack:ml-alerts".into(),
                subject: format!("model-load-error: {on}"),
                delivered: error.is_none().then(|| "200 OK".into()),
                error: error.map(str::to_owned),
                attempts: if error.is_some() { 3 } else { 1 },
                thread: None,
            },
        )
    }

    fn ends(self, outcome: Outcome, why: &str) -> Vec<Record> {
        let severity = if outcome == Outcome::Healthy { Severity::Info } else { Severity::High };
        self.then(1, Event::RunFinished { outcome, severity, why: why.into() }).records
    }
}

fn phase_of(id: &str) -> Phase {
    match id.split('.').next() {
        Some("detect") => Phase::Detect,
        Some("diagnose") => Phase::Diagnose,
        Some("remediate") => Phase::Remediate,
        Some("verify") => Phase::Verify,
        _ => Phase::Finally,
    }
}

fn finding(name: &str, holds: Option<bool>, condition: &str, values: &[(&str, Value)]) -> Finding {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Finding { name: name.into(), holds, condition: condition.into(), values, why: None }
}

fn cause(name: &str, title: &str, holds: bool, condition: &str, values: &[(&str, Value)]) -> Cause {
    Cause { title: title.into(), finding: finding(name, Some(holds), condition, values) }
}

fn download() -> Value {
    json!({"download": {"url": "http://mirror.internal/ocr-v2/model.onnx", "to": FILE, "sha256": "from_manifest", "keep": 1}})
}

const STEPS: &[(&str, &str)] = &[
    ("detect.load_errors", "promql"),
    ("detect.not_ready", "http"),
    ("diagnose.file", "file"),
    ("diagnose.load", "onnx_load"),
    ("diagnose.memory", "memory"),
    ("remediate.restore", "download"),
    ("remediate.reload", "http"),
    ("verify.golden_served", "inference"),
];

fn load_errors(value: f64) -> Finding {
    finding("load_errors", Some(value > 0.0), "max(value) > 0", &[("value", json!([value]))])
}

fn not_ready(status: &str) -> Finding {
    let holds = Some(status != "healthy");
    finding("not_ready", holds, r#"status != "healthy""#, &[("status", json!(status))])
}

pub fn healthy() -> Vec<Record> {
    Story::begin(STEPS)
        .phase(Phase::Detect)
        .passed("detect.load_errors", 3, json!({"value": [0.0], "series": 1}))
        .passed("detect.not_ready", 9, json!({"status": "healthy", "code": 200, "latency_ms": 8.6}))
        .detection(false, Some(false), vec![load_errors(0.0), not_ready("healthy")])
        .ends(Outcome::Healthy, "nothing was detected")
}

fn detected() -> Story {
    Story::begin(STEPS)
        .phase(Phase::Detect)
        .passed("detect.load_errors", 3, json!({"value": [4.0], "series": 1}))
        .passed("detect.not_ready", 9, json!({"status": "down", "code": 200, "latency_ms": 8.6}))
        .detection(false, Some(true), vec![load_errors(4.0), not_ready("down")])
        .told("started", None)
}

fn diagnosed() -> Story {
    let no_file = json!({"exists": false, "path": FILE, "size": 0});
    let seen = [("diagnose.file.exists", json!(false))];
    detected()
        .phase(Phase::Diagnose)
        .measured("diagnose.file", 1, no_file, Some("models/cad/ocr-v2/model.onnx does not exist"))
        .skipped("diagnose.load", "it needs diagnose.file, which failed")
        .passed("diagnose.memory", 2, json!({"available": 5_476_083_302_u64, "total": 8_200_000_000_u64}))
        .causes(vec![
            cause("missing_file", "The model file is missing", true, "!diagnose.file.exists", &seen),
            cause("low_memory", "Not enough memory for the model", false, "diagnose.memory.failed", &[]),
        ])
}

fn restored(story: Story) -> Story {
    let output = json!({"path": FILE, "bytes": 34_918, "sha256": "ab".repeat(32)});
    story
        .phase(Phase::Remediate)
        .asked("remediate.restore")
        .answered("remediate.restore", ApprovalVerdict::Approved, "ada", "mirror is up")
        .attempt("remediate.restore", 1, download())
        .then(
            1_240,
            Event::AttemptEnded {
                key: "remediate.restore".parse().unwrap(),
                role: Role::Main,
                attempt: 1,
                result: AttemptResult::Measured { output: output.clone(), failure: None },
            },
        )
        .finished("remediate.restore", StepStatus::Passed, output, None, None)
        .passed("remediate.reload", 3_020, json!({"status": 200, "ready": true}))
        .phase(Phase::Verify)
}

pub fn resolved() -> Vec<Record> {
    let at = Timestamp(1_795_369_310_000);
    restored(diagnosed())
        .then(0, Event::RecheckScheduled { at })
        .passed("detect.load_errors", 90_000, json!({"value": [0.0], "series": 1}))
        .passed("detect.not_ready", 3, json!({"status": "healthy", "code": 200, "latency_ms": 2.1}))
        .detection(true, Some(false), vec![load_errors(0.0), not_ready("healthy")])
        .told("resolved", None)
        .ends(Outcome::Resolved, "the detection no longer holds")
}

pub fn unresolved() -> Vec<Record> {
    let key: StepKey = "remediate.restore".parse().unwrap();
    let undo = Event::AttemptStarted {
        key: key.clone(),
        role: Role::Undo,
        attempt: 1,
        request: json!({"restore_kept": {}}),
        time_limit_ms: 30_000,
    };
    let failed = Some("the kept copy is gone: no such file");
    restored(diagnosed())
        .passed("detect.not_ready", 12, json!({"status": "down", "code": 200, "latency_ms": 11.0}))
        .detection(true, Some(true), vec![load_errors(0.0), not_ready("down")])
        .phase(Phase::Undo)
        .then(0, Event::UndoStarted { steps: vec!["remediate.reload".parse().unwrap(), key.clone()] })
        .then(2, Event::UndoFinished { key: "remediate.reload".parse().unwrap(), error: None })
        .then(0, undo)
        .then(40, Event::UndoFinished { key, error: failed.map(str::to_owned) })
        .then(0, Event::EscalationRaised { policy: "ml-critical".into(), why: "the fault is still there".into() })
        .told("unresolved", Some("hooks.internal answered 503 Service Unavailable"))
        .ends(Outcome::Unresolved, "the detection still holds after remediation")
}

pub fn rejected() -> Vec<Record> {
    diagnosed()
        .phase(Phase::Remediate)
        .asked("remediate.restore")
        .answered("remediate.restore", ApprovalVerdict::Rejected, "grace", "mirror is under maintenance, wait for it")
        .finished("remediate.restore", StepStatus::Cancelled, Value::Null, Some("rejected by grace"), None)
        .skipped("remediate.reload", "it needs remediate.restore, which was cancelled")
        .ends(Outcome::Rejected, "grace rejected remediate.restore")
}

pub fn parked() -> Vec<Record> {
    diagnosed()
        .phase(Phase::Remediate)
        .asked("remediate.restore")
        .answered("remediate.restore", ApprovalVerdict::Parked, "", "")
        .told("parked", None)
        .ends(Outcome::Parked, "remediate.restore needs an approval")
}

pub fn error() -> Vec<Record> {
    let refused = "cannot connect to 127.0.0.1:8000: connection refused";
    let help = "check that the service runs and that inputs.api names its address: \
                systemctl status cad-ml-platform, then run the playbook again";
    let undecided = Finding { why: Some(refused.into()), ..finding("not_ready", None, r#"status != "healthy""#, &[]) };
    let ended = |attempt| Event::AttemptEnded {
        key: "detect.not_ready".parse().unwrap(),
        role: Role::Main,
        attempt,
        result: AttemptResult::Error { message: refused.into(), help: Some(help.into()), code: None },
    };
    let retry = Event::RetryScheduled {
        key: "detect.not_ready".parse().unwrap(),
        role: Role::Main,
        attempt: 2,
        at: Timestamp(1_795_369_213_000),
        why: refused.into(),
    };
    Story::begin(STEPS)
        .phase(Phase::Detect)
        .passed("detect.load_errors", 3, json!({"value": [0.0], "series": 1}))
        .attempt("detect.not_ready", 1, json!({"http": {"get": "http://127.0.0.1:8000/health"}}))
        .then(2, ended(1))
        .then(0, retry)
        .attempt("detect.not_ready", 2, json!({"http": {"get": "http://127.0.0.1:8000/health"}}))
        .then(1_001, ended(2))
        .finished("detect.not_ready", StepStatus::Error, Value::Null, Some(refused), Some(help))
        .detection(false, None, vec![load_errors(0.0), undecided])
        .ends(Outcome::Error, "it could not be decided whether the fault exists")
}
