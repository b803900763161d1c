//! The `serve` section: how the server is reached, who may do what, and what starts runs. Sources and triggers
//! are kept as plain data; the room of triggers checks and decodes them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SecretReference;
use super::secret::references_in;

/// How `runbook serve` is reached, and what starts runs in it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// Where it listens. An address that other machines can reach needs `tls` or `behind_proxy`.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// A proxy in front ends TLS; without one, tokens and alerts would cross the network in clear.
    pub behind_proxy: bool,
    /// The certificate to serve HTTPS with.
    pub tls: Option<Tls>,
    /// Runs at the same time; further ones wait in the queue.
    #[schemars(range(min = 1, max = 1_000))]
    pub runs: usize,
    /// Runs that may wait. When it is full, senders are told to come again (503).
    #[schemars(range(min = 1, max = 100_000))]
    pub queue: usize,
    /// Who may read `/metrics` without a token.
    pub metrics: MetricsFor,
    /// Open connections. When it is full, the one that has been idle the longest is closed.
    #[schemars(range(min = 8, max = 100_000))]
    pub connections: usize,
    /// Event streams of runs (`/events`) that may be open. Further ones are told to come again (503).
    #[schemars(range(min = 1, max = 100_000))]
    pub streams: usize,
    /// Requests a second that each hook takes; five seconds' worth may come at once. Further ones are told to come
    /// again (503).
    #[schemars(range(min = 0.01, max = 100_000))]
    pub rate: f64,
    /// How long runs may go on after the server was told to stop; then they are interrupted, and go on at the
    /// next start.
    #[schemars(extend("x-unit" = "duration"))]
    pub grace: f64,
    /// Who may use the API and the page, by a name of your own that the audit trail shows.
    pub tokens: BTreeMap<String, Token>,
    /// What may post to `/hooks/NAME`: a name of your own, then one source with its settings.
    pub hooks: BTreeMap<String, BTreeMap<String, Value>>,
    /// What starts runs besides the `triggers` of playbooks. Triggers of a playbook here replace its own.
    pub triggers: Vec<Value>,
}

impl Default for Serve {
    fn default() -> Self {
        Serve {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8600),
            behind_proxy: false,
            tls: None,
            // Runs wait for others most of the time; more than these at once are a storm, not incidents.
            runs: 16,
            queue: 1_000,
            metrics: MetricsFor::Token,
            // Half of the files that a process may have open by default.
            connections: 512,
            // An eighth of the connections: whoever looks on leaves room for what has to be taken.
            streams: 64,
            // A request takes a millisecond of a disk that it shares with others; this is far above any Alertmanager.
            rate: 1_000.0,
            grace: 20.0,
            tokens: BTreeMap::new(),
            hooks: BTreeMap::new(),
            triggers: Vec::new(),
        }
    }
}

/// Who may read `/metrics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricsFor {
    /// Nobody: Prometheus sends a token that may see every playbook.
    #[default]
    Token,
    /// Everybody on this machine. Not behind a proxy, which is on this machine too.
    Loopback,
}

/// The certificate and key of the server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// A PEM file with the certificate and those that it was signed with.
    pub certificate: PathBuf,
    /// A PEM file with the private key, which nobody but its owner can read.
    pub key: PathBuf,
}

/// One who may use the API and the page.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Where the bearer token is kept.
    pub token: SecretReference,
    /// Where the one before it is kept, which is taken as well while the token is being changed.
    #[serde(default)]
    pub previous: Option<SecretReference>,
    /// What its bearer may do.
    pub role: Role,
    /// The playbooks it is limited to. Default: all.
    #[serde(default)]
    pub playbooks: Option<Vec<String>>,
}

/// What the bearer of a token may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See playbooks, runs and what waits.
    Viewer,
    /// Start and stop runs, and say what became of a step in doubt.
    Operator,
    /// Approve and reject what runs ask for.
    Approver,
    /// Freeze and unfreeze everything.
    Admin,
}

impl Serve {
    /// Every secret that the section refers to.
    pub(super) fn references(&self) -> Vec<SecretReference> {
        let tokens = self.tokens.values().flat_map(|token| std::iter::once(&token.token).chain(&token.previous));
        let hooks = self.hooks.values().flat_map(BTreeMap::values).flat_map(references_in);
        tokens.cloned().chain(hooks).collect()
    }

    #[must_use]
    pub(super) fn based_at(mut self, folder: &Path) -> Self {
        self.tls = self.tls.map(|tls| Tls { certificate: folder.join(tls.certificate), key: folder.join(tls.key) });
        self
    }
}
