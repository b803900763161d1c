//! Why the journal could not be read or written, and what to do about it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::audit::KeyFileError;
use crate::base::redaction::Unredactable;

/// Shared, because one failed commit is the answer to every append of its group.
pub type Cause = Arc<dyn Error + Send + Sync>;

#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    #[error("the journal {} has format {found}, and this program knows formats up to {supported}", path.display())]
    NewerVersion { path: PathBuf, found: u32, supported: u32 },
    #[error("{} is not a journal of runbook", path.display())]
    NotAJournal { path: PathBuf },
    #[error("the journal {} cannot be written", path.display())]
    ReadOnly { path: PathBuf, source: Cause },
    #[error("the disk with the journal {} is full", path.display())]
    DiskFull { path: PathBuf },
    #[error("the journal {} is locked by another program", path.display())]
    Locked { path: PathBuf },
    #[error("the journal {} is damaged: {what}", path.display())]
    Corrupt { path: PathBuf, what: String },
    /// Two programs work on one run.
    #[error("run {run} was continued by another program: event {found} was to follow, but event {expected} is next")]
    Conflict { run: String, expected: u64, found: u64 },
    #[error("an event of run {run} cannot be kept: {what}")]
    Unwritable { run: String, what: String },
    #[error("an event cannot be kept without a secret in it")]
    Secret(#[from] Unredactable),
    #[error("the journal {} cannot keep its promises here: {what}", path.display())]
    Unsupported { path: PathBuf, what: String },
    #[error("cannot {doing} the journal {}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: Cause },
    #[error(transparent)]
    Key(Arc<KeyFileError>),
    /// After a failed write nobody knows what is on the disk; writing on would pretend otherwise.
    #[error("the journal stopped writing after an earlier failure: {cause}")]
    Stopped { cause: String },
}

impl JournalError {
    /// What the reader can do next.
    pub fn help(&self) -> &'static str {
        match self {
            JournalError::NewerVersion { .. } => "install the version of runbook that wrote it, or a later one",
            JournalError::NotAJournal { .. } => "name another state folder in the site file, or move that file away",
            JournalError::ReadOnly { .. } => {
                "check who owns the state folder and whether its disk is mounted read-only; \
                 without a journal nothing is remediated"
            }
            JournalError::DiskFull { .. } => {
                "free some space and run the command again; nothing was remediated meanwhile"
            }
            JournalError::Locked { .. } => {
                "find the program that holds it open for long, such as a backup or a database tool"
            }
            JournalError::Corrupt { .. } => {
                "see what is wrong with `runbook audit verify`, keep a copy of the file, and restore a backup \
                 or start a new state folder"
            }
            JournalError::Conflict { .. } => "watch the run with `runbook show` instead: it is running elsewhere",
            JournalError::Unwritable { .. } => "let the step output less, for example with `extract`",
            JournalError::Secret(_) => "replace the secret by one that nobody could guess",
            JournalError::Unsupported { .. } => "put the state folder on a local disk; network file systems do not do",
            JournalError::Io { .. } => {
                "check that the state folder exists, that you may read and write in it (even reading needs \
                 two files beside the journal), and that its disk is healthy"
            }
            JournalError::Key(error) => error.help(),
            JournalError::Stopped { .. } => {
                "check the disk and its space, then start runbook again; it resumes its runs"
            }
        }
    }

    /// Whether the disk may now hold something else than was acknowledged.
    pub(super) fn leaves_doubt(&self) -> bool {
        matches!(self, JournalError::Io { .. } | JournalError::Corrupt { .. })
    }

    pub(super) fn of_sqlite(path: &Path, doing: &'static str, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let Some(code) = error.sqlite_error_code() else {
            return JournalError::Corrupt { path, what: error.to_string() };
        };
        match code {
            ErrorCode::DiskFull => JournalError::DiskFull { path },
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => JournalError::Locked { path },
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
                JournalError::ReadOnly { path, source: Arc::new(error) }
            }
            ErrorCode::NotADatabase => JournalError::NotAJournal { path },
            ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed => JournalError::Io { path, doing, source: Arc::new(error) },
            // A missing table, a value of another type: the file is not what this program wrote.
            _ => JournalError::Corrupt { path, what: error.to_string() },
        }
    }

    pub(super) fn of_key(error: KeyFileError) -> Self {
        JournalError::Key(Arc::new(error))
    }

    pub(super) fn of_io(path: &Path, doing: &'static str, error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                JournalError::ReadOnly { path, source: Arc::new(error) }
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => JournalError::DiskFull { path },
            _ => JournalError::Io { path, doing, source: Arc::new(error) },
        }
    }
}
