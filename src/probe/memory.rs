//! The `memory` kind: how much memory the machine, the container and one process have and use.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blocking::run_blocking;
use super::procfs::{PidSource, Proc, limit_of};
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};

const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// Measures memory. Without settings: that of this machine and of the container around this program.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Also measure the process with this number, and the limit around it.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The same for the process whose number is in this file.
    #[serde(default)]
    #[schemars(extend("x-encode" = "path"))]
    pub pid_file: Option<PathBuf>,
}

#[derive(Debug, Serialize, JsonSchema, PartialEq)]
pub struct Output {
    /// Memory of the machine, in bytes.
    pub total: u64,
    /// Bytes that programs can still get without swapping, as the kernel estimates it.
    pub available: u64,
    /// What a new program can really get here, in bytes: `available`, or `limit_available` where that is less.
    pub usable: u64,
    /// Share of `total` that is not available, 0 to 100.
    pub used_percent: f64,
    /// Swap space of the machine in bytes; 0 when there is none.
    pub swap_total: u64,
    /// Swap space not in use, in bytes.
    pub swap_free: u64,
    /// Share of the swap space in use, 0 to 100; 0 when there is none.
    pub swap_used_percent: f64,
    /// The tightest container or service limit in bytes, of this program or of the process asked for;
    /// null when there is none.
    pub limit: Option<u64>,
    /// Bytes used under that limit, without file contents the kernel would give up first.
    pub limit_used: Option<u64>,
    /// Bytes left under that limit.
    pub limit_available: Option<u64>,
    /// Share of the limit in use, 0 to 100.
    pub limit_used_percent: Option<f64>,
    /// Processes the kernel has killed on this machine for want of memory since it started; null where
    /// the kernel does not count them.
    pub oom_kills: Option<u64>,
    /// The same, only those under the limit.
    pub limit_oom_kills: Option<u64>,
    /// The process measured; null when none was asked for.
    pub pid: Option<u32>,
    /// Bytes of memory the process holds now.
    pub rss: Option<u64>,
    /// The most it has held since it started, in bytes.
    pub rss_peak: Option<u64>,
    /// Bytes of it that are swapped out.
    pub swapped: Option<u64>,
}

pub struct Step;

impl Kind for Step {
    const NAME: &'static str = "memory";
    const SUMMARY: &'static str = "Measures memory and swap of the machine, its container limit, and one process.";
    const EXAMPLE: &'static str = "memory: {pid_file: /run/app/app.pid}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        let process = PidSource::of(config.pid, config.pid_file)?;
        let measured = run_blocking(&context, move |_| measure(&Proc::system(), Path::new(CONTROL_GROUPS), process));
        Ok(Outcome::passed(measured.await?))
    }
}

fn measure(proc: &Proc, control_groups: &Path, process: Option<PidSource>) -> Result<Output, StepError> {
    let pid = process.map(|process| process.running(proc)).transpose()?;
    let mut output = machine(proc)?;
    add_limit(&mut output, proc, control_groups, pid);
    if let Some(pid) = pid {
        add_process(&mut output, proc, pid)?;
    }
    Ok(output)
}

fn machine(proc: &Proc) -> Result<Output, StepError> {
    let sizes = proc.sizes("meminfo")?;
    let (total, available) = (size(&sizes, "MemTotal")?, size(&sizes, "MemAvailable")?);
    let (swap_total, swap_free) = (size(&sizes, "SwapTotal")?, size(&sizes, "SwapFree")?);
    Ok(Output {
        total,
        available,
        usable: available,
        used_percent: percent(total.saturating_sub(available), total),
        swap_total,
        swap_free,
        swap_used_percent: percent(swap_total.saturating_sub(swap_free), swap_total),
        limit: None,
        limit_used: None,
        limit_available: None,
        limit_used_percent: None,
        oom_kills: oom_kills(proc),
        limit_oom_kills: None,
        pid: None,
        rss: None,
        rss_peak: None,
        swapped: None,
    })
}

fn size(sizes: &HashMap<String, u64>, name: &str) -> Result<u64, StepError> {
    sizes.get(name).copied().ok_or_else(|| {
        StepError::new(format!("the kernel reports no {name}"))
            .help("this step needs Linux 3.14 or newer with /proc mounted")
    })
}

