//! `promql`: asks a Prometheus (or what speaks its HTTP API) one query.
//!
//! A query that Prometheus refuses, or an answer that is cut short, is an error and never an empty list:
//! "no series" must always mean that Prometheus looked and found none.

mod answer;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::Secret;
use crate::http::{ClientSettings, FORM, encode_form, parse_url, read_body, send, until_cancelled};
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};
use crate::site::SecretReference;

/// Ten thousand series with a dozen labels each; more is a query that forgot to aggregate.
const MAX_ANSWER: u64 = 16 << 20;

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The query. What is inserted inside a quoted string stays inside it.
    #[schemars(extend("x-encode" = "promql"))]
    query: String,
    /// The address of Prometheus, such as `http://127.0.0.1:9090`. Default: `prometheus.url` of the site file.
    #[schemars(extend("x-encode" = "url"))]
    url: Option<String>,
    /// A token for this address, by reference. The site file's token goes to the site file's address only.
    bearer: Option<SecretReference>,
    /// Evaluate the query at many moments up to now (or up to `at`) and not only once.
    range: Option<Range>,
    /// The moment of evaluation: RFC 3339, or seconds since 1970. Default: now.
    at: Option<String>,
}

/// Many moments of evaluation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Range {
    /// How far to look back, in seconds.
    #[schemars(extend("x-unit" = "duration"))]
    window: f64,
    /// The time from one moment to the next, in seconds. Default 15 s.
    #[serde(default = "default_step")]
    #[schemars(extend("x-unit" = "duration"))]
    step: f64,
}

fn default_step() -> f64 {
    15.0
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The numbers that were found, one a series; a scalar is a list of one. With `range`, those of every
    /// moment. A number that is not finite is null.
    value: Vec<Option<f64>>,
    /// The first number, or null when there is none.
    first: Option<f64>,
    /// How many series were found.
    count: u64,
    /// Whether no series was found.
    empty: bool,
    /// How many numbers are not finite: NaN, +Inf or -Inf.
    nan: u64,
    /// Seconds until Prometheus had answered.
    latency: f64,
    /// The series, at most 100 of them.
    series: Vec<Series>,
    /// What Prometheus warns of, such as a part of the data it could not reach.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Series {
    /// The labels, with the metric's name as `__name__` where there is one.
    labels: BTreeMap<String, String>,
    /// The number, with `range` the last one; null when it is not finite.
    value: Option<f64>,
}

impl Kind for Step {
    const NAME: &'static str = "promql";
    const SUMMARY: &'static str = "Asks Prometheus a query and reports the numbers.";
    const EXAMPLE: &'static str =
        r#"promql: {query: 'sum by (provider) (increase(ocr_errors_total{code="MODEL_LOAD_ERROR"}[5m]))'}"#;
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        until_cancelled(&context, ask(&config, &context)).await
    }
}

async fn ask(config: &Config, context: &Context) -> StepResult<Output> {
    let (base, token) = source(config, context).await?;
    let (path, form) = question(config, context)?;
    let url = parse_url(&format!("{}{path}", base.trim_end_matches('/')))?;
    let form = encode_form(form.iter().map(|(name, value)| (*name, value.as_str())));
    let mut request = ClientSettings::default()
        .client(&context.services)?
        .post(url)
        .header(reqwest::header::CONTENT_TYPE, FORM)
        .body(form);
    if let Some(token) = token {
        request = request.bearer_auth(token.reveal());
    }
    let started = context.services.clock.elapsed();
    let response = send(request, context).await?;
    let (url, status) = (response.url().clone(), response.status());
    let body = read_body(response, MAX_ANSWER, context).await?;
    let latency = context.services.clock.elapsed().saturating_sub(started);
    let found = answer::decode(&crate::http::shown(&url), status, &body)?;
    Ok(Outcome::passed(output(found, latency)))
}

fn output(found: answer::Found, latency: Duration) -> Output {
    Output {
        first: found.values.first().copied().flatten(),
        nan: found.values.iter().filter(|value| value.is_none()).count() as u64,
        count: found.count as u64,
        empty: found.values.is_empty(),
        latency: latency.as_secs_f64(),
        value: found.values,
        series: found.series,
        warnings: found.warnings,
    }
}

/// Where to ask, and the token for that address.
async fn source(config: &Config, context: &Context) -> Result<(String, Option<Secret<String>>), StepError> {
    let site = context.services.site.prometheus.as_ref();
    let own_token = context.optional_secret(config.bearer.as_ref()).await?;
    if let Some(url) = &config.url {
        return Ok((url.clone(), own_token));
    }
    let site = site.ok_or_else(|| {
        StepError::new("no Prometheus is configured")
            .help("set `prometheus: {url: 'http://127.0.0.1:9090'}` in the site file, or `url` in the step")
    })?;
    match own_token {
        Some(token) => Ok((site.url.clone(), Some(token))),
        None => Ok((site.url.clone(), context.optional_secret(site.token.as_ref()).await?)),
    }
}

type Form = Vec<(&'static str, String)>;

/// The path and the form of the request.
fn question(config: &Config, context: &Context) -> Result<(&'static str, Form), StepError> {
    // Prometheus then stops working on an answer that nobody waits for.
    let limit = format!("{}ms", context.time_limit.as_millis().max(1));
    let mut form = vec![("query", config.query.clone()), ("timeout", limit)];
    match &config.range {
        None => {
            form.extend(config.at.clone().map(|at| ("time", at)));
            Ok(("/api/v1/query", form))
        }
        Some(range) => {
            form.extend(moments(range, config.at.as_deref(), context)?);
            Ok(("/api/v1/query_range", form))
        }
    }
}

fn moments(range: &Range, at: Option<&str>, context: &Context) -> Result<Form, StepError> {
    if !(range.step > 0.0 && range.window >= range.step && range.window.is_finite()) {
        return Err(StepError::new("the range has no moments")
            .help("`window` must be at least as long as `step`, for example {window: 10m, step: 15s}"));
    }
    let end = match at {
        None => context.services.clock.now().0 as f64 / 1000.0,
        Some(at) => seconds(at)?,
    };
    Ok(vec![("start", (end - range.window).to_string()), ("end", end.to_string()), ("step", range.step.to_string())])
}

/// Seconds since 1970 of a moment in either of its forms.
fn seconds(at: &str) -> Result<f64, StepError> {
    let as_number = at.parse::<f64>().ok().filter(|seconds| seconds.is_finite());
    let as_date = || at.parse::<jiff::Timestamp>().ok().map(|moment| moment.as_millisecond() as f64 / 1000.0);
    as_number.or_else(as_date).ok_or_else(|| {
        StepError::new(format!("'{at}' is not a moment")).help("write for example 2026-01-31T03:00:00Z or 1769828400")
    })
}

#[cfg(test)]
mod tests;
