//! Sets up the program's own process, then becomes the program.
//!
//! What has to happen between fork and exec (limits, file rules, the control group) would take unsafe code
//! there. So the shim starts this program once more, which does it to itself in plain sight and execs.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, path_beneath_rules,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit};
use serde::{Deserialize, Serialize};

use crate::action::process::{Confinement, Enforcement, Launch, Limits, Sandbox, cgroup, table};
use crate::base::private;

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "__launch";

/// What programs need to start and to look like themselves; secrets are elsewhere.
const ALWAYS_READ: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/dev/urandom",
    "/dev/random",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
];
const ALWAYS_WRITTEN: &[&str] = &["/dev/null", "/dev/zero", "/dev/full"];

/// The file rules that are asked for: those of Linux 6.10. Later ones are about sockets and the like.
const RULES: ABI = ABI::V5;

/// How the program's process is set up; crosses to it as an argument, so it holds no value of a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Launcher {
    /// Where to tell what came of it.
    pub report: PathBuf,
    pub program: PathBuf,
    /// The shim, whose death is the program's.
    pub shim: i32,
    pub cgroup: Option<PathBuf>,
    pub confinement: Confinement,
}

/// What became of the set-up.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub sandbox: Option<Enforcement>,
    /// Why the program was not started.
    pub failed: Option<LaunchError>,
}

/// Why the program was not started.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
pub enum LaunchError {
    #[error("the kernel refuses to {what}: {why}")]
    Refused { what: String, why: String },
    #[error("{} of the sandbox does not exist", path.display())]
    NoPath { path: PathBuf },
    #[error("the sandbox is {status}, and the step requires it")]
    Sandbox { status: Enforcement },
    #[error("the program cannot be executed")]
    Exec { program: PathBuf, code: Option<i32>, why: String },
}

impl Launcher {
    /// The command of this program that becomes the program of `launch`.
    pub fn command(&self, launch: &Launch) -> Command {
        let mut command = Command::new("/proc/self/exe");
        // Plain data: paths and numbers always become JSON.
        let set_up = serde_json::to_string(self).unwrap_or_default();
        command.arg(SUBCOMMAND).arg(set_up).arg("--").args(&launch.argv);
        command
    }

    /// Sets this process up and becomes the program. Returns only when that was not possible, which is then
    /// in the report.
    pub fn become_program(set_up: &str, argv: &[OsString]) -> io::Result<()> {
        let launcher: Launcher = serde_json::from_str(set_up)?;
        // Opened before the sandbox, under which it could not be.
        let mut file = private::create(&launcher.report)?;
        let mut report = Report::default();
        match launcher.set_up() {
            Ok(sandbox) => report.sandbox = sandbox,
            Err(error) => report.failed = Some(error),
        }
        if report.failed.is_none() {
            write(&mut file, &report)?;
            report.failed = Some(launcher.exec(argv));
        }
        write(&mut file, &report)
    }

    fn set_up(&self) -> Result<Option<Enforcement>, LaunchError> {
        self.die_with_shim()?;
        if let Some(group) = &self.cgroup {
            cgroup::join(group).map_err(|error| refused("join the control group", &error))?;
        }
        limit(&self.confinement.limits)?;
        if !self.confinement.new_privileges {
            rustix::thread::set_no_new_privs(true).map_err(|error| refused("give up new privileges", &error.into()))?;
        }
        self.confinement.sandbox.as_ref().map(|sandbox| self.enclose(sandbox)).transpose()
    }