fn oom_kills(proc: &Proc) -> Option<u64> {
    let counters = proc.text("vmstat").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

fn add_limit(output: &mut Output, proc: &Proc, control_groups: &Path, pid: Option<u32>) {
    let process = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let Some(limit) = limit_of(proc, &process, control_groups, output.total) else { return };
    output.usable = output.available.min(limit.available());
    output.limit = Some(limit.bytes);
    output.limit_used = Some(limit.used);
    output.limit_available = Some(limit.available());
    output.limit_used_percent = Some(percent(limit.used, limit.bytes));
    output.limit_oom_kills = limit.killed;
}

fn add_process(output: &mut Output, proc: &Proc, pid: u32) -> Result<(), StepError> {
    let memory = proc
        .process_memory(pid)?
        .ok_or_else(|| StepError::new(format!("the process {pid} ended while it was being measured")))?;
    output.pid = Some(pid);
    output.rss = Some(memory.resident);
    output.rss_peak = Some(memory.resident_peak);
    output.swapped = Some(memory.swapped);
    Ok(())
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MEMINFO: &str =
        "MemTotal: 8000 kB\nMemFree: 100 kB\nMemAvailable: 2000 kB\nSwapTotal: 1000 kB\nSwapFree: 750 kB\n";

    async fn run(config: Value) -> StepResult<Output> {
        Step::run(serde_json::from_value(config).unwrap(), Context::for_tests()).await
    }

    fn machine_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Proc) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let proc = Proc::at(folder.path());
        (folder, proc)
    }

    #[tokio::test]
    async fn this_machine_and_this_process() {
        let outcome = run(json!({"pid": std::process::id()})).await.unwrap();
        let output = outcome.output;
        assert!(outcome.failure.is_none());
        assert!(output.total >= output.available && output.available >= output.usable);
        let (rss, peak) = (output.rss.unwrap(), output.rss_peak.unwrap());
        assert!(rss > 0 && peak > 0);
    }

    #[tokio::test]
    async fn a_process_that_does_not_run_cannot_be_measured() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("app.pid");
        for config in [json!({"pid": 1 << 23}), json!({"pid_file": absent}), json!({"pid": 0})] {
            assert!(run(config.clone()).await.is_err(), "{config}");
        }
        let both = run(json!({"pid": 1, "pid_file": absent})).await.unwrap_err();
        assert_eq!(both.help.as_deref(), Some("keep one of the two"));
    }

    #[test]
    fn numbers_of_a_known_machine() {
        let (folder, proc) = machine_with(&[("meminfo", MEMINFO), ("vmstat", "pgpgin 5\noom_kill 2\n")]);
        let output = measure(&proc, folder.path(), None).unwrap();
        assert_eq!((output.total, output.available, output.usable), (8_192_000, 2_048_000, 2_048_000));
        assert_eq!((output.used_percent, output.swap_used_percent), (75.0, 25.0));
        assert_eq!((output.oom_kills, output.limit, output.rss), (Some(2), None, None));
    }

    #[test]
    fn a_limit_bounds_what_is_usable() {
        let (folder, proc) = machine_with(&[
            ("meminfo", MEMINFO),
            ("self/cgroup", "0::/"),
            ("cgroup.controllers", "memory"),
            ("memory.max", "1000"),
            ("memory.current", "750"),
        ]);
        let output = measure(&proc, folder.path(), None).unwrap();
        assert_eq!((output.limit, output.limit_available, output.usable), (Some(1000), Some(250), 250));
        assert_eq!(output.limit_used_percent, Some(75.0));
    }

    #[test]
    fn no_swap_is_not_a_full_swap() {
        let text = MEMINFO.replace("1000 kB", "0 kB").replace("750 kB", "0 kB");
        let (folder, proc) = machine_with(&[("meminfo", &text)]);
        assert_eq!(measure(&proc, folder.path(), None).unwrap().swap_used_percent, 0.0);
    }

    #[test]
    fn a_kernel_that_does_not_say_is_an_error() {
        let (folder, proc) = machine_with(&[("meminfo", "MemTotal: 5 kB\n")]);
        assert!(measure(&proc, folder.path(), None).unwrap_err().message.contains("MemAvailable"));
    }
}
