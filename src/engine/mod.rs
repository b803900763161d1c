//! The pure core: `decide`, `apply`, `commands_for`. No IO, no clock, no randomness, no async.
//!
//! An item of a step moves like this; each arrow is one event:
//!
//! | from | event | to |
//! |---|---|---|
//! | – | `ApprovalAsked` | asked |
//! | asked | `ApprovalCounted`, `ApprovalRefused` | asked |
//! | approved, retrying | `ApprovalAsked` (what would be done is not what was agreed to) | asked |
//! | asked | `ApprovalSettled` approved / parked | approved / asked (parked) |
//! | asked | `ApprovalSettled` rejected, timed out | refused |
//! | refused | `StepSkipped` | done |
//! | –, approved, retrying, holding | `AttemptStarted` of its precondition, if it has one | running |
//! | running | `PreconditionMet` | cleared |
//! | –, approved, cleared, retrying, holding | `AttemptStarted` | running |
//! | running | `AttemptEnded` | judged by the next event |
//! | judged | `RetryScheduled` | retrying until its time |
//! | judged | `HoldScheduled` (a probe that must go on holding) | holding until its time |
//! | judged | `StepFinished` | done |
//! | running | `AttemptSuspended` (what it began waits for a person) | suspended |
//! | suspended | `RetryScheduled` (the run goes on) | retrying |
//! | running | `AttemptInterrupted` (after a crash) | doubtful |
//! | doubtful | `RetryScheduled` (harmless to repeat, or its check found it not done) | retrying |
//! | doubtful | `AttemptStarted` of its check | running |
//! | doubtful | `DoubtResolved` by a person | approved or done |

pub mod approval;
mod decide;
pub mod escalating;
pub mod escalation;
pub mod event;
mod fan;
mod gate;
pub mod graph;
mod impact;
mod input;
pub mod intake;
mod judge;
mod matches;
pub mod outbox;
mod outcome;
mod phases;
pub mod preview;
pub mod rerun;
mod rollback;
pub mod schedule;
pub mod scope;
pub mod silence;
pub mod standing;
pub mod state;
mod steps;
mod targets;
#[cfg(test)]
mod tests;

pub use decide::{advance, advance_all, decide};
pub use event::{Event, Record};
pub use graph::Graph;
pub use input::{Answered, Command, Hold, Input, What, commands_for};
pub use state::{IllegalTransition, RECHECK, RunState};
