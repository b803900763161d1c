//! Takes secrets out of everything that is stored, hashed, shown or sent.
//!
//! ```text
//! a secret is fetched ─ `learn` ─► the redactor of this process
//!                                      │
//! events, messages ── `Redacted::of` ──┤   the only way to make a `Redacted`; the journal and the
//! terminal, log lines ── `text` ───────┤   channels take nothing else
//! output of programs ── `Stream` ──────┘
//! ```
//!
//! One redactor serves the whole process, because secrets also reach places that know nothing of a run
//! or of a site file: the message of a panic, a log line, the last error before the exit. Masking is the
//! second line of defence; the first is that secrets are given by reference and never become values.

mod forms;
mod redactor;
mod stream;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use redactor::Redactor;
pub use stream::Stream;

/// What stands where a secret was.
pub const MARK: &str = "[secret]";

/// Shorter ones appear by chance, so masking them would garble what people read, and guessing one is a
/// matter of minutes.
pub const SHORTEST: usize = 8;

/// A secret that cannot be masked without harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has fewer than {SHORTEST} characters, too few to be kept out of what is written and shown")]
pub struct TooShort;

static KNOWN: LazyLock<RwLock<Arc<Redactor>>> = LazyLock::new(RwLock::default);

/// The redactor with every secret that this process has fetched so far.
pub fn known() -> Arc<Redactor> {
    KNOWN.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Masks `secret` from now on, in every form of [`Redactor`], in everything that leaves this process.
pub fn learn(secret: &str) -> Result<(), TooShort> {
    if secret.chars().count() < SHORTEST {
        return Err(TooShort);
    }
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    if !known.knows(secret) {
        *known = Arc::new(known.with(secret));
    }
    Ok(())
}

/// The secrets of this process, for a child that writes down what it sees. They may cross a pipe, never become an
/// argument or a file.
#[derive(Default, Serialize, Deserialize)]
pub struct Handover(Vec<String>);

impl Handover {
    pub fn of_this_process() -> Self {
        Handover(known().secrets().map(str::to_owned).collect())
    }

    /// In the child: masks them from now on.
    pub fn learn(&self) -> Result<(), TooShort> {
        self.0.iter().try_for_each(|secret| learn(secret))
    }
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} secrets", self.0.len())
    }
}

/// `text` without the secrets of this process.
pub fn text(text: &str) -> Cow<'_, str> {
    known().text(text)
}

/// A value without secrets in its texts, in the names of its fields and in its numbers. There is no
/// other way to make one.
#[derive(Debug, Clone, PartialEq)]
pub struct Redacted<T>(T);

/// A value that makes no sense without the secret in it, so that it can neither be kept nor shown.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("a secret of the site file is the same as a word that the program itself writes")]
pub struct Unredactable;

impl<T: Serialize + DeserializeOwned> Redacted<T> {
    /// Masks the secrets that this process knows.
    pub fn of(value: T) -> Result<Self, Unredactable> {
        known().redact(value).map(Redacted)
    }
}

impl<T> Redacted<T> {
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Redacted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Redactor {
    /// The value with its secrets masked; as it is when it has none.
    fn redact<T: Serialize + DeserializeOwned>(&self, value: T) -> Result<T, Unredactable> {
        if self.is_empty() {
            return Ok(value);
        }
        // A text in JSON is one of the forms that are looked for, so the whole can be looked at at once.
        let written = serde_json::to_string(&value).map_err(|_| Unredactable)?;
        if !self.finds(&written) {
            return Ok(value);
        }
        let mut tree: Value = serde_json::from_str(&written).map_err(|_| Unredactable)?;
        self.value(&mut tree);
        serde_json::from_value(tree).map_err(|_| Unredactable)
    }
}
