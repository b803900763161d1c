//! What every journal promises, and what the one on disk promises beyond it.

mod contract;
mod disk;
mod tampering;

use serde_json::json;

use super::{Journal, SqliteJournal};
use crate::base::{Redacted, RunId, Timestamp};
use crate::engine::Record;
use crate::engine::event::{Event, FORMAT, Outcome, Phase, RunStarted, Severity};

pub(super) fn run(name: &str) -> RunId {
    RunId::from(name.to_owned())
}

pub(super) fn started(playbook: &str) -> Event {
    Event::RunStarted(Box::new(RunStarted {
        format: FORMAT,
        playbook: playbook.into(),
        title: format!("The title of {playbook}"),
        code: None,
        file: format!("playbooks/{playbook}.yaml"),
        digest: "00".repeat(32),
        inputs: json!({"zulu": 1, "alpha": [2.5, "ü\u{0}"]}),
        by: "ada".into(),
        trigger: "hand".into(),
        withheld: None,
        from_outside: std::collections::BTreeSet::new(),
        labels: std::collections::BTreeMap::new(),
        rerun_of: None,
        steps: Vec::new(),
    }))
}

pub(super) fn phase() -> Event {
    Event::PhaseStarted { phase: Phase::Diagnose }
}

pub(super) fn finished(outcome: Outcome) -> Event {
    Event::RunFinished { outcome, severity: Severity::High, why: "the test ends".into() }
}

pub(super) fn record(run: &RunId, seq: u64, event: Event) -> Record {
    Record { run: run.clone(), seq, at: Timestamp(1_700_000_000_000 + seq as i64), event }
}

pub(super) fn masked(records: Vec<Record>) -> Redacted<Vec<Record>> {
    Redacted::of(records).unwrap()
}

/// Events of a run that number from `first` on.
pub(super) fn records(run: &RunId, first: u64, events: impl IntoIterator<Item = Event>) -> Redacted<Vec<Record>> {
    masked((first..).zip(events).map(|(seq, event)| record(run, seq, event)).collect())
}

pub(super) fn add(journal: &dyn Journal, run: &RunId, first: u64, events: impl IntoIterator<Item = Event>) {
    journal.append(run, records(run, first, events)).wait().unwrap();
}

/// A folder that ends with the test, and a journal in it.
pub(super) struct Place(pub tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.0.path().join("state").join("journal.db")
    }

    pub fn open(&self) -> SqliteJournal {
        SqliteJournal::open(self.path()).unwrap()
    }

    /// What somebody with a database tool does to the file.
    pub fn sql(&self, statements: &str) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(statements).unwrap();
    }
}
