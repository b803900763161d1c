//! What an attempt may use beside its configuration.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::StepError;
use super::egress::{self, Resolver};
use crate::base::{Clock, RunId, Secret, StepKey};
use crate::model::Workbench;
use crate::model::selection::Selection;
use crate::site::egress::Refused;
use crate::site::{SecretReference, Site, TextOrSecret};

/// The surroundings of one attempt.
#[derive(Clone)]
pub struct Context {
    pub run: RunId,
    pub step: StepKey,
    /// Counted from 1.
    pub attempt: u32,
    /// The same for every attempt of this step in this run; peers that know idempotency keys get it.
    pub idempotency_key: String,
    pub time_limit: Duration,
    pub cancel: CancellationToken,
    /// In an undo: the step that is undone.
    pub subject: Option<Subject>,
    /// A folder of this attempt's own, for a kind that [leaves a receipt](super::Kind::leaves_receipt).
    pub receipt: Option<PathBuf>,
    /// In a call of another playbook: the inputs of it that data gave, and no person.
    pub from_outside: BTreeSet<String>,
    pub services: Arc<Services>,
}

impl Context {
    /// Resolves when the attempt should stop.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// The undone step, or an error for a kind that only makes sense as an undo.
    pub fn subject(&self) -> Result<&Subject, StepError> {
        self.subject.as_ref().ok_or_else(|| {
            StepError::new("there is nothing to undo here").help("this kind belongs under the `undo` key of a step")
        })
    }

    /// Fetches a secret; it may go to the peer or program it is meant for and nowhere else.
    pub async fn secret(&self, reference: &SecretReference) -> Result<Secret<String>, StepError> {
        reference.resolve(&self.services.site.secrets).await.map_err(|error| {
            let help = error.help();
            StepError::because("cannot get a secret", &error).help(help)
        })
    }

    /// The same for an optional one.
    pub async fn optional_secret(
        &self,
        reference: Option<&SecretReference>,
    ) -> Result<Option<Secret<String>>, StepError> {
        match reference {
            Some(reference) => self.secret(reference).await.map(Some),
            None => Ok(None),
        }
    }

    /// The text itself, or the secret that stands for it.
    pub async fn text_or_secret(&self, given: &TextOrSecret) -> Result<Secret<String>, StepError> {
        match given {
            TextOrSecret::Text(text) => Ok(Secret::new(text.clone())),
            TextOrSecret::Secret(reference) => self.secret(reference).await,
        }
    }

    /// A context for tests of a kind: no site file, a limit of ten seconds.
    pub fn for_tests() -> Self {
        Context {
            run: RunId::from("test".to_owned()),
            step: StepKey::plain("diagnose.test"),
            attempt: 1,
            idempotency_key: "test-key".into(),
            time_limit: Duration::from_secs(10),
            cancel: CancellationToken::new(),
            subject: None,
            receipt: None,
            from_outside: BTreeSet::new(),
            services: Arc::new(Services::new(Site::default(), Clock::start())),
        }
    }
}

/// What was done by the step that an undo reverses.
#[derive(Debug, Clone)]
pub struct Subject {
    pub request: Value,
    pub output: Value,
}

/// Things shared by all attempts of a process.
pub struct Services {
    pub site: Site,
    pub clock: Clock,
    /// Where kept copies and other files of runs go; a folder per run below it.
    pub files: PathBuf,
    pub playbooks: Option<Arc<dyn Playbooks>>,
    http: OnceLock<reqwest::Client>,
    /// Looked for when the first model is judged.
    pub(super) engine_selection: tokio::sync::OnceCell<Selection>,
    /// What this process judges models with, and warnings about it.
    pub(super) workbench: OnceLock<(Workbench, Vec<String>)>,
}

impl Services {
    /// Longer than any healthy network needs for a connection, shorter than a reader's patience.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

    pub fn new(site: Site, clock: Clock) -> Self {
        let files = site.state.join("files");
        Services {
            site,
            clock,
            files,
            playbooks: None,
            http: OnceLock::new(),
            engine_selection: tokio::sync::OnceCell::new(),
            workbench: OnceLock::new(),
        }
    }

    /// The same for a site file that was read again. What was found out by the settings of before, such as the
    /// engine for models, is found out again.
    pub fn settled(&self, site: Site) -> Self {
        Services { playbooks: self.playbooks.clone(), ..Services::new(site, self.clock) }
    }

    /// The HTTP client of this process: no redirects unless a step asks, no proxy surprises, made on
    /// first use because loading the trust store costs milliseconds a local run need not pay.
    pub fn http(&self) -> &reqwest::Client {
        self.http.get_or_init(|| {
            self.http_builder().connect_timeout(Self::CONNECT_TIMEOUT).build().expect("the TLS provider is compiled in")
        })
    }

    /// What every HTTP client of this process begins with: the filter of addresses, no redirects.
    pub fn http_builder(&self) -> reqwest::ClientBuilder {
        // Two crates bring TLS; installing twice is harmless, so the result does not matter.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(self.resolver()))
            .user_agent(concat!("runbook/", env!("CARGO_PKG_VERSION")))
    }

    /// What every connection to a name goes through.
    pub fn resolver(&self) -> Resolver {
        Resolver(Arc::new(self.site.egress.clone()))
    }

    /// Whether the host of an address may be asked, as far as that shows before there is a connection.
    pub async fn check_host(&self, host: &str) -> Result<(), Refused> {
        egress::check_before(&self.site.egress, host).await
    }
}

/// A call of a playbook by a step.
#[derive(Debug, Clone)]
pub struct PlaybookCall {
    pub name: String,
    pub inputs: Value,
    /// Those of the inputs that data gave, and no person.
    pub from_outside: BTreeSet<String>,
    /// The identifier of the called run.
    pub run: RunId,
    /// The attempt of the calling step.
    pub attempt: u32,
    /// The calling step only observes, so the playbook must not remediate.
    pub read_only: bool,
    pub cancel: CancellationToken,
}

/// What a called playbook came to.
#[derive(Debug, Clone)]
pub struct PlaybookResult {
    pub run: RunId,
    pub outcome: String,
    pub severity: String,
    pub causes: Vec<String>,
    /// `phase -> step -> output` of the called run.
    pub steps: Value,
}

/// Runs other playbooks; the runtime implements it.
pub trait Playbooks: Send + Sync {
    fn call(&self, call: PlaybookCall) -> Pin<Box<dyn Future<Output = Result<PlaybookResult, StepError>> + Send + '_>>;
}
