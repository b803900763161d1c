//! What happens, as it happens, for everybody who looks on.

use tokio::sync::broadcast;

use crate::engine::Record;
use crate::report::Reporter;

/// Those who fall further behind read the journal instead.
const BACKLOG: usize = 1_024;

/// Tells every event to whoever watches at the moment.
#[derive(Debug, Clone)]
pub struct Watch(broadcast::Sender<Record>);

impl Watch {
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Record> {
        self.0.subscribe()
    }
}

impl Default for Watch {
    fn default() -> Self {
        Watch(broadcast::channel(BACKLOG).0)
    }
}

impl Reporter for Watch {
    fn report(&mut self, record: &Record) {
        // Nobody may be watching.
        let _ = self.0.send(record.clone());
    }
}
