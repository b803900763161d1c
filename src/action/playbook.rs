//! Runs another playbook as a step.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::kind::{Context, Effect, Kind, Outcome, PlaybookCall, PlaybookResult, StepError, StepResult};

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the playbook.
    #[schemars(extend("x-constant" = true))]
    pub name: String,
    /// Its inputs.
    #[serde(default)]
    pub inputs: Map<String, Value>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The run of the called playbook.
    pub run: String,
    /// How it ended: healthy, resolved, mitigated, unresolved, rejected, cancelled or error.
    pub outcome: String,
    /// Its severity.
    pub severity: String,
    /// The names of the causes it found.
    pub causes: Vec<String>,
    /// The output of each of its steps: phase, then step.
    pub steps: Value,
}

impl Kind for Step {
    const NAME: &'static str = "playbook";
    const SUMMARY: &'static str = "Runs another playbook and fails unless it ends healthy or resolved.";
    const EXAMPLE: &'static str = "playbook: {name: cad-check-model-files, inputs: {provider: '{{inputs.provider}}'}}";
    type Config = Config;
    type Output = Output;

    /// A called playbook keeps its own journal, so calling it again goes on where it stopped.
    fn effect(_config: &Value) -> Effect {
        Effect::Idempotent
    }

    /// A called playbook has the time limits of its own steps; this one only ends what never would.
    fn time_limit(_config: &Value) -> Duration {
        Duration::from_secs(4 * 3600)
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        let playbooks =
            context.services.playbooks.clone().ok_or_else(|| StepError::new("playbooks cannot be called here"))?;
        let phase = context.step.step.split('.').next().unwrap_or_default();
        let call = PlaybookCall {
            name: config.name.clone(),
            inputs: Value::Object(config.inputs),
            from_outside: context.from_outside.clone(),
            run: context.run.child(&context.step, context.attempt),
            attempt: context.attempt,
            read_only: matches!(phase, "detect" | "diagnose" | "verify" | "recheck"),
            cancel: context.cancel.clone(),
        };
        judge(&config.name, playbooks.call(call).await?)
    }
}

fn judge(name: &str, result: PlaybookResult) -> StepResult<Output> {
    let PlaybookResult { run, outcome, severity, causes, steps } = result;
    let output = Output { run: run.to_string(), outcome, severity, causes, steps };
    match output.outcome.as_str() {
        "healthy" | "resolved" => Ok(Outcome::passed(output)),
        "parked" => Err(StepError::new(format!("'{name}' waits for a person"))
            .help(format!("`runbook show {run}` shows what it asks"))
            .waiting()),
        // What could not be told must not look like a finding.
        "error" => Err(StepError::new(format!("'{name}' could not be carried out"))
            .help(format!("`runbook show {run}` says what went wrong"))),
        other => {
            let why = format!("'{name}' ended {other}");
            Ok(Outcome::failed(output, why))
        }
    }
}
