//! Starts, stops and observes a service. How is the matter of a backend: one file each. Add a backend
//! by adding its file and its name to the list below.
//!
//! A playbook names a service of the site file, so that the same playbook works where the service is a
//! systemd unit and where it is a plain process; or it gives the backend itself.

use std::borrow::Cow;
use std::pin::Pin;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::base::{Timestamp, suggestion};
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};

/// Declares the backends' modules and lists them. Each has a type `Service` that implements [`Backend`].
macro_rules! backends {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// The service backends.
        pub static BACKENDS: &[BackendEntry] = &[$(entry::<$module::Service>()),+];
    };
}

backends! { process, systemd }

/// What can be done with a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Status,
    Start,
    Stop,
    Restart,
    Reload,
}

/// What a backend sees of a service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    pub active: bool,
    /// The backend's own word.
    pub state: String,
    pub pid: Option<i32>,
    pub since: Option<Timestamp>,
}

/// What became of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub state: State,
    pub changed: bool,
    /// One line for people.
    pub message: String,
    /// Why the service is not as it was asked to be.
    pub failure: Option<String>,
}

impl Change {
    fn none(state: State, message: impl Into<String>) -> Self {
        Change { state, changed: false, message: message.into(), failure: None }
    }

    fn done(state: State, message: impl Into<String>) -> Self {
        Change { state, changed: true, message: message.into(), failure: None }
    }

    fn failed(state: State, changed: bool, why: impl Into<String>) -> Self {
        let why = why.into();
        Change { state, changed, message: why.clone(), failure: Some(why) }
    }
}

/// A way of running services.
pub trait Backend: 'static {
    /// The key in a site file or a step, such as `systemd`.
    const NAME: &'static str;
    const SUMMARY: &'static str;
    /// Settings as YAML; a test parses them, and the documentation shows them.
    const EXAMPLE: &'static str;
    type Config: DeserializeOwned + JsonSchema + Send;

    /// Acts and tells what became of the service; `Verb::Status` only tells. A start of what runs and a
    /// stop of what does not are successes that change nothing.
    fn act(
        verb: Verb,
        config: Self::Config,
        context: &Context,
    ) -> impl Future<Output = Result<Change, StepError>> + Send;
}

type ChangeFuture<'a> = Pin<Box<dyn Future<Output = Result<Change, StepError>> + Send + 'a>>;

/// A backend as the rest of the program sees it.
pub struct BackendEntry {
    pub name: &'static str,
    pub summary: &'static str,
    pub example: &'static str,
    pub config_schema: fn() -> Value,
    /// Says what is wrong with settings, so that a site file can be judged before a service is needed.
    pub check: fn(&Value) -> Result<(), StepError>,
    act: for<'a> fn(Verb, Value, &'a Context) -> ChangeFuture<'a>,
}

const fn entry<B: Backend>() -> BackendEntry {
    BackendEntry {
        name: B::NAME,
        summary: B::SUMMARY,
        example: B::EXAMPLE,
        config_schema: inlined_schema_of::<B::Config>,
        check: |settings| decode::<B>(settings.clone()).map(drop),
        act: act_erased::<B>,
    }
}

/// Without references: the settings stand inside other schemas, where a reference would point elsewhere.
fn inlined_schema_of<T: JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

fn act_erased<B: Backend>(verb: Verb, settings: Value, context: &Context) -> ChangeFuture<'_> {
    Box::pin(async move { B::act(verb, decode::<B>(settings)?, context).await })
}

fn decode<B: Backend>(settings: Value) -> Result<B::Config, StepError> {
    serde_json::from_value(settings).map_err(|error| {
        StepError::because(format!("the settings of the '{}' service are not valid", B::NAME), &error)
            .help(format!("write for example {}", B::EXAMPLE))
    })
}

/// The schema of a service's settings, one backend each: for the site file and for steps.
pub fn backend_schemas() -> Value {
    let described = |backend: &BackendEntry| {
        let mut schema = (backend.config_schema)();
        schema["description"] = backend.summary.into();
        (backend.name.to_owned(), schema)
    };
    let properties: Map<String, Value> = BACKENDS.iter().map(described).collect();
    let one: Vec<Value> = BACKENDS.iter().map(|backend| json!({"required": [backend.name]})).collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false, "oneOf": one})
}

