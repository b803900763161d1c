//! The journal in a SQLite file. `history` and `show` only ever read: nothing is created, and no
//! thread is started, before the first append.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::store::{self, Batch, Store};
use super::summary::summarise;
use super::writer::{Entrance, Failure, Writer};
use super::{
    Journal, JournalError, Observer, Pending, Proofs, RunFilter, RunSummary, Stored, Visitor, encoding, schema, tree,
};
use crate::audit::{Entry, Hash, Head, KeyFile, Note};
use crate::base::{Redacted, RunId};
use crate::engine::Record;

/// A journal in a file. Dropping it writes what is queued and closes the file.
#[derive(Debug)]
pub struct SqliteJournal {
    path: PathBuf,
    key: Option<KeyFile>,
    observer: Option<Arc<dyn Observer>>,
    /// `None` until there is a file. Declared before the writer, so that the writer closes last and
    /// leaves a single file behind.
    reader: Mutex<Option<Connection>>,
    /// `None` until the first append.
    writer: Mutex<Option<Writer>>,
}

impl SqliteJournal {
    /// Opens the journal at `path`, or one that the first append will create there. A journal of a
    /// later version is refused and left untouched.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let path = path.into();
        let reader = schema::open_to_read(&path)?;
        Ok(SqliteJournal { path, key: None, observer: None, reader: Mutex::new(reader), writer: Mutex::new(None) })
    }

    /// Signs checkpoints with the key in this file, which the first append makes if it is missing. While
    /// the key cannot be used, nothing can be appended.
    #[must_use]
    pub fn signing_with(mut self, key: KeyFile) -> Self {
        self.key = Some(key);
        self
    }

    /// Tells `observer` of each group that is written.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn entrance(&self) -> Result<Entrance, JournalError> {
        let mut writer = lock(&self.writer);
        if writer.is_none() {
            let started = Writer::start(self.observer.clone(), write_to(self.path.clone(), self.key.clone()));
            *writer = Some(started.map_err(|error| JournalError::of_io(&self.path, "write", error))?);
        }
        writer.as_ref().and_then(Writer::entrance).ok_or_else(super::pending::writer_gone)
    }

    /// Asks the journal, or gives the answer of an empty one while there is no file.
    fn ask<T: Default>(
        &self,
        question: impl FnOnce(&mut Connection) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let mut reader = lock(&self.reader);
        if reader.is_none() {
            *reader = schema::open_to_read(&self.path)?;
        }
        reader.as_mut().map_or_else(|| Ok(T::default()), question)
    }

    fn add(&self, batch: Batch) -> Pending {
        match self.entrance() {
            Ok(entrance) => entrance.add(batch),
            Err(error) => Pending::known(Err(error)),
        }
    }

    fn failed(&self, error: rusqlite::Error) -> JournalError {
        JournalError::of_sqlite(&self.path, "read", error)
    }
}

/// A poisoned lock guards nothing half-done here: the connection is as good as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the file at the first group, and again at the next one if that failed: nothing was written
/// then, and the disk may have room again.
fn write_to(path: PathBuf, key: Option<KeyFile>) -> impl FnMut(Vec<Batch>) -> Result<store::Answers, Failure> + Send {
    let mut store: Option<Store> = None;
    move |batches| {
        let store = match &mut store {
            Some(store) => store,
            None => {
                let opened = Store::open(&path, key.as_ref(), schema::PATIENCE);
                store.insert(opened.map_err(|error| Failure { error, in_doubt: false })?)
            }
        };
        store.append(batches).map_err(|error| Failure { in_doubt: error.leaves_doubt(), error })
    }
}

impl Journal for SqliteJournal {
    fn append(&self, run: &RunId, records: Redacted<Vec<Record>>) -> Pending {
        if records.is_empty() {
            return Pending::known(Ok(()));
        }
        let seal = records.iter().any(|record| record.event.calls_for_checkpoint());
        match encoding::contents(run, &records) {
            Ok(contents) => self.add(Batch { run: run.to_string(), contents, seal, probe: false }),
            Err(error) => Pending::known(Err(error)),
        }
    }

    fn read(&self, run: &RunId) -> Result<Vec<Record>, JournalError> {
        let entries = self.ask(|reader| store::entries_of(reader, run.as_str()).map_err(|error| self.failed(error)))?;
        encoding::records(entries).map_err(|error| error.at(&self.path))
    }

    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunSummary>, JournalError> {
        self.ask(|reader| list_runs(reader, filter).map_err(|error| self.failed(error)))
    }

    fn run_ids(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, JournalError> {
        let names = self.ask(|reader| store::run_ids(reader, prefix, limit).map_err(|error| self.failed(error)))?;
        Ok(names.into_iter().map(RunId::from).collect())
    }

    fn entries(&self, visitor: &mut dyn Visitor) -> Result<(), JournalError> {
        // A connection of its own: checking a large journal takes seconds, and others read meanwhile.
        match schema::open_to_read(&self.path)? {
            Some(mut reader) => store::visit(&mut reader, &self.path, visitor),
            None => {
                let _ = visitor.begin(Stored::beside(Head::EMPTY));
                Ok(())
            }
        }
    }

    fn head(&self) -> Result<Head, JournalError> {
        self.ask(|reader| store::read_head(reader, &self.path).map(Some)).map(|head| head.unwrap_or(Head::EMPTY))
    }

    fn checkpoint(&self) -> Pending {
        match self.path.exists() {
            true => self.add(Batch { run: String::new(), contents: Vec::new(), seal: true, probe: false }),
            false => Pending::known(Ok(())),
        }
    }

    fn probe(&self) -> Pending {
        self.add(Batch { run: String::new(), contents: Vec::new(), seal: false, probe: true })
    }

    fn proofs(&self) -> Option<&dyn Proofs> {
        Some(self)
    }
}

impl Proofs for SqliteJournal {
    fn newest_checkpoint(&self) -> Result<Option<Note>, JournalError> {
        self.ask(|reader| tree::newest_checkpoint(reader).map_err(|error| self.failed(error)))
    }

    fn entry(&self, number: u64) -> Result<Option<Entry>, JournalError> {
        self.ask(|reader| store::entry_at(reader, number).map_err(|error| self.failed(error)))
    }

    fn inclusion(&self, number: u64, size: u64) -> Result<Vec<Hash>, JournalError> {
        self.ask(|reader| tree::inclusion(reader, number - 1, size).map_err(|error| self.failed(error)))
    }

    fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, JournalError> {
        self.ask(|reader| tree::consistency(reader, old, new).map_err(|error| self.failed(error)))
    }
}

fn list_runs(reader: &Connection, filter: &RunFilter) -> Result<Vec<RunSummary>, rusqlite::Error> {
    let mut summaries = Vec::new();
    let before = filter.before.as_ref().map(RunId::as_str);
    store::visit_starts(reader, filter.children, before, |start| {
        if summaries.len() == filter.limit {
            return Ok(ControlFlow::Break(()));
        }
        if !filter.takes_start(&start) {
            return Ok(ControlFlow::Continue(()));
        }
        let turn = store::last_turn(reader, &start.run)?;
        if filter.takes_turn(turn.as_ref()) {
            summaries.extend(Some(summarise(&start, turn.as_ref())).filter(|summary| filter.takes(summary)));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(summaries)
}
