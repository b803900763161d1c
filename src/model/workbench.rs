//! What a check of a model works with: the engine, a clock, and an ear for what it is doing.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::embedded::EmbeddedEngine;
use super::preflight::{self, Inspection};
use super::{Engine, EngineChoice, EngineIdentity, LoadOptions, Model, ModelFault};
use crate::base::Clock;

/// What a check is doing; the last one is told when the check takes its process down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Such as `loading the model`.
    pub doing: String,
    /// One of several rounds, counted from 1, and how many there are.
    pub round: Option<(usize, usize)>,
}

impl Phase {
    /// Up to so many rounds, each one is told; of more, some are.
    const EACH_TOLD: usize = 64;

    pub fn new(doing: impl Into<String>) -> Self {
        Phase { doing: doing.into(), round: None }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.round {
            None => formatter.write_str(&self.doing),
            Some((index, count)) if count <= Self::EACH_TOLD => {
                write!(formatter, "{} ({index} of {count})", self.doing)
            }
            Some((index, count)) => write!(formatter, "{} (about {index} of {count})", self.doing),
        }
    }
}

/// Who is told what a check is doing.
pub type Tell = Arc<dyn Fn(Phase) + Send + Sync>;

/// See the module. Clones share one ear.
#[derive(Clone)]
pub struct Workbench {
    pub clock: Clock,
    choice: EngineChoice,
    engine: Arc<dyn Engine>,
    tell: Tell,
    last_told: Arc<Mutex<Duration>>,
}

impl Workbench {
    /// Telling costs a system call and wakes the parent, which would show in measured latencies.
    const BETWEEN_ROUNDS: Duration = Duration::from_millis(50);

    pub fn new(choice: EngineChoice, engine: Arc<dyn Engine>, tell: Tell) -> Self {
        Workbench { clock: Clock::start(), choice, engine, tell, last_told: Arc::default() }
    }

    /// For a process that is not a child: the embedded engine, and nobody listens.
    pub fn embedded() -> Self {
        Workbench::new(EngineChoice::Embedded, Arc::new(EmbeddedEngine), Arc::new(|_| {}))
    }

    /// The same with the embedded engine, for a check that compares engines.
    #[must_use]
    pub fn on_embedded(&self) -> Self {
        Workbench { choice: EngineChoice::Embedded, engine: Arc::new(EmbeddedEngine), ..self.clone() }
    }

    /// The engine that judges.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    pub fn is_embedded(&self) -> bool {
        self.choice == EngineChoice::Embedded
    }

    pub fn identity(&self) -> EngineIdentity {
        self.choice.identity()
    }

    /// Says what is done next.
    pub fn phase(&self, doing: impl Into<String>) {
        *self.last_told() = self.clock.elapsed();
        (self.tell)(Phase::new(doing));
    }

    /// Says which of several rounds is next, counted from 1: `bench.round("running case", 3, 8)`.
    /// Cheap enough for a loop that is measured: of many rounds only some are told.
    pub fn round(&self, doing: &str, index: usize, count: usize) {
        let now = self.clock.elapsed();
        let mut last = self.last_told();
        if count <= Phase::EACH_TOLD || index == 1 || now - *last >= Self::BETWEEN_ROUNDS {
            *last = now;
            (self.tell)(Phase { doing: doing.to_owned(), round: Some((index, count)) });
        }
    }

    fn last_told(&self) -> std::sync::MutexGuard<'_, Duration> {
        self.last_told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and judges a model file by the limits of the engine.
    pub fn inspect(&self, path: &Path) -> Inspection {
        self.phase("inspecting the model file");
        let mut inspection = preflight::inspect(path, &self.engine.limits());
        inspection.warnings.extend(self.engine.blind_spots(&inspection.file));
        inspection
    }

    /// Loads a model that was inspected. Refuses one with a fault.
    pub fn load_inspected(
        &self,
        path: &Path,
        inspection: Inspection,
        options: &LoadOptions,
    ) -> Result<Box<dyn Model>, ModelFault> {
        self.phase("loading the model");
        self.engine.load_inspected(path, inspection, options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_few_rounds_each_is_told_and_of_many_some() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let ear = told.clone();
        let tell: Tell = Arc::new(move |phase: Phase| ear.lock().unwrap().push(phase.to_string()));
        let bench = Workbench::new(EngineChoice::Embedded, Arc::new(EmbeddedEngine), tell);
        (1..=8).for_each(|round| bench.round("running case", round, 8));
        assert_eq!(told.lock().unwrap().len(), 8);
        assert_eq!(told.lock().unwrap()[2], "running case (3 of 8)");
        (1..=1000).for_each(|round| bench.round("measuring run", round, 1000));
        let told = told.lock().unwrap();
        assert_eq!(told[8], "measuring run (about 1 of 1000)");
        assert!(told.len() < 500, "{}", told.len());
    }
}
