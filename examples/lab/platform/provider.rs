//! A provider: one model behind its settings, and a memory of how the last answers went.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::limiter::Limiter;
use super::loading::Loaded;
use super::metrics::Gauges;
use super::overrides::{Fallback, Settings};
use crate::profile::ProviderSpec;

/// An answer that took longer is as bad for the score as an error.
const OBJECTIVE: Duration = Duration::from_millis(250);
/// About ten seconds of the platform's own traffic.
const REMEMBERED: usize = 20;
/// One bad answer among twenty is no news; two and more are.
const HEALTHY_FROM: f64 = 0.95;

pub struct Provider {
    pub spec: &'static ProviderSpec,
    folder: PathBuf,
    state: Mutex<State>,
}

struct State {
    settings: Settings,
    limiter: Limiter,
    loaded: Option<Loaded>,
    /// Why nothing is loaded.
    error: Option<String>,
    recent: VecDeque<Answer>,
    /// Counts models and settings, so that an answer is not held against the ones that came after it.
    generation: u64,
}

/// How a request went.
#[derive(Clone)]
struct Answer {
    took: Duration,
    error: Option<String>,
}

/// What a request needs to be answered.
pub struct Admission {
    pub loaded: Loaded,
    pub batch_window: Duration,
    pub generation: u64,
}

/// Why a request never reaches the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    Disabled,
    NotLoaded,
    /// No model is loaded, and a stub answers in its place.
    Stub,
    TooMany,
}

/// The health of a provider at one moment.
pub struct Health {
    pub status: &'static str,
    pub error: Option<String>,
    pub model_loaded: bool,
    pub score: f64,
}

impl Provider {
    /// `folder` holds its model, and the quantised twin if there is one.
    pub fn new(spec: &'static ProviderSpec, folder: PathBuf, settings: Settings) -> Self {
        let limiter = Limiter::new(settings.rate_limit);
        let state = State { settings, limiter, loaded: None, error: None, recent: VecDeque::new(), generation: 0 };
        Provider { spec, folder, state: Mutex::new(state) }
    }

    /// The file that its settings choose.
    pub fn path(&self) -> PathBuf {
        self.folder.join(if self.settings().quantised { "model.int8.onnx" } else { "model.onnx" })
    }

    pub fn settings(&self) -> Settings {
        self.state().settings.clone()
    }

    /// Takes new settings, and forgets how answers went under the old ones.
    pub fn configure(&self, settings: Settings) {
        let mut state = self.state();
        if state.settings == settings {
            return;
        }
        state.limiter = Limiter::new(settings.rate_limit);
        if !settings.enabled {
            state.loaded = None;
            state.error = None;
        }
        state.settings = settings;
        state.forget_answers();
    }

    /// Grows with every model and every change of settings.
    pub fn generation(&self) -> u64 {
        self.state().generation
    }

    pub fn is_loaded(&self) -> bool {
        self.state().loaded.is_some()
    }

    /// Puts the result of a load in the place of whatever was loaded before.
    pub fn install(&self, result: Result<Loaded, String>) {
        let mut state = self.state();
        state.forget_answers();
        (state.loaded, state.error) = match result {
            Ok(loaded) => (Some(loaded), None),
            Err(error) => (None, Some(error)),
        };
    }

    /// Lets a request in or turns it away. `limited` is false for the platform's own traffic.
    pub fn admit(&self, limited: bool, now: Duration) -> Result<Admission, Turned> {
        let mut state = self.state();
        if !state.settings.enabled {
            return Err(Turned::Disabled);
        }
        let Some(loaded) = state.loaded.clone() else {
            return Err(state.settings.fallback_mode.map_or(Turned::NotLoaded, |Fallback::Stub| Turned::Stub));
        };
        if limited && !state.limiter.take(now) {
            return Err(Turned::TooMany);
        }
        let batch_window = Duration::from_millis(state.settings.batch_window_ms);
        Ok(Admission { loaded, batch_window, generation: state.generation })
    }

    /// Remembers how a request went that reached the model.
    pub fn remember(&self, generation: u64, took: Duration, error: Option<String>) {
        let mut state = self.state();
        if state.generation != generation {
            return;
        }
        if state.recent.len() == REMEMBERED {
            state.recent.pop_front();
        }
        state.recent.push_back(Answer { took, error });
    }

