//! What an ended run still has to tell, because the program died before it could.

use std::sync::Arc;

use super::answers::Nobody;
use super::driver::Driver;
use super::host::{Host, RuntimeError, let_go};
use crate::base::RunId;
use crate::engine::What;

impl Host {
    /// Tells people what was written down of an ended run and not told. Does nothing when all is told.
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
