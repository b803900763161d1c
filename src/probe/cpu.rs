//! The `cpu` kind: how busy the processors are, measured over a short while.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blocking::run_blocking;
use super::procfs::{CpuTimes, PidSource, Proc, TICKS};
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};

/// The kernel counts in hundredths of a second; a shorter window would measure mostly rounding.
const SHORTEST_WINDOW: f64 = 0.1;

/// Measures processor use over a window of time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long to measure, such as `5s`; at least 100 ms.
    #[serde(default = "default_window")]
    #[schemars(extend("x-unit" = "duration"))]
    pub window: f64,
    /// Also measure the process with this number.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Also measure the process whose number is in this file.
    #[serde(default)]
    #[schemars(extend("x-encode" = "path"))]
    pub pid_file: Option<PathBuf>,
}

/// Long enough for a steady percentage, short enough for a person who waits.
fn default_window() -> f64 {
    0.5
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// Share of all cores that was busy during the window, 0 to 100; waiting for a disk is not busy.
    pub used_percent: f64,
    /// Share of the time in which cores had nothing to do but wait for a disk, 0 to 100.
    pub iowait_percent: f64,
    /// Share of the time the hypervisor gave to other machines, 0 to 100.
    pub steal_percent: f64,
    /// Processes that ran or wanted to run, averaged over one minute.
    pub load_1: f64,
    /// The same over five minutes.
    pub load_5: f64,
    /// The same over fifteen minutes.
    pub load_15: f64,
    /// `load_5` divided by the cores; lastingly above 1 means work is waiting.
    pub load_per_core: f64,
    /// Cores of the machine.
    pub cores: u32,
    /// Seconds measured.
    pub window: f64,
    /// The process measured; null when none was asked for.
    pub pid: Option<u32>,
    /// Processor use of that process during the window in percent of one core: 200 is two cores busy.
    pub process_percent: Option<f64>,
}

pub struct Step;

impl Kind for Step {
    const NAME: &'static str = "cpu";
    const SUMMARY: &'static str = "Measures processor use, load and disk wait over a short window.";
    const EXAMPLE: &'static str = "cpu: {window: 2s}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        let window = checked_window(config.window, context.time_limit)?;
        let source = PidSource::of(config.pid, config.pid_file)?;
        let before = run_blocking(&context, move |_| Reading::first(&Proc::system(), source)).await?;
        let started = context.services.clock.elapsed();
        tokio::select! {
            () = tokio::time::sleep(window) => {}
            () = context.cancelled() => return Err(StepError::new("stopped before the window was over")),
        }
        let after = run_blocking(&context, move |_| before.again(&Proc::system())).await?;
        let measured = (context.services.clock.elapsed() - started).as_secs_f64();
        Ok(Outcome::passed(compare(&before, &after, measured)))
    }
}

fn checked_window(seconds: f64, limit: Duration) -> Result<Duration, StepError> {
    let window = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    if seconds < SHORTEST_WINDOW || window.is_zero() {
        return Err(StepError::new(format!("the window of {seconds} s is too short to measure"))
            .help("leave `window` out, or give at least 100ms"));
    }
    if window >= limit {
        return Err(StepError::new("the window does not fit into the step's time limit")
            .help("shorten `window`, or give the step a longer `timeout`"));
    }
    Ok(window)
}

/// What the counters say at one moment.
#[derive(Clone, Copy)]
struct Reading {
    machine: CpuTimes,
    load: [f64; 3],
    process: Option<ProcessReading>,
}

#[derive(Clone, Copy)]
struct ProcessReading {
    pid: u32,
    /// Tells the process from a later one with the same number.
    started: u64,
    ticks: u64,
}

impl Reading {
    fn first(proc: &Proc, source: Option<PidSource>) -> Result<Self, StepError> {
        let process = source.map(|source| read_process(proc, source.running(proc)?)).transpose()?;
        Ok(Reading { machine: proc.cpu_times()?, load: proc.load()?, process })
    }

    fn again(&self, proc: &Proc) -> Result<Self, StepError> {
        let process = self.process.map(|before| {
            let now = read_process(proc, before.pid)?;
            if now.started == before.started { Ok(now) } else { Err(ended(before.pid)) }
        });
        Ok(Reading { machine: proc.cpu_times()?, load: proc.load()?, process: process.transpose()? })
    }
}

