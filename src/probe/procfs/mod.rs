//! The kernel's process files (`/proc`), read as they are: no copy of them can be older than the question.

mod cgroup;
mod process;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::files::{file_error, read_small};
use crate::kind::StepError;

pub(super) use cgroup::limit_of;
pub(super) use process::{PidSource, Process, ProcessMemory, read_pid_file};

/// Kernel files are small; this only guards against reading something that is not one.
const MOST_BYTES: u64 = 16 << 20;

/// Ticks a second in `/proc`: fixed at 100 for programs on every architecture Rust's Linux targets have.
pub(super) const TICKS: f64 = 100.0;

/// A mounted process file system.
#[derive(Clone)]
pub(super) struct Proc {
    root: PathBuf,
}

impl Proc {
    pub(super) fn system() -> Self {
        Proc::at("/proc")
    }

    pub(super) fn at(root: impl Into<PathBuf>) -> Self {
        Proc { root: root.into() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn text(&self, name: &str) -> Result<String, StepError> {
        text_of(&self.path(name))
    }

    /// Seconds since the machine started; unlike the wall clock it never jumps.
    pub(super) fn uptime(&self) -> Result<f64, StepError> {
        let text = self.text("uptime")?;
        number_in(text.split_whitespace().next(), &self.path("uptime"))
    }

    /// `meminfo` and files like it: name to bytes.
    pub(super) fn sizes(&self, name: &str) -> Result<HashMap<String, u64>, StepError> {
        Ok(parse_sizes(&self.text(name)?))
    }

    /// The 1, 5 and 15 minute load averages.
    pub(super) fn load(&self) -> Result<[f64; 3], StepError> {
        let text = self.text("loadavg")?;
        let mut words = text.split_whitespace();
        let mut next = || number_in(words.next(), &self.path("loadavg"));
        Ok([next()?, next()?, next()?])
    }

    /// Processor time since boot.
    pub(super) fn cpu_times(&self) -> Result<CpuTimes, StepError> {
        let path = self.path("stat");
        CpuTimes::parse(&text_of(&path)?).ok_or_else(|| strange(&path))
    }
}

/// Processor time in ticks, summed over all cores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CpuTimes {
    pub total: u64,
    pub idle: u64,
    pub waiting_for_disk: u64,
    pub stolen: u64,
    pub cores: u32,
}

impl CpuTimes {
    fn parse(stat: &str) -> Option<Self> {
        let words = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        // user nice system idle iowait irq softirq steal; guest time follows and is already in user.
        let ticks: Vec<u64> = words.take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        let at = |position: usize| ticks.get(position).copied().unwrap_or(0);
        let is_core = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
        let cores = u32::try_from(stat.lines().filter(is_core).count()).ok()?;
        Some(CpuTimes { total: ticks.iter().sum(), idle: at(3), waiting_for_disk: at(4), stolen: at(7), cores })
    }
}

fn text_of(path: &Path) -> Result<String, StepError> {
    Ok(String::from_utf8_lossy(&read_small(path, MOST_BYTES)?).into_owned())
}

fn number_in<T: std::str::FromStr>(word: Option<&str>, path: &Path) -> Result<T, StepError> {
    word.and_then(|word| word.parse().ok()).ok_or_else(|| strange(path))
}

fn strange(path: &Path) -> StepError {
    StepError::new(format!("{} does not look as the kernel writes it", path.display()))
        .help("this step needs Linux with /proc mounted")
}

/// Lines of `Name: 12 kB`; lines of another form are left out.
fn parse_sizes(text: &str) -> HashMap<String, u64> {
    let parse = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let kibibytes: u64 = rest.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some((name.to_owned(), kibibytes.saturating_mul(1024)))
    };
    text.lines().filter_map(parse).collect()
}

/// The error of a process file that should be there.
fn proc_error(path: &Path, error: &std::io::Error) -> StepError {
    file_error("read", path, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time() {
        let stat = "cpu  10 1 5 100 7 1 1 2 4 0\ncpu0 5 0 2 50 3 0 0 1 2 0\ncpu1 5 1 3 50 4 1 1 1 2 0\nintr 5\n";
        let times = CpuTimes::parse(stat).unwrap();
        assert_eq!(times, CpuTimes { total: 127, idle: 100, waiting_for_disk: 7, stolen: 2, cores: 2 });
        assert_eq!(CpuTimes::parse("intr 5\n"), None);
        assert_eq!(CpuTimes::parse(""), None);
    }

    #[test]
    fn sizes_are_bytes() {
        let sizes = parse_sizes("MemTotal:       2048 kB\nHugePages_Total:   0\nodd\n");
        assert_eq!(sizes.get("MemTotal"), Some(&(2 << 20)));
        assert_eq!(sizes.len(), 1);
    }

    #[test]
    fn this_machine_answers() {
        let proc = Proc::system();
        assert!(proc.uptime().unwrap() > 0.0);
        assert!(proc.cpu_times().unwrap().cores > 0);
        assert!(proc.load().unwrap()[0] >= 0.0);
    }

    #[test]
    fn a_machine_without_process_files_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Proc::at(folder.path()).uptime().unwrap_err().message.contains("uptime"));
        std::fs::write(folder.path().join("loadavg"), "0.1 oops\n").unwrap();
        assert!(Proc::at(folder.path()).load().unwrap_err().help.is_some());
    }
}
