//! Which processes a `process` step means.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Config, command};
use crate::kind::StepError;
use crate::probe::blocking::Stop;
use crate::probe::procfs::{PidSource, Proc, Process, read_pid_file};

/// What is looked for: a number, traits, or both.
pub(super) struct Search {
    source: Option<PidSource>,
    name: Option<String>,
    command_contains: Option<String>,
}

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    pub processes: Vec<Process>,
    /// Why there are none.
    pub reason: String,
    /// When the pid file was written, in seconds since 1970.
    pub pid_file_written: Option<f64>,
}

impl Found {
    fn nothing(reason: String) -> Self {
        Found { reason, ..Found::default() }
    }
}

impl Search {
    pub(super) fn new(config: Config) -> Result<Self, StepError> {
        let source = PidSource::of(config.pid, config.pid_file)?;
        // An empty text would be part of every command line.
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let search = Search { source, name: given(config.name), command_contains: given(config.command_contains) };
        if search.source.is_none() && search.name.is_none() && search.command_contains.is_none() {
            return Err(StepError::new("no process is named")
                .help("give pid_file, pid, name or command_contains, and see that it is not empty"));
        }
        Ok(search)
    }

    pub(super) fn find(&self, proc: &Proc, stop: &Stop) -> Result<Found, StepError> {
        match &self.source {
            Some(PidSource::Number(pid)) => self.find_one(proc, *pid),
            Some(PidSource::File(path)) => self.find_by_file(proc, path),
            None => self.find_all(proc, stop),
        }
    }

    fn find_by_file(&self, proc: &Proc, path: &Path) -> Result<Found, StepError> {
        let Some(pid) = read_pid_file(path)? else {
            return Ok(Found::nothing(format!("the pid file {} does not exist", path.display())));
        };
        let mut found = self.find_one(proc, pid)?;
        found.pid_file_written = path.metadata().ok().map(|file| file.mtime() as f64);
        Ok(found)
    }

    fn find_one(&self, proc: &Proc, pid: u32) -> Result<Found, StepError> {
        let Some(process) = proc.process(pid)? else {
            check_visible(proc)?;
            return Ok(Found::nothing(format!("there is no process {pid}")));
        };
        if self.has_traits(&process) {
            return Ok(Found { processes: vec![process], ..Found::default() });
        }
        Ok(Found::nothing(format!("the process {pid} is another one: {}", command::show(&process))))
    }

    fn find_all(&self, proc: &Proc, stop: &Stop) -> Result<Found, StepError> {
        let own = OwnCall::read(proc)?;
        let mut processes = Vec::new();
        for pid in proc.pids()? {
            stop.check()?;
            // What ends between the listing and the look is left out.
            let process = proc.process(pid)?.filter(|process| self.has_traits(process));
            processes.extend(process.filter(|process| !own.includes(process)));
        }
        if processes.is_empty() {
            check_visible(proc)?;
        }
        Ok(Found { processes, reason: "no process matches".into(), pid_file_written: None })
    }

    fn has_traits(&self, process: &Process) -> bool {
        let named = self.name.as_ref().is_none_or(|name| has_name(process, name.as_bytes()));
        let contained = |text: &String| command::line(process).windows(text.len()).any(|part| part == text.as_bytes());
        named && self.command_contains.as_ref().is_none_or(contained)
    }
}

fn has_name(process: &Process, name: &[u8]) -> bool {
    let called = process.arguments.first().map(|argument| base_name(argument));
    process.short_name == name || process.program.as_deref() == Some(name) || called == Some(name)
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// This program and what started it only to run it (`sudo`, `sh -c`, `timeout`): their command lines
/// repeat the text that is searched for.
struct OwnCall {
    pid: u32,
    line: Vec<u8>,
    ancestors: Vec<u32>,
}

impl OwnCall {
    fn read(proc: &Proc) -> Result<Self, StepError> {
        let pid = std::process::id();
        let own = proc.process(pid)?;
        let line = own.as_ref().map(command::line).unwrap_or_default();
        let mut ancestors = Vec::new();
        let mut next = own.map_or(0, |process| process.parent);
        while next != 0 && !ancestors.contains(&next) {
            ancestors.push(next);
            next = proc.process(next)?.map_or(0, |process| process.parent);
        }
        Ok(OwnCall { pid, line, ancestors })
    }

    fn includes(&self, process: &Process) -> bool {
        let repeats = || {
            let line = command::line(process);
            !self.line.is_empty() && line.windows(self.line.len()).any(|part| part == self.line)
        };
        process.pid == self.pid || self.ancestors.contains(&process.pid) && repeats()
    }
}

/// "Not there" is only known where this user can see the processes of others: process 1 always exists.
fn check_visible(proc: &Proc) -> Result<(), StepError> {
    if proc.process(1)?.is_some() {
        return Ok(());
    }
    Err(StepError::new("this user cannot see the processes of other users")
        .help("run as the user of the process or as root; /proc is mounted with hidepid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, arguments: &[&str]) -> Process {
        let arguments = arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect();
        let short_name = b"very-long-servi".to_vec();
        Process {
            pid,
            parent: 1,
            short_name,
            state: 'S',
            threads: 1,
            cpu_ticks: 0,
            started_ticks: 0,
            arguments,
            program: Some(b"python3.12".to_vec()),
        }
    }

    #[test]
    fn names_are_exact() {
        let process = process(5, &["/srv/very-long-service-name", "--port", "1"]);
        for name in ["very-long-servi", "very-long-service-name", "python3.12"] {
            assert!(has_name(&process, name.as_bytes()), "{name}");
        }
        for name in ["very-long", "python3", "--port", "/srv/very-long-service-name"] {
            assert!(!has_name(&process, name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn wrappers_of_this_call_are_left_out_and_real_ancestors_are_not() {
        let own = OwnCall { pid: 9, line: b"runbook run x --input name=app".to_vec(), ancestors: vec![8, 7] };
        assert!(own.includes(&process(9, &["anything"])));
        assert!(own.includes(&process(8, &["sudo", "runbook", "run", "x", "--input", "name=app"])));
        assert!(own.includes(&process(7, &["sh", "-c", "runbook run x --input name=app"])));
        assert!(!own.includes(&process(7, &["app", "--supervise"])));
        assert!(!own.includes(&process(6, &["sudo", "runbook", "run", "x", "--input", "name=app"])));
    }

    #[test]
    fn hidden_processes_are_not_missing_ones() {
        let folder = tempfile::tempdir().unwrap();
        let proc = Proc::at(folder.path());
        let config = Config { pid_file: None, pid: Some(5), name: None, command_contains: None };
        let error = Search::new(config).unwrap().find(&proc, &Stop::never()).err().unwrap();
        assert!(error.message.contains("cannot see"));
    }
}
