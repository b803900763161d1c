//! What a step kind is: one file with its configuration, its output, its code and its tests, and one
//! name in the registry of its room (`action` for what changes something, `probe` for what observes).
//!
//! A kind is a type that implements [`Kind`]; [`entry`] turns it into the uniform [`KindEntry`] that
//! the parser, the planner, the runtime, the schema and the documentation walk. Configuration arrives
//! with every template already rendered and encoded for its place, so a kind never sees a template
//! and cannot mistake data for code. How a field encodes what is inserted into it is said on the field:
//!
//! - `#[schemars(extend("x-encode" = "url"))]` percent-encodes (`promql`, `jsonpath`, `regex` likewise);
//! - `#[schemars(extend("x-constant" = true))]` refuses templates at load, for code such as shell text;
//! - `#[schemars(extend("x-unit" = "duration"))]` on a number of seconds accepts `15m`
//!   (`"bytes"` accepts `512 MiB`).

pub mod child;
mod context;
mod egress;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::{Field, Picture, Route};
pub use child::EngineName;
pub use context::{Context, PlaybookCall, PlaybookResult, Playbooks, Services, Subject};
pub use egress::Resolver;

/// What running a step again would do; decides what happens to a step in doubt after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Observes only; always safe to repeat.
    Read,
    /// Changes something, and repeating it changes nothing more.
    Idempotent,
    /// Must not be repeated without knowing whether it happened.
    Once,
}

/// A measurement that was made: `failure` says why what was found is not as it should be.
#[derive(Debug, Clone)]
pub struct Outcome<T> {
    pub output: T,
    pub failure: Option<String>,
}

impl<T> Outcome<T> {
    pub fn passed(output: T) -> Self {
        Outcome { output, failure: None }
    }

    /// It was checked, and the expectation that is part of the kind itself does not hold.
    pub fn failed(output: T, why: impl Into<String>) -> Self {
        Outcome { output, failure: Some(why.into()) }
    }

    /// Passed without a reason to fail, failed with one.
    pub fn judged(output: T, failure: Option<String>) -> Self {
        Outcome { output, failure }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        Outcome { output: change(self.output), failure: self.failure }
    }
}

/// The step could not be checked or done. Never a measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    /// A lower-case fragment with the cause in it: "cannot connect to 127.0.0.1:9 (refused)".
    pub message: String,
    /// What the reader can do next.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub help: Option<String>,
    /// A status code of the peer, such as 503, for `retry: {on: [503]}`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<u16>,
    #[serde(skip_serializing_if = "Leaves::is_nothing", default)]
    pub leaves: Leaves,
}

/// What a step that ended with an error leaves to others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaves {
    #[default]
    Nothing,
    /// Nobody can tell whether it did what it was to do.
    Doubt,
    /// It waits for a person and can then go on.
    Wait,
}

impl Leaves {
    fn is_nothing(&self) -> bool {
        *self == Leaves::Nothing
    }
}

impl StepError {
    pub fn new(message: impl Into<String>) -> Self {
        StepError { message: message.into(), help: None, code: None, leaves: Leaves::Nothing }
    }

    /// The step may have been done all the same, so that it must not be tried again unasked.
    #[must_use]
    pub fn in_doubt(mut self) -> Self {
        self.leaves = Leaves::Doubt;
        self
    }

    /// The step has not ended: what it began goes on when a person has answered.
    #[must_use]
    pub fn waiting(mut self) -> Self {
        self.leaves = Leaves::Wait;
        self
    }

