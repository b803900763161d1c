//! `http`: one HTTP request, measured and looked into.
//!
//! Which answers make which end of the step:
//!
//! | answer | reading (`get`, `head`, `options`) | changing (the others) |
//! |---|---|---|
//! | a status that is expected | passed | passed |
//! | another status | failed | failed |
//! | 429, 502, 503 or 504, not expected | failed | error with the status as its code |
//! | a body that `extract` or `contains` cannot judge | error, with the code of a 429 or 5xx | the same |
//! | none: refused, timed out, broken off | error | error |
//!
//! A probe that got any status has measured something. A change that was turned away by a gateway or an
//! overloaded service was not judged but not done (or nobody knows), which is what *error* means; the
//! code is for `retry: {on: [503]}`.

mod answer;
mod expectation;
mod request;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::json_path::JsonPathText;
use crate::base::{Field, Type};
use crate::http::{Body, ClientSettings, Tls, read_body, send, until_cancelled};
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};
use crate::site::{SecretReference, TextOrSecret};
use expectation::StatusExpectation;

pub struct Step;

/// One request. Exactly one of `get`, `head`, `options`, `post`, `put`, `delete` and `patch` is given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["get"]}, {"required": ["head"]}, {"required": ["options"]}, {"required": ["post"]},
    {"required": ["put"]}, {"required": ["delete"]}, {"required": ["patch"]}
]))]
pub struct Config {
    /// The address to read.
    #[schemars(extend("x-encode" = "url"))]
    get: Option<String>,
    /// The address whose headers are read.
    #[schemars(extend("x-encode" = "url"))]
    head: Option<String>,
    /// The address that is asked for its abilities.
    #[schemars(extend("x-encode" = "url"))]
    options: Option<String>,
    /// The address to post to. Counts as an effect that must not be repeated unasked.
    #[schemars(extend("x-encode" = "url"))]
    post: Option<String>,
    /// The address to put to. Repeating it is harmless.
    #[schemars(extend("x-encode" = "url"))]
    put: Option<String>,
    /// The address to delete. Repeating it is harmless.
    #[schemars(extend("x-encode" = "url"))]
    delete: Option<String>,
    /// The address to patch. Counts as an effect that must not be repeated unasked.
    #[schemars(extend("x-encode" = "url"))]
    patch: Option<String>,
    /// A JSON body of any shape. At most one of `json`, `form` and `body` is given.
    json: Option<Value>,
    /// A form as the body: names and values.
    form: Option<BTreeMap<String, String>>,
    /// Text as the body. Say its type under `headers` as `Content-Type`.
    body: Option<String>,
    /// Headers of the request: text, or a secret by reference such as `{X-Api-Key: {secret: grafana_key}}`. `bearer`
    /// and `basic` make the usual ones.
    #[serde(default)]
    headers: BTreeMap<String, TextOrSecret>,
    /// A token for `Authorization: Bearer`, by reference: `{secret: NAME}` for one of the site file, `{env: NAME}` or
    /// `{file: path}`.
    bearer: Option<SecretReference>,
    /// A user and a password by reference, for `Authorization: Basic`.
    basic: Option<Basic>,
    /// The statuses that are expected: a number, a class such as `2xx`, a range such as `200-299`, or a
    /// list of these. Without it, any status will do when reading, and `2xx` when changing.
    status: Option<StatusExpectation>,
    /// Text that the body must contain.
    contains: Option<String>,
    /// Values taken out of a JSON body, each by a JSONPath (RFC 9535). Each name becomes an output of
    /// the step: the value where one matches, null where none does, a list where several do (at most 1000).
    #[serde(default)]
    extract: BTreeMap<String, JsonPathText>,
    /// Values taken out of the headers: a name for the output, and the header. Null where it is missing.
    #[serde(default)]
    header_extract: BTreeMap<String, String>,
    /// The most bytes of a body that are read; the rest is left. Default 1 MiB.
    #[serde(default = "default_body_limit")]
    #[schemars(extend("x-unit" = "bytes"))]
    body_limit: u64,
    /// How many redirects are followed, never from https to http and to another host only if `egress` of the site
    /// file lists it. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    redirects: u8,
    /// How long to wait for a connection, in seconds. Default 5 s.
    #[serde(default = "default_connect_timeout")]
    #[schemars(extend("x-unit" = "duration"))]
    connect_timeout: f64,
    /// How the peer's certificate is checked.
    tls: Option<Tls>,
    /// Whether to send an `Idempotency-Key` header that is the same for every attempt of this step in
    /// this run, so that a service which knows such keys does the work once.
    #[serde(default)]
    idempotency_header: bool,
}

