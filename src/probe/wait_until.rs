//! Observes again and again until a condition holds or the time is over: the bounded form of
//! "watch until it is up".

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::{Field, Route};
use crate::kind::{Condition, Context, Effect, Kind, KindEntry, Outcome, StepError, StepResult};
use crate::language::{Expression, Lookup, Scope, Truth};

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The probe to repeat: one kind with its settings, such as `http: {get: …}`.
    #[schemars(extend("x-definition" = "action"))]
    pub probe: Value,
    /// The condition over the probe's output that ends the waiting.
    #[schemars(extend("x-expression" = true))]
    pub until: String,
    /// The pause between two observations. Default: 1s.
    #[serde(default = "default_every")]
    #[schemars(extend("x-unit" = "duration"))]
    pub every: f64,
    /// The step fails when the condition does not hold within this time. Default: 30s.
    #[serde(default = "default_within")]
    #[schemars(extend("x-unit" = "duration"))]
    pub within: f64,
}

fn default_every() -> f64 {
    1.0
}

fn default_within() -> f64 {
    30.0
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// How often it was observed.
    pub observations: u64,
    /// How long the waiting took, in seconds.
    pub waited: f64,
    /// The output of the last observation that was made.
    pub last: Value,
    /// Why the last observation could not be made, if it could not.
    pub last_error: Option<String>,
}

impl Kind for Step {
    const NAME: &'static str = "wait_until";
    const SUMMARY: &'static str = "Repeats a probe until a condition holds or the time is over.";
    const EXAMPLE: &'static str =
        "wait_until: {probe: {http: {get: 'http://127.0.0.1:8000/health'}}, until: status == 200, within: 20s}";
    type Config = Config;
    type Output = Output;

    fn effect(config: &Value) -> Effect {
        nested(&config["probe"]).map_or(Effect::Read, |(kind, config)| (kind.effect)(config))
    }

    /// The waiting itself and one more observation.
    fn time_limit(config: &Value) -> Duration {
        Duration::from_secs_f64(config["within"].as_f64().unwrap_or_else(default_within)) + Duration::from_secs(30)
    }

    fn conditions(config: &Value) -> Vec<Condition> {
        let fields: Vec<Field> =
            nested(&config["probe"]).map(|(kind, config)| kind.outputs(config)).unwrap_or_default();
        let text = config["until"].as_str().unwrap_or_default().to_owned();
        vec![Condition { route: Route::of(["until"]), text, names: fields }]
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        let until = Expression::parse(&config.until).map_err(|problem| StepError::new(problem.message))?;
        let (kind, request) = nested(&config.probe).ok_or_else(|| {
            StepError::new("there is no such probe to repeat").help("`runbook kinds` lists the probes")
        })?;
        let clock = context.services.clock;
        let started = clock.elapsed();
        let mut output = Output { observations: 0, waited: 0.0, last: Value::Null, last_error: None };
        loop {
            let holds = observe(kind, request, &context, &until, &mut output).await;
            output.waited = (clock.elapsed() - started).as_secs_f64();
            if holds {
                return Ok(Outcome::passed(output));
            }
            if output.waited + config.every > config.within {
                return end(&config, output);
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs_f64(config.every.max(0.01))) => {}
                () = context.cancelled() => return Err(StepError::new("cancelled while waiting")),
            }
        }
    }
}

/// The kind and configuration of `{kind: config}`; only probes can be repeated.
fn nested(probe: &Value) -> Option<(&'static KindEntry, &Value)> {
    let (name, config) = probe.as_object()?.iter().next()?;
    super::KINDS.iter().find(|kind| kind.name == name.as_str()).map(|kind| (kind, config))
}

async fn observe(
    kind: &KindEntry,
    request: &Value,
    context: &Context,
    until: &Expression,
    output: &mut Output,
) -> bool {
    output.observations += 1;
    match (kind.run)(request.clone(), context.clone()).await {
        Ok(outcome) => {
            output.last = outcome.output;
            output.last_error = None;
        }
        // A service that is starting refuses connections; that is what the waiting is for.
        Err(error) => {
            output.last_error = Some(error.to_string());
            return false;
        }
    }
    match until.truth(&Last(&output.last)) {
        Truth::Unknown(why) => {
            output.last_error = Some(why);
            false
        }
        known => known == Truth::True,
    }
}

/// Never observed is an error; observed and not as wanted is a failure.
fn end(config: &Config, output: Output) -> StepResult<Output> {
    let waited = crate::base::units::show_duration(Duration::from_secs_f64(output.waited));
    match &output.last_error {
        Some(why) => Err(StepError::new(format!("waited {waited} and could not observe it: {why}"))),
        None => {
            let why = format!("waited {waited} and {} does not hold", config.until);
            Ok(Outcome::failed(output, why))
        }
    }
}

/// The output of an observation as the names of the condition.
struct Last<'a>(&'a Value);

impl Scope for Last<'_> {
    fn lookup(&self, name: &str) -> Lookup {
        let pointer = format!("/{}", name.replace('.', "/"));
        match self.0.pointer(&pointer) {
            Some(value) => Lookup::Value(value.clone()),
            None => Lookup::Missing(format!("the output has no '{name}'")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn wait(config: Value) -> StepResult<Output> {
        Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
    }

    #[tokio::test]
    async fn ends_as_soon_as_the_condition_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready");
        let config = json!({"probe": {"file": {"path": path}}, "until": "exists", "every": 0.01, "within": 5.0});
        let waiting = tokio::spawn(wait(config));
        tokio::task::yield_now().await;
        std::fs::write(&path, "").unwrap();
        let outcome = waiting.await.unwrap().unwrap();
        assert!(outcome.failure.is_none() && outcome.output.observations >= 1);
    }

    #[tokio::test]
    async fn what_never_holds_fails_and_what_cannot_be_observed_is_an_error() {
        let never =
            json!({"probe": {"file": {"path": "/nonexistent/x"}}, "until": "exists", "every": 0.01, "within": 0.03});
        assert!(wait(never).await.unwrap().failure.unwrap().contains("exists does not hold"));
        let silent = json!({"probe": {"http": {"get": "http://127.0.0.1:1/"}}, "until": "status == 200", "every": 0.01, "within": 0.03});
        assert!(wait(silent).await.unwrap_err().message.contains("could not observe"));
    }
}
