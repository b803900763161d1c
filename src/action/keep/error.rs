//! What can go wrong when a file is replaced or put back, and what to do about it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::kind::StepError;

#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error("cannot {what} {}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} is a symbolic link to a file that does not exist", path.display())]
    DanglingLink { path: PathBuf },
    #[error("{} was changed since the step wrote it (it has SHA-256 {found}, the step wrote {expected})", path.display())]
    ChangedSince { path: PathBuf, expected: String, found: String },
    #[error("the kept copy {} is gone", kept.display())]
    KeptGone { kept: PathBuf },
    #[error("no old copy of {} was kept", path.display())]
    NothingKept { path: PathBuf },
}

/// Says what was being done when the operating system refused.
pub(super) trait IoContext<T> {
    fn doing(self, what: &'static str, path: &Path) -> Result<T, KeepError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn doing(self, what: &'static str, path: &Path) -> Result<T, KeepError> {
        self.map_err(|source| KeepError::Io { what, path: path.to_owned(), source })
    }
}

impl KeepError {
    fn help(&self) -> String {
        match self {
            KeepError::Io { path, source, .. } => io_help(path, source.kind()),
            KeepError::NotAFile { .. } => "name a file, not a folder or a device".into(),
            KeepError::DanglingLink { path } => {
                format!("see where it leads with: readlink {}; create that file or remove the link", path.display())
            }
            KeepError::ChangedSince { path, .. } => format!(
                "nothing was touched, so that nobody's change is lost; compare {} with the old copy and decide by hand",
                path.display()
            ),
            KeepError::KeptGone { .. } => "a later run may have removed it; restore the file from a backup".into(),
            KeepError::NothingKept { .. } => "restore the file from a backup; `keep: 1` would have kept it".into(),
        }
    }
}

fn io_help(path: &Path, kind: ErrorKind) -> String {
    let folder = path.parent().unwrap_or(path).display();
    match kind {
        ErrorKind::PermissionDenied => format!("run as a user that may write in {folder}"),
        ErrorKind::NotFound => format!("check that {} is spelt right and exists", path.display()),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("free space on the file system of {folder}"),
        ErrorKind::ReadOnlyFilesystem => format!("the file system of {folder} is mounted read-only"),
        _ => format!("look at the file system of {folder}, for example with: ls -la {folder}"),
    }
}

impl From<KeepError> for StepError {
    fn from(error: KeepError) -> Self {
        let help = error.help();
        let source = std::error::Error::source(&error);
        match source {
            Some(source) => StepError::because(&error, source),
            None => StepError::new(error.to_string()),
        }
        .help(help)
    }
}
