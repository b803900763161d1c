//! One process as the kernel describes it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::{Proc, parse_sizes, proc_error, strange};
use crate::kind::StepError;
use crate::probe::files::{is_absent, open_regular, read_small};

/// A pid file holds one number; more than this is another file.
const PID_FILE_BYTES: u64 = 4096;

/// A process at one moment.
#[derive(Debug, Clone)]
pub(in crate::probe) struct Process {
    pub pid: u32,
    pub parent: u32,
    /// The kernel's short name, at most 15 bytes.
    pub short_name: Vec<u8>,
    /// The kernel's letter: R, S, D, Z, T and others.
    pub state: char,
    pub threads: u64,
    /// User and system time, in ticks.
    pub cpu_ticks: u64,
    /// Ticks between the start of the machine and of the process.
    pub started_ticks: u64,
    /// One element an argument; empty for a kernel thread.
    pub arguments: Vec<Vec<u8>>,
    /// Base name of the program file, where this user may see it.
    pub program: Option<Vec<u8>>,
}

impl Process {
    /// A zombie has ended; it only waits for its parent to ask how.
    pub(in crate::probe) fn is_running(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }

    pub(in crate::probe) fn state_word(&self) -> &'static str {
        match self.state {
            'R' => "running",
            'S' | 'I' => "sleeping",
            'D' => "waiting for disk",
            'T' | 't' => "stopped",
            'Z' => "zombie",
            'X' | 'x' => "dead",
            _ => "other",
        }
    }
}

/// Sizes of a process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::probe) struct ProcessMemory {
    pub resident: u64,
    pub resident_peak: u64,
    pub swapped: u64,
}

impl Proc {
    /// The identifiers of all processes this user may see.
    pub(in crate::probe) fn pids(&self) -> Result<Vec<u32>, StepError> {
        let listing = self.root.read_dir().map_err(|error| proc_error(&self.root, &error))?;
        let mut pids: Vec<u32> =
            listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        pids.sort_unstable();
        Ok(pids)
    }

    /// The process, or `None` when there is none with this identifier.
    pub(in crate::probe) fn process(&self, pid: u32) -> Result<Option<Process>, StepError> {
        let folder = self.path(&pid.to_string());
        let Some(stat) = read(&folder.join("stat"))? else { return Ok(None) };
        let mut process = parse_stat(pid, &stat).ok_or_else(|| strange(&folder.join("stat")))?;
        // It may end between two reads; then it has no command line any more, as a zombie has none.
        process.arguments = read(&folder.join("cmdline"))?.map_or_else(Vec::new, |bytes| split_arguments(&bytes));
        process.program = std::fs::read_link(folder.join("exe")).ok().map(program_name);
        Ok(Some(process))
    }

    /// What the process holds in memory; `None` when it has ended.
    pub(in crate::probe) fn process_memory(&self, pid: u32) -> Result<Option<ProcessMemory>, StepError> {
        let Some(status) = read(&self.path(&pid.to_string()).join("status"))? else { return Ok(None) };
        let sizes = parse_sizes(&String::from_utf8_lossy(&status));
        let size = |name: &str| sizes.get(name).copied().unwrap_or(0);
        Ok(Some(ProcessMemory { resident: size("VmRSS"), resident_peak: size("VmHWM"), swapped: size("VmSwap") }))
    }

    /// Open file descriptors; `None` where this user may not look.
    pub(in crate::probe) fn open_files(&self, pid: u32) -> Option<u64> {
        let listing = self.path(&pid.to_string()).join("fd").read_dir().ok()?;
        Some(listing.count() as u64)
    }

    /// How many files the process may open; `None` where this user may not look or there is no limit.
    pub(in crate::probe) fn open_files_limit(&self, pid: u32) -> Option<u64> {
        let limits = self.text(&format!("{pid}/limits")).ok()?;
        limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
    }
}

/// A file of a process; `None` when the process has ended.
fn read(path: &Path) -> Result<Option<Vec<u8>>, StepError> {
    // The kernel reports a process that ends during the read as "no such process".
    let gone =
        |error: &io::Error| is_absent(error) || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error());
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(proc_error(path, &error)),
    }
}

fn parse_stat(pid: u32, stat: &[u8]) -> Option<Process> {
    // The name stands in parentheses and may itself hold any byte, so the last one closes it.
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let short_name = stat.get(open + 1..close)?.to_vec();
    let rest = std::str::from_utf8(&stat[close + 1..]).ok()?;
    // Positions are those of proc(5) less three: the state is its third field.
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |position: usize| fields.get(position)?.parse::<u64>().ok();
    Some(Process {
        pid,
        parent: u32::try_from(number(1)?).ok()?,
        short_name,
        state: fields.first()?.chars().next()?,
        threads: number(17)?,
        cpu_ticks: number(11)?.checked_add(number(12)?)?,
        started_ticks: number(19)?,
        arguments: Vec::new(),
        program: None,
    })
}

fn split_arguments(bytes: &[u8]) -> Vec<Vec<u8>> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() { Vec::new() } else { bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect() }
}

