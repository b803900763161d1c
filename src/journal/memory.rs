//! The journal in memory, for tests and for playbooks that are only rehearsed. It chains, orders and
//! refuses as the one on disk does.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::encoding::{check_order, contents, records};
use super::summary::summarise;
use super::{Journal, JournalError, Pending, RunFilter, RunSummary, Stored, Visitor};
use crate::audit::{Content, Entry, Head};
use crate::base::{Redacted, RunId};
use crate::engine::Record;

/// Stands for the path in errors.
const PLACE: &str = "(in memory)";

/// A journal that ends with the program.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    entries: Vec<Entry>,
    refusal: Option<JournalError>,
}

impl MemoryJournal {
    pub fn new() -> Self {
        MemoryJournal::default()
    }

    /// Every append from now on fails with `error`; `None` ends that. For tests of what must not
    /// happen without a journal.
    #[cfg(test)]
    pub fn refuse_with(&self, error: impl Into<Option<JournalError>>) {
        self.memory().refusal = error.into();
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, run: &RunId, records: &[Record]) -> Result<(), JournalError> {
        let mut memory = self.memory();
        if let Some(refusal) = &memory.refusal {
            return Err(refusal.clone());
        }
        let contents = contents(run, records)?;
        check_order(memory.backwards(run.as_str()).next().map_or(0, |last| last.run_seq), &contents)?;
        for content in contents {
            let entry = memory.head().chain(content);
            memory.entries.push(entry);
        }
        Ok(())
    }
}

impl Memory {
    fn head(&self) -> Head {
        self.entries.last().map_or(Head::EMPTY, Head::of)
    }

    /// What is kept of a run, last first: the last is what is asked for most.
    fn backwards<'a>(&'a self, run: &str) -> impl Iterator<Item = &'a Content> {
        self.entries.iter().rev().map(|entry| &entry.content).filter(move |content| content.run == run)
    }

    /// The first entries of runs, newest first.
    fn starts(&self) -> impl Iterator<Item = &Content> {
        self.entries.iter().rev().map(|entry| &entry.content).filter(|content| content.kind == "run_started")
    }

    fn last_turn(&self, run: &str) -> Option<&Content> {
        self.backwards(run).find(|content| matches!(content.kind.as_str(), "run_finished" | "resumed"))
    }
}

impl Journal for MemoryJournal {
    fn append(&self, run: &RunId, records: Redacted<Vec<Record>>) -> Pending {
        Pending::known(self.add(run, &records))
    }

    fn read(&self, run: &RunId) -> Result<Vec<Record>, JournalError> {
        let memory = self.memory();
        let entries = memory.entries.iter().filter(|entry| entry.content.run == run.as_str()).cloned();
        records(entries).map_err(|error| error.at(Path::new(PLACE)))
    }

    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunSummary>, JournalError> {
        let memory = self.memory();
        let starts = memory.starts().filter(|start| filter.children || !start.run.contains('/'));
        // Newest first, so those before a run come after it.
        let mut reached = filter.before.is_none();
        let starts = starts.filter(|start| {
            let earlier = reached;
            reached |= filter.before.as_ref().is_some_and(|run| run.as_str() == start.run);
            earlier
        });
        let turned =
            starts.filter(|start| filter.takes_start(start)).map(|start| (start, memory.last_turn(&start.run)));
        let wanted = turned.filter(|(_, turn)| filter.takes_turn(*turn));
        let summaries = wanted.map(|(start, turn)| summarise(start, turn));
        Ok(summaries.filter(|summary| filter.takes(summary)).take(filter.limit).collect())
    }

    fn run_ids(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, JournalError> {
        let memory = self.memory();
        let children = prefix.contains('/');
        let runs = memory.starts().map(|start| start.run.as_str());
        let mut runs: Vec<&str> =
            runs.filter(|run| run.starts_with(prefix) && (children || !run.contains('/'))).collect();
        runs.sort_by_key(|run| *run != prefix);
        Ok(runs.into_iter().take(limit).map(|run| RunId::from(run.to_owned())).collect())
    }

    fn entries(&self, visitor: &mut dyn Visitor) -> Result<(), JournalError> {
        let memory = self.memory();
        let mut entries = memory.entries.iter();
        let mut going = visitor.begin(Stored::beside(memory.head())).is_continue();
        while let Some(entry) = entries.next().filter(|_| going) {
            going = visitor.entry(entry.clone()).is_continue();
        }
        Ok(())
    }

    fn head(&self) -> Result<Head, JournalError> {
        Ok(self.memory().head())
    }
}
