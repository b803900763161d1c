//! The pure core: `decide`, `apply`, `commands_for`. No IO, no clock, no randomness, no async.

pub mod event;

pub use event::{Event, Record};