    /// `what` failed because of `cause`, with the chain of causes in the message.
    pub fn because(what: impl std::fmt::Display, cause: &(dyn std::error::Error + 'static)) -> Self {
        let mut message = format!("{what}: {cause}");
        let mut next = cause.source();
        while let Some(deeper) = next {
            let text = deeper.to_string();
            // Many libraries repeat their cause in their own text.
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            next = deeper.source();
        }
        StepError::new(message)
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn code(mut self, code: u16) -> Self {
        self.code = Some(code);
        self
    }
}

/// An expression inside a kind's configuration and the names it may use.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Its place in the configuration.
    pub route: Route,
    pub text: String,
    pub names: Vec<Field>,
}

/// What an attempt that a crash interrupted has left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing that tells whether its effect happened.
    Nothing,
    /// It certainly had not begun, and never will.
    NotBegun,
    /// It goes on without an engine, or has left its result: [`Kind::adopt`] gets it.
    Attempt,
}

pub type StepResult<T> = Result<Outcome<T>, StepError>;

/// A step kind. `Config` must be `#[serde(deny_unknown_fields)]`; the doc comments of its fields and of
/// `Output`'s fields become the reference documentation.
pub trait Kind: 'static {
    /// The key in a playbook, such as `http`.
    const NAME: &'static str;
    /// One sentence for `runbook kinds`.
    const SUMMARY: &'static str;
    /// The kind's part of a step in YAML, such as `http: {get: 'http://127.0.0.1:8000/health'}`; a
    /// test parses it, and the documentation shows it.
    const EXAMPLE: &'static str;
    /// Whether each attempt has a process of its own, for kinds that judge models: one that crashes, hangs or
    /// eats memory then ends that process only, and becomes an error that says how and while doing what. The
    /// kind gets its engine by [`Context::workbench`]; what else belongs to the site is not there.
    const IN_CHILD: bool = false;
    /// Parts of the output that reports draw.
    const PICTURES: &'static [Picture] = &[];
    type Config: DeserializeOwned + JsonSchema + Send;
    type Output: Serialize + JsonSchema;

    /// The effect of a step with this configuration (templates not yet rendered) unless the step says.
    fn effect(config: &Value) -> Effect;

    /// Output fields that the configuration names, such as what `extract` takes out of a body.
    fn extra_outputs(_config: &Value) -> Vec<Field> {
        Vec::new()
    }

    /// How long one attempt may take unless the step says. A minute is long for a probe and short
    /// enough that a hung one is noticed.
    fn time_limit(_config: &Value) -> Duration {
        Duration::from_secs(60)
    }

    /// How long an attempt with this rendered configuration may take to stop when it is told to.
    fn grace(_config: &Value) -> Duration {
        Duration::from_secs(10)
    }

    /// Conditions inside the configuration, to be checked before anything runs.
    fn conditions(_config: &Value) -> Vec<Condition> {
        Vec::new()
    }

    /// Whether an attempt with this rendered configuration leaves behind how it went, in the folder
    /// [`Context::receipt`]. `repeatable` says that the step may simply be run again after a crash.
    fn leaves_receipt(_config: &Value, _repeatable: bool) -> bool {
        false
    }

    /// After a crash: what the attempt has left in the folder of its receipt. Must be quick.
    fn left(_receipt: &Path) -> Left {
        Left::Nothing
    }

    /// Takes over an attempt that has left something: waits for its end if need be, and gives its result as
    /// `run` would have. Only called after `left` said that there is an attempt.
    fn adopt(_config: Self::Config, _context: Context) -> impl Future<Output = StepResult<Self::Output>> + Send {
        async { Err(StepError::new("bug: this kind leaves nothing to take over")) }
    }

    /// Makes one attempt. Must stop soon after `context.cancelled()`; a dropped future must leave
    /// nothing running. The time limit is enforced from outside.
    fn run(config: Self::Config, context: Context) -> impl Future<Output = StepResult<Self::Output>> + Send;
}

pub type StepFuture = Pin<Box<dyn Future<Output = StepResult<Value>> + Send>>;

