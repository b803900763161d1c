//! A loaded model and the attempt that uses it.

use std::path::Path;
use std::time::Duration;

use crate::kind::{Context, EngineName, StepError};
use crate::model::{EngineIdentity, LoadOptions, Model, ModelFault, Tensor, Workbench, detached};

/// What an attempt judges models with.
pub(in crate::probe) struct Bench<'a> {
    pub bench: Workbench,
    /// About the engine.
    pub warnings: Vec<String>,
    /// Whether nobody waits for the result any more.
    pub abandoned: &'a dyn Fn() -> bool,
}

/// Lets `work` judge models, off the async threads.
pub(in crate::probe) async fn at_bench<T: Send + 'static>(
    require: Option<EngineName>,
    context: &Context,
    work: impl FnOnce(Bench<'_>) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let (bench, warnings) = context.workbench(require)?;
    let working = detached::run(move |abandoned| work(Bench { bench, warnings, abandoned }));
    tokio::select! {
        biased;
        () = context.cancelled() => Err(Broken::Stopped.into()),
        worked = working => worked.map_err(|error| StepError::because("the model could not be judged", &error))?,
    }
}

/// A loaded model, while a check works with it.
pub(in crate::probe) struct Session<'a> {
    pub model: Box<dyn Model>,
    pub engine: EngineIdentity,
    /// What lowers the weight of a verdict.
    pub warnings: Vec<String>,
    /// Reading, checking and loading the file.
    pub load_seconds: f64,
    bench: Workbench,
    abandoned: &'a dyn Fn() -> bool,
}

impl Session<'_> {
    /// One run. Nothing is run any more once the attempt is over.
    pub(in crate::probe) fn run(&self, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, Broken> {
        if (self.abandoned)() { Err(Broken::Stopped) } else { self.model.answer(inputs).map_err(Broken::Fault) }
    }

    /// One run whose answer nobody reads.
    pub(in crate::probe) fn compute(&self, inputs: &[(String, Tensor)]) -> Result<(), Broken> {
        if (self.abandoned)() { Err(Broken::Stopped) } else { self.model.compute(inputs).map_err(Broken::Fault) }
    }

    /// Says which of several rounds is next, for the case that it takes the process down.
    pub(in crate::probe) fn round(&self, doing: &str, index: usize, count: usize) {
        self.bench.round(doing, index, count);
    }

    /// Whether nobody waits for the result any more.
    pub(in crate::probe) fn is_abandoned(&self) -> bool {
        (self.abandoned)()
    }

    pub(in crate::probe) fn now(&self) -> Duration {
        self.bench.clock.elapsed()
    }

    #[cfg(test)]
    pub(in crate::probe) fn for_tests(model: Box<dyn Model>) -> Self {
        let bench = Workbench::embedded();
        let engine = bench.identity();
        Session { model, engine, warnings: Vec::new(), load_seconds: 0.0, bench, abandoned: &|| false }
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
    require: Option<EngineName>,
    context: &Context,
    work: impl FnOnce(&Session<'_>) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    with_model_loaded(path, LoadOptions::default(), require, context, work).await
}

/// The same for a model that is not loaded as usual.
pub(in crate::probe) async fn with_model_loaded<T: Send + 'static>(
    path: &Path,
    options: LoadOptions,
    require: Option<EngineName>,
    context: &Context,
    work: impl FnOnce(&Session<'_>) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let path = path.to_owned();
    at_bench(require, context, move |bench| work(&open(bench, &path, &options)?)).await
}

fn open<'a>(bench: Bench<'a>, path: &Path, options: &LoadOptions) -> Result<Session<'a>, StepError> {
    let Bench { bench, mut warnings, abandoned } = bench;
    let started = bench.clock.elapsed();
    let mut inspection = bench.inspect(path);
    warnings.append(&mut inspection.warnings);
    let loaded = bench.load_inspected(path, inspection, options);
    let model = loaded.map_err(|fault| load_error(&fault))?;
    let load_seconds = (bench.clock.elapsed() - started).as_secs_f64();
    Ok(Session { model, engine: bench.identity(), warnings, load_seconds, bench, abandoned })
}

pub(in crate::probe) fn load_error(fault: &ModelFault) -> StepError {
    let kind = fault.kind.name();
    let error = StepError::new(format!("the model does not load ({kind}): {}", fault.detail));
    match fault.is_unjudged() {
        true => error.help(fault.remedy()),
        false => error.help(format!("{}; an `onnx_load` step tells more", fault.remedy())),
    }
}
