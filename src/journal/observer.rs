//! What the thread that writes tells about its work, for whoever watches the journal.

use std::fmt::Debug;
use std::time::Duration;

/// One group of appends that came to its end together.
#[derive(Debug)]
pub struct Group<'a> {
    /// For each append, how long its caller has waited since it was handed over.
    pub waited: &'a [Duration],
    /// How long the one transaction took, its sync included; nothing when it was not tried any more.
    pub took: Option<Duration>,
    /// Whether it is durable. An append that does not continue its run is refused alone and fails nobody else.
    pub durable: bool,
}

/// Is told of each group, by the thread that writes: it must not wait for anything.
pub trait Observer: Debug + Send + Sync {
    fn wrote(&self, group: &Group<'_>);
}
