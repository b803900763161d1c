//! Putting back what a replacement kept.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Replaced;
use super::error::{IoContext as _, KeepError};
use super::staged::{sha256_of_file, sync_folder};

/// What was done to undo a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// The old file is back.
    PutBack,
    /// There was no file before, and there is none now.
    Removed,
    /// The step had changed nothing, or its change was undone before.
    Nothing,
}

/// Undoes a replacement, unless the file was changed since: then nothing is touched, because that
/// change is somebody's work. Repeating it is harmless.
pub fn restore(replaced: &Replaced) -> Result<Restored, KeepError> {
    if !replaced.changed {
        return Ok(Restored::Nothing);
    }
    let found = digest_if_there(&replaced.path)?;
    if replaced.existed_before { put_back(replaced, found) } else { take_away(replaced, found) }
}

fn put_back(replaced: &Replaced, found: Option<String>) -> Result<Restored, KeepError> {
    if found.is_some() && found == replaced.sha256_before && found.as_ref() != Some(&replaced.sha256) {
        return Ok(Restored::Nothing);
    }
    let kept = replaced.kept.as_ref().ok_or_else(|| KeepError::NothingKept { path: replaced.path.clone() })?;
    refuse_foreign(replaced, found)?;
    match fs::rename(kept, &replaced.path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(KeepError::KeptGone { kept: kept.clone() }),
        renamed => {
            renamed.doing("put back", &replaced.path)?;
            sync_folder(&replaced.path)?;
            Ok(Restored::PutBack)
        }
    }
}

fn take_away(replaced: &Replaced, found: Option<String>) -> Result<Restored, KeepError> {
    if found.is_none() {
        return Ok(Restored::Nothing);
    }
    refuse_foreign(replaced, found)?;
    fs::remove_file(&replaced.path).doing("remove", &replaced.path)?;
    sync_folder(&replaced.path)?;
    Ok(Restored::Removed)
}

/// A missing file is nobody's change that could be lost.
fn refuse_foreign(replaced: &Replaced, found: Option<String>) -> Result<(), KeepError> {
    match found {
        Some(found) if found != replaced.sha256 => Err(KeepError::ChangedSince {
            path: PathBuf::from(&replaced.path),
            expected: replaced.sha256.clone(),
            found,
        }),
        _ => Ok(()),
    }
}

fn digest_if_there(path: &Path) -> Result<Option<String>, KeepError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing("look at", path),
        Ok(metadata) if !metadata.is_file() => Err(KeepError::NotAFile { path: path.to_owned() }),
        Ok(_) => sha256_of_file(path).map(Some),
    }
}
