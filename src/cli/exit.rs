//! Exit codes: the one list, documented in `docs/exit-codes.md`.

use crate::engine::event::Outcome;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// `healthy`, `resolved`, or a command that did what was asked.
    Done = 0,
    /// `unresolved`, `mitigated`, or an audit trail that does not hold.
    Unresolved = 1,
    /// A playbook, input or argument that is not valid.
    Invalid = 2,
    /// `parked`: a person is waited for.
    Parked = 3,
    /// `rejected` or `cancelled`.
    Stopped = 4,
    /// `error`: something could not be checked or done.
    Error = 5,
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Healthy | Outcome::Resolved => Exit::Done,
            Outcome::Unresolved | Outcome::Mitigated => Exit::Unresolved,
            Outcome::Parked => Exit::Parked,
            Outcome::Rejected | Outcome::Cancelled => Exit::Stopped,
            Outcome::Error => Exit::Error,
        }
    }
}