pub struct Step;

/// Give exactly one of the five.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [
    {"required": ["status"]}, {"required": ["start"]}, {"required": ["stop"]}, {"required": ["restart"]},
    {"required": ["reload"]}
]))]
pub struct Config {
    /// Tells how the service is; changes nothing.
    status: Option<Target>,
    /// Starts the service unless it runs already.
    start: Option<Target>,
    /// Stops the service if it runs, and waits until it is gone.
    stop: Option<Target>,
    /// Stops the service if it runs, and starts it.
    restart: Option<Target>,
    /// Makes a running service read its configuration again.
    reload: Option<Target>,
}

impl Config {
    fn into_verb(self) -> Result<(Verb, Target), StepError> {
        let given = [
            (Verb::Status, self.status),
            (Verb::Start, self.start),
            (Verb::Stop, self.stop),
            (Verb::Restart, self.restart),
            (Verb::Reload, self.reload),
        ];
        let mut given = given.into_iter().filter_map(|(verb, target)| Some((verb, target?)));
        match (given.next(), given.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(StepError::new("a service step does exactly one thing")
                .help("write one of start, stop, restart, reload and status, such as service: {restart: api}")),
        }
    }
}

/// A service of the site file by its name, or a backend with its settings.
#[derive(Debug)]
enum Target {
    Named(String),
    Inline { backend: String, settings: Value },
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(name) => Ok(Target::Named(name)),
            Value::Object(parts) => only(parts).map(Target::inline).ok_or_else(|| D::Error::custom(ONE_BACKEND)),
            _ => Err(D::Error::custom("expected the name of a service or a backend with its settings")),
        }
    }
}

const ONE_BACKEND: &str = "expected exactly one backend, such as systemd: {unit: api.service}";

fn only(parts: impl IntoIterator<Item = (String, Value)>) -> Option<(String, Value)> {
    let mut parts = parts.into_iter();
    parts.next().filter(|_| parts.next().is_none())
}

impl JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        "Service".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "anyOf": [{"type": "string"}, backend_schemas()] })
    }
}

impl Target {
    fn inline((backend, settings): (String, Value)) -> Self {
        Target::Inline { backend, settings }
    }

    /// The name for the output, the backend and its settings.
    fn resolve(self, context: &Context) -> Result<(String, &'static BackendEntry, Value), StepError> {
        let (name, backend, settings) = match self {
            Target::Inline { backend, settings } => (None, backend, settings),
            Target::Named(name) => {
                let (backend, settings) = look_up(&name, context)?;
                (Some(name), backend, settings)
            }
        };
        let known = BACKENDS.iter().map(|entry| entry.name);
        let entry = BACKENDS.iter().find(|entry| entry.name == backend).ok_or_else(|| {
            StepError::new(format!("'{backend}' is not a service backend"))
                .help(suggestion::did_you_mean(&backend, known).unwrap_or_default())
        })?;
        Ok((name.unwrap_or_else(|| entry.name.to_owned()), entry, settings))
    }
}

fn look_up(name: &str, context: &Context) -> Result<(String, Value), StepError> {
    let services = &context.services.site.services;
    let parts = services.get(name).ok_or_else(|| {
        let known = suggestion::did_you_mean(name, services.keys().map(String::as_str));
        StepError::new(format!("the site file has no service '{name}'")).help(known.unwrap_or_else(|| {
            format!("add it to runbook.yaml: services: {{{name}: {{systemd: {{unit: {name}.service}}}}}}")
        }))
    })?;
    only(parts.clone()).ok_or_else(|| {
        StepError::new(format!("service '{name}' of the site file: {ONE_BACKEND}")).help("keep one backend")
    })
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The service by its name in the site file, or else the backend.
    pub service: String,
    /// How the service is run: `process` or `systemd`.
    pub backend: String,
    /// Whether the service runs now.
    pub active: bool,
    /// The backend's own word for it, such as `running`, `inactive` or `failed`.
    pub state: String,
    /// The main process, if the service runs.
    pub pid: Option<i32>,
    /// Whether this step changed anything.
    pub changed: bool,
    /// Since when the service runs, in UTC.
    pub since: Option<String>,
    /// What was done or found, in one line.
    pub message: String,
}

