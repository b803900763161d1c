//! The `process` kind: whether a process runs, and what it uses. It only looks; it never signals.

mod command;
mod search;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blocking::{Stop, run_blocking};
use super::procfs::{Proc, Process, ProcessMemory, TICKS};
use crate::base::Timestamp;
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};
use search::Search;

/// Pids listed one by one in the output.
const LISTED_PIDS: usize = 50;

/// Which process is meant: `pid_file` or `pid` for one, `name` or `command_contains` for all that
/// match. Several keys together must all hold, so that `pid_file` with `name` does not take a stranger
/// for the service after its number was given out again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Config {
    /// The file with the number of the process. When it does not exist, the process is not running.
    #[serde(default)]
    #[schemars(extend("x-encode" = "path"))]
    pub pid_file: Option<PathBuf>,
    /// The number of the process.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The exact name: of the program file, of the command as it was called, or the kernel's short name.
    #[serde(default)]
    pub name: Option<String>,
    /// Text that the command line contains, arguments separated by one space. This program itself and
    /// what merely started it with that text are left out.
    #[serde(default)]
    pub command_contains: Option<String>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Output {
    /// True when at least one process matches and runs. A zombie does not run.
    pub running: bool,
    /// The process; the one that runs longest when several match, null when none runs.
    pub pid: Option<u32>,
    /// Running processes that match.
    pub count: usize,
    /// Ended processes that match, whose parent has not taken notice.
    pub zombies: usize,
    /// Why nothing runs, for messages; empty when something does.
    pub explanation: String,
    /// True when the pid file was written before the process started: its number may have been given
    /// to a stranger. Add `name` to be sure. A stepped clock can cause it too.
    pub stale_pid_file: bool,
    /// When it started, in seconds since 1970.
    pub started_at: Option<f64>,
    /// Seconds since it started.
    pub uptime: Option<f64>,
    /// Kernel clock ticks from the start of the machine to its start. Together with `pid` this names
    /// one process and no later one.
    pub started_ticks: Option<u64>,
    /// Bytes of memory it holds.
    pub rss: Option<u64>,
    /// Bytes of memory all matching processes hold; memory they share counts for each.
    pub rss_total: u64,
    /// Its threads.
    pub threads: Option<u64>,
    /// Its open files and sockets; null where this user may not look.
    pub open_files: Option<u64>,
    /// How many it may open.
    pub open_files_limit: Option<u64>,
    /// `running`, `sleeping`, `waiting for disk`, `stopped`, `zombie`, `dead` or `other`.
    pub state: Option<String>,
    /// Its command line, shortened, with values that look like secrets left out.
    pub command: Option<String>,
    /// The first fifty pids that match and run, the longest running first.
    pub pids: Vec<u32>,
}

pub struct Step;

impl Kind for Step {
    const NAME: &'static str = "process";
    const SUMMARY: &'static str = "Finds a process by pid file, pid, name or command line, and says what it uses.";
    const EXAMPLE: &'static str = "process: {pid_file: /run/app/app.pid, name: app}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        let now = context.services.clock.now();
        let search = Search::new(config)?;
        let output = run_blocking(&context, move |stop| observe(&Proc::system(), &search, now, stop));
        Ok(Outcome::passed(output.await?))
    }
}

fn observe(proc: &Proc, search: &Search, now: Timestamp, stop: &Stop) -> Result<Output, StepError> {
    let found = search.find(proc, stop)?;
    let (mut running, ended): (Vec<Process>, Vec<Process>) = found.processes.into_iter().partition(Process::is_running);
    running.sort_by_key(|process| (process.started_ticks, process.pid));
    let mut output = Output {
        running: !running.is_empty(),
        count: running.len(),
        zombies: ended.len(),
        pids: running.iter().take(LISTED_PIDS).map(|process| process.pid).collect(),
        ..Output::default()
    };
    let Some(process) = running.first() else {
        output.state = ended.first().map(|process| process.state_word().to_owned());
        output.explanation = if ended.is_empty() { found.reason } else { "only a zombie is left of it".into() };
        return Ok(output);
    };
    for process in &running {
        stop.check()?;
        // It may end meanwhile; then its size is that of nothing.
        let ProcessMemory { resident, .. } = proc.process_memory(process.pid)?.unwrap_or_default();
        // Looked at once, so that the size of the first and the sum never contradict each other.
        output.rss.get_or_insert(resident);
        output.rss_total += resident;
    }
    describe(&mut output, proc, process, now)?;
    output.stale_pid_file =
        found.pid_file_written.zip(output.started_at).is_some_and(|(written, started)| is_stale(written, started));
    Ok(output)
}

fn describe(output: &mut Output, proc: &Proc, process: &Process, now: Timestamp) -> Result<(), StepError> {
    let uptime = (proc.uptime()? - process.started_ticks as f64 / TICKS).max(0.0);
    output.pid = Some(process.pid);
    // The kernel counts the start in hundredths of a second. Rounded down to a tenth before it, so that
    // what the process logs first is never older than its start.
    let started = now.0 as f64 / 1000.0 - uptime;
    output.started_at = Some(((started - 0.05) * 10.0).floor() / 10.0);
    output.uptime = Some(uptime);
    output.started_ticks = Some(process.started_ticks);
    output.threads = Some(process.threads);
    output.open_files = proc.open_files(process.pid);
    output.open_files_limit = proc.open_files_limit(process.pid);
    output.state = Some(process.state_word().to_owned());
    output.command = Some(command::show(process));
    Ok(())
}

/// A second of slack: file times and process starts come from clocks of different steps.
fn is_stale(written: f64, started: f64) -> bool {
    started - written > 1.0
}

#[cfg(test)]
mod tests;
