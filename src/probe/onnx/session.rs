//! A loaded model and the attempt that uses it.

use std::path::Path;
use std::time::Duration;

use crate::base::Clock;
use crate::kind::{Context, StepError};
use crate::model::{Engine, FaultKind, Model, ModelFault, Tensor, detached};

/// A loaded model, while a check works with it.
pub(in crate::probe) struct Session<'a> {
    pub model: Box<dyn Model>,
    pub engine: String,
    pub engine_version: String,
    /// Reading, checking and loading the file.
    pub load_seconds: f64,
    clock: Clock,
    abandoned: &'a dyn Fn() -> bool,
}

impl Session<'_> {
    /// One run. Nothing is run any more once the attempt is over.
    pub(in crate::probe) fn run(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, Broken> {
        if (self.abandoned)() { Err(Broken::Stopped) } else { self.model.run(inputs).map_err(Broken::Fault) }
    }

    pub(in crate::probe) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    #[cfg(test)]
    pub(in crate::probe) fn for_tests(model: Box<dyn Model>) -> Self {
        let (engine, engine_version) = ("test".to_owned(), "1".to_owned());
        Session { model, engine, engine_version, load_seconds: 0.0, clock: Clock::start(), abandoned: &|| false }
    }
}

/// Why a model gave no answers.
#[derive(Debug)]
pub(in crate::probe) enum Broken {
    /// The attempt is over.
    Stopped,
    /// The engine refused or broke down.
    Fault(ModelFault),
    /// An answer of another shape than the request calls for, in words.
    Shape(String),
}

impl From<Broken> for StepError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Stopped => StepError::new("cancelled while the model was running"),
            Broken::Fault(fault) => {
                StepError::new(format!("the model did not run: {}", fault.detail)).help(fault.remedy())
            }
            Broken::Shape(what) => {
                StepError::new(what).help("compare the model with its contract by an `onnx_io` step")
            }
        }
    }
}

/// Loads the model at `path` and lets `work` use it, off the async threads.
pub(in crate::probe) async fn with_model<T: Send + 'static>(
    path: &Path,
    context: &Context,
    work: impl FnOnce(&Session<'_>) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let (engine, clock, path) = (context.services.engine(), context.services.clock, path.to_owned());
    let working = detached::run(move |abandoned| work(&open(&*engine, &path, clock, abandoned)?));
    tokio::select! {
        biased;
        () = context.cancelled() => Err(Broken::Stopped.into()),
        worked = working => worked.map_err(|error| StepError::because("the model could not be judged", &error))?,
    }
}

fn open<'a>(
    engine: &dyn Engine,
    path: &Path,
    clock: Clock,
    abandoned: &'a dyn Fn() -> bool,
) -> Result<Session<'a>, StepError> {
    let started = clock.elapsed();
    let model = engine.load(path).map_err(|fault| load_error(&fault))?;
    let load_seconds = (clock.elapsed() - started).as_secs_f64();
    let (engine, engine_version) = (engine.name().to_owned(), engine.version());
    Ok(Session { model, engine, engine_version, load_seconds, clock, abandoned })
}

fn load_error(fault: &ModelFault) -> StepError {
    let kind = fault.kind.name();
    let error = StepError::new(format!("the model does not load ({kind}): {}", fault.detail));
    match fault.kind {
        FaultKind::Unreadable => error.help(fault.remedy()),
        _ => error.help(format!("{}; an `onnx_load` step tells more", fault.remedy())),
    }
}
