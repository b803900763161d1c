//! `onnx_latency`: how long does a model take to load and to answer?
//!
//! Loading and the first run are told apart from the steady runs, and runs of a warm-up do not count. Percentiles are of type 7 in
//! Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), the default of numpy, and only told when at least ten
//! runs lie beyond them: with fewer, a 99th percentile is the luck of one or two runs.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::latency::{Bars, Latency};
use super::onnx::{Data, Feed, Session, check_count, check_positive, measure, with_model_loaded};
use crate::base::picture::{Picture, Shape, Unit};
use crate::kind::{Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::{EngineIdentity, LoadOptions};
use crate::statistics::Sorted;

/// Runs kept in memory at most.
const MOST_RUNS: usize = 1_000_000;
/// An engine starts all of them at once; no machine has use for more.
const MOST_THREADS: usize = 256;

pub struct Step;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model file.
    #[schemars(extend("x-encode" = "path"))]
    model: PathBuf,
    /// The rows to run. Default: numbers that are made up, the same each time.
    #[serde(default)]
    inputs: Option<Data>,
    /// Rows in each run, 1 by default.
    #[serde(default = "default_rows")]
    rows: usize,
    /// Runs that are measured, 1000 by default: the least that a 99th percentile needs, which is only told when ten runs
    /// lie beyond it.
    #[serde(default = "default_runs")]
    runs: usize,
    /// Runs before, which are not measured: engines allocate and choose kernels in the first ones. 10 by default.
    #[serde(default = "default_warm_up")]
    warm_up: usize,
    /// Threads that compute one run, 1 by default and at most 256. Latencies of another number of threads cannot be compared,
    /// and on a machine that is busy otherwise more threads are often slower.
    #[serde(default = "default_threads")]
    threads: usize,
    /// When to stop measuring, finished or not, such as `30s`, the default. Percentiles that the runs made by then do not
    /// support are null.
    #[serde(default = "default_within")]
    #[schemars(extend("x-unit" = "duration"))]
    within: f64,
    /// The longest that loading may take, such as `5s`. Default: not judged.
    #[serde(default)]
    #[schemars(extend("x-unit" = "duration"))]
    max_load: Option<f64>,
    /// The longest that the very first run may take. Default: not judged.
    #[serde(default)]
    #[schemars(extend("x-unit" = "duration"))]
    max_first: Option<f64>,
    /// The longest mean. Default: not judged.
    #[serde(default)]
    #[schemars(extend("x-unit" = "duration"))]
    max_mean: Option<f64>,
    /// The longest median, such as `10ms`. Default: not judged.
    #[serde(default)]
    #[schemars(extend("x-unit" = "duration"))]
    max_p50: Option<f64>,
    /// The longest 95th percentile, such as `50ms`. Default: not judged.
    #[serde(default)]
    #[schemars(extend("x-unit" = "duration"))]
    max_p95: Option<f64>,
    /// The longest 99th percentile. Default: not judged.
    #[serde(default)]
    #[schemars(extend("x-unit" = "duration"))]
    max_p99: Option<f64>,
    /// The engine that must judge: `onnxruntime`, or `embedded`, the one that is built in. Without it, ONNX Runtime where
    /// it is installed, else the embedded one.
    #[serde(default)]
    require_engine: Option<EngineName>,
}

fn default_rows() -> usize {
    1
}

fn default_runs() -> usize {
    1000
}

fn default_warm_up() -> usize {
    10
}

fn default_threads() -> usize {
    1
}

