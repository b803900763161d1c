//! `onnx_batch`: does a row get the same answer in company, and how many rows at once are fastest?
//!
//! Batch invariance: row i of a batch has the answer of row i alone, within a tolerance. Throughput is completed rows
//! divided by the time they took, as NVIDIA's `perf_analyzer` counts it; the best size is the one with the most of
//! it.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::onnx::answers::{Answers, Difference};
use super::onnx::{Broken, Data, Feed, MOST_ITEMS, Session, check_count, check_positive, measure, with_model};
use crate::base::picture::{Picture, Shape, Unit};
use crate::kind::{Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::EngineIdentity;
use crate::statistics::Sorted;

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
    /// The numbers of rows to run at once, 8, 16, 32, 64 and 128 by default; at most 16 of them. One row alone is
    /// always run as well.
    #[serde(default = "default_sizes")]
    sizes: Vec<usize>,
    /// How far the answer to a row in a batch may be from its answer alone, 0.00001 by default: engines add up batches in
    /// another order. int8 models need about 0.01.
    #[serde(default = "default_tolerance")]
    tolerance: f64,
    /// How often each size is timed, 30 by default; the median counts.
    #[serde(default = "default_runs")]
    runs: usize,
    /// The longest that one size is timed, such as `5s`, the default.
    #[serde(default = "default_within")]
    #[schemars(extend("x-unit" = "duration"))]
    within: f64,
    /// The least rows a second that the best size must reach. Default: not judged.
    #[serde(default)]
    min_throughput: Option<f64>,
    /// The engine that must judge: `onnxruntime`, or `embedded`, the one that is built in. Without it, ONNX Runtime where
    /// it is installed, else the embedded one.
    #[serde(default)]
    require_engine: Option<EngineName>,
}

fn default_sizes() -> Vec<usize> {
    vec![8, 16, 32, 64, 128]
}

fn default_tolerance() -> f64 {
    1e-5
}

fn default_runs() -> usize {
    30
}

fn default_within() -> f64 {
    5.0
}

/// What the batches say about the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Invariant,
    Slow,
    Refused,
    Leaking,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `invariant` (a row gets the same answer in any company), `leaking` (it does not: rows influence each other),
    /// `refused` (the model does not run on one of the sizes) or `slow` (the throughput is too small).
    #[schemars(with = "String")]
    verdict: Verdict,
    /// The size with the most rows a second.
    best_size: usize,
    /// Rows a second with that size.
    best_throughput: f64,
    /// Rows a second one by one.
    single_throughput: f64,
    /// How many times more rows a second the best size does.
    speedup: f64,
    /// The largest distance between the answer to a row in a batch and alone; null when NaN or infinity came or went.
    max_difference: Option<f64>,
    /// Rows, over all sizes, to which another label is given than alone.
    label_flips: usize,
    /// What differs first, or why a size is refused, in words; null when all is well.
    first_fault: Option<String>,
    /// Sizes on which the model does not run.
    refused: Vec<usize>,
    /// Each size that ran, from the smallest.
    sweep: Vec<Size>,
    #[serde(flatten)]
    engine: EngineIdentity,
    /// What lowers the weight of this verdict: operators that draw random numbers, or what the engine may compute
    /// differently.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Size {
    /// Rows at once.
    size: usize,
    /// The median time of one run.
    seconds: f64,
    /// Rows a second.
    throughput: f64,
    /// The largest distance to the answers one by one; null when NaN or infinity came or went.
    max_difference: Option<f64>,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_batch";
    const SUMMARY: &'static str =
        "Compares a model's answers in batches with those one by one, and finds the fastest size.";
    const EXAMPLE: &'static str = "onnx_batch: {model: models/column-classifier/model.onnx, sizes: [8, 32, 128]}";
    const IN_CHILD: bool = true;
    const PICTURES: &'static [Picture] = &[Picture {
        title: "Rows a second by rows at once",
        field: "sweep",
        shape: Shape::Bars {
            thing: "size",
            value: "throughput",
            measure: "rows a second",
            unit: Unit::Number,
            limit: None,
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
        with_model(&model, config.require_engine, &context, move |session| judge(&config, session)).await
    }
}

fn check(config: &Config) -> Result<(), StepError> {
    /// Rows of the largest batch; beyond it memory is measured and not speed.
    const MOST_ROWS: usize = 4096;
    check_count("runs", config.runs)?;
    check_positive("tolerance", config.tolerance)?;
    check_positive("within", config.within)?;
    check_positive("min_throughput", config.min_throughput.unwrap_or(0.0))?;
    let sound = config.sizes.iter().all(|size| (1..=MOST_ROWS).contains(size));
    if sound && (1..=MOST_ITEMS).contains(&config.sizes.len()) {
        Ok(())
    } else {
        Err(StepError::new(format!("the sizes {:?} cannot be run", config.sizes))
            .help(format!("give 1 to {MOST_ITEMS} sizes from 1 to {MOST_ROWS}")))
    }
}

fn judge(config: &Config, session: &Session<'_>) -> StepResult<Output> {
    let mut sizes = config.sizes.clone();
    sizes.push(1);
    sizes.sort_unstable();
    sizes.dedup();
    let largest = sizes.last().copied().unwrap_or(1);
    let feed = Feed::of(session.model.inputs(), config.inputs.as_ref(), &config.model, largest)?.limited(largest);
    if feed.rows < largest {
        return Err(StepError::new(format!("{} rows do not fill a batch of {largest}", feed.rows))
            .help("give more rows, or smaller `sizes`"));
    }
    let mut sweep =
        Sweep { config, session, feed: &feed, alone: Answers::of(session, &feed, 1)?, found: Found::default() };
    for size in sizes {
        sweep.size(size)?;
    }
    sweep.found.outcome(config, session)
}

