//! Where signed checkpoints of the audit trail are kept out of reach of whoever can write the journal:
//! one file an anchor. Add an anchor by adding its file and its name here.
//!
//! An anchor gets an [`Offer`] and tries once; the runtime tries again. Before it keeps a checkpoint it
//! looks at the last one it kept: a trail that is shorter, or that does not continue that one, is refused.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::audit::proof::is_consistent;
use crate::audit::{Checkpoint, Hash, Note};

/// A checkpoint to keep.
#[derive(Clone)]
pub struct Offer {
    pub checkpoint: Checkpoint,
    /// The same, signed.
    pub note: Note,
    pub history: Arc<dyn History>,
    pub http: reqwest::Client,
}

/// Shows that the trail continues an older state of itself.
pub trait History: Send + Sync {
    /// The consistency proof of RFC 6962 between these sizes, `old` being the smaller one.
    fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, String>;
}

/// Why a checkpoint was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AnchorError {
    pub message: String,
    /// The trail is not the one that the anchor knows: somebody changed one of the two.
    pub contradicts: bool,
}

impl AnchorError {
    /// It could not be kept now; trying again may help.
    pub fn failed(message: impl Into<String>) -> Self {
        AnchorError { message: message.into(), contradicts: false }
    }

    /// The anchor knows another trail.
    pub fn contradicts(message: impl Into<String>) -> Self {
        AnchorError { message: message.into(), contradicts: true }
    }

    fn of_io(doing: &str, error: &std::io::Error) -> Self {
        AnchorError::failed(format!("cannot {doing}: {error}"))
    }
}

/// Whether the offered checkpoint is new to somebody who kept `last`; an error if it contradicts it.
fn is_new(last: Option<&Checkpoint>, offer: &Offer) -> Result<bool, AnchorError> {
    let Some(last) = last else { return Ok(true) };
    let (old, new) = (last.size, offer.checkpoint.size);
    if old > new {
        return Err(AnchorError::contradicts(format!(
            "it has seen {old} entries and the journal has only {new}: entries were taken away, or the journal was \
             replaced by an older one"
        )));
    }
    let proof = offer.history.consistency(old, new).map_err(AnchorError::failed)?;
    if !is_consistent(old, &last.root, new, &offer.checkpoint.root, &proof) {
        return Err(AnchorError::contradicts(format!(
            "the first {old} entries of the journal are not the ones that it has seen: the journal was rewritten"
        )));
    }
    Ok(old < new)
}

/// A place to keep checkpoints in.
pub trait Anchor: 'static {
    /// The key of the anchor in the site file.
    const NAME: &'static str;
    const SUMMARY: &'static str;
    /// Settings in the site file, as YAML; a test parses them, and the documentation shows them.
    const EXAMPLE: &'static str;
    type Config: DeserializeOwned + JsonSchema + Send;

    /// Tries once to keep the checkpoint.
    fn keep(config: Self::Config, offer: Offer) -> impl Future<Output = Result<(), AnchorError>> + Send;
}

pub type KeepFuture = Pin<Box<dyn Future<Output = Result<(), AnchorError>> + Send>>;

/// An anchor as the rest of the program sees it.
#[derive(Clone, Copy)]
pub struct AnchorEntry {
    pub name: &'static str,
    pub summary: &'static str,
    pub example: &'static str,
    pub config_schema: fn() -> Value,
    pub keep: fn(Value, Offer) -> KeepFuture,
}

impl fmt::Debug for AnchorEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// The uniform form of the anchor `A`.
pub const fn entry<A: Anchor>() -> AnchorEntry {
    AnchorEntry {
        name: A::NAME,
        summary: A::SUMMARY,
        example: A::EXAMPLE,
        config_schema: crate::kind::schema_of::<A::Config>,
        keep: |config, offer| Box::pin(async move { A::keep(decode::<A>(config)?, offer).await }),
    }
}

fn decode<A: Anchor>(config: Value) -> Result<A::Config, AnchorError> {
    let wrong = |error| AnchorError::failed(format!("the settings of a {} anchor are not valid: {error}", A::NAME));
    serde_json::from_value(config).map_err(wrong)
}

/// The anchor of this name.
pub fn find(name: &str) -> Option<&'static AnchorEntry> {
    ANCHORS.iter().find(|entry| entry.name == name)
}

/// Does what blocks on a thread for such work, so that other steps go on.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AnchorError> + Send + 'static,
) -> Result<T, AnchorError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(AnchorError::failed(format!("bug: keeping a checkpoint panicked: {error}"))))
}

/// Declares the modules of the anchors and lists them, in this order, as `ANCHORS`.
/// Each module has a type `Keeper` that implements [`Anchor`].
macro_rules! anchors {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// The anchors.
        pub static ANCHORS: &[AnchorEntry] = &[$(entry::<$module::Keeper>()),+];
    };
}

anchors! { file, git, syslog, witness }

#[cfg(test)]
mod doubles;

#[cfg(test)]
mod tests {
    use super::doubles::Log;
    use super::*;
    use crate::base::Source;

    #[test]
    fn every_example_is_valid_and_every_setting_documented() {
        for entry in ANCHORS {
            let example = crate::yaml::parse(&Source::new("example.yaml", entry.example)).unwrap().to_json();
            let schema = (entry.config_schema)();
            assert!(jsonschema::is_valid(&schema, &example), "{}: {example}", entry.name);
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                assert!(field["description"].is_string(), "{}.{name}", entry.name);
            }
        }
    }

    #[test]
    fn only_a_trail_that_continues_the_kept_one_is_new() {
        let log = Log::of(9);
        let new = |last: u64, offered: u64| is_new(Some(&log.checkpoint(last)), &log.offer(offered));
        assert_eq!((new(4, 9), new(9, 9), is_new(None, &log.offer(3))), (Ok(true), Ok(false), Ok(true)));
        assert!(new(9, 8).unwrap_err().message.starts_with("it has seen 9 entries and the journal has only 8"));
        let other = is_new(Some(&Log::forked(9).checkpoint(6)), &log.offer(9)).unwrap_err();
        assert!(other.contradicts && other.message.contains("the journal was rewritten"), "{other}");
    }
}
