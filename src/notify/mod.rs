//! Who is told: one file a channel. Add a channel by adding its file and its name here.
//!
//! A channel gets a finished [`Message`] and tries once. Around it: `message` makes the message from
//! the `facts` of a run, `template` holds its wording, `target` finds the channel that `slack:ml-alerts`
//! names, `route` says which channels a message goes to, `gather` makes one message of several, `delivery` tries
//! again, and `post` is the one way a channel speaks HTTP.

pub mod delivery;
pub mod facts;
pub mod gather;
mod message;
mod post;
pub mod route;
pub mod target;
pub mod template;
mod text;

#[cfg(test)]
mod accepted;
#[cfg(test)]
mod doubles;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::Timestamp;
pub use delivery::{Delivery, DeliveryPolicy, deliver};
pub use facts::{Approval, Facts};
pub use message::dedup_key;
pub use target::{TargetError, parse_target, resolve, targets};
pub use template::Templates;

/// Why a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    Started,
    Approval,
    Resolved,
    Unresolved,
    Escalated,
    Parked,
    /// Somebody went on without those who should have agreed. All of `to`, and the channel of the owner, are told
    /// in any case.
    BreakGlass,
    Error,
    /// Somebody has taken over an escalation; those who were asked are told.
    #[schemars(skip)]
    Acknowledged,
    /// How a fault stands, told again and again while it is open; `notify: {status: …}` asks for it.
    #[schemars(skip)]
    #[serde(rename = "status-update")]
    StatusUpdate,
}

impl Occasion {
    pub const ALL: [Occasion; 10] = [
        Occasion::Started,
        Occasion::Approval,
        Occasion::Resolved,
        Occasion::Unresolved,
        Occasion::Escalated,
        Occasion::Parked,
        Occasion::BreakGlass,
        Occasion::Error,
        Occasion::Acknowledged,
        Occasion::StatusUpdate,
    ];

    /// The word used in playbooks, in output, and as the name of the message template.
    pub fn label(self) -> &'static str {
        match self {
            Occasion::Started => "started",
            Occasion::Approval => "approval",
            Occasion::Resolved => "resolved",
            Occasion::Unresolved => "unresolved",
            Occasion::Escalated => "escalated",
            Occasion::Parked => "parked",
            Occasion::BreakGlass => "break_glass",
            Occasion::Error => "error",
            Occasion::Acknowledged => "acknowledged",
            Occasion::StatusUpdate => "status-update",
        }
    }

    /// Whether somebody has to act on it. Services notify nobody of a message that is only edited, so such
    /// a message is never only an edit.
    pub fn calls_for_a_person(self) -> bool {
        !matches!(self, Occasion::Started | Occasion::Resolved | Occasion::Acknowledged | Occasion::StatusUpdate)
    }

    /// Whether somebody has to act on it at once: it waits for no other message.
    pub fn is_urgent(self) -> bool {
        matches!(self, Occasion::Approval | Occasion::BreakGlass | Occasion::Escalated)
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.label())
    }
}

/// What a channel sends. All text is plain; a channel escapes it for its own format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Differs between any two messages and is the same in every attempt to deliver one, so that a
    /// receiver can drop a repetition.
    pub id: String,
    /// When the message was made.
    pub at: Timestamp,
    pub on: Occasion,
    pub run: String,
    pub playbook: String,
    pub title: String,
    /// `info`, `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// One line.
    pub subject: String,
    /// Several lines of plain text, from the message template; the last one is `command`.
    pub text: String,
    /// Short facts to show in a table: cause, provider, outcome.
    pub facts: Vec<(String, String)>,
    /// A command the reader can paste, such as `runbook show 1122-174012-k3f9`.
    pub command: String,
    pub started_at: Timestamp,
    /// The same for all messages of one incident, so that a paging service can join them.
    pub dedup_key: String,
    /// Where the run is shown, when the site says where the server is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// What the channel gave back with an earlier message of the run; see [`Receipt::thread`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// Whether it only adds to the message that `thread` names, which people have been called to already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adds: bool,
}

impl Message {
    /// Whether people have to be called to it: services notify nobody of a message that is only edited.
    pub fn has_to_be_noticed(&self) -> bool {
        self.on.calls_for_a_person() && !(self.adds && self.thread.is_some())
    }
}

/// Proof that a peer took the message, such as its identifier or status line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    pub text: String,
    /// What the channel needs to go on from this message with a later one of the same run, such as the
    /// identifier of the message to edit. Never secret: it is kept in the journal.
    pub thread: Option<String>,
}

impl Receipt {
    /// Taken, and every further message stands alone.
    pub fn new(text: impl Into<String>) -> Self {
        Receipt { text: text.into(), thread: None }
    }

