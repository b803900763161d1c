//! The `notify` section: who is told besides those whom a playbook names, and how much a channel is told at once.
//! The words of occasions and severities are checked by the schema of the site file.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Site;

/// Who is told besides those whom a playbook names, and how much a channel is told at once.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Notifications {
    /// Routes, read from top to bottom: the channels of every route that matches are told, besides those that the
    /// playbook names.
    pub routes: Vec<Route>,
    /// Channels for messages that call for a person and that neither the playbook nor a route takes. Default: `console`
    /// once there are routes.
    pub default: Vec<String>,
    /// Who is kept informed of every fault, by status updates. Of a playbook that has `notify: {status: …}` of its own,
    /// only those whom that names.
    pub status: Option<StatusUpdates>,
    /// How messages that belong together become one. Without it, each is sent on its own. It counts for runs of
    /// `runbook serve`.
    pub group: Option<Group>,
    /// How many messages each channel is sent at most. It counts for runs of `runbook serve`.
    pub limit: Option<Limit>,
    /// The same for single channels, such as `slack:ml-alerts`; it takes the place of `limit`.
    pub limits: BTreeMap<String, Limit>,
}

/// Who is kept informed while a fault is open: at once, whenever the status changes, and again after a while.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusUpdates {
    /// How often while nothing changes, such as 30m.
    #[schemars(extend("x-unit" = "duration"))]
    pub every: f64,
    /// Channels of the site file, such as `email:stakeholders`.
    pub to: Vec<String>,
    /// How long it usually takes until such a fault is fixed, such as 45m; readers are told when that is.
    #[serde(default)]
    #[schemars(extend("x-unit" = "duration"))]
    pub usually: Option<f64>,
    /// The message template. Default: `status-update`.
    #[serde(default)]
    pub template: Option<String>,
}

/// A route: which messages it takes, when, and where they go.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What it is called where the program tells why somebody was told.
    #[serde(default)]
    pub name: Option<String>,
    /// Which messages it takes; every line has to fit. Default: all.
    #[serde(default, rename = "match")]
    pub wanted: Wanted,
    /// Windows of the site file; it counts while one of them is open. Default: at any time.
    #[serde(default)]
    pub within: Vec<String>,
    /// Windows of the site file; it does not count while one of them is open.
    #[serde(default)]
    pub outside: Vec<String>,
    /// Channels of the site file, such as `slack:ml-alerts`, or `console`.
    pub to: Vec<String>,
    /// Whether routes below it are not looked at when it matches.
    #[serde(default)]
    pub stop: bool,
}

/// What a message has to be for a route.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// Severities. Before a cause is found, a run is `medium`.
    pub severity: Vec<String>,
    /// Occasions.
    pub occasions: Vec<String>,
    /// Names of playbooks.
    pub playbooks: Vec<String>,
    /// The `system` of the playbook.
    pub systems: Vec<String>,
    /// The `owner` of the playbook.
    pub owners: Vec<String>,
    /// Labels of the alert that started the run: a value, or a list of which one fits.
    pub labels: BTreeMap<String, Values>,
    /// Inputs of the run: a value, or a list of which one fits.
    pub inputs: BTreeMap<String, Values>,
}

/// A value, or several of which one has to fit.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Values {
    /// This value.
    One(String),
    /// One of these.
    Any(Vec<String>),
}

impl Values {
    pub fn contain(&self, value: &str) -> bool {
        match self {
            Values::One(one) => one == value,
            Values::Any(all) => all.iter().any(|one| one == value),
        }
    }
}

/// How messages of one playbook and occasion become one message to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Group {
    /// How long the first one waits for others.
    #[schemars(extend("x-unit" = "duration"))]
    pub wait: f64,
    /// How long later ones still belong to it: they are added to its message where the channel can edit it.
    #[schemars(extend("x-unit" = "duration"))]
    pub within: f64,
}

impl Default for Group {
    fn default() -> Self {
        // A storm shows itself in seconds; nobody reads a message sooner than that.
        Group { wait: 10.0, within: 300.0 }
    }
}

/// So many messages within so long.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// How many messages. The last one is kept for messages that need a person at once.
    #[schemars(range(min = 1, max = 10_000))]
    pub messages: u32,
    /// The window, such as `1m`.
    #[schemars(extend("x-unit" = "duration"))]
    pub within: f64,
}

impl Limit {
    pub fn window(&self) -> Duration {
        Duration::try_from_secs_f64(self.within).unwrap_or_default()
    }
}

impl Notifications {
    /// What bounds a channel.
    pub fn limit_of(&self, channel: &str) -> Option<Limit> {
        self.limits.get(channel).copied().or(self.limit)
    }

    /// Whether messages may have to wait before they are sent.
    pub fn holds_back(&self) -> bool {
        self.group.is_some() || self.limit.is_some() || !self.limits.is_empty()
    }

    /// Every channel that the section names.
    pub fn channels(&self) -> impl Iterator<Item = &String> {
        self.routes
            .iter()
            .flat_map(|route| &route.to)
            .chain(&self.default)
            .chain(self.limits.keys())
            .chain(self.status.iter().flat_map(|status| &status.to))
    }
}

impl Site {
    /// The windows that routes name and the site file does not have.
    pub fn missing_windows(&self) -> Vec<&str> {
        let named = self.notify.routes.iter().flat_map(|route| route.within.iter().chain(&route.outside));
        named.filter(|name| !self.windows.contains_key(*name)).map(String::as_str).collect()
    }
}
