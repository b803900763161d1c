//! The site file: what belongs to a place, not to a procedure. Without one everything has a working
//! default. Channels and service backends are kept as plain data here; the rooms that own those kinds
//! check and decode them.

pub mod alertmanager;
pub mod egress;
pub mod escalation;
pub mod notify;
pub mod people;
pub mod secret;
pub mod serve;
pub mod window;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

pub use alertmanager::Alertmanager;
pub use egress::Egress;
pub use escalation::Policy;
pub use notify::Notifications;
pub use people::PeopleError;
pub use secret::{SecretError, SecretReference, Secrets, TextOrSecret};
pub use serve::{Role, Serve};
pub use window::Window;

/// The default name of the site file, looked for in the working directory.
pub const FILE_NAME: &str = "runbook.yaml";

/// The decoded site file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// Folders that hold playbooks, searched with everything below them.
    pub playbooks: Vec<PathBuf>,
    /// The folder of the journal and of kept files. `RUNBOOK_STATE` wins over it; without both it is
    /// the state folder of the XDG base directory specification.
    pub state: PathBuf,
    /// Where `promql` steps ask when they name no address of their own.
    pub prometheus: Option<Prometheus>,
    /// Secrets by a name of your own, each with the place where it is kept. Playbooks and channels refer to one
    /// as `{secret: NAME}`.
    pub secrets: Secrets,
    /// People and groups, by name.
    pub contacts: BTreeMap<String, Contact>,
    /// Escalation policies, by name: who is told one after the other until somebody acknowledges.
    pub escalation: BTreeMap<String, Policy>,
    /// Notification channels: kind, then name, then the channel's settings.
    pub channels: BTreeMap<String, BTreeMap<String, Value>>,
    /// Who is told besides those whom playbooks name, and how much a channel is told at once.
    pub notify: Notifications,
    /// Alertmanagers, each by the name of the hook that its alerts come to.
    pub alertmanagers: BTreeMap<String, Alertmanager>,
    /// Services that `service` steps act on: name, then one backend with its settings.
    pub services: BTreeMap<String, BTreeMap<String, Value>>,
    /// How model files are checked.
    pub models: Models,
    /// How the audit trail is signed, and where proof of it is kept.
    pub audit: Audit,
    /// Where `runbook serve` is reached by people, such as `https://runbook.example.com`; messages then link to
    /// the run they are about.
    #[schemars(extend("pattern" = "^https?://.+$"))]
    pub url: Option<String>,
    /// A folder with Handlebars files that replace the shipped message templates of the same name.
    pub templates: Option<PathBuf>,
    /// Windows of time, by name, in which nothing is changed or outside of which nothing is.
    pub windows: BTreeMap<String, Window>,
    /// How `runbook serve` is reached, and what starts runs in it.
    pub serve: Serve,
    /// Where requests of steps may go when data chooses the host.
    pub egress: Egress,
    /// The most steps of one run that may be running at the same time.
    pub parallel: usize,
    /// Whether commands that must not be repeated, or that are limited, get a control group of their own where
    /// the system lets this program make one. Turn it off where another program manages the groups.
    pub cgroups: bool,
    /// The `runbook` program, for work in a process of its own. Set by the program itself; without one, models
    /// are checked in this process, and a command that is interrupted stays in doubt.
    #[serde(skip)]
    pub program: Option<PathBuf>,
    /// Whether somebody can look at the output of commands while they run. Set by the program itself.
    #[serde(skip)]
    pub live_output: bool,
}

impl Default for Site {
    fn default() -> Self {
        Site {
            playbooks: vec![PathBuf::from("playbooks")],
            state: PathBuf::from(".runbook"),
            prometheus: None,
            secrets: Secrets::default(),
            contacts: BTreeMap::new(),
            escalation: BTreeMap::new(),
            channels: BTreeMap::new(),
            notify: Notifications::default(),
            alertmanagers: BTreeMap::new(),
            services: BTreeMap::new(),
            models: Models::default(),
            audit: Audit::default(),
            url: None,
            templates: None,
            windows: BTreeMap::new(),
            serve: Serve::default(),
            egress: Egress::default(),
            // Enough to hide the waiting of probes, few enough not to be a load test.
            parallel: 16,
            cgroups: true,
            program: None,
            live_output: false,
        }
    }
}

/// How model files are checked.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// The shared library of ONNX Runtime, such as `/opt/onnxruntime/lib/libonnxruntime.so`. Without it the
    /// variable `ORT_DYLIB_PATH`, the folder of this program, `.onnxruntime/` in the working folder and the
    /// system's libraries are searched; `runbook doctor` shows what was found.
    pub onnxruntime: Option<PathBuf>,
    /// What one check of a model may allocate, such as `4 GiB`; a model that asks for more is ended with an error.
    #[schemars(extend("x-unit" = "bytes"))]
    pub memory: u64,
}

