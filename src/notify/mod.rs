//! Who is told: one file a channel. Add a channel by adding its file and its name here.
//!
//! A channel gets a finished [`Message`]; the templates that make its text are in `message`.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::Timestamp;

/// Why a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    Started,
    Approval,
    Resolved,
    Unresolved,
    Escalated,
    Parked,
    Error,
}

/// What a channel sends. All text is plain; a channel escapes it for its own format.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    pub on: Occasion,
    pub run: String,
    pub playbook: String,
    pub title: String,
    /// `info`, `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// One line.
    pub subject: String,
    /// Several lines of plain text, from the message template.
    pub text: String,
    /// Short facts to show in a table: cause, provider, outcome.
    pub facts: Vec<(String, String)>,
    /// A command the reader can paste, such as `runbook show 1122-174012-k3f9`.
    pub command: String,
    pub started_at: Timestamp,
    /// The same for all messages of one incident, so that a paging service can join them.
    pub dedup_key: String,
}

/// Proof that a peer took the message, such as its identifier or status line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt(pub String);

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct DeliveryError {
    pub message: String,
    /// Whether trying again can help (a refused connection, a 503) or not (a 401, a bad address).
    pub transient: bool,
    /// What the peer asked us to wait, from `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// A notification channel.
pub trait Channel: 'static {
    /// The part before the colon in `slack:ml-alerts`.
    const NAME: &'static str;
    const SUMMARY: &'static str;
    /// Settings in the site file, as YAML; a test parses them, and the documentation shows them.
    const EXAMPLE: &'static str;
    type Config: DeserializeOwned + JsonSchema + Send;

    /// Tries once to deliver; `deliver` repeats it.
    fn send(
        config: Self::Config,
        message: Message,
        http: reqwest::Client,
    ) -> impl Future<Output = Result<Receipt, DeliveryError>> + Send;
}

pub type SendFuture = Pin<Box<dyn Future<Output = Result<Receipt, DeliveryError>> + Send>>;

/// A channel as the rest of the program sees it.
#[derive(Clone, Copy)]
pub struct ChannelEntry {
    pub name: &'static str,
    pub summary: &'static str,
    pub example: &'static str,
    pub config_schema: fn() -> Value,
    pub send: fn(Value, Message, reqwest::Client) -> SendFuture,
}

/// The channels.
pub static CHANNELS: &[ChannelEntry] = &[];
