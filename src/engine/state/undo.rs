//! `apply` for undoing, and for what a person says of an interrupted step.

use super::super::event::Resolution;
use super::{ItemState, RunState};
use crate::base::StepKey;

impl RunState {
    pub(super) fn finish_undo(&mut self, key: &StepKey, error: Option<&String>) -> Result<(), String> {
        let undo = self.undo.as_mut().ok_or("nothing is being undone")?;
        undo.left.retain(|left| left != key);
        undo.running = None;
        undo.attempts = 0;
        undo.ended = None;
        undo.doubtful = false;
        if let Some(error) = error {
            undo.error = Some(error.clone());
            undo.left.clear();
        }
        Ok(())
    }

    pub(super) fn resolve_doubt(&mut self, key: &StepKey, resolution: Resolution) -> Result<(), String> {
        if let Some(undo) = self.undo.as_mut().filter(|undo| undo.doubtful && undo.running.as_ref() == Some(key)) {
            // Otherwise the event that ends the undo follows.
            if resolution == Resolution::Retry {
                undo.doubtful = false;
                undo.running = None;
            }
            return Ok(());
        }
        match resolution {
            // The event that ends the step follows.
            Resolution::Done | Resolution::Abort => Ok(()),
            Resolution::Retry => self.set(key, ItemState::Approved),
        }
    }
}
