//! Errors that are about one run alone.

use super::host::RuntimeError;
use crate::journal::JournalError;

impl RuntimeError {
    /// Whether it is about this run alone, so that others can be gone on with.
    pub fn spoils_only_this_run(&self) -> bool {
        match self {
            RuntimeError::Damaged { .. }
            | RuntimeError::Panicked { .. }
            | RuntimeError::PlanChanged { .. }
            | RuntimeError::PlaybookGone { .. }
            | RuntimeError::PlaybookChanged { .. }
            | RuntimeError::Playbook(_)
            | RuntimeError::Engine(_) => true,
            RuntimeError::Journal(error) => {
                matches!(error, JournalError::Corrupt { .. } | JournalError::NewerVersion { .. })
            }
            _ => false,
        }
    }
}
