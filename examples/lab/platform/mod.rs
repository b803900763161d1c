//! The platform: providers with their models, behind HTTP.
//!
//! ```text
//! http ─ Platform::infer ─ Provider::admit ─ batching window ─ Model::run ─ check ─ counted, remembered
//! ```
//!
//! It re-tries nothing by itself: a provider that failed to load stays so until somebody initialises it.

mod classifier;
mod http;
mod limiter;
mod loading;
mod log;
mod metrics;
pub mod overrides;
mod process;
mod provider;

use std::sync::Arc;
use std::time::Duration;

use runbook::base::Clock;
use runbook::model::{FaultKind, Tensor};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::error::LabError;
use crate::folder::Folder;
use crate::profile::{Profile, ProviderSpec};
use crate::wording::Load;
use classifier::Classifier;
pub use loading::LoadError;
use loading::{Loaded, check_output, sample};
use log::Log;
use metrics::{Gauges, Metrics};
use overrides::{Overrides, OverridesError};
pub use process::serve;
use provider::{Admission, Provider, Turned};

const LOAD_ERROR: &str = "MODEL_LOAD_ERROR";
const INFERENCE_ERROR: &str = "INFERENCE_ERROR";
const UNAVAILABLE: &str = "PROVIDER_UNAVAILABLE";
/// How often every provider gets a request from the platform itself.
const OWN_TRAFFIC: Duration = Duration::from_millis(500);

pub struct Platform {
    profile: &'static Profile,
    folder: Folder,
    clock: Clock,
    log: Log,
    metrics: Metrics,
    providers: Vec<Provider>,
    /// Where the profile classifies columns.
    classifier: Option<Classifier>,
    /// Two loads of one provider at the same time would race for which is kept.
    loading: Mutex<()>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Refusal {
    Turned(Turned),
    BadInput(String),
    Failed(String),
}

/// Whom a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Outside,
    /// The platform's own traffic, which no rate limit stops.
    Platform,
}