/// The sizes one after the other, against the answers one by one.
struct Sweep<'a> {
    config: &'a Config,
    session: &'a Session<'a>,
    feed: &'a Feed,
    alone: Answers,
    found: Found,
}

#[derive(Default)]
struct Found {
    difference: Difference,
    refused: Vec<usize>,
    refusal: Option<String>,
    sweep: Vec<Size>,
}

impl Sweep<'_> {
    fn size(&mut self, size: usize) -> Result<(), StepError> {
        if let Some(fixed) = self.feed.fixed_batch.filter(|fixed| *fixed != size) {
            self.refuse(size, format!("the model declares {fixed} rows for each run"));
            return Ok(());
        }
        let inputs = self.feed.slice(0..size)?;
        match self.session.run(&inputs) {
            Ok(_) => {}
            Err(Broken::Fault(fault)) if !fault.is_unjudged() => {
                self.refuse(size, fault.detail);
                return Ok(());
            }
            Err(other) => return Err(other.into()),
        }
        let difference = Difference::between(&Answers::of(self.session, self.feed, size)?, &self.alone)?;
        let within = Duration::try_from_secs_f64(self.config.within).unwrap_or(Duration::MAX);
        // The comparison above was the warm-up.
        let timings = measure::timings(self.session, &inputs, 1, self.config.runs, within)?;
        let seconds = Sorted::new(timings.runs).map_or(0.0, |runs| runs.quantile(0.5));
        let max_difference = difference.largest();
        self.found.sweep.push(Size { size, seconds, throughput: size as f64 / seconds, max_difference });
        self.found.difference.add(difference);
        Ok(())
    }

    fn refuse(&mut self, size: usize, why: String) {
        self.found.refused.push(size);
        self.found.refusal.get_or_insert_with(|| format!("{size} rows at once are refused: {why}"));
    }
}

impl Found {
    fn outcome(self, config: &Config, session: &Session<'_>) -> StepResult<Output> {
        let best = self.sweep.iter().max_by(|left, right| left.throughput.total_cmp(&right.throughput));
        let best = best.ok_or_else(|| {
            StepError::new(self.refusal.clone().unwrap_or_default()).help("give `sizes` that the model takes")
        })?;
        let single = self.sweep.iter().find(|size| size.size == 1).map_or(best.throughput, |size| size.throughput);
        let (best_size, best_throughput) = (best.size, best.throughput);
        let slow = config.min_throughput.filter(|least| best_throughput < *least);
        let too_slow = slow.map(|least| format!("{best_throughput:.0} rows a second at best; {least:.0} is the least"));
        let (verdict, first_fault) = if self.difference.exceeds(config.tolerance) {
            (Verdict::Leaking, self.difference.first.clone().map(|what| format!("rows influence each other; {what}")))
        } else if !self.refused.is_empty() {
            (Verdict::Refused, self.refusal)
        } else if too_slow.is_some() {
            (Verdict::Slow, too_slow)
        } else {
            (Verdict::Invariant, None)
        };
        let output = Output {
            verdict,
            best_size,
            best_throughput,
            single_throughput: single,
            speedup: best_throughput / single,
            max_difference: self.difference.largest(),
            label_flips: self.difference.label_flips,
            first_fault: first_fault.clone(),
            refused: self.refused,
            sweep: self.sweep,
            engine: session.engine.clone(),
            warnings: session.warnings.clone(),
        };
        Ok(Outcome::judged(output, first_fault))
    }
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
    async fn a_sound_model_answers_a_row_alike_in_any_company() {
        let outcome = run(json!({"model": model(), "inputs": rows("valid"), "runs": 5})).await.unwrap();
        assert_eq!(outcome.failure, None);
        let output = outcome.output;
        assert_eq!(output.verdict, Verdict::Invariant);
        assert_eq!(output.sweep.iter().map(|size| size.size).collect::<Vec<_>>(), [1, 8, 16, 32, 64, 128]);
        assert!(output.best_throughput >= output.single_throughput && output.speedup >= 1.0);
        assert!(output.max_difference.unwrap() < 1e-5, "{:?}", output.max_difference);
    }

    #[tokio::test]
    async fn rows_that_influence_each_other_are_found() {
        let config = json!({"model": fixture("bad_batch_leak"), "inputs": rows("valid"), "sizes": [8], "runs": 2});
        let outcome = run(config).await.unwrap();
        assert_eq!(outcome.output.verdict, Verdict::Leaking);
        assert!(outcome.output.label_flips > 0);
        assert!(outcome.failure.unwrap().starts_with("rows influence each other"));
    }

    #[tokio::test]
    async fn a_model_with_a_fixed_batch_refuses_the_others() {
        let outcome = run(json!({"model": fixture("mlp376_batch1"), "sizes": [1, 32], "runs": 2})).await.unwrap();
        let output = outcome.output;
        assert_eq!((output.verdict, output.refused, output.best_size), (Verdict::Refused, vec![32], 1));
        assert!(outcome.failure.unwrap().contains("declares 1 rows for each run"));
    }

    #[tokio::test]
    async fn a_throughput_may_be_asked_for() {
        let config = json!({"model": model(), "sizes": [4], "runs": 2, "min_throughput": 1e12});
        assert_eq!(run(config).await.unwrap().output.verdict, Verdict::Slow);
    }

    #[tokio::test]
    async fn sizes_that_cannot_be_run_are_errors() {
        assert!(run(json!({"model": model(), "sizes": [0]})).await.is_err());
        assert!(run(json!({"model": model(), "sizes": []})).await.is_err());
        let few = json!({"model": model(), "inputs": rows("valid"), "sizes": [512]});
        assert!(run(few).await.unwrap_err().message.contains("do not fill a batch of 512"));
    }
}
