//! Who answers the questions of one run does so one after the other, and each looks at the run as the one before
//! has left it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::base::RunId;

#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<RunId, Weak<Turn<()>>>>);

impl Turns {
    /// Waits until it is one's turn with the run, which lasts until what is given back is dropped.
    pub(super) async fn take(&self, run: &RunId) -> OwnedMutexGuard<()> {
        self.of(run).lock_owned().await
    }

    fn of(&self, run: &RunId) -> Arc<Turn<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, turn| turn.strong_count() > 0);
        let turn = all.get(run).and_then(Weak::upgrade).unwrap_or_default();
        all.insert(run.clone(), Arc::downgrade(&turn));
        turn
    }
}
