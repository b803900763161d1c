//! `onnx_memory`: does memory grow while a model runs?
//!
//! The growth is the slope of the least-squares line through the resident memory over the runs after a warm-up, with the
//! interval of its estimate (Student's t with n − 2 degrees of freedom). Memory grows only when the whole interval is above 0.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::onnx::{Data, Feed, Session, check_count, measure, with_model};
use crate::base::picture::{Picture, Shape, Unit};
use crate::base::units::show_bytes;
use crate::kind::{Context, Effect, EngineName, Kind, Outcome, StepError, StepResult};
use crate::model::EngineIdentity;
use crate::statistics::{Line, least_squares};

/// Weighings over the runs: enough for a narrow interval, few enough for the journal's picture.
const SAMPLES: usize = 100;
const CONFIDENCE: f64 = 0.95;
/// A line through fewer points says nothing about its own error.
const LEAST_RUNS: usize = 20;

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
    /// Runs that are observed, 1000 by default; at least 20.
    #[serde(default = "default_runs")]
    runs: usize,
    /// Runs before, in which an engine fills its pools, 100 by default.
    #[serde(default = "default_warm_up")]
    warm_up: usize,
    /// How much memory may grow over the observed runs, such as `50 MiB`, the default.
    #[serde(default = "default_growth")]
    #[schemars(extend("x-unit" = "bytes"))]
    max_growth: u64,
    /// The most resident memory of the process that runs the model, such as `500 MiB`. Default: not judged.
    #[serde(default)]
    #[schemars(extend("x-unit" = "bytes"))]
    max_resident: Option<u64>,
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
    100
}

fn default_growth() -> u64 {
    50 << 20
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `steady`, `leaking` (memory grows by more than it may, and not by chance), or `too_large`.
    verdict: String,
    /// Resident bytes after the warm-up.
    resident_start: u64,
    /// Resident bytes at the end.
    resident_end: u64,
    /// The most resident bytes the process ever had, what it did before included.
    resident_peak: u64,
    /// Growth over all observed runs by the fitted line, in bytes; below zero when memory shrinks.
    growth: f64,
    /// Bytes for each run: the slope of the least-squares line through the weighings.
    slope: f64,
    /// The lower end of the 95 % interval of the slope (Student's t). Memory grows in steps, so the interval is a little
    /// too narrow.
    slope_low: f64,
    /// The upper end of that interval.
    slope_high: f64,
    /// Whether the whole interval is above zero.
    growing: bool,
    /// Runs that were observed.
    runs: usize,
    /// The weighings, for the picture.
    samples: Samples,
    #[serde(flatten)]
    engine: EngineIdentity,
    /// What lowers the weight of this verdict: operators that draw random numbers, or what the engine may compute
    /// differently.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Samples {
    /// Runs made at each weighing.
    runs: Vec<f64>,
    /// Resident bytes at each weighing.
    resident: Vec<f64>,
}

impl Kind for Step {
    const NAME: &'static str = "onnx_memory";
    const SUMMARY: &'static str =
        "Runs a model many times and tells whether memory grows, with the confidence of the slope.";
    const EXAMPLE: &'static str =
        "onnx_memory: {model: models/column-classifier/model.onnx, runs: 1000, max_growth: 50 MiB}";
    const IN_CHILD: bool = true;
    const PICTURES: &'static [Picture] = &[Picture {
        title: "Memory over the runs",
        field: "samples",
        shape: Shape::Series {
            over: "runs",
            values: "resident",
            measure: "resident memory",
            unit: Unit::Bytes,
            slope: Some("slope"),
        },
    }];
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        check_count("rows", config.rows)?;
        if config.runs < LEAST_RUNS {
            return Err(StepError::new(format!("{} runs are too few to see growth", config.runs))
                .help(format!("write `runs: 1000`; at least {LEAST_RUNS} are needed")));
        }
        let model = config.model.clone();
        with_model(&model, config.require_engine, &context, move |session| judge(&config, session)).await
    }
}

fn judge(config: &Config, session: &Session<'_>) -> StepResult<Output> {
    let feed = Feed::of(session.model.inputs(), config.inputs.as_ref(), &config.model, config.rows)?;
    let rows = feed.limited(config.rows);
    let inputs = rows.slice(rows.batches(config.rows).next().unwrap_or(0..1))?;
    let residence = measure::residence(session, &inputs, config.warm_up, config.runs, SAMPLES)?;
    let line = least_squares(&residence.runs, &residence.resident)
        .ok_or_else(|| StepError::new("bug: no line through the weighings"))?;
    let output = output(config, session, residence, line);
    let why = failure(config, &output);
    Ok(Outcome::judged(output, why))
}

