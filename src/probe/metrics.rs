//! `metrics`: reads one metric from the page a service exposes, without a Prometheus in between.
//!
//! With `delta` the page is read twice and the increase of a counter is reported; with `histogram` the
//! buckets of a histogram become a quantile; with both, the quantile of what happened in between.

mod exposition;
mod histogram;
mod increase;

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::ACCEPT;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http::{ClientSettings, Tls, parse_url, read_text, send, unexpected_status, until_cancelled};
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};
use crate::site::SecretReference;
use exposition::{Labels, Metric, Sample};

/// The largest pages of real services have some ten megabytes.
const MAX_PAGE: u64 = 64 << 20;
/// As many as `promql` shows.
const MAX_SERIES: usize = 100;
/// As many numbers as `promql` takes.
const MAX_VALUES: usize = 10_000;
const TEXT_FORMAT: &str = "text/plain;version=0.0.4";

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of the page, such as `http://127.0.0.1:8000/metrics`.
    #[schemars(extend("x-encode" = "url"))]
    url: String,
    /// The metric. With `histogram` its name without `_bucket`.
    name: String,
    /// Labels that a series must have with exactly these values; it may have others.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Read the page twice and report by how much the counter or gauge grew.
    delta: Option<Delta>,
    /// Compute a quantile from the buckets of a histogram, added up over its series.
    histogram: Option<Histogram>,
    /// A token for `Authorization: Bearer`, by reference: `{env: NAME}` or `{file: path}`.
    bearer: Option<SecretReference>,
    /// How the peer's certificate is checked.
    tls: Option<Tls>,
}

/// Two readings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delta {
    /// The time between the readings, in seconds.
    #[schemars(extend("x-unit" = "duration"))]
    over: f64,
}

/// A quantile of a histogram.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Histogram {
    /// From 0 to 1; 0.95 is the value below which 95 % of the observations lie.
    quantile: f64,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Output {
    /// The numbers that were found, one a series; with `histogram` a list of the one quantile. A number
    /// that is not finite is null.
    value: Vec<Option<f64>>,
    /// The first number, or null when there is none.
    first: Option<f64>,
    /// How many series were found; with `histogram`, how many of its buckets.
    count: u64,
    /// Whether the page has no such series. Then everything below is null or empty.
    missing: bool,
    /// The sum of the finite numbers.
    sum: Option<f64>,
    /// The smallest finite number.
    min: Option<f64>,
    /// The largest finite number.
    max: Option<f64>,
    /// How many numbers are not finite: NaN, +Inf or -Inf.
    nan: u64,
    /// With `delta`: by how much the series grew together; below zero for a gauge that fell. A counter that
    /// started again counts from 0, and so does a series that was not there at the first reading.
    increase: Option<f64>,
    /// With `delta`: the increase a second.
    rate: Option<f64>,
    /// With `histogram`: the quantile; null without observations.
    quantile: Option<f64>,
    /// With `histogram`: how many observations it is made from.
    observations: Option<f64>,
    /// What the page calls the metric: `counter`, `gauge`, `histogram`, `summary` or `untyped`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// What the page says of the metric.
    help: Option<String>,
    /// Seconds that the (last) reading took.
    latency: f64,
    /// The series, at most 100 of them.
    series: Vec<Series>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Series {
    /// The labels.
    labels: Labels,
    /// The number at the last reading; null when it is not finite.
    value: Option<f64>,
}

impl Kind for Step {
    const NAME: &'static str = "metrics";
    const SUMMARY: &'static str = "Reads one metric from the page a service exposes, or how it grows.";
    const EXAMPLE: &'static str =
        "metrics: {url: 'http://127.0.0.1:8000/metrics', name: queue_depth, labels: {queue: warmup}}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        until_cancelled(&context, measure(&config, &context)).await
    }
}

async fn measure(config: &Config, context: &Context) -> StepResult<Output> {
    let pause = check(config)?;
    let first = match pause {
        None => None,
        Some(pause) => {
            let reading = read_page(config, context).await?;
            tokio::time::sleep(pause).await;
            Some(reading)
        }
    };
    let last = read_page(config, context).await?;
    Ok(Outcome::passed(output(config, first, last)?))
}

/// The pause between two readings, after a look at everything that can be wrong without a network.
fn check(config: &Config) -> Result<Option<Duration>, StepError> {
    if !exposition::is_metric_name(&config.name) {
        return Err(StepError::new(format!("'{}' is not the name of a metric", config.name))
            .help("give only the name, such as queue_depth, and labels under `labels`"));
    }
    if config.histogram.as_ref().is_some_and(|histogram| !(0.0..=1.0).contains(&histogram.quantile)) {
        return Err(StepError::new("the quantile is not between 0 and 1").help("0.95 means 95 %"));
    }
    config
        .delta
        .as_ref()
        .map(|delta| match Duration::try_from_secs_f64(delta.over) {
            Ok(over) if !over.is_zero() => Ok(over),
            _ => Err(StepError::new("`over` is not a length of time").help("write for example {over: 5s}")),
        })
        .transpose()
}

