//! Whether some process runs a run: it holds the lock of a file for as long as it does. The kernel lets go of
//! the lock when the process ends, however it ends, so a lock never outlives its process.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::base::{RunId, private};
use crate::engine::event::Outcome;

/// Held by the process that runs a run.
#[derive(Debug)]
pub(super) struct Running {
    run: RunId,
    path: PathBuf,
    /// Locked until it is closed; closed in every program that a step starts.
    _file: File,
}

impl Running {
    /// `None` when another process holds it.
    pub(super) fn hold(state: &Path, run: &RunId) -> io::Result<Option<Self>> {
        let path = place(state, run);
        private::create_folder(path.parent().unwrap_or(state))?;
        let file = private::create(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Running { run: run.clone(), path, _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(super) fn is_of(&self, run: &RunId) -> bool {
        self.run == *run
    }

    /// Lets go of a run. The file of one that is over is of no more use; that of another stays, so that two
    /// processes never hold two files of one name.
    pub(super) fn let_go(self, outcome: Option<Outcome>) {
        if outcome.is_some_and(|outcome| outcome != Outcome::Parked) {
            // A file that stays is only clutter.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Whether a process runs it now. A run whose lock cannot be looked at counts as running: nobody is told to
/// go on with a run that may be going on.
pub fn is_running(state: &Path, run: &RunId) -> bool {
    match File::open(place(state, run)) {
        Ok(file) => file.try_lock_shared().is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

fn place(state: &Path, run: &RunId) -> PathBuf {
    state.join("running").join(format!("{run}.lock"))
}
