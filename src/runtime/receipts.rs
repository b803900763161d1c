//! Folders in which the attempts of a run leave how they went, for an engine that comes after a crash.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::base::{RunId, StepKey};
use crate::engine::event::Role;

/// The receipts of one run.
pub(super) struct Receipts {
    folder: PathBuf,
}

impl Receipts {
    pub(super) fn of(run: &RunId, state: &Path) -> Self {
        // Names of runs and steps may hold what a file name cannot.
        Receipts { folder: state.join("receipts").join(digest(run.as_str())) }
    }

    /// The folder of an attempt.
    pub(super) fn place(&self, key: &StepKey, role: Role, attempt: u32) -> PathBuf {
        self.folder.join(digest(&format!("{key}\n{role:?}\n{attempt}")))
    }

    /// Makes the folder of an attempt, for its owner alone: output of programs will be in it.
    pub(super) fn make(&self, key: &StepKey, role: Role, attempt: u32) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.place(key, role, attempt))
    }

    /// Forgets an attempt whose end is in the journal. What cannot be removed goes with the run.
    pub(super) fn forget(&self, key: &StepKey, role: Role, attempt: u32) {
        drop(fs::remove_dir_all(self.place(key, role, attempt)));
    }

    /// Forgets all of them: the run has ended.
    pub(super) fn forget_all(&self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}
