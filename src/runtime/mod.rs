//! The pump: the one loop that carries out what the engine decides.
//!
//! ```text
//!        inputs                                   commands
//! world ───────► decide ─► append (durable) ─► apply ─► attempts, questions, messages ─► world
//!                                                └────► reporters
//! ```

mod anchoring;
mod answers;
mod attempt;
mod calls;
mod driver;
mod egress;
mod guards;
mod host;
mod messages;
pub mod orders;
mod receipts;
mod signals;

pub use answers::{Answer, Approver, Nobody, Question, Yes};
pub use driver::Ended;
pub use guards::Guards;
pub use host::{Host, Prepared, RuntimeError};
pub use signals::stop_requests;
