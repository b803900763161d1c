//! The pump: the one loop that carries out what the engine decides.
//!
//! ```text
//!        inputs                                   commands
//! world ───────► decide ─► append (durable) ─► apply ─► attempts, questions, messages ─► world
//!                                                └────► reporters
//! ```

mod aftermath;
mod anchoring;
mod anew;
mod answers;
mod approvers;
mod attempt;
mod calls;
mod driver;
mod egress;
pub mod escalations;
mod guards;
mod host;
mod look;
pub mod messages;
mod next_steps;
pub mod orders;
pub mod outbox;
mod place;
mod receipts;
mod restore;
pub mod routing;
mod running;
mod signals;
mod spoiled;
mod spoken;
#[cfg(test)]
mod tests;
mod turns;

pub use answers::{Answer, Approver, BreakGlass, Nobody, Question, Yes};
pub use approvers::AnswerError;
pub use driver::Ended;
pub use guards::Guards;
pub use host::{Host, Prepared, RuntimeError};
pub use look::Look;
pub use place::{BadTemplates, NextSite};
pub use running::is_running;
pub use signals::stop_requests;
pub use spoken::Spoken;
