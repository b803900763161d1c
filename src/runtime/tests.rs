//! Panics of parts that a run is made of. Numbers are those of the reliability test plan.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{Host, Nobody, RuntimeError};
use crate::audit::Head;
use crate::base::{Redacted, RunId, Source};
use crate::engine::Record;
use crate::journal::{Journal, JournalError, MemoryJournal, Pending, RunFilter, RunSummary, Visitor};
use crate::notify::Templates;
use crate::playbook;
use crate::report::FanOut;
use crate::site::Site;

/// A journal that this version cannot handle.
struct Poison(MemoryJournal);

impl Journal for Poison {
    fn append(&self, _: &RunId, _: Redacted<Vec<Record>>) -> Pending {
        panic!("poison")
    }

    fn read(&self, run: &RunId) -> Result<Vec<Record>, JournalError> {
        self.0.read(run)
    }

    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunSummary>, JournalError> {
        self.0.runs(filter)
    }

    fn run_ids(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, JournalError> {
        self.0.run_ids(prefix, limit)
    }

    fn entries(&self, visitor: &mut dyn Visitor) -> Result<(), JournalError> {
        self.0.entries(visitor)
    }

    fn head(&self) -> Result<Head, JournalError> {
        self.0.head()
    }
}

#[tokio::test]
async fn t17_a_panic_ends_the_turn_of_its_run_and_not_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site { state: folder.path().to_owned(), ..Site::default() };
    let templates = Templates::shipped();
    let journal = Arc::new(Poison(MemoryJournal::new()));
    let host = Host::new(site, journal, Arc::new(Nobody), templates, Box::new(FanOut::default()));
    let text = "runbook: 1\nname: poison\ntitle: Poison\ndiagnose: {look: {file: {path: x}}}\n";
    let playbook = playbook::parse(&Source::new(Path::new("poison.yaml"), text.to_owned())).unwrap();
    for _ in 0..2 {
        let prepared = host.prepare(playbook.clone(), &BTreeMap::new(), "ada", "hand").unwrap();
        let ended = host.run(prepared, Arc::new(Nobody), None).await;
        assert!(matches!(&ended, Err(error @ RuntimeError::Panicked { .. }) if error.spoils_only_this_run()));
    }
}