fn output(config: &Config, session: &Session<'_>, residence: measure::Residence, line: Line) -> Output {
    let (slope_low, slope_high) = line.slope_interval(CONFIDENCE);
    let at = |sample: Option<&f64>| sample.map_or(0, |bytes| *bytes as u64);
    let (growth, growing) = (line.slope * config.runs as f64, slope_low > 0.0);
    let resident_end = at(residence.resident.last());
    let verdict = if growing && growth > config.max_growth as f64 {
        "leaking"
    } else if config.max_resident.is_some_and(|most| resident_end > most) {
        "too_large"
    } else {
        "steady"
    };
    Output {
        verdict: verdict.to_owned(),
        resident_start: at(residence.resident.first()),
        resident_end,
        resident_peak: residence.peak,
        growth,
        slope: line.slope,
        slope_low,
        slope_high,
        growing,
        runs: config.runs,
        samples: Samples { runs: residence.runs, resident: residence.resident },
        engine: session.engine.clone(),
        warnings: session.warnings.clone(),
    }
}

fn failure(config: &Config, output: &Output) -> Option<String> {
    match &*output.verdict {
        "leaking" => Some(format!(
            "memory grows by {} over {} runs ({} to {} a run with 95 % confidence); {} is the most",
            show_bytes(output.growth as u64),
            output.runs,
            show_bytes(output.slope_low as u64),
            show_bytes(output.slope_high as u64),
            show_bytes(config.max_growth)
        )),
        "too_large" => Some(format!(
            "{} are resident; {} is the most",
            show_bytes(output.resident_end),
            show_bytes(config.max_resident.unwrap_or(0))
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use ndarray::{ArrayD, IxDyn};
    use serde_json::json;

    use super::*;
    use crate::model::{Model, ModelFault, Tensor, TensorInfo};
    use crate::probe::onnx::testing::model;

    fn config(value: Value) -> Config {
        serde_json::from_value(value).unwrap()
    }

    #[tokio::test]
    async fn a_sound_model_is_steady() {
        let outcome = Step::run(config(json!({"model": model(), "runs": 300})), Context::for_tests()).await.unwrap();
        assert_eq!(outcome.failure, None);
        let output = outcome.output;
        assert_eq!((&*output.verdict, output.runs), ("steady", 300));
        assert!(output.resident_peak >= output.resident_start && output.slope_low <= output.slope);
        assert_eq!(output.samples.runs.len(), SAMPLES + 1);
    }

    #[tokio::test]
    async fn a_process_beyond_its_limit_is_too_large() {
        let config = config(json!({"model": model(), "runs": 50, "max_resident": 1}));
        let outcome = Step::run(config, Context::for_tests()).await.unwrap();
        assert_eq!(outcome.output.verdict, "too_large");
        assert!(outcome.failure.unwrap().contains("1 B is the most"));
    }

    #[tokio::test]
    async fn a_few_runs_show_nothing() {
        let error = Step::run(config(json!({"model": model(), "runs": 19})), Context::for_tests()).await.unwrap_err();
        assert!(error.message.contains("too few"));
    }

    /// Keeps 256 KiB at each run, as a cache without a bound does.
    struct Leaking {
        infos: Vec<TensorInfo>,
        kept: Mutex<Vec<Vec<u8>>>,
    }

    impl Model for Leaking {
        fn inputs(&self) -> &[TensorInfo] {
            &self.infos
        }

        fn outputs(&self) -> &[TensorInfo] {
            &self.infos
        }

        fn answer(&self, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, ModelFault> {
            // Not zeros: memory that is never written is not resident.
            self.kept.lock().unwrap().push(vec![7; 256 << 10]);
            Ok(inputs.to_vec())
        }
    }

    #[test]
    fn a_leak_is_found_with_its_size() {
        let infos = vec![TensorInfo { name: "x".into(), element: "float32".into(), shape: vec![None] }];
        let session = Session::for_tests(Box::new(Leaking { infos, kept: Mutex::default() }));
        let inputs = vec![("x".to_owned(), Tensor::F32(ArrayD::zeros(IxDyn(&[1]))))];
        let residence = measure::residence(&session, &inputs, 10, 200, SAMPLES).unwrap();
        let line = least_squares(&residence.runs, &residence.resident).unwrap();
        let config = config(json!({"model": "m", "runs": 200, "max_growth": 25 << 20}));
        let output = output(&config, &session, residence, line);
        assert_eq!(output.verdict, "leaking");
        // Other tests of this process free and take memory meanwhile.
        assert!((0.8..1.3).contains(&(output.slope / f64::from(256 << 10))), "{}", output.slope);
        assert!(failure(&config, &output).unwrap().contains("over 200 runs"));
    }
}
