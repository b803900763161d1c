//! `apply` of what happens to attempts.

use serde_json::Value;

use super::super::event::{AttemptResult, Role};
use super::{ItemState, RECHECK, RunState};
use crate::base::StepKey;

impl RunState {
    pub(super) fn start_attempt(
        &mut self,
        key: &StepKey,
        role: Role,
        attempt: u32,
        request: &Value,
    ) -> Result<(), String> {
        self.running += 1;
        if role == Role::Undo {
            let undo = self.undo.as_mut().ok_or("nothing is being undone")?;
            undo.running = Some(key.clone());
            undo.attempts = attempt;
            undo.doubtful = false;
            return Ok(());
        }
        if key.step.starts_with(RECHECK) {
            self.recheck_at = None;
        }
        let item = self.item(key)?;
        if matches!(item.state, ItemState::Running { .. }) {
            return Err(format!("{key} is already running"));
        }
        if role == Role::Main {
            item.attempts = attempt;
            item.request = request.clone();
        }
        self.set(key, ItemState::Running { role })
    }

    pub(super) fn end_attempt(&mut self, key: &StepKey, role: Role, result: &AttemptResult) -> Result<(), String> {
        self.running = self.running.checked_sub(1).ok_or("nothing is running")?;
        match role {
            Role::Main => self.set(key, ItemState::Ended { result: result.clone() }),
            // Unless the next event says otherwise it is asked again.
            Role::Precondition => self.set(key, ItemState::Approved),
            // Unless the next event says otherwise the check could not tell.
            Role::Check => self.set(key, ItemState::Doubtful { asked: true }),
            Role::Undo => {
                self.undo.as_mut().ok_or("nothing is being undone")?.ended = Some(result.clone());
                Ok(())
            }
        }
    }

    pub(super) fn interrupt(&mut self, key: &StepKey, role: Role) -> Result<(), String> {
        self.running = self.running.checked_sub(1).ok_or("nothing is running")?;
        if role == Role::Undo {
            self.undo.as_mut().ok_or("nothing is being undone")?.doubtful = true;
            return Ok(());
        }
        if role == Role::Main {
            self.item(key)?.interruptions += 1;
        }
        // A precondition only looks: nothing is in doubt, and it is asked again.
        let next = if role == Role::Precondition { ItemState::Approved } else { ItemState::Doubtful { asked: false } };
        self.set(key, next)
    }

    pub(super) fn suspend(&mut self, key: &StepKey) -> Result<(), String> {
        self.running = self.running.checked_sub(1).ok_or("nothing is running")?;
        self.item(key)?.looks += 1;
        self.set(key, ItemState::Suspended { again: false })
    }
}
