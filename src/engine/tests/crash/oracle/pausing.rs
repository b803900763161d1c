//! What must hold between two attempts at a step.

use super::{Licence, Oracle, ensure};
use crate::base::StepKey;
use crate::engine::event::Role;
use crate::engine::graph::Repeat;

impl Oracle<'_> {
    pub(super) fn interrupted(&mut self, key: &StepKey, role: Role) -> Result<(), String> {
        ensure(self.running.remove(&(key.clone(), role)), || format!("{key} is interrupted, but was not running"))?;
        match role {
            Role::Main if self.step(key).repeat == Repeat::Unknown => drop(self.doubts.insert(key.clone())),
            Role::Undo => {
                let safe = self.step(key).undo.as_ref().is_some_and(|undo| undo.repeat == Repeat::Safe);
                if let Some(undo) = &mut self.undo {
                    undo.doubtful = !safe;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Nothing is in doubt; it is tried again when the run goes on, and not before.
    pub(super) fn suspend(&mut self, key: &StepKey) -> Result<(), String> {
        let ran = self.running.remove(&(key.clone(), Role::Main));
        self.suspended.insert(key.clone());
        ensure(ran, || format!("{key} waits, but was not running"))
    }

    pub(super) fn again(&mut self, key: &StepKey) -> Result<(), String> {
        ensure(!self.ended_items.contains(key), || format!("{key} has ended and is scheduled"))?;
        ensure(!self.suspended.contains(key), || format!("{key} is scheduled although it waits for a person"))?;
        self.licences.insert(key.clone(), Licence::Again);
        Ok(())
    }
}