fn default_within() -> f64 {
    30.0
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `fast` or `slow`.
    verdict: String,
    /// Seconds to read, check and load the model.
    load_seconds: f64,
    /// Seconds of the very first run.
    first_seconds: f64,
    /// The mean of the measured runs, in seconds.
    mean: f64,
    /// How far runs scatter around the mean, in seconds (standard deviation); null for one run.
    deviation: Option<f64>,
    /// The median in seconds. As every percentile here it is of type 7 (numpy's default), and null when fewer than ten
    /// runs lie beyond it: 20 runs are needed.
    p50: Option<f64>,
    /// The 90th percentile in seconds; null below 100 runs.
    p90: Option<f64>,
    /// The 95th percentile in seconds; null below 200 runs.
    p95: Option<f64>,
    /// The 99th percentile in seconds; null below 1000 runs.
    p99: Option<f64>,
    /// Seconds of the fastest run.
    fastest: f64,
    /// Seconds of the slowest run.
    slowest: f64,
    /// Runs that were measured.
    runs: usize,
    /// Rows in each run.
    rows: usize,
    /// Threads that computed each run.
    threads: usize,
    /// Rows divided by the mean.
    rows_per_second: f64,
    /// Whether the time was up before all runs were made.
    cut_short: bool,
    /// The measured runs by their seconds, for the picture.
    histogram: Bars,
    #[serde(flatten)]
    engine: EngineIdentity,
    /// What lowers the weight of this verdict: operators that draw random numbers, or what the engine may compute
    /// differently.
    warnings: Vec<String>,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_latency";
    const SUMMARY: &'static str = "Measures how long a model takes to load and to answer, with percentiles.";
    const EXAMPLE: &'static str = "onnx_latency: {model: models/column-classifier/model.onnx, max_p95: 50ms}";
    const IN_CHILD: bool = true;
    const PICTURES: &'static [Picture] = &[Picture {
        title: "Time of the measured runs",
        field: "histogram",
        shape: Shape::Histogram {
            of: "time of a run",
            unit: Unit::Seconds,
            counted: "runs",
            marks: &["p50", "p95", "p99"],
        },
    }];
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        check(&config)?;
        let model = config.model.clone();
        let (options, require) = (LoadOptions { threads: config.threads }, config.require_engine);
        with_model_loaded(&model, options, require, &context, move |session| judge(&config, session)).await
    }
}

impl Config {
    /// The limits with what they limit.
    fn limits(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("max_load", self.max_load),
            ("max_first", self.max_first),
            ("max_mean", self.max_mean),
            ("max_p50", self.max_p50),
            ("max_p95", self.max_p95),
            ("max_p99", self.max_p99),
        ]
    }
}

fn check(config: &Config) -> Result<(), StepError> {
    check_count("rows", config.rows)?;
    check_count("runs", config.runs)?;
    check_count("threads", config.threads)?;
    if config.threads > MOST_THREADS {
        return Err(StepError::new(format!("{} threads are too many", config.threads))
            .help(format!("`threads` is at most {MOST_THREADS}; give as many as the service computes with")));
    }
    check_positive("within", config.within)?;
    for (key, limit) in config.limits() {
        check_positive(key, limit.unwrap_or(0.0))?;
    }
    if config.runs > MOST_RUNS {
        return Err(StepError::new(format!("{} runs are too many", config.runs)).help("a million is the most"));
    }
    for (key, limit, share) in
        [("max_p50", config.max_p50, 0.5), ("max_p95", config.max_p95, 0.95), ("max_p99", config.max_p99, 0.99)]
    {
        let needed = Sorted::needed_for(share);
        if limit.is_some() && config.runs < needed {
            return Err(StepError::new(format!("{key} cannot be judged by {} runs", config.runs))
                .help(format!("write `runs: {needed}` or more: ten must lie beyond a percentile")));
        }
    }
    Ok(())
}

fn judge(config: &Config, session: &Session<'_>) -> StepResult<Output> {
    let feed = Feed::of(session.model.inputs(), config.inputs.as_ref(), &config.model, config.rows)?;
    let feed = feed.limited(config.rows);
    let rows = feed.batches(config.rows).next().unwrap_or(0..1);
    let (count, inputs) = (rows.len(), feed.slice(rows)?);
    // A value that a Duration cannot hold is as good as no limit.
    let within = Duration::try_from_secs_f64(config.within).unwrap_or(Duration::MAX);
    let timings = measure::timings(session, &inputs, config.warm_up, config.runs, within)?;
    let output = output(config, session, &timings, count)?;
    let why = failure(config, &output)?;
    let verdict = if why.is_some() { "slow" } else { "fast" }.to_owned();
    Ok(Outcome::judged(Output { verdict, ..output }, why))
}

fn output(
    config: &Config,
    session: &Session<'_>,
    timings: &measure::Timings,
    rows: usize,
) -> Result<Output, StepError> {
    let latency = Latency::of(timings.runs.clone());
    let latency = latency.ok_or_else(|| StepError::new("bug: no run was measured"))?;
    Ok(Output {
        verdict: String::new(),
        load_seconds: session.load_seconds,
        first_seconds: timings.first,
        mean: latency.mean,
        deviation: latency.deviation,
        p50: latency.p50,
        p90: latency.p90,
        p95: latency.p95,
        p99: latency.p99,
        fastest: latency.fastest,
        slowest: latency.slowest,
        runs: latency.samples,
        rows,
        threads: config.threads,
        rows_per_second: rows as f64 / latency.mean,
        cut_short: latency.samples < config.runs,
        histogram: latency.histogram,
        engine: session.engine.clone(),
        warnings: session.warnings.clone(),
    })
}

