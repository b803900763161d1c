//! What the runs of one process do one after the other.

use tokio::sync::Mutex;

#[derive(Default)]
pub(super) struct Turns {
    /// A person answers one question at a time, whichever run it comes from.
    pub questions: Mutex<()>,
    /// Facts about escalations are written down one by one, so that two do not meet at the same number.
    pub escalations: Mutex<()>,
}