fn read_process(proc: &Proc, pid: u32) -> Result<ProcessReading, StepError> {
    let process = proc.process(pid)?.ok_or_else(|| ended(pid))?;
    Ok(ProcessReading { pid, started: process.started_ticks, ticks: process.cpu_ticks })
}

fn ended(pid: u32) -> StepError {
    StepError::new(format!("the process {pid} ended while it was being measured"))
}

fn compare(before: &Reading, after: &Reading, seconds: f64) -> Output {
    let change = |read: fn(&CpuTimes) -> u64| read(&after.machine).saturating_sub(read(&before.machine));
    let total = change(|times| times.total);
    // Idle counters of some virtual machines run backwards or ahead by a tick; shares stay shares.
    let share = |ticks: u64| if total == 0 { 0.0 } else { (ticks as f64 * 100.0 / total as f64).min(100.0) };
    let (idle, waiting) = (change(|times| times.idle), change(|times| times.waiting_for_disk));
    let cores = after.machine.cores.max(1);
    let process = before.process.zip(after.process).map(|(before, after)| after.ticks.saturating_sub(before.ticks));
    Output {
        used_percent: share(total.saturating_sub(idle + waiting)),
        iowait_percent: share(waiting),
        steal_percent: share(change(|times| times.stolen)),
        load_1: after.load[0],
        load_5: after.load[1],
        load_15: after.load[2],
        load_per_core: after.load[1] / f64::from(cores),
        cores,
        window: seconds,
        pid: after.process.map(|process| process.pid),
        process_percent: process.map(|ticks| ticks as f64 / TICKS * 100.0 / seconds),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn run(config: Value) -> StepResult<Output> {
        Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
    }

    fn reading(total: u64, idle: u64, process: u64) -> Reading {
        let machine = CpuTimes { total, idle, waiting_for_disk: total / 10, stolen: 0, cores: 2 };
        Reading { machine, load: [3.0, 1.0, 0.5], process: Some(ProcessReading { pid: 7, started: 1, ticks: process }) }
    }

    #[tokio::test]
    async fn this_machine_and_this_process() {
        let output = run(json!({"window": 0.1, "pid": std::process::id()})).await.unwrap().output;
        assert!((0.0..=100.0).contains(&output.used_percent), "{output:?}");
        assert!(output.cores > 0 && output.window >= 0.1);
        assert!(output.process_percent.unwrap() >= 0.0);
    }

    #[tokio::test]
    async fn windows_that_cannot_work_are_errors_with_help() {
        for window in [0.0, 0.01, -1.0, 10.0, 1e300] {
            let error = run(json!({ "window": window })).await.unwrap_err();
            assert!(error.help.is_some(), "{window}");
        }
    }

    #[tokio::test]
    async fn a_missing_process_is_an_error() {
        assert!(run(json!({"window": 0.1, "pid": 1 << 23})).await.is_err());
    }

    #[tokio::test]
    async fn a_cancelled_step_does_not_wait() {
        let context = Context::for_tests();
        let cancel = context.cancel.clone();
        let config = serde_json::from_value(json!({"window": 9.0})).unwrap();
        let started = context.services.clock.elapsed();
        let (result, ()) = tokio::join!(Step::run(config, context.clone()), async { cancel.cancel() });
        assert!(result.is_err());
        assert!(context.services.clock.elapsed() - started < Duration::from_secs(5));
    }

    #[test]
    fn shares_of_known_readings() {
        let output = compare(&reading(1000, 500, 20), &reading(1100, 540, 70), 0.5);
        assert_eq!((output.used_percent, output.iowait_percent), (50.0, 10.0));
        assert_eq!(output.process_percent, Some(100.0));
        assert_eq!(output.load_per_core, 0.5);
    }

    #[test]
    fn counters_that_stand_still_or_go_back_are_no_use() {
        let output = compare(&reading(1000, 500, 20), &reading(1000, 490, 10), 0.5);
        assert_eq!((output.used_percent, output.process_percent), (0.0, Some(0.0)));
    }
}