/// Every limit that does not hold; an error when one could not be judged and none is broken.
fn failure(config: &Config, output: &Output) -> Result<Option<String>, StepError> {
    let measured = [
        ("loading", Some(output.load_seconds)),
        ("the first run", Some(output.first_seconds)),
        ("the mean", Some(output.mean)),
        ("the median", output.p50),
        ("the 95th percentile", output.p95),
        ("the 99th percentile", output.p99),
    ];
    let (mut broken, mut unknown) = (Vec::new(), Vec::new());
    for ((what, value), (key, limit)) in measured.into_iter().zip(config.limits()) {
        match (value, limit) {
            (Some(value), Some(limit)) if value > limit => {
                broken.push(format!("{what} takes {}, {} is the most", milliseconds(value), milliseconds(limit)));
            }
            (None, Some(_)) => unknown.push(key),
            _ => {}
        }
    }
    if broken.is_empty() && !unknown.is_empty() {
        let what = format!("only {} runs were made in time, too few for {}", output.runs, unknown.join(" and "));
        return Err(StepError::new(what).help("give more time with `within`, or judge an earlier percentile"));
    }
    Ok((!broken.is_empty()).then(|| broken.join("; ")))
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.3} ms", 1000.0 * seconds)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::probe::onnx::testing::{fixture, model, rows};

    async fn run(config: Value) -> StepResult<Output> {
        Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
    }

    #[tokio::test]
    async fn percentiles_are_told_as_far_as_the_runs_carry() {
        let outcome = run(json!({"model": model(), "runs": 250, "rows": 4, "max_p95": 10.0})).await.unwrap();
        assert_eq!(outcome.failure, None);
        let output = outcome.output;
        assert_eq!((&*output.verdict, output.runs, output.rows, output.cut_short), ("fast", 250, 4, false));
        assert!(output.fastest <= output.p50.unwrap() && output.p50 <= output.p90 && output.p90 <= output.p95);
        assert_eq!(output.p99, None);
        assert_eq!(output.histogram.total(), 250);
        assert!(output.load_seconds > 0.0 && output.rows_per_second > 0.0);
    }

    #[tokio::test]
    async fn each_limit_that_is_broken_is_named() {
        let config = json!({"model": model(), "inputs": rows("valid"), "runs": 20, "max_p50": 0.0, "max_load": 0.0});
        let outcome = run(config).await.unwrap();
        assert_eq!(outcome.output.verdict, "slow");
        let why = outcome.failure.unwrap();
        assert!(why.contains("loading takes") && why.contains("the median takes"), "{why}");
    }

    #[tokio::test]
    async fn a_percentile_without_runs_beyond_it_is_not_judged() {
        let error = run(json!({"model": model(), "runs": 999, "max_p99": 1})).await.unwrap_err();
        assert!(error.help.unwrap().contains("runs: 1000"));
        let error = run(json!({"model": model(), "within": 0, "max_p95": 1})).await.unwrap_err();
        assert!(error.message.contains("only 1 runs were made in time"), "{error}");
        let outcome = run(json!({"model": model(), "within": 0})).await.unwrap();
        assert!(outcome.output.cut_short && outcome.output.p50.is_none());
    }

    #[tokio::test]
    async fn the_threads_are_those_that_were_asked_for() {
        let threads = async |threads: usize| run(json!({"model": model(), "runs": 20, "threads": threads})).await;
        assert_eq!(run(json!({"model": model(), "runs": 20})).await.unwrap().output.threads, 1);
        assert_eq!(threads(2).await.unwrap().output.threads, 2);
        assert!(threads(0).await.unwrap_err().message.contains("threads is 0"));
        assert!(threads(257).await.unwrap_err().help.unwrap().contains("at most 256"));
    }

    #[tokio::test]
    async fn a_broken_model_has_no_latency() {
        assert!(
            run(json!({"model": fixture("bad_empty")})).await.unwrap_err().message.contains("does not load (empty)")
        );
    }

    #[tokio::test]
    async fn a_cancelled_measurement_ends() {
        let context = Context::for_tests();
        context.cancel.cancel();
        let config = serde_json::from_value(json!({"model": model()})).unwrap();
        assert!(Step::run(config, context).await.unwrap_err().message.contains("cancelled"));
    }
}
