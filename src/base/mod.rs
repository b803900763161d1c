//! The words every other room speaks: identifiers, time, places in a source text, diagnostics, typed values.
//!
//! This room imports nothing of the project. It is also the only place where the program asks the
//! outside for time (`clock`), randomness (`entropy`) and environment variables (`environment`);
//! `clippy.toml` bans those calls elsewhere.

pub mod clock;
pub mod diagnostic;
pub mod entropy;
pub mod environment;
pub mod id;
pub mod live;
pub mod picture;
pub mod private;
pub mod redaction;
pub mod secret;
pub mod source;
pub mod suggestion;
pub mod units;
pub mod value;

pub use clock::{Clock, Timestamp};
pub use diagnostic::{Diagnostic, Level};
pub use id::{RunId, StepKey};
pub use picture::Picture;
pub use redaction::Redacted;
pub use secret::Secret;
pub use source::{Route, Source, Span};
pub use value::{Field, Type};
