//! Which process is meant: a number alone is given to another process as soon as it is free.

use std::io;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::{Handle, table};

/// A process, for as long as files are kept: its number, when it was started, and since which start of
/// the machine that is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: i32,
    /// Clock ticks between the start of the machine and that of the process.
    pub start: u64,
    /// The kernel's identifier of this start of the machine.
    pub boot: String,
}

impl Identity {
    pub fn of(entry: &table::Entry) -> Self {
        Identity { pid: entry.pid, start: entry.start, boot: table::boot_id() }
    }

    /// This very process; `None` where there is no `/proc`.
    pub fn own() -> Option<Self> {
        Some(Identity::of(&table::Entry::of(i32::try_from(std::process::id()).ok()?)?))
    }

    /// Whether this very process is alive, and not merely its number in use.
    pub fn is_alive(&self) -> bool {
        let entry = table::Entry::of(self.pid).filter(table::Entry::is_alive);
        entry.is_some_and(|entry| Identity::of(&entry) == *self)
    }

    /// A hold on this very process; `None` when it has ended, whoever has its number now.
    pub fn hold(&self) -> io::Result<Option<Handle>> {
        let Some(pid) = Some(self.pid).filter(|pid| *pid > 1).and_then(Pid::from_raw) else { return Ok(None) };
        let handle = Handle::open(pid)?;
        // Looked at with the handle in hand, so that both mean the same process.
        Ok(handle.filter(|_| self.is_alive()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_number_with_another_start_or_boot_is_another_process() {
        let own = Identity::own().unwrap();
        assert!(own.is_alive() && own.hold().unwrap().is_some());
        for other in
            [Identity { start: own.start + 1, ..own.clone() }, Identity { boot: "other".into(), ..own.clone() }]
        {
            assert!(!other.is_alive() && other.hold().unwrap().is_none(), "{other:?}");
        }
        assert!(Identity { pid: 1, ..own.clone() }.hold().unwrap().is_none(), "the first process is never ours");
        assert!(Identity { pid: -5, ..own }.hold().unwrap().is_none());
    }
}