/// One reading of the page.
struct Reading {
    metric: Metric,
    at: Duration,
    latency: Duration,
}

async fn read_page(config: &Config, context: &Context) -> Result<Reading, StepError> {
    let url = parse_url(&config.url)?;
    let settings = ClientSettings { tls: config.tls.as_ref(), ..ClientSettings::default() };
    let mut request = settings.client(&context.services)?.get(url).header(ACCEPT, TEXT_FORMAT);
    if let Some(token) = &config.bearer {
        request = request.bearer_auth(context.secret(token).await?.reveal());
    }
    let clock = &context.services.clock;
    let started = clock.elapsed();
    let response = send(request, context).await?;
    if !response.status().is_success() {
        return Err(unexpected_status("the metrics page", &response));
    }
    let place = crate::http::shown(response.url());
    let page = read_text(response, MAX_PAGE, context).await?;
    let at = clock.elapsed();
    let sample_name = match config.histogram {
        Some(_) => format!("{}_bucket", config.name),
        None => config.name.clone(),
    };
    let mut metric = exposition::read(&page, &config.name, &sample_name).map_err(|error| {
        StepError::because(format!("{place} is not a page of metrics"), &error)
            .help("check the address; the page must be in Prometheus' text format")
    })?;
    metric.samples.retain(|sample| has(&sample.labels, &config.labels));
    Ok(Reading { metric, at, latency: at.saturating_sub(started) })
}

fn has(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}

fn output(config: &Config, first: Option<Reading>, last: Reading) -> Result<Output, StepError> {
    let Reading { metric, at, latency } = last;
    if metric.samples.len() > MAX_VALUES {
        return Err(StepError::new(format!("{} series were found, more than {MAX_VALUES}", metric.samples.len()))
            .help("choose fewer with `labels`"));
    }
    let mut output = Output {
        count: metric.samples.len() as u64,
        missing: metric.samples.is_empty(),
        kind: metric.kind,
        help: metric.help,
        latency: latency.as_secs_f64(),
        ..Output::default()
    };
    let gauge = output.kind.as_deref() == Some("gauge");
    let growth = first.map(|first| {
        let grown = increase::between(&first.metric.samples, &metric.samples, gauge);
        (grown, at.saturating_sub(first.at).as_secs_f64())
    });
    match &config.histogram {
        Some(histogram) => {
            let samples = growth.as_ref().map_or(&metric.samples, |(grown, _)| grown);
            add_quantile(&mut output, histogram.quantile, samples);
        }
        None => add_growth(&mut output, growth.as_ref()),
    }
    if config.histogram.is_none() {
        output.value = metric.samples.iter().map(|sample| finite(sample.value)).collect();
    }
    add_summary(&mut output);
    output.series = metric.samples.into_iter().take(MAX_SERIES).map(Series::from).collect();
    Ok(output)
}

fn add_quantile(output: &mut Output, quantile: f64, samples: &[Sample]) {
    let buckets = histogram::buckets(samples);
    output.observations = histogram::observations(&buckets).and_then(finite);
    output.quantile = histogram::quantile(quantile, &buckets);
    output.value = output.quantile.map(Some).into_iter().collect();
}

fn add_growth(output: &mut Output, growth: Option<&(Vec<Sample>, f64)>) {
    if let Some((grown, seconds)) = growth.filter(|_| !output.missing) {
        output.increase = finite(grown.iter().map(|sample| sample.value).sum());
        output.rate = output.increase.and_then(|increase| finite(increase / seconds));
    }
}

fn add_summary(output: &mut Output) {
    let numbers: Vec<f64> = output.value.iter().copied().flatten().collect();
    output.first = output.value.first().copied().flatten();
    output.nan = (output.value.len() - numbers.len()) as u64;
    output.sum = numbers.iter().copied().reduce(|left, right| left + right).and_then(finite);
    output.min = numbers.iter().copied().reduce(f64::min);
    output.max = numbers.iter().copied().reduce(f64::max);
}

/// JSON knows no other numbers.
fn finite(number: f64) -> Option<f64> {
    Some(number).filter(|number| number.is_finite())
}

impl From<Sample> for Series {
    fn from(sample: Sample) -> Self {
        Series { labels: sample.labels, value: finite(sample.value) }
    }
}

#[cfg(test)]
mod tests;