impl Kind for Step {
    const NAME: &'static str = "service";
    const SUMMARY: &'static str = "Starts, stops, restarts, reloads or observes a service.";
    const EXAMPLE: &'static str = "service: {restart: {systemd: {unit: ocr-api.service}}}";
    type Config = Config;
    type Output = Output;

    fn effect(config: &Value) -> Effect {
        if config.get("status").is_some() { Effect::Read } else { Effect::Idempotent }
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        let (verb, target) = config.into_verb()?;
        let (service, backend, settings) = target.resolve(&context)?;
        let change = tokio::select! {
            change = (backend.act)(verb, settings, &context) => change?,
            () = context.cancelled() => {
                return Err(StepError::new("cancelled while waiting for the service")
                    .help(format!("see how it is with service: {{status: {service}}}")));
            }
        };
        let output = Output {
            service,
            backend: backend.name.to_owned(),
            active: change.state.active,
            state: change.state.state,
            pid: change.state.pid,
            changed: change.changed,
            since: change.state.since.map(Timestamp::to_rfc3339),
            message: change.message,
        };
        Ok(Outcome::judged(output, change.failure))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{Clock, Source};
    use crate::kind::Services;
    use crate::site::Site;

    async fn run(config: Value, context: Context) -> StepResult<Output> {
        Step::run(serde_json::from_value(config).unwrap(), context).await
    }

    fn context(services: Value) -> Context {
        let site: Site = serde_json::from_value(json!({"services": services})).unwrap();
        Context { services: Arc::new(Services::new(site, Clock::start())), ..Context::for_tests() }
    }

    #[tokio::test]
    async fn a_service_of_the_site_file_is_found_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let settings = json!({"pid_file": folder.path().join("pid"), "start": ["true"]});
        let outcome = run(json!({"status": "api"}), context(json!({"api": {"process": settings}}))).await.unwrap();
        assert_eq!((outcome.output.service.as_str(), outcome.output.backend.as_str()), ("api", "process"));
        assert!(!outcome.output.active && outcome.failure.is_none());
    }

    #[tokio::test]
    async fn mistakes_are_errors_that_say_what_to_do() {
        let services = json!({"ocr-api": {"process": {}}, "two": {"process": {}, "systemd": {}}});
        for (config, message, help) in [
            (json!({"start": "ocr-apo"}), "no service 'ocr-apo'", "ocr-api"),
            (json!({"start": "two"}), "exactly one backend", "one backend"),
            (json!({"start": "ocr-api"}), "not valid", "pid_file"),
            (json!({"start": {"sistemd": {}}}), "not a service backend", "systemd"),
            (json!({}), "exactly one thing", "restart"),
            (json!({"start": "ocr-api", "stop": "ocr-api"}), "exactly one thing", "restart"),
        ] {
            let error = run(config, context(services.clone())).await.unwrap_err();
            assert!(error.message.contains(message), "{error}");
            assert!(error.help.as_deref().unwrap().contains(help), "{error:?}");
        }
    }

    #[test]
    fn only_status_is_an_observation() {
        assert_eq!(Step::effect(&json!({"status": "api"})), Effect::Read);
        assert_eq!(Step::effect(&json!({"restart": "api"})), Effect::Idempotent);
    }

    #[test]
    fn every_example_is_accepted_and_known_to_the_schema() {
        let schema = backend_schemas();
        for backend in BACKENDS {
            let example = crate::yaml::parse(&Source::new("example.yaml", backend.example)).unwrap().to_json();
            assert_eq!((backend.check)(&example[backend.name]), Ok(()));
            for key in example[backend.name].as_object().unwrap().keys() {
                let known = &schema["properties"][backend.name]["properties"][key];
                assert!(known["description"].is_string(), "{}.{key}: {known}", backend.name);
            }
        }
    }
}