impl Platform {
    pub fn new(folder: Folder, clock: Clock) -> Result<Self, LabError> {
        let profile = folder.profile;
        let log = Log::open(&folder.log_file(), clock, profile)?;
        let overrides = Overrides::read(&folder.config_file()).unwrap_or_else(|error| {
            log.error("config", &format!("CONFIG_ERROR starting with the defaults: {error}"));
            Overrides::default()
        });
        let metrics = Metrics::default();
        let provider = |spec: &'static ProviderSpec| {
            metrics.announce(
                spec.name,
                &[LOAD_ERROR, INFERENCE_ERROR, UNAVAILABLE],
                &["ok", "error", "invalid", "unavailable", "rate_limited"],
            );
            Provider::new(spec, folder.models().join(spec.name), overrides.of(spec.name))
        };
        let providers = profile.providers.iter().map(provider).collect();
        let classifier = || Classifier::new(profile.first(), &folder);
        let classifier = profile.columns.then(classifier).transpose()?;
        Ok(Platform { profile, folder, clock, log, metrics, providers, classifier, loading: Mutex::new(()) })
    }

    pub fn find(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.spec.name == name)
    }

    /// Loads the model of every enabled provider.
    async fn initialise_all(&self) {
        for provider in &self.providers {
            if provider.settings().enabled {
                self.initialise(provider).await;
            }
        }
    }

    /// Loads a provider's model from its file, and forgets the one in memory when that fails.
    async fn initialise(&self, provider: &Provider) {
        let _alone = self.loading.lock().await;
        let (spec, path, wanted) = (provider.spec, provider.path(), provider.settings().execution_providers);
        let loading = path.clone();
        let result = tokio::task::spawn_blocking(move || loading::load(spec, &loading, &wanted)).await;
        // It ended without a result only when it panicked, which is a fault of the model too.
        let result = result.unwrap_or_else(|error| Err(LoadError::Panicked(error.to_string())));
        self.note_load(provider, &path.display().to_string(), &result);
        provider.install(result.map_err(|error| error.to_string()));
    }

    fn note_load(&self, provider: &Provider, path: &str, result: &Result<Loaded, LoadError>) {
        let (name, wording) = (provider.spec.name, self.profile.wording);
        let load = Load { provider: name, path };
        match result {
            Ok(Loaded { sha256, bytes, executed_by, .. }) => {
                self.log.say("INFO", (wording.loaded)(&load, &format!("bytes={bytes} sha256={sha256}")));
                let wanted = provider.settings().execution_providers;
                for missing in wanted.iter().take_while(|wanted| wanted != executed_by) {
                    self.log.warning("onnx_model", &format!("Execution provider {missing} is not available"));
                }
                self.log.info("onnx_model", &format!("Using execution provider: {executed_by}"));
            }
            Err(error) => {
                self.metrics.error(name, LOAD_ERROR);
                self.metrics.failed_initialisation(name);
                self.log.say("ERROR", (wording.not_loaded)(&load, error));
            }
        }
    }

    /// Reads the configuration again. One that is not valid changes nothing.
    async fn reload(&self) -> Result<(), OverridesError> {
        if let Some(Err(error)) = self.classifier.as_ref().map(Classifier::reload) {
            self.log.error("config", &error.explain());
        }
        let overrides = Overrides::read(&self.folder.config_file()).inspect_err(|error| {
            self.log.error("config", &format!("CONFIG_ERROR keeping the old configuration: {error}"));
        })?;
        for provider in &self.providers {
            let settings = overrides.of(provider.spec.name);
            let before = provider.settings();
            let enabled = settings.enabled;
            let loads = !before.enabled || before.loads_otherwise(&settings);
            self.log.info("config", &format!("CONFIG_RELOADED provider={} {settings:?}", provider.spec.name));
            provider.configure(settings);
            if enabled && loads {
                self.initialise(provider).await;
            }
        }
        Ok(())
    }

    /// Answers a request of `rows` rows, and counts how it went.
    async fn infer(
        &self,
        provider: &Provider,
        rows: usize,
        inputs: Vec<(String, Tensor)>,
        caller: Caller,
    ) -> Result<Vec<(String, Tensor)>, Refusal> {
        let started = self.clock.elapsed();
        let Admission { loaded, batch_window, generation } =
            provider.admit(caller == Caller::Outside, started).map_err(|turned| self.note_turned(provider, turned))?;
        // Every request waits for the whole window, as the first one of a batch does.
        tokio::time::sleep(batch_window).await;
        let result = run(provider, loaded, rows, inputs).await;
        self.note_answer(provider, generation, self.clock.elapsed() - started, result.as_ref().err());
        result
    }

    /// Counts a request that nobody could answer.
    fn note_invalid(&self, provider: &Provider, what: String) -> Refusal {
        let refusal = Refusal::BadInput(what);
        self.metrics.request(provider.spec.name, refusal.status());
        refusal
    }

    fn note_turned(&self, provider: &Provider, turned: Turned) -> Refusal {
        let name = provider.spec.name;
        let refusal = Refusal::Turned(turned);
        self.metrics.request(name, refusal.status());
        // What a stub answers is an error for whoever counts them.
        if matches!(turned, Turned::NotLoaded | Turned::Stub) {
            self.metrics.error(name, UNAVAILABLE);
            self.log.warning("requests", &format!("{UNAVAILABLE} provider={name} No model is loaded"));
        }
        refusal
    }

    fn note_answer(&self, provider: &Provider, generation: u64, took: Duration, refusal: Option<&Refusal>) {
        let name = provider.spec.name;
        self.metrics.request(name, refusal.map_or("ok", Refusal::status));
        let failure = match refusal {
            // What callers do wrong says nothing about the provider.
            Some(Refusal::Turned(_) | Refusal::BadInput(_)) => return,
            Some(Refusal::Failed(error)) => Some(error.clone()),
            None => None,
        };
        if let Some(error) = &failure {
            self.metrics.error(name, INFERENCE_ERROR);
            self.log.error("requests", &format!("{INFERENCE_ERROR} provider={name} {error}"));
        }
        self.metrics.duration(name, took);
        provider.remember(generation, took, failure);
    }

    /// One request to every enabled provider, for as long as the platform runs.
    async fn own_traffic(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(OWN_TRAFFIC);
        loop {
            ticks.tick().await;
            let enabled = self.providers.iter().filter(|provider| provider.settings().enabled);
            futures_util::future::join_all(enabled.map(|provider| self.own_request(provider))).await;
        }
    }

    /// How it went is counted; nobody waits for the answer.
    async fn own_request(&self, provider: &Provider) {
        match &self.classifier {
            Some(classifier) => self.classify_table(classifier, provider).await,
            None => drop(self.infer(provider, 1, vec![sample(provider.spec)], Caller::Platform).await),
        }
    }

    fn health(&self) -> Value {
        let health: Vec<_> = self.providers.iter().map(|provider| (provider.spec.name, provider.health())).collect();
        let count = |wanted: &str| health.iter().filter(|(_, health)| health.status == wanted).count();
        let status = match (count("healthy"), count("degraded")) {
            (healthy, _) if healthy == health.len() => "healthy",
            (0, 0) => "down",
            _ => "degraded",
        };
        let providers: serde_json::Map<String, Value> = health
            .iter()
            .map(|(name, health)| {
                let provider::Health { status, error, model_loaded, score } = health;
                let value = json!({"status": status, "error": error, "model_loaded": model_loaded, "score": score});
                ((*name).to_owned(), value)
            })
            .collect();
        json!({"status": status, "providers": providers})
    }

    fn metrics(&self) -> String {
        let gauges: Vec<Gauges> = self.providers.iter().map(Provider::gauges).collect();
        let columns = self.classifier.as_ref().map(|classifier| classifier.numbers(self.providers[0].generation()));
        self.metrics.render(self.profile.prefix, &gauges, columns.as_ref(), process::resident_bytes())
    }
}

/// Runs the model on a thread that may block, and holds back answers that make no sense.
async fn run(
    provider: &Provider,
    loaded: Loaded,
    rows: usize,
    inputs: Vec<(String, Tensor)>,
) -> Result<Vec<(String, Tensor)>, Refusal> {
    let result = tokio::task::spawn_blocking(move || loaded.model.run(inputs)).await;
    let answers = result.map_err(|error| Refusal::Failed(error.to_string()))?.map_err(|fault| match fault.kind {
        FaultKind::WrongInput => Refusal::BadInput(fault.detail),
        _ => Refusal::Failed(fault.detail),
    })?;
    check_output(provider.spec, rows, &answers).map_err(|bad| Refusal::Failed(bad.to_string()))?;
    Ok(answers)
}

impl Refusal {
    /// The label of the request counter.
    fn status(&self) -> &'static str {
        match self {
            Refusal::Turned(Turned::Disabled | Turned::NotLoaded | Turned::Stub) => "unavailable",
            Refusal::Turned(Turned::TooMany) => "rate_limited",
            Refusal::BadInput(_) => "invalid",
            Refusal::Failed(_) => "error",
        }
    }
}
