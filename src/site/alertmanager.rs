//! The Alertmanagers that may be told to be quiet about an alert while its run works on it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretReference;

/// An Alertmanager whose alerts start runs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alertmanager {
    /// For example `http://127.0.0.1:9093`.
    #[schemars(extend("pattern" = "^https?://.+$"))]
    pub url: String,
    /// A bearer token, by reference.
    #[serde(default)]
    pub token: Option<SecretReference>,
    /// Whether the alert that started a run is silenced from its first remediation to its end.
    #[serde(default)]
    pub silence: bool,
}
