//! Has an attempt done in a process of its own, for kinds that judge models: see [`Kind::IN_CHILD`].
//!
//! ```text
//! run ─ engine chosen ─ Attempt ─► child: answer ─ the kind's own `run` ─ Ended ─► run
//! ```
//!
//! [`Kind::IN_CHILD`]: super::Kind::IN_CHILD

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio_util::sync::CancellationToken;

use super::{Context, KindEntry, Outcome, Services, StepError, StepResult};
use crate::base::{RunId, StepKey};
use crate::model::selection::{Search, Selection};
use crate::model::{CheckError, EngineChoice, Runner, Workbench};
use crate::site::Site;

/// An engine by the name that playbooks use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    OnnxRuntime,
    Embedded,
}

/// An attempt on its way to the child.
#[derive(Debug, Serialize, Deserialize)]
struct Attempt {
    kind: String,
    config: Value,
    run: RunId,
    step: StepKey,
    attempt: u32,
    idempotency_key: String,
    time_limit: Duration,
    warnings: Vec<String>,
}

/// An attempt on its way back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ended {
    Done { output: Value, failure: Option<String> },
    Failed(StepError),
}

/// Has an attempt of `kind` done in a child of `program`.
pub(super) async fn run(program: &Path, kind: &str, config: Value, context: &Context) -> StepResult<Value> {
    let required = config.get("require_engine").and_then(|name| EngineName::deserialize(name).ok());
    let selection = select(program, required, context).await?;
    let attempt = Attempt {
        kind: kind.to_owned(),
        config,
        run: context.run.clone(),
        step: context.step.clone(),
        attempt: context.attempt,
        idempotency_key: context.idempotency_key.clone(),
        time_limit: context.time_limit,
        warnings: selection.warnings(),
    };
    let work = to_raw_value(&attempt).map_err(|error| cannot_cross(&error))?;
    let runner = Runner { program: program.to_owned(), memory: context.services.site.models.memory };
    let answer = tokio::select! {
        biased;
        () = context.cancelled() => return Err(StepError::new("cancelled while the model was judged")),
        answer = runner.run(&selection.choice, work, before(context.time_limit)) => answer,
    };
    match serde_json::from_str(answer.map_err(|error| step_error(&error))?.get()) {
        Ok(Ended::Done { output, failure }) => Ok(Outcome { output, failure }),
        Ok(Ended::Failed(error)) => Err(error),
        Err(error) => Err(cannot_cross(&error)),
    }
}

fn cannot_cross(error: &serde_json::Error) -> StepError {
    StepError::because("bug: the attempt cannot cross to its process or back", error)
}

/// The engine that judges here, looked for once in a process; none is looked for when the embedded one is asked for.
async fn select(program: &Path, required: Option<EngineName>, context: &Context) -> Result<Selection, StepError> {
    if required == Some(EngineName::Embedded) {
        return Ok(Selection { choice: EngineChoice::Embedded, tried: Vec::new() });
    }
    let site = &context.services.site;
    let search = || async {
        let (program, named) = (program.to_owned(), site.models.onnxruntime.clone());
        Search { program, named, known: site.engines_file() }.select().await
    };
    let selection = context.services.engine_selection.get_or_init(search).await.clone();
    match (required, &selection.choice) {
        (Some(EngineName::OnnxRuntime), EngineChoice::Embedded) => Err(not_found(&selection.tried_and_refused())),
        _ => Ok(selection),
    }
}

fn not_found(refused: &[String]) -> StepError {
    let why = refused.first().map(|why| format!(": {why}")).unwrap_or_default();
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

/// The child's side: does the attempt with one of these kinds.
pub fn answer(kinds: &[KindEntry], work: &RawValue, bench: Workbench) -> io::Result<Box<RawValue>> {
    let attempt: Attempt = serde_json::from_str(work.get())?;
    let kind = kinds.iter().find(|kind| kind.name == attempt.kind);
    let kind = kind.ok_or_else(|| io::Error::other(format!("there is no kind '{}'", attempt.kind)))?;
    let context = Context {
        run: attempt.run,
        step: attempt.step,
        attempt: attempt.attempt,
        idempotency_key: attempt.idempotency_key,
        time_limit: attempt.time_limit,
        // An attempt that is cancelled loses its process.
        cancel: CancellationToken::new(),
        subject: None,
        receipt: None,
        from_outside: BTreeSet::new(),
        services: Arc::new(Services::at(bench, attempt.warnings)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = match runtime.block_on((kind.run)(attempt.config, context)) {
        Ok(Outcome { output, failure }) => Ended::Done { output, failure },
        Err(error) => Ended::Failed(error),
    };
    Ok(to_raw_value(&ended)?)
}

impl Services {
    /// Those of a child: its engine, and nothing that belongs to the place.
    fn at(bench: Workbench, warnings: Vec<String>) -> Self {
        let services = Services::new(Site::default(), bench.clock);
        // Set once, just here.
        let _ = services.workbench.set((bench, warnings));
        services
    }
}

impl Context {
    /// The engine that judges, an ear for what is being done, and warnings about the engine. Of a process
    /// without a child (tests, programs that embed this library) it is the embedded engine.
    pub fn workbench(&self, require: Option<EngineName>) -> Result<(Workbench, Vec<String>), StepError> {
        let (bench, warnings) = self.services.workbench.get_or_init(|| (Workbench::embedded(), Vec::new()));
        match require {
            Some(EngineName::OnnxRuntime) if bench.is_embedded() => Err(not_found(&[])),
            // Always at hand, also where a check was given another engine.
            Some(EngineName::Embedded) => Ok((bench.on_embedded(), warnings.clone())),
            _ => Ok((bench.clone(), warnings.clone())),
        }
    }
}