/// A kind as the rest of the program sees it.
#[derive(Clone, Copy)]
pub struct KindEntry {
    pub name: &'static str,
    pub summary: &'static str,
    pub example: &'static str,
    pub pictures: &'static [Picture],
    pub config_schema: fn() -> Value,
    pub output_schema: fn() -> Value,
    pub effect: fn(&Value) -> Effect,
    pub extra_outputs: fn(&Value) -> Vec<Field>,
    pub conditions: fn(&Value) -> Vec<Condition>,
    pub time_limit: fn(&Value) -> Duration,
    pub grace: fn(&Value) -> Duration,
    pub leaves_receipt: fn(&Value, bool) -> bool,
    pub left: fn(&Path) -> Left,
    pub run: fn(Value, Context) -> StepFuture,
    pub adopt: fn(Value, Context) -> StepFuture,
}

impl std::fmt::Debug for KindEntry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

impl KindEntry {
    /// Every field a step of this kind may output with this configuration. A field that the
    /// configuration names takes the place of one of the kind's own of the same name.
    pub fn outputs(&self, config: &Value) -> Vec<Field> {
        let extra = (self.extra_outputs)(config);
        let mut fields = self.own_outputs();
        fields.retain(|field| extra.iter().all(|named| named.name != field.name));
        fields.extend(extra);
        fields
    }

    /// The fields that every step of this kind may output, derived anew from the type at each call.
    pub fn own_outputs(&self) -> Vec<Field> {
        Field::of_schema(&(self.output_schema)())
    }
}

/// The uniform form of the kind `K`.
pub const fn entry<K: Kind>() -> KindEntry {
    KindEntry {
        name: K::NAME,
        summary: K::SUMMARY,
        example: K::EXAMPLE,
        pictures: K::PICTURES,
        config_schema: schema_of::<K::Config>,
        output_schema: schema_of::<K::Output>,
        effect: K::effect,
        extra_outputs: K::extra_outputs,
        conditions: K::conditions,
        time_limit: K::time_limit,
        grace: K::grace,
        leaves_receipt: K::leaves_receipt,
        left: K::left,
        run: run_erased::<K>,
        adopt: adopt_erased::<K>,
    }
}

/// The JSON Schema of a type, as plain JSON.
pub fn schema_of<T: JsonSchema>() -> Value {
    schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

fn run_erased<K: Kind>(config: Value, context: Context) -> StepFuture {
    Box::pin(async move {
        if K::IN_CHILD
            && let Some(program) = &context.services.site.program
        {
            return child::run(program, K::NAME, config, &context).await;
        }
        erased::<K>(K::run(decoded::<K>(config)?, context).await?)
    })
}

fn adopt_erased<K: Kind>(config: Value, context: Context) -> StepFuture {
    Box::pin(async move { erased::<K>(K::adopt(decoded::<K>(config)?, context).await?) })
}

fn decoded<K: Kind>(config: Value) -> Result<K::Config, StepError> {
    serde_json::from_value(config).map_err(|error| {
        StepError::because(format!("the rendered configuration of '{}' is not valid", K::NAME), &error)
    })
}

fn erased<K: Kind>(outcome: Outcome<K::Output>) -> StepResult<Value> {
    let output = serde_json::to_value(outcome.output).map_err(|error| {
        StepError::because(format!("bug: the output of '{}' cannot be written as JSON", K::NAME), &error)
    })?;
    Ok(Outcome { output, failure: outcome.failure })
}

/// Does a part of an attempt by the kind `K`. A kind that talks to the network has a model judged in a process of its
/// own in this way: `K` is one with [`Kind::IN_CHILD`] that the child knows.
pub async fn part<K: Kind>(config: Value, context: &Context) -> StepResult<Value> {
    run_erased::<K>(config, context.clone()).await
}

/// Declares the modules of a room's kinds and lists them, in this order, as `KINDS`.
/// Each module has a type `Step` that implements [`Kind`].
#[macro_export]
macro_rules! step_kinds {
    ($($(#[$meta:meta])* $module:ident),+ $(,)?) => {
        $($(#[$meta])* pub mod $module;)+

        /// The kinds of this room.
        pub static KINDS: &[$crate::kind::KindEntry] = &[$($crate::kind::entry::<$module::Step>()),+];
    };
}