fn program_name(path: PathBuf) -> Vec<u8> {
    let name = path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
    // The kernel says so when the file was replaced, by an upgrade for example.
    name.strip_suffix(b" (deleted)").map_or(name.clone(), <[u8]>::to_vec)
}

/// Where a process identifier comes from.
pub(in crate::probe) enum PidSource {
    Number(u32),
    File(PathBuf),
}

impl PidSource {
    /// One of the two keys, at most.
    pub(in crate::probe) fn of(pid: Option<u32>, pid_file: Option<PathBuf>) -> Result<Option<Self>, StepError> {
        match (pid, pid_file) {
            (Some(_), Some(_)) => Err(StepError::new("both pid and pid_file are given").help("keep one of the two")),
            (Some(0), None) => Err(StepError::new("no process has the pid 0")),
            (Some(pid), None) => Ok(Some(PidSource::Number(pid))),
            (None, Some(path)) => Ok(Some(PidSource::File(path))),
            (None, None) => Ok(None),
        }
    }

    /// The identifier of a process that must be running, because something of it is to be measured.
    pub(in crate::probe) fn running(&self, proc: &Proc) -> Result<u32, StepError> {
        let not_running = |what: String| {
            StepError::new(what).help("ask with a `process` step first whether it runs, and `needs` that step here")
        };
        let pid = match self {
            PidSource::Number(pid) => *pid,
            PidSource::File(path) => read_pid_file(path)?
                .ok_or_else(|| not_running(format!("the pid file {} does not exist", path.display())))?,
        };
        match proc.process(pid)? {
            Some(process) if process.is_running() => Ok(pid),
            _ => Err(not_running(format!("no process with the pid {pid} is running"))),
        }
    }
}

/// The number in a pid file; `None` when the file does not exist.
pub(in crate::probe) fn read_pid_file(path: &Path) -> Result<Option<u32>, StepError> {
    if open_regular(path)?.is_none() {
        return Ok(None);
    }
    let bytes = read_small(path, PID_FILE_BYTES)?;
    let text = OsString::from_vec(bytes);
    // Some daemons write more lines below the number.
    let number = text.to_str().and_then(|text| text.lines().next()?.trim().parse::<u32>().ok());
    number.filter(|pid| *pid > 0).map(Some).ok_or_else(|| {
        StepError::new(format!("{} does not hold a process number", path.display()))
            .help("check that the path names the pid file; a daemon that died while writing may have left it empty")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "42 (odd) name) S 7 42 42 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 5 0 12345 1000000 200 18446744073709551615";

    #[test]
    fn a_name_may_hold_parentheses() {
        let process = parse_stat(42, STAT.as_bytes()).unwrap();
        assert_eq!(process.short_name, b"odd) name");
        assert_eq!((process.state, process.parent, process.threads), ('S', 7, 5));
        assert_eq!((process.cpu_ticks, process.started_ticks), (42, 12345));
        assert!(process.is_running());
    }

    #[test]
    fn a_zombie_does_not_run() {
        let process = parse_stat(42, STAT.replace(") S ", ") Z ").as_bytes()).unwrap();
        assert!(!process.is_running());
        assert_eq!(process.state_word(), "zombie");
    }

    #[test]
    fn broken_files_are_refused() {
        for broken in ["", "42", "42 (x", "42 (x) S 1 2", ")("] {
            assert!(parse_stat(42, broken.as_bytes()).is_none(), "{broken}");
        }
    }

    #[test]
    fn arguments_and_program_names() {
        assert_eq!(split_arguments(b"a\0b c\0\0"), [b"a".to_vec(), b"b c".to_vec(), b"".to_vec()]);
        assert!(split_arguments(b"").is_empty());
        assert_eq!(program_name("/usr/bin/app (deleted)".into()), b"app");
    }

    #[test]
    fn this_process_is_found() {
        let pid = std::process::id();
        let process = Proc::system().process(pid).unwrap().unwrap();
        assert!(process.is_running() && !process.arguments.is_empty());
        assert!(Proc::system().process_memory(pid).unwrap().unwrap().resident > 0);
        assert!(Proc::system().open_files(pid).unwrap() > 0);
        assert!(Proc::system().pids().unwrap().contains(&pid));
        // The largest pid Linux can give out is 2^22.
        assert!(Proc::system().process(1 << 23).unwrap().is_none());
    }

    #[test]
    fn pid_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.pid");
        assert_eq!(read_pid_file(&path).unwrap(), None);
        for (text, pid) in [("42", 42), (" 42 \r\n", 42), ("42\n/srv/app\n", 42)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_pid_file(&path).unwrap(), Some(pid), "{text:?}");
        }
        for wrong in ["", "\n42", "abc", "-1", "0", "4 2", "\u{1}"] {
            std::fs::write(&path, wrong).unwrap();
            assert!(read_pid_file(&path).unwrap_err().help.is_some(), "{wrong:?}");
        }
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(read_pid_file(&path).is_err());
    }
}
