//! The journal: every event of every run, durable before anything depends on it. It is the audit log
//! at the same time, because each event is an entry of the chain in `audit`.
//!
//! ```text
//! append ─ queue ─ writer thread ─┬ one transaction: check order, chain, insert ─ fsync ─ acknowledge all
//! append ─ queue ─────────────────┘
//! ```
//!
//! Promises: what was acknowledged survives a crash and a power failure; a run's events are numbered
//! without a gap, so two programs cannot both continue one run; a write that failed is never reported
//! as done.

mod check;
mod encoding;
mod error;
mod find;
pub mod memory;
mod observer;
mod pending;
mod proven;
mod schema;
pub mod sqlite;
mod store;
mod summary;
#[cfg(test)]
mod tests;
mod tree;
mod writer;

use std::ops::ControlFlow;

use crate::audit::{Entry, Hash, Head, Note};
use crate::base::{Redacted, RunId};
use crate::engine::Record;

pub use check::{JournalExportError, export, verify, verify_while};
pub use error::JournalError;
pub use find::{FindRunError, find_run};
pub use memory::MemoryJournal;
pub use observer::{Group, Observer};
pub use pending::Pending;
pub use proven::{newest_checkpoint, proof_text};
pub use sqlite::SqliteJournal;
pub use summary::{RunFilter, RunSummary};

/// The version of SQLite that is built in.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// Ordered events, durable.
pub trait Journal: Send + Sync {
    /// Adds the next events of a run, all of them or none. The appends of one caller are written in
    /// the order of the calls, whether or not their results are awaited.
    ///
    /// Calling it can block for a moment when the disk is thousands of appends behind.
    /// It takes nothing that has not been through the redactor, so no path to the disk can forget it.
    fn append(&self, run: &RunId, records: Redacted<Vec<Record>>) -> Pending;

    /// The events of a run in order; none if there is no such run. An entry that does not match its
    /// hash is an error: a run must not be resumed from facts that somebody edited.
    fn read(&self, run: &RunId) -> Result<Vec<Record>, JournalError>;

    /// Runs, newest first.
    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunSummary>, JournalError>;

    /// The identifiers that begin with `prefix`: the one that equals it, then the newest first, at most
    /// `limit`; those of sub-playbooks only if the prefix has a `/`.
    fn run_ids(&self, prefix: &str, limit: usize) -> Result<Vec<RunId>, JournalError>;

    /// Shows every entry to `visitor`, all of one moment, in the order of their numbers.
    fn entries(&self, visitor: &mut dyn Visitor) -> Result<(), JournalError>;

    /// The number and hash of the last entry. Kept elsewhere, it proves every entry up to it.
    fn head(&self) -> Result<Head, JournalError>;

    /// Signs the trail as it is now, unless it is signed already. A journal without a key does nothing.
    fn checkpoint(&self) -> Pending {
        Pending::known(Ok(()))
    }

    /// Tries whether it can be written: changes and syncs the disk as an append does, and adds nothing.
    fn probe(&self) -> Pending {
        Pending::known(Ok(()))
    }

    /// What can be proven about the journal to others; `None` for one that keeps no tree.
    fn proofs(&self) -> Option<&dyn Proofs> {
        None
    }
}

/// Proofs over the Merkle tree of a journal. Entries are numbered from 1.
pub trait Proofs {
    /// The newest signed checkpoint.
    fn newest_checkpoint(&self) -> Result<Option<Note>, JournalError>;

    fn entry(&self, number: u64) -> Result<Option<Entry>, JournalError>;

    /// That an entry is among the first `size`, which it must be.
    fn inclusion(&self, number: u64, size: u64) -> Result<Vec<Hash>, JournalError>;

    /// That the first `new` entries begin with the first `old`, which must not be more.
    fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, JournalError>;
}

/// What a journal keeps beside its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub head: Head,
    /// The root that the kept nodes of the tree give; `None` when no tree is kept.
    pub root: Option<Hash>,
    /// The text of each checkpoint, the smallest first; nobody has verified them.
    pub checkpoints: Vec<String>,
}

impl Stored {
    /// A head, and neither tree nor checkpoints.
    pub fn beside(head: Head) -> Self {
        Stored { head, root: None, checkpoints: Vec::new() }
    }
}

/// Sees the entries of a journal.
pub trait Visitor {
    /// Called once, before the entries, with what is stored beside them.
    fn begin(&mut self, stored: Stored) -> ControlFlow<()>;

    fn entry(&mut self, entry: Entry) -> ControlFlow<()>;
}
