//! How a kind has a model judged: the engine of this site, in a process of its own.
//!
//! ```ignore
//! let judged = context.judge(config.require_engine, MyTask { model, rounds: 100 }).await?;
//! judged.answer; judged.engine; judged.warnings
//! ```

use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, StepError};
use crate::model::selection::{Search, Selection, Trial};
use crate::model::{CheckError, EngineChoice, EngineIdentity, Runner, Task};

/// An engine by the name that playbooks use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    OnnxRuntime,
    Embedded,
}

/// What a task found out, and who says so.
#[derive(Debug, Clone)]
pub struct Judged<T> {
    pub answer: T,
    pub engine: EngineIdentity,
    /// Why the engine is not the one that was meant, if so.
    pub warnings: Vec<String>,
}

impl Context {
    /// Has a model judged in a child process by the engine of this site; see [`Context::engine`].
    pub async fn judge<T: Task>(&self, require: Option<EngineName>, task: T) -> Result<Judged<T::Answer>, StepError> {
        let selection = self.engine(require).await?;
        let answer = self.run_task(&selection.choice, task).await?;
        Ok(Judged { answer, engine: selection.choice.identity(), warnings: selection.warnings() })
    }

    /// The engine that judges here, looked for once in a process. An error when another one is required
    /// than can be had.
    pub async fn engine(&self, require: Option<EngineName>) -> Result<Selection, StepError> {
        let embedded = || Selection { choice: EngineChoice::Embedded, tried: Vec::new() };
        if require == Some(EngineName::Embedded) {
            return Ok(embedded());
        }
        let selection = match &self.services.site.models.program {
            Some(program) => self.services.model_engine.get_or_init(|| self.search(program)).await.clone(),
            // A library is tried in a child of this program only.
            None => embedded(),
        };
        if require == Some(EngineName::OnnxRuntime) && selection.choice == EngineChoice::Embedded {
            return Err(not_found(&selection));
        }
        Ok(selection)
    }

    async fn search(&self, program: &Path) -> Selection {
        let site = &self.services.site;
        let (program, named) = (program.to_owned(), site.models.onnxruntime.clone());
        Search { program, named, known: site.engines_file() }.select().await
    }

    /// Runs one task with an engine that was chosen before. The step's time limit and cancellation end the
    /// child; what it was doing then is part of the error.
    pub async fn run_task<T: Task>(&self, engine: &EngineChoice, task: T) -> Result<T::Answer, StepError> {
        let settings = &self.services.site.models;
        let runner = Runner { program: settings.program.clone(), memory: settings.memory };
        tokio::select! {
            biased;
            () = self.cancelled() => Err(StepError::new("cancelled while the model was judged")),
            answer = runner.run(engine, task, before(self.time_limit)) => answer.map_err(|error| step_error(&error)),
        }
    }
}

fn not_found(selection: &Selection) -> StepError {
    let refused = selection.tried.iter().find_map(|(candidate, trial)| match trial {
        Trial::Refused(why) => Some(format!(": {} {why}", candidate.path.display())),
        _ => None,
    });
    let why = refused.unwrap_or_default();
    StepError::new(format!("this step requires ONNX Runtime, which was not found{why}")).help(
        "`runbook doctor` shows where it was looked for; `sh scripts/get-onnxruntime.sh` brings it, and \
         `models: {onnxruntime: PATH}` in the site file names one",
    )
}

/// A little before the attempt's own end, which could not tell what the model was doing.
fn before(limit: Duration) -> Duration {
    limit.saturating_sub((limit / 10).min(Duration::from_millis(250)))
}

fn step_error(error: &CheckError) -> StepError {
    // `because` joins the chain of causes; the error itself is its beginning.
    let told = match std::error::Error::source(error) {
        Some(cause) => StepError::because(error, cause),
        None => StepError::new(error.to_string()),
    };
    match error.help() {
        Some(help) => told.help(help),
        None => told,
    }
}
