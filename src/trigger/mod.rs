//! What starts runs besides a person: one file a source. Add a source by adding its file and its name here.
//!
//! ```text
//! request ─ Source::verify ─ Source::read ─► Signals ─ Rule::demand ─► the intake (`engine::intake`)
//!           token, signature   its own form    one form    labels, inputs
//! ```
//!
//! A source judges a request by its headers before a body is read, and by the body before it is understood.
//! Nothing here waits or writes: secrets come resolved, time comes with the request.

pub mod authenticity;
mod form;
mod rule;
mod timer;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::base::{Secret, Timestamp};
use crate::kind::schema_of;
use crate::site::{SecretReference, Serve};

pub use rule::{AlertTrigger, BadTrigger, Match, Rule, SiteTrigger, Unwanted, site_triggers};
pub use timer::{BadTimer, Looks, ScheduleTrigger, Timed, Timer, WatchTrigger};

/// A request to a hook.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Names in small letters; of two headers of one name, the first.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    pub at: Timestamp,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Something that was reported, in one form for all sources.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signal {
    /// What is reported; the same for a copy, for news of it, and for its end.
    pub identity: String,
    /// Since when, in the sender's words.
    pub since: String,
    pub firing: bool,
    /// Names and values to match, and to take inputs from. They come from outside and are never trusted.
    pub labels: BTreeMap<String, String>,
    /// The rest of what the sender says, for inputs and conditions.
    pub body: Value,
}

/// What a request says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delivery {
    /// The sender's name for it, if it has one: a second request of that name is a replay.
    pub id: Option<String>,
    pub signals: Vec<Signal>,
    /// Why only a part of what is going on is known, if so: then nothing is changed on its account.
    pub incomplete: Option<String>,
}

/// Somebody has taken over an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The key that this program gave the incident.
    pub incident: String,
    /// Who has, as the service calls them.
    pub by: String,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not come from whom it should.
    #[error("{0}")]
    NotAuthentic(String),
    /// It cannot be understood, now or later.
    #[error("{0}")]
    Malformed(String),
}

/// A sender of events.
pub trait Source: 'static {
    /// The key of the source in the site file.
    const NAME: &'static str;
    const SUMMARY: &'static str;
    /// Settings in the site file, as YAML; a test parses them, and the documentation shows them.
    const EXAMPLE: &'static str;
    type Config: DeserializeOwned + JsonSchema;

    /// The secrets that show where a request comes from: the one in use, and the one before it.
    fn secrets(config: &Self::Config) -> Vec<SecretReference>;

    /// Judges by the headers alone, before the body is read.
    fn admit(config: &Self::Config, request: &Request, secrets: &[Secret<String>]) -> Result<(), Refusal>;

    /// Judges by the body, which may be signed.
    fn verify(_config: &Self::Config, _request: &Request, _secrets: &[Secret<String>]) -> Result<(), Refusal> {
        Ok(())
    }

    /// Understands the body.
    fn read(config: &Self::Config, request: &Request) -> Result<Delivery, Refusal>;

    /// Whether somebody has taken over, at the service, what this program told it.
    fn acknowledged(_config: &Self::Config, _request: &Request) -> Option<Acknowledgement> {
        None
    }
}

type Judge = fn(&Value, &Request, &[Secret<String>]) -> Result<(), Refusal>;

/// A source as the rest of the program sees it.
#[derive(Clone, Copy)]
pub struct SourceEntry {
    pub name: &'static str,
    pub summary: &'static str,
    pub example: &'static str,
    pub config_schema: fn() -> Value,
    pub secrets: fn(&Value) -> Result<Vec<SecretReference>, Refusal>,
    pub admit: Judge,
    pub verify: Judge,
    pub read: fn(&Value, &Request) -> Result<Delivery, Refusal>,
    pub acknowledged: fn(&Value, &Request) -> Option<Acknowledgement>,
}

impl fmt::Debug for SourceEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// The uniform form of the source `S`.
pub const fn entry<S: Source>() -> SourceEntry {
    SourceEntry {
        name: S::NAME,
        summary: S::SUMMARY,
        example: S::EXAMPLE,
        config_schema: schema_of::<S::Config>,
        secrets: |config| Ok(S::secrets(&decode::<S>(config)?)),
        admit: |config, request, secrets| S::admit(&decode::<S>(config)?, request, secrets),
        verify: |config, request, secrets| S::verify(&decode::<S>(config)?, request, secrets),
        read: |config, request| S::read(&decode::<S>(config)?, request),
        acknowledged: |config, request| S::acknowledged(&decode::<S>(config).ok()?, request),
    }
}

fn decode<S: Source>(config: &Value) -> Result<S::Config, Refusal> {
    let wrong = |error| Refusal::Malformed(format!("the settings of a {} hook are not valid: {error}", S::NAME));
    serde_json::from_value(config.clone()).map_err(wrong)
}

/// A hook of the site file: a source with its settings, under a name.
#[derive(Debug, Clone)]
pub struct Hook {
    pub name: String,
    pub source: &'static SourceEntry,
    pub settings: Value,
}

/// The hooks of a site file; its schema has checked that each has one source that exists.
pub fn hooks(serve: &Serve) -> Vec<Hook> {
    let each = serve.hooks.iter().flat_map(|(name, sources)| sources.iter().map(move |one| (name, one)));
    each.filter_map(|(name, (source, settings))| {
        Some(Hook { name: name.clone(), source: find(source)?, settings: settings.clone() })
    })
    .collect()
}

/// The source of this name.
pub fn find(name: &str) -> Option<&'static SourceEntry> {
    SOURCES.iter().find(|entry| entry.name == name)
}

/// The schema of a trigger of the site file.
pub fn trigger_schema() -> Value {
    let mut schema = schema_of::<SiteTrigger>();
    let one = ["alert", "watch", "schedule"].map(|starts| serde_json::json!({"required": [starts]}));
    schema["oneOf"] = one.to_vec().into();
    schema
}

/// Declares the modules of the sources and lists them, in this order, as `SOURCES`.
/// Each module has a type `Sender` that implements [`Source`].
macro_rules! sources {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// The sources.
        pub static SOURCES: &[SourceEntry] = &[$(entry::<$module::Sender>()),+];
    };
}

sources! { alertmanager, generic, standard_webhooks, github, grafana, pagerduty, opsgenie }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Source as Text;

    #[test]
    fn every_example_is_valid_and_every_setting_documented() {
        for entry in SOURCES {
            let example = crate::yaml::parse(&Text::new("example.yaml", entry.example)).unwrap().to_json();
            let schema = (entry.config_schema)();
            assert!(jsonschema::is_valid(&schema, &example), "{}: {example}", entry.name);
            assert!(!(entry.secrets)(&example).unwrap().is_empty(), "{} trusts anybody", entry.name);
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                assert!(field["description"].is_string(), "{}.{name}", entry.name);
            }
        }
    }
}
