//! What a check of a model costs beside the bare engine doing the same work.
//!
//! The checks run here as they run in the child of a step, but in this process, so that the difference is the check
//! itself; what the child costs is measured for itself. Whoever does the same does all of it: reads the model and
//! loads it, reads the cases, runs, compares; or loads, runs a thousand times and takes the time of each run.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ndarray::Array2;
use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;
use runbook::base::{Clock, environment};
use runbook::kind::child;
use runbook::model::selection::Search;
use runbook::model::{EngineChoice, Runner, Workbench, onnxruntime};
use runbook::probe;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::Outcome;
use crate::measure::{Alternative, in_turn};

/// Rows of the golden file.
const ROWS: usize = 64;
/// Runs of a latency check; the default of the kind.
const RUNS: usize = 1000;
const ROUNDS: usize = 200;
/// What the embedded engine's child or ONNX Runtime's may allocate.
const MEMORY: u64 = 4 << 30;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub fn measure(out: &mut dyn Write, folder: &Path) -> Outcome {
    let folder = tempfile::tempdir_in(folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let program: PathBuf = env!("CARGO_BIN_EXE_runbook").into();
    let search = Search { program: program.clone(), named: None, known: folder.path().join("engines.json") };
    let choice = runtime.block_on(search.select()).choice;
    let EngineChoice::OnnxRuntime(library) = &choice else {
        writeln!(
            out,
            "\nchecks of models: SKIPPED, there is no ONNX Runtime; sh scripts/get-onnxruntime.sh brings it"
        )?;
        return Ok(());
    };
    let place = Place::new(folder.path(), onnxruntime::open(&library.path)?, &choice)?;
    place.measure_check(out, Check::Golden, &format!("golden: {ROWS} rows"))?;
    place.measure_check(out, Check::Latency, &format!("latency: {RUNS} runs of one row"))?;
    let load = place.attempt("onnx_load", json!({"model": place.model}))?;
    let in_child = |choice: &EngineChoice| -> Outcome {
        let runner = Runner { program: program.clone(), memory: MEMORY };
        let answer = runtime.block_on(runner.run(choice, load.clone(), Duration::from_secs(60)))?;
        sound(&answer).map(drop)
    };
    let alternatives = vec![
        Alternative::new("loaded in this process", || place.answer(&load)),
        Alternative::new("loaded in a child by ONNX Runtime", || in_child(&choice)),
        Alternative::new("loaded in a child by the embedded engine", || in_child(&EngineChoice::Embedded)),
    ];
    in_turn(ROUNDS, alternatives)?.print(out, "onnx_load, and what its child adds")?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Check {
    Golden,
    Latency,
}

impl Check {
    fn word(self) -> &'static str {
        match self {
            Check::Golden => "golden",
            Check::Latency => "latency",
        }
    }
}

/// A model, its golden file, and the engine that both sides use.
struct Place {
    model: PathBuf,
    cases: PathBuf,
    environment: &'static Environment,
    bench: Workbench,
}

impl Place {
    fn new(folder: &Path, environment: &'static Environment, choice: &EngineChoice) -> Result<Self> {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/column-classifier/model.onnx");
        let cases = folder.join("golden.json");
        let bench = Workbench::new(choice.clone(), choice.open()?, Arc::new(|_| {}));
        let place = Place { model, cases, environment, bench };
        fs::write(&place.cases, place.golden_file()?.to_string())?;
        Ok(place)
    }

    /// One case of many rows with the engine's own answers.
    fn golden_file(&self) -> Result<Value> {
        let rows = Array2::from_shape_fn((ROWS, 376), |(row, column)| ((row * 376 + column) as f32 * 0.37).sin());
        let answers = run(&mut self.session()?, &rows)?;
        let values = |array: &Array2<f32>| json!({"shape": array.shape(), "data": array.iter().collect::<Vec<_>>()});
        let case = json!({"name": "rows", "inputs": {"features": values(&rows)}, "outputs": {"probabilities": values(&answers)}});
        Ok(json!({"cases": [case]}))
    }

    /// The check, the bare engine, and the bare engine in Python if it is there.
    fn measure_check(&self, out: &mut dyn Write, check: Check, title: &str) -> Outcome {
        let work = match check {
            Check::Golden => self.attempt("onnx_golden", json!({"model": self.model, "cases": self.cases}))?,
            Check::Latency => self.attempt("onnx_latency", json!({"model": self.model, "runs": RUNS}))?,
        };
        let python = Python::start(self)?;
        let mut alternatives = vec![
            Alternative::new("the bare engine (ort)", || match check {
                Check::Golden => self.bare_golden(),
                Check::Latency => self.bare_latency(),
            }),
            Alternative::new(format!("onnx_{}", check.word()), || self.answer(&work)),
        ];
        match python {
            Some(mut python) => {
                alternatives.push(Alternative::new("Python onnxruntime", move || python.ask(check.word())));
            }
            None => writeln!(out, "\nPython: SKIPPED, no onnxruntime; name a Python that has it in BENCH_PYTHON")?,
        }
        in_turn(ROUNDS, alternatives)?.print(out, title)?;
        Ok(())
    }

    /// What the parent of a child asks.
    fn attempt(&self, kind: &str, config: Value) -> Result<Box<RawValue>> {
        Ok(to_raw_value(&json!({
            "kind": kind, "config": config, "run": "bench", "step": "diagnose.bench", "attempt": 1,
            "idempotency_key": "bench", "time_limit": {"secs": 60, "nanos": 0}, "warnings": [],
        }))?)
    }

    /// The check itself.
    fn answer(&self, work: &RawValue) -> Outcome {
        sound(&child::answer(probe::KINDS, work, self.bench.clone())?).map(drop)
    }

    fn session(&self) -> Result<Session> {
        let builder = Session::builder(self.environment)?;
        let mut builder = builder.with_intra_threads(1).map_err(|error| error.to_string())?;
        Ok(builder.commit_from_memory(&fs::read(&self.model)?)?)
    }

    fn bare_golden(&self) -> Outcome {
        let mut session = self.session()?;
        let golden: Value = serde_json::from_slice(&fs::read(&self.cases)?)?;
        let case = &golden["cases"][0];
        let answers = run(&mut session, &array(&case["inputs"]["features"])?)?;
        let expected = array(&case["outputs"]["probabilities"])?;
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 + 1e-5 * b.abs();
        if answers.iter().zip(&expected).all(close) { Ok(()) } else { Err("the answers differ".into()) }
    }

    fn bare_latency(&self) -> Outcome {
        let (clock, mut session) = (Clock::start(), self.session()?);
        let row = Array2::from_elem((1, 376), 0.5_f32);
        let mut times = Vec::with_capacity(RUNS);
        // Ten runs of warm-up, as the check makes.
        for round in 0..RUNS + 10 {
            let started = clock.elapsed();
            session.run(ort::inputs!["features" => TensorRef::from_array_view(row.view())?])?;
            if round >= 10 {
                times.push(clock.elapsed() - started);
            }
        }
        times.sort();
        if times[RUNS * 99 / 100] > Duration::ZERO { Ok(()) } else { Err("nothing was measured".into()) }
    }
}

fn run(session: &mut Session, rows: &Array2<f32>) -> Result<Array2<f32>> {
    let outputs = session.run(ort::inputs!["features" => TensorRef::from_array_view(rows.view())?])?;
    let answers = outputs["probabilities"].try_extract_array::<f32>()?;
    Ok(answers.to_owned().into_dimensionality()?)
}

fn array(values: &Value) -> Result<Array2<f32>> {
    let shape: (usize, usize) = serde_json::from_value(values["shape"].clone())?;
    let data = values["data"].as_array().ok_or("no numbers")?;
    let data = data.iter().map(|number| number.as_f64().unwrap_or(f64::NAN) as f32).collect();
    Ok(Array2::from_shape_vec(shape, data)?)
}

/// Refuses to take the time of a check that did not do its work.
fn sound(answer: &RawValue) -> Result<Value> {
    let ended: Value = serde_json::from_str(answer.get())?;
    if ended["done"]["failure"].is_null() && ended["done"].is_object() {
        Ok(ended)
    } else {
        Err(format!("the check did not pass: {ended}").into())
    }
}

/// The same in Python, in one process that is asked again and again, so that starting it does not count.
struct Python {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Python {
    /// `None` when there is no Python with onnxruntime.
    fn start(place: &Place) -> Result<Option<Self>> {
        let program = environment::variable("BENCH_PYTHON").unwrap_or_else(|| "python3".into());
        let mut command = Command::new(program);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/figures/models.py"));
        command.arg(&place.model).arg(&place.cases).arg(RUNS.to_string());
        let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
            return Ok(None);
        };
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the process has no pipes".into());
        };
        let mut python = Python { child, stdin, stdout: BufReader::new(stdout) };
        Ok((python.line()? == "ready").then_some(python))
    }

    fn ask(&mut self, word: &str) -> Outcome {
        writeln!(self.stdin, "{word}")?;
        self.stdin.flush()?;
        match &*self.line()? {
            "done" => Ok(()),
            other => Err(format!("Python says '{other}'").into()),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It also ends when nobody asks any more; it is waited for, so that none is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
