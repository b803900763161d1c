//! A piece of work on models, as it is done in a process of its own.
//!
//! A kind describes its work as a [`Task`]: plain data that travels to the child, `run` that happens there,
//! and an answer that travels back. Both cross as JSON, so an answer holds no NaN and no infinity: count
//! them, or use `Option<f64>`.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::preflight::{self, Inspection};
use super::{Engine, LoadOptions, Model, ModelFault};
use crate::base::Clock;

/// Work on models that one step asks for.
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the kind that asks.
    const NAME: &'static str;
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// Does the work. Blocking. A fault of the model belongs into the answer; an error says that nothing
    /// could be judged.
    fn run(self, bench: &Workbench<'_>) -> Result<Self::Answer, TaskError>;
}

/// A task as the child knows it: by name, JSON in and JSON out.
#[derive(Clone, Copy)]
pub struct TaskEntry {
    pub name: &'static str,
    pub run: fn(&[u8], &Workbench<'_>) -> Result<Vec<u8>, TaskError>,
}

/// The uniform form of the task `T`.
pub const fn entry<T: Task>() -> TaskEntry {
    TaskEntry { name: T::NAME, run: run_encoded::<T> }
}

fn run_encoded<T: Task>(request: &[u8], bench: &Workbench<'_>) -> Result<Vec<u8>, TaskError> {
    let bug = |error: &serde_json::Error| TaskError::new(format!("bug: the task '{}' cannot cross: {error}", T::NAME));
    let task: T = serde_json::from_slice(request).map_err(|error| bug(&error))?;
    let answer = task.run(bench)?;
    serde_json::to_vec(&answer).map_err(|error| bug(&error))
}

/// Why nothing could be judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct TaskError {
    pub message: String,
    /// What the reader can do next.
    pub help: Option<String>,
}

impl TaskError {
    pub fn new(message: impl Into<String>) -> Self {
        TaskError { message: message.into(), help: None }
    }

    /// `what` failed because of `cause`, with the chain of causes in the message.
    pub fn because(what: impl std::fmt::Display, cause: &(dyn std::error::Error + 'static)) -> Self {
        let mut message = format!("{what}: {cause}");
        let mut next = cause.source();
        while let Some(deeper) = next {
            let text = deeper.to_string();
            // Many libraries repeat their cause in their own text.
            if !message.contains(&text) {
                message.push_str(&format!(": {text}"));
            }
            next = deeper.source();
        }
        TaskError::new(message)
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<ModelFault> for TaskError {
    fn from(fault: ModelFault) -> Self {
        let remedy = fault.remedy();
        TaskError::new(fault.detail).help(remedy)
    }
}

/// What a task is doing; the last one is told when the task takes its process down.
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

impl std::fmt::Display for Phase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.round {
            None => formatter.write_str(&self.doing),
            Some((index, count)) if count <= Self::EACH_TOLD => {
                write!(formatter, "{} ({index} of {count})", self.doing)
            }
            Some((index, count)) => write!(formatter, "{} (about {index} of {count})", self.doing),
        }
    }
}

/// What a task may use.
pub struct Workbench<'a> {
    pub clock: Clock,
    engine: Arc<dyn Engine>,
    tell: &'a dyn Fn(Phase),
    abandoned: &'a dyn Fn() -> bool,
    last_told: Cell<Duration>,
}

impl<'a> Workbench<'a> {
    /// Telling costs a system call and wakes the parent, which would show in measured latencies.
    const BETWEEN_ROUNDS: Duration = Duration::from_millis(50);

    pub fn new(engine: Arc<dyn Engine>, tell: &'a dyn Fn(Phase), abandoned: &'a dyn Fn() -> bool) -> Self {
        Workbench { clock: Clock::start(), engine, tell, abandoned, last_told: Cell::new(Duration::ZERO) }
    }

    /// The engine that was chosen for this task.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// Whether nobody waits for the answer any more; asked between two pieces of long work.
    pub fn abandoned(&self) -> bool {
        (self.abandoned)()
    }

    /// Says what is done next.
    pub fn phase(&self, doing: impl Into<String>) {
        self.last_told.set(self.clock.elapsed());
        (self.tell)(Phase::new(doing));
    }

    /// Says which of several rounds is next, counted from 1: `bench.round("running case", 3, 8)`.
    /// Cheap enough for a loop that is measured: of many rounds only some are told.
    pub fn round(&self, doing: &str, index: usize, count: usize) {
        let now = self.clock.elapsed();
        if count <= Phase::EACH_TOLD || index == 1 || now - self.last_told.get() >= Self::BETWEEN_ROUNDS {
            self.last_told.set(now);
            (self.tell)(Phase { doing: doing.to_owned(), round: Some((index, count)) });
        }
    }

    /// Reads and judges a model file by the limits of the engine.
    pub fn inspect(&self, path: &Path) -> Inspection {
        self.phase("inspecting the model file");
        let mut inspection = preflight::inspect(path, &self.engine.limits());
        inspection.warnings.extend(self.engine.blind_spots(&inspection.file));
        inspection
    }

    /// Inspects and loads a model.
    pub fn load(&self, path: &Path, options: &LoadOptions) -> Result<Box<dyn Model>, ModelFault> {
        let inspection = self.inspect(path);
        self.load_inspected(path, inspection, options)
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