    pub fn health(&self) -> Health {
        let state = self.state();
        let health = |status, error, score| Health { status, error, model_loaded: state.loaded.is_some(), score };
        if !state.settings.enabled {
            return health("disabled", None, 0.0);
        }
        if state.loaded.is_none() {
            // Answers of a stub are no text: whoever looks on must not take them for health.
            let status = if state.settings.fallback_mode.is_some() { "degraded" } else { "unhealthy" };
            return health(status, state.error.clone(), 0.0);
        }
        let score = state.score();
        if score >= HEALTHY_FROM {
            health("healthy", None, score)
        } else {
            health("degraded", state.complaint(), score)
        }
    }

    /// The entry in the list of providers.
    pub fn describe(&self) -> Value {
        let state = self.state();
        let mut description = json!(state.settings);
        description["name"] = self.spec.name.into();
        description["model_loaded"] = state.loaded.is_some().into();
        description["error"] = json!(state.error);
        description["sha256"] = json!(state.loaded.as_ref().map(|loaded| &loaded.sha256));
        description["executed_by"] = json!(state.loaded.as_ref().map(|loaded| loaded.executed_by));
        description
    }

    pub fn gauges(&self) -> Gauges {
        let about = std::fs::metadata(self.path()).ok().filter(std::fs::Metadata::is_file);
        Gauges {
            provider: self.spec.name,
            health_score: self.health().score,
            files_present: about.is_some(),
            bytes_on_disk: about.map_or(0, |about| about.len()),
            bytes_loaded: self.state().loaded.as_ref().map_or(0, |loaded| loaded.bytes),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is a single assignment, so there is no half of one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_answers(&mut self) {
        self.recent.clear();
        self.generation += 1;
    }

    /// The share of good answers among the last ones; 1 when there was none yet.
    fn score(&self) -> f64 {
        let good = self.recent.iter().filter(|answer| answer.complaint().is_none()).count();
        if self.recent.is_empty() { 1.0 } else { good as f64 / self.recent.len() as f64 }
    }

    /// What was wrong with the last bad answer.
    fn complaint(&self) -> Option<String> {
        self.recent.iter().rev().find_map(Answer::complaint)
    }
}

impl Answer {
    fn complaint(&self) -> Option<String> {
        let slow =
            || format!("slow answer: {} ms; the objective is {} ms", self.took.as_millis(), OBJECTIVE.as_millis());
        self.error.clone().or_else(|| (self.took > OBJECTIVE).then(slow))
    }
}

#[cfg(test)]
mod tests {
    use super::super::loading;
    use super::*;
    use crate::models;
    use crate::profile::Profile;

    fn serving() -> Provider {
        let spec = Profile::find("cad").unwrap().first();
        let provider = Provider::new(spec, models::shipped("ocr-text"), Settings::default());
        let loaded = loading::load(spec, &provider.path(), &["cpu".to_owned()]);
        provider.install(loaded.map_err(|error| error.to_string()));
        provider
    }

    #[test]
    fn slow_answers_degrade_and_are_forgotten_with_the_settings_that_caused_them() {
        let provider = serving();
        assert_eq!(provider.health().status, "healthy");
        let before = provider.admit(true, Duration::ZERO).unwrap().generation;
        provider.remember(before, Duration::from_millis(400), None);
        assert_eq!(provider.health().status, "degraded");
        assert!(provider.health().error.unwrap().contains("400 ms"));
        provider.configure(Settings { batch_window_ms: 1, ..Settings::default() });
        assert_eq!(provider.health().status, "healthy");
        provider.remember(before, Duration::from_millis(400), None);
        assert_eq!(provider.health().status, "healthy");
    }

    #[test]
    fn a_disabled_provider_lets_its_model_go() {
        let provider = serving();
        provider.configure(Settings { enabled: false, ..Settings::default() });
        assert_eq!(provider.admit(true, Duration::ZERO).err(), Some(Turned::Disabled));
        assert_eq!((provider.health().status, provider.is_loaded()), ("disabled", false));
    }
}
