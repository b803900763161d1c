//! What a run that has ended or waits still has to tell: because the program died before it could, or because the time
//! has come to call for help.

use std::sync::Arc;

use super::answers::Nobody;
use super::driver::Driver;
use super::host::{Host, RuntimeError, let_go};
use crate::base::{RunId, Timestamp};
use crate::engine::{What, escalating};

impl Host {
    /// The first moment after `then` at which a run that waits for a person may call others for help.
    pub fn escalates_at(&self, run: &RunId, then: Timestamp) -> Result<Option<Timestamp>, RuntimeError> {
        let (prepared, state, _) = self.restored(run)?;
        Ok(escalating::next_wake(&prepared.graph, &state, then))
    }

    /// Tells people what was written down of a run that has ended and was not told. Of one that waits, it also writes
    /// down and tells what is due by now. Does nothing when all is told.
    pub async fn tell_the_rest(self: &Arc<Self>, run: &RunId) -> Result<(), RuntimeError> {
        // Whoever ended it may be telling it right now.
        let running = self.hold(run)?;
        self.services().site.meet_secrets().await;
        let records = self.journal.read(run)?;
        let (prepared, state, _) = self.restored(run)?;
        let mut driver = Driver::new(self.clone(), prepared, state, Arc::new(Nobody));
        driver.catch_up(&records);
        let ended = driver.run(What::Proceed, None).await?;
        let_go(running, &ended);
        Ok(())
    }
}