impl Default for Models {
    fn default() -> Self {
        // Room for a model at the 2 GiB limit of the format, which engines hold twice while they load it.
        Models { onnxruntime: None, memory: 6 << 30 }
    }
}

/// How the audit trail is signed, and where proof of it is kept.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// The file of the signing key, which is made on first use and only its owner may read; default:
    /// `audit.key` in the state folder. `runbook audit key` prints the public key.
    pub key: Option<PathBuf>,
    /// How often the trail is signed and anchored while a run goes on, besides before each remediation
    /// and at the end.
    #[schemars(extend("x-unit" = "duration"))]
    pub every: f64,
    /// Where signed checkpoints are kept out of reach of whoever can write the journal.
    pub anchors: Vec<AnchorSetting>,
}

impl Default for Audit {
    fn default() -> Self {
        // Half a minute of an unwatched run is what an intruder gains on average; signing costs a write.
        Audit { key: None, every: 60.0, anchors: Vec::new() }
    }
}

/// One anchor: its name with its settings.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct AnchorSetting {
    /// Whether nothing is remediated while this anchor does not take checkpoints. Looking goes on.
    #[serde(default)]
    pub required: bool,
    /// The anchor and its settings, which the room of anchors checks and decodes.
    #[serde(flatten)]
    #[schemars(skip)]
    pub anchor: BTreeMap<String, Value>,
}

/// A metric source that speaks the Prometheus HTTP API.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prometheus {
    /// For example `http://127.0.0.1:9090`.
    pub url: String,
    /// A bearer token, by reference.
    #[serde(default)]
    pub token: Option<SecretReference>,
}

/// How a person or group is reached.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Contact {
    /// Their name or role.
    pub title: Option<String>,
    /// Their address.
    pub email: Option<String>,
    /// Their number.
    pub phone: Option<String>,
    /// A channel of this file, such as `slack:ml-alerts`.
    pub channel: Option<String>,
    /// The names under which this person logs in to machines, as approvals know them. Default: the contact's own
    /// name.
    pub logins: Vec<String>,
    /// Other contacts; makes this one a group of them, which approves when one of them does.
    pub members: Vec<String>,
}

impl Site {
    /// The folder for state: `RUNBOOK_STATE`, else the site file's, else the XDG state folder.
    pub fn resolve_state(&mut self, from_file: bool) {
        use crate::base::environment;
        if let Some(folder) = environment::path("RUNBOOK_STATE") {
            self.state = folder;
        } else if !from_file {
            let home = || environment::path("HOME").unwrap_or_else(|| PathBuf::from(".")).join(".local/state");
            self.state = environment::path("XDG_STATE_HOME").unwrap_or_else(home).join("runbook");
        }
    }

    /// Fetches the secrets that can be had without starting a program, wherever the site file refers to them, so
    /// that they are masked even where a playbook meets one by chance: in a log, in the answer of a service.
    pub async fn meet_secrets(&self) {
        let channels = self.channels.values().flat_map(BTreeMap::values).flat_map(secret::references_in);
        let token = self.prometheus.as_ref().and_then(|prometheus| prometheus.token.clone());
        let alertmanagers = self.alertmanagers.values().filter_map(|alertmanager| alertmanager.token.clone());
        self.secrets.meet(channels.chain(token).chain(alertmanagers).chain(self.serve.references())).await;
    }

    /// The same for a site file that was read again: secrets that have been changed meanwhile are fetched anew.
    pub async fn meet_secrets_anew(&self) {
        Secrets::forget();
        self.meet_secrets().await;
    }

    /// Where a run is shown, if the site says where the server is reached.
    pub fn link_to(&self, run: &str) -> Option<String> {
        self.url.as_ref().map(|url| format!("{}/runs/{run}", url.trim_end_matches('/')))
    }

    pub fn journal_file(&self) -> PathBuf {
        self.state.join("journal.sqlite")
    }

    /// The file of the key that signs the audit trail.
    pub fn audit_key_file(&self) -> PathBuf {
        self.audit.key.clone().unwrap_or_else(|| self.state.join("audit.key"))
    }

    /// Where engines for models that were found to work are remembered.
    pub fn engines_file(&self) -> PathBuf {
        self.state.join("engines.json")
    }

    /// Makes the relative paths of a site file relative to its folder.
    #[must_use]
    pub fn based_at(mut self, folder: &Path) -> Self {
        self.playbooks = self.playbooks.into_iter().map(|path| folder.join(path)).collect();
        self.state = folder.join(self.state);
        self.secrets = self.secrets.based_at(folder);
        self.templates = self.templates.map(|path| folder.join(path));
        self.serve = self.serve.based_at(folder);
        self.audit.key = self.audit.key.map(|path| folder.join(path));
        self.models.onnxruntime = self.models.onnxruntime.map(|path| folder.join(path));
        self
    }
}
