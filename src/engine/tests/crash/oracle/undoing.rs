//! What must be true of undoing.

use super::{Oracle, ensure};
use crate::base::StepKey;
use crate::engine::event::{Phase, Role, StepStatus};

impl Oracle<'_> {
    pub(super) fn undo_started(&mut self, key: &StepKey) -> Result<(), String> {
        self.run(key, Role::Undo)?;
        ensure(self.completed.contains(key), || format!("{key} is undone although it was not completed"))?;
        let undo = self.undo.as_ref().ok_or("an undo runs before undoing began")?;
        ensure(undo.planned.get(undo.done) == Some(key), || format!("it is not the turn of {key} to be undone"))?;
        ensure(!undo.failed, || format!("{key} is undone after an undo failed"))?;
        ensure(!undo.doubtful, || format!("the undo of {key} is repeated although it is in doubt"))
    }

    pub(super) fn undo_finished(&mut self, key: &StepKey, failed: bool) -> Result<(), String> {
        ensure(failed || self.told.contains(key), || format!("the undo of {key} counts as done, and nothing said so"))?;
        let undo = self.undo.as_mut().ok_or("an undo ends before undoing began")?;
        undo.done += 1;
        undo.failed |= failed;
        undo.doubtful = false;
        Ok(())
    }

    /// What was completed and can be undone is undone, last first, if the fault is still there.
    pub(super) fn undone(&self) -> Result<(), String> {
        let verified_by_steps = self.graph.detection.is_none()
            && self.ended_steps.iter().any(|(id, status)| {
                let step = &self.graph.steps[self.graph.index[id]];
                step.phase == Phase::Verify && matches!(status, StepStatus::Failed | StepStatus::Error)
            });
        let declares = |key: &&StepKey| self.step(key).undo.is_some() && !self.unchanged.contains(*key);
        let undoable: Vec<&StepKey> = self.completed.iter().rev().filter(declares).collect();
        let wanted = (self.recheck_holds || verified_by_steps) && !undoable.is_empty();
        let Some(undo) = &self.undo else {
            return ensure(!wanted, || format!("{undoable:?} should have been undone"));
        };
        ensure(wanted, || "a fix that helped was undone".into())?;
        ensure(undo.planned.iter().eq(undoable.iter().copied()), || {
            format!("{:?} are undone in this order, but were completed in {undoable:?}", undo.planned)
        })?;
        ensure(undo.failed || undo.done == undo.planned.len(), || {
            format!("only {} of {:?} were undone", undo.done, undo.planned)
        })
    }
}