/// A user with a password.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Basic {
    /// The name of the user.
    user: String,
    /// The password, by reference: `{secret: NAME}` for one of the site file, `{env: NAME}` or
    /// `{file: path}`.
    password: SecretReference,
}

fn default_body_limit() -> u64 {
    1 << 20
}

fn default_connect_timeout() -> f64 {
    crate::kind::Services::CONNECT_TIMEOUT.as_secs_f64()
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The status of the answer, such as 200.
    status: u16,
    /// Whether the status is 2xx.
    ok: bool,
    /// Seconds from the start of the request to the end of the body.
    latency: f64,
    /// The same in milliseconds.
    latency_ms: f64,
    /// How many bytes of the body were read.
    bytes: u64,
    /// Whether the body was longer than `body_limit`.
    truncated: bool,
    /// The body as text, at most 64 KiB of it.
    body: String,
    /// The body as a value when it is JSON of at most 64 KiB, else null. `extract` looks into larger ones.
    json: Value,
    /// The headers of the answer, their names in lower case.
    headers: BTreeMap<String, String>,
    /// The address that answered, without its query.
    url: String,
    /// Last, so that a name the playbook chose takes the place of a field above.
    #[serde(flatten)]
    #[schemars(skip)]
    extracted: Map<String, Value>,
}

impl Kind for Step {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "Sends one HTTP request; checks status and body, and takes values out of the answer.";
    const EXAMPLE: &'static str =
        "http: {get: 'http://127.0.0.1:8000/health', status: 2xx, extract: {health: '$.status'}}";
    type Config = Config;
    type Output = Output;

    fn effect(config: &Value) -> Effect {
        let given = |methods: &[&str]| methods.iter().any(|method| config.get(*method).is_some());
        if given(&["post", "patch"]) {
            Effect::Once
        } else if given(&["put", "delete"]) {
            Effect::Idempotent
        } else {
            Effect::Read
        }
    }

    fn extra_outputs(config: &Value) -> Vec<Field> {
        let named = |key: &str, help: &str| -> Vec<Field> {
            let names = config.get(key).and_then(Value::as_object).into_iter().flat_map(Map::keys);
            names.map(|name| Field::new(name, Type::Any, help)).collect()
        };
        let mut fields = named("extract", "Taken out of the JSON body; null when it is not there.");
        fields.extend(named("header_extract", "The text of a header; null when it is not there."));
        fields
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        until_cancelled(&context, ask(&config, &context)).await
    }
}

async fn ask(config: &Config, context: &Context) -> StepResult<Output> {
    let paths = answer::parse_paths(&config.extract)?;
    let (method, url) = request::target(config)?;
    let changing = !method.is_safe();
    let expectation = config.status.clone().or_else(|| changing.then(StatusExpectation::success));
    let request = request::build(config, method, url, context).await?;
    let started = context.services.clock.elapsed();
    let response = send(request, context).await?;
    let head = answer::Head::of(&response);
    let body = read_body(response, config.body_limit, context).await?;
    let latency = context.services.clock.elapsed().saturating_sub(started);

    let unexpected = expectation.and_then(|expectation| expectation.failure(head.status));
    if let Some(why) = unexpected.as_ref().filter(|_| changing && expectation::means_not_done(head.status)) {
        return Err(not_done(why, &head, &body));
    }
    let missing = answer::lacks(config.contains.as_deref(), &body, &head)?;
    let failure = unexpected.or(missing);
    let extracted = answer::extract(&paths, &config.header_extract, &body, &head, failure.is_some())?;
    Ok(Outcome::judged(output(head, &body, latency, extracted), failure))
}

fn not_done(why: &str, head: &answer::Head, body: &Body) -> StepError {
    StepError::new(format!("{why}{}", answer::excerpt(body)))
        .code(head.status.as_u16())
        .help("the request was turned away or its fate is not known; `retry: {on: [503]}` tries again")
}

fn output(head: answer::Head, body: &Body, latency: Duration, extracted: Map<String, Value>) -> Output {
    let (text, json) = answer::show(body);
    Output {
        status: head.status.as_u16(),
        ok: head.status.is_success(),
        latency: latency.as_secs_f64(),
        latency_ms: latency.as_secs_f64() * 1000.0,
        bytes: body.bytes.len() as u64,
        truncated: body.truncated,
        body: text,
        json,
        headers: head.headers,
        url: head.url,
        extracted,
    }
}

impl Config {
    fn client_settings(&self) -> Result<ClientSettings<'_>, StepError> {
        let connect_timeout = Duration::try_from_secs_f64(self.connect_timeout)
            .map_err(|error| StepError::because("`connect_timeout` is not a length of time", &error))?;
        Ok(ClientSettings { connect_timeout, redirects: self.redirects, tls: self.tls.as_ref() })
    }
}

#[cfg(test)]
mod tests;