    /// A shim that is killed can end nobody, so the kernel does it.
    fn die_with_shim(&self) -> Result<(), LaunchError> {
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|error| refused("tie the program to its shim", &error.into()))?;
        // It may have died before it was asked for.
        if getppid() != Pid::from_raw(self.shim) {
            return Err(LaunchError::Refused { what: "start".into(), why: "its shim has died".into() });
        }
        Ok(())
    }

    fn enclose(&self, sandbox: &Sandbox) -> Result<Enforcement, LaunchError> {
        let named = sandbox.read.iter().chain(&sandbox.write);
        if let Some(path) = named.clone().find(|path| !path.exists()) {
            return Err(LaunchError::NoPath { path: path.clone() });
        }
        let status = self
            .restrict(sandbox)
            .map_err(|error| LaunchError::Refused { what: "enforce the sandbox".into(), why: error.to_string() })?;
        suffices(sandbox, status)
    }

    fn restrict(&self, sandbox: &Sandbox) -> Result<Enforcement, RulesetError> {
        let (all, read) = (AccessFs::from_all(RULES), AccessFs::from_read(RULES));
        let readable = ALWAYS_READ.iter().map(Path::new).chain([self.program.as_path()]);
        let readable = readable.chain(sandbox.read.iter().map(PathBuf::as_path));
        let writable = ALWAYS_WRITTEN.iter().map(Path::new).chain(sandbox.write.iter().map(PathBuf::as_path));
        let status = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .create()?
            .add_rules(path_beneath_rules(readable, read))?
            .add_rules(path_beneath_rules(writable, all))?
            .restrict_self()?;
        Ok(match status.ruleset {
            RulesetStatus::FullyEnforced => Enforcement::Full,
            RulesetStatus::PartiallyEnforced => Enforcement::Part,
            RulesetStatus::NotEnforced => Enforcement::Nothing,
        })
    }

    fn exec(&self, argv: &[OsString]) -> LaunchError {
        let mut command = Command::new(&self.program);
        let (first, rest) = argv.split_first().map_or((self.program.as_os_str(), argv), |(first, rest)| (first, rest));
        let error = command.arg0(first).args(rest).exec();
        LaunchError::Exec { program: self.program.clone(), code: error.raw_os_error(), why: error.to_string() }
    }
}

fn refused(what: &str, error: &io::Error) -> LaunchError {
    LaunchError::Refused { what: what.to_owned(), why: error.to_string() }
}

fn write(file: &mut File, report: &Report) -> io::Result<()> {
    use std::io::{Seek as _, SeekFrom, Write as _};
    file.seek(SeekFrom::Start(0))?;
    file.set_len(0)?;
    file.write_all(&serde_json::to_vec(report)?)
}

fn limit(limits: &Limits) -> Result<(), LaunchError> {
    if let Some(seconds) = limits.cpu {
        // The kernel counts whole seconds, warns at the first limit and kills at the second.
        let seconds = seconds.ceil() as u64;
        set(Resource::Cpu, seconds, seconds + 1)?;
    }
    if let Some(bytes) = limits.memory {
        // Data, not address space: many programs reserve far more addresses than they ever use.
        set(Resource::Data, bytes, bytes)?;
    }
    if let Some(files) = limits.open_files {
        set(Resource::Nofile, files, files)?;
    }
    if let Some(processes) = limits.processes {
        // The kernel counts all threads of the account, and root's not at all: a second line behind the
        // count that the shim takes, against programs that multiply faster than it looks.
        let most = table::threads_of_this_account() + u64::from(processes) + NPROC_SLACK;
        set(Resource::Nproc, most, most)?;
    }
    Ok(())
}

/// What is only wished for may be enforced in part, by an older kernel.
fn suffices(sandbox: &Sandbox, status: Enforcement) -> Result<Enforcement, LaunchError> {
    if sandbox.required && status != Enforcement::Full {
        return Err(LaunchError::Sandbox { status });
    }
    Ok(status)
}

/// What other programs of the account may start meanwhile without getting in the way of the step.
const NPROC_SLACK: u64 = 256;

fn set(resource: Resource, soft: u64, hard: u64) -> Result<(), LaunchError> {
    // A limit that is already lower cannot be raised, and need not be.
    let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let limit = Rlimit { current: Some(soft.min(most)), maximum: Some(hard.min(most)) };
    setrlimit(resource, limit).map_err(|error| refused("set a limit", &error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_that_is_required_is_enforced_in_full_or_nothing_starts() {
        for (required, status, starts) in [
            (true, Enforcement::Full, true),
            (true, Enforcement::Part, false),
            (true, Enforcement::Nothing, false),
            (false, Enforcement::Nothing, true),
        ] {
            let sandbox = Sandbox { required, ..Sandbox::default() };
            assert_eq!(suffices(&sandbox, status).is_ok(), starts, "{required} {status:?}");
        }
    }
}