    /// Taken, and a later message of the run goes on from here.
    #[must_use]
    pub fn threaded(self, thread: impl Into<String>) -> Self {
        Receipt { thread: Some(thread.into()), ..self }
    }
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct DeliveryError {
    pub message: String,
    /// Whether trying again can help (a refused connection, a 503) or not (a 401, a bad address).
    pub transient: bool,
    /// What the peer asked us to wait, from `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl DeliveryError {
    /// Trying again cannot help.
    pub fn lasting(message: impl Into<String>) -> Self {
        DeliveryError { message: message.into(), transient: false, retry_after: None }
    }

    /// Trying again can help.
    pub fn transient(message: impl Into<String>) -> Self {
        DeliveryError { message: message.into(), transient: true, retry_after: None }
    }
}

/// A notification channel.
pub trait Channel: 'static {
    /// The part before the colon in `slack:ml-alerts`.
    const NAME: &'static str;
    const SUMMARY: &'static str;
    /// Settings in the site file, as YAML; a test parses them, and the documentation shows them.
    const EXAMPLE: &'static str;
    type Config: DeserializeOwned + JsonSchema + Send;
    /// Whether several messages may become one. Not where each is an incident of its own, or is read by a program.
    const MERGES: bool = true;

    /// What is wrong with settings that decode but cannot work, such as two ways to log in. Looks at
    /// nothing outside them, so that `validate` can ask before anything runs.
    fn check(_config: &Self::Config) -> Result<(), String> {
        Ok(())
    }

    /// What would be sent, with a mark in the place of each secret.
    fn preview(config: &Self::Config, message: &Message) -> Result<String, DeliveryError>;

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
    /// Whether several messages may become one.
    pub merges: bool,
    /// What is wrong with these settings, without trying them.
    pub check: fn(&Value) -> Result<(), DeliveryError>,
    /// What would be sent, with a mark in the place of each secret.
    pub preview: fn(Value, &Message) -> Result<String, DeliveryError>,
    pub send: fn(Value, Message, reqwest::Client) -> SendFuture,
}

impl fmt::Debug for ChannelEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// The uniform form of the channel `C`.
pub const fn entry<C: Channel>() -> ChannelEntry {
    ChannelEntry {
        name: C::NAME,
        summary: C::SUMMARY,
        example: C::EXAMPLE,
        config_schema: crate::kind::schema_of::<C::Config>,
        merges: C::MERGES,
        check: |config| decode::<C>(config.clone()).map(drop),
        preview: |config, message| C::preview(&decode::<C>(config)?, message),
        send: |config, message, http| Box::pin(async move { C::send(decode::<C>(config)?, message, http).await }),
    }
}

fn decode<C: Channel>(config: Value) -> Result<C::Config, DeliveryError> {
    let wrong =
        |why: String| DeliveryError::lasting(format!("the settings of a {} channel are not valid: {why}", C::NAME));
    let decoded: C::Config =
        serde_json::from_value(config.clone()).map_err(|error| wrong(without_values(&error.to_string(), &config)))?;
    C::check(&decoded).map_err(wrong)?;
    Ok(decoded)
}

/// Decoding errors quote what they found, and what they found may be a secret written where a
/// reference belongs.
fn without_values(text: &str, config: &Value) -> String {
    let mut shown = text.to_owned();
    for value in texts_in(config) {
        shown = shown.replace(&format!("`{value}`"), "[value]").replace(&format!("{value:?}"), "[value]");
    }
    if text.contains("`env`, `file`") {
        shown.push_str("; a secret is given by reference, such as {env: SLACK_TOKEN} or {file: /run/secrets/slack}");
    }
    shown
}

fn texts_in(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) if !text.is_empty() => vec![text],
        Value::Array(items) => items.iter().flat_map(texts_in).collect(),
        Value::Object(fields) => fields.values().flat_map(texts_in).collect(),
        _ => Vec::new(),
    }
}

/// Declares the modules of the channels and lists them, in this order, as `CHANNELS`.
/// Each module has a type `Sender` that implements [`Channel`].
macro_rules! channels {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// The channels.
        pub static CHANNELS: &[ChannelEntry] = &[$(entry::<$module::Sender>()),+];
    };
}

channels! { slack, teams, discord, email, pagerduty, opsgenie, ntfy, webhook, console }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Source;

    #[test]
    fn every_example_is_valid_and_every_setting_documented() {
        for entry in CHANNELS {
            let example = crate::yaml::parse(&Source::new("example.yaml", entry.example)).unwrap().to_json();
            assert_eq!((entry.check)(&example), Ok(()), "{}", entry.name);
            let schema = (entry.config_schema)();
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                assert!(field["description"].is_string(), "{}.{name}", entry.name);
            }
        }
    }

    #[test]
    fn wrong_settings_are_named_but_not_quoted() {
        let config = serde_json::json!({"url": "http://127.0.0.1/", "secret": "whsec_hush", "colour": "x"});
        let entry = CHANNELS.iter().find(|entry| entry.name == "webhook").unwrap();
        let error = (entry.check)(&config).unwrap_err();
        assert!(!error.transient && !error.message.contains("hush"), "{error}");
        assert!(error.message.starts_with("the settings of a webhook channel are not valid: "), "{error}");
    }
}
