//! Runs a program under a process of its own that outlives the engine: the same binary, started again.
//!
//! ```text
//! engine ── request, orders ──► shim ── starts ──► launcher ═ exec ═► program
//!    │   (standard input)         │ own session, inherits every orphan of the program,
//!    │                            │ drains the pipes, ends everybody in time
//!    └────── reads ◄── receipt ◄──┘ `begun` before the program starts, `ended` after it
//! ```
//!
//! When the engine dies, the shim's input ends. It then goes on or ends the program, as the step says, and
//! the receipt tells the next engine how it went. `docs/design/009-a-shim-for-what-must-not-be-repeated.md`
//! has the reasons.

mod launcher;
mod receipt;
mod serve;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

use launcher::LaunchError;
pub use launcher::{Launcher, SUBCOMMAND as LAUNCH};
use receipt::{Ended, Progress, Receipt};
pub use serve::serve;

use super::{Handle, Launch, Orphan, StartError, group};
use crate::base::redaction::Handover;
use crate::kind::{Left, StepError};

/// The hidden subcommand of the shim.
pub const SUBCOMMAND: &str = "__shim";

/// Orders of the engine: end the program with its grace, or at once.
const STOP: u8 = b's';
const KILL: u8 = b'k';

/// What a shim is asked to do; secrets may be in it, so it never becomes an argument or a file.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    launch: Launch,
    receipt: PathBuf,
    orphan: Orphan,
    time_limit: Duration,
    cgroups: bool,
    /// What must not be in the output that goes into the receipt.
    secrets: Handover,
}

/// How a program is run under a shim.
#[derive(Debug)]
pub struct Shim {
    /// The `runbook` program.
    pub program: PathBuf,
    /// The folder of the attempt, which is there and empty.
    pub receipt: PathBuf,
    pub orphan: Orphan,
    pub time_limit: Duration,
    /// Whether to use control groups where that is possible.
    pub cgroups: bool,
}

impl Shim {
    /// Runs the program to its end, or stops it and everything it has started when `cancel` fires.
    pub async fn run(self, launch: Launch, cancel: &CancellationToken) -> Ended {
        let receipt = Receipt::new(&self.receipt);
        let (mut running, request) = self.start(launch)?;
        running.tell(&request).await;
        tokio::select! {
            biased;
            () = running.handle.ended() => {}
            () = cancel.cancelled() => {
                running.tell(&[STOP]).await;
                running.handle.ended().await;
            }
        }
        drop(running);
        result(&receipt)
    }

    fn start(self, launch: Launch) -> Result<(Running, Vec<u8>), StepError> {
        if !self.receipt.is_dir() {
            return Err(StepError::new(format!("there is no folder {} for the receipt", self.receipt.display()))
                .help("nothing was started; make the state folder writable"));
        }
        let failed = |source| StepError::from(StartError::Spawn { program: self.program.clone(), source });
        let watch = |source| StepError::from(StartError::watch(source));
        let receipt = std::path::absolute(&self.receipt).map_err(watch)?;
        let Shim { orphan, time_limit, cgroups, .. } = self;
        let secrets = Handover::of_this_process();
        let request = Request { launch, receipt, orphan, time_limit, cgroups, secrets };
        // Plain data: numbers and text always become JSON.
        let mut line = serde_json::to_vec(&request).map_err(|error| watch(error.into()))?;
        line.push(b'\n');
        let child = command(&self.program).spawn().map_err(failed)?;
        Ok((Running::of(child).map_err(watch)?, line))
    }
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    // What it says has no reader once the engine is gone; what matters is in the receipt.
    command.arg(SUBCOMMAND).env_clear().stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A shim of this engine. Dropping it before its end makes it end its program at once.
struct Running {
    child: Option<Child>,
    handle: Handle,
    orders: pipe::Sender,
}

impl Running {
    fn of(mut child: Child) -> io::Result<Self> {
        let parts = child.stdin.take().map(OwnedFd::from).map(pipe::Sender::from_owned_fd);
        let handle = Handle::open(Pid::from_child(&child));
        match (parts, handle) {
            (Some(Ok(orders)), Ok(Some(handle))) => Ok(Running { child: Some(child), handle, orders }),
            (_, outcome) => {
                // Its input has ended before a request came, so it ends without having done anything.
                group::reap(child);
                Err(outcome.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))
            }
        }
    }

    /// A shim that has ended listens no more, which its end tells better.
    async fn tell(&mut self, bytes: &[u8]) {
        drop(self.orders.write_all(bytes).await);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.orders.try_write(&[KILL]));
        if let Some(child) = self.child.take() {
            group::reap(child);
        }
    }
}

/// What an interrupted attempt has left behind in its folder.
pub fn left(receipt: &Path) -> Left {
    if !receipt.is_dir() {
        return Left::Nothing;
    }
    match Receipt::new(receipt).look() {
        Ok(Progress::NotBegun) => Left::NotBegun,
        Ok(Progress::Running(_) | Progress::Ended(_)) => Left::Attempt,
        // What cannot be read says nothing.
        Ok(Progress::Lost) | Err(_) => Left::Nothing,
    }
}

/// Waits for the end of an attempt that a dead engine has started, or ends it when `cancel` fires.
pub async fn adopt(receipt: &Path, cancel: &CancellationToken) -> Ended {
    let receipt = Receipt::new(receipt);
    let progress = receipt.look().map_err(|error| StepError::because("cannot read the receipt", &error))?;
    if let Progress::Running(shim) = progress
        && let Ok(Some(handle)) = shim.hold()
    {
        let adopted = Adopted(handle);
        tokio::select! {
            biased;
            () = adopted.0.ended() => {}
            () = cancel.cancelled() => {
                adopted.stop();
                adopted.0.ended().await;
            }
        }
    }
    result(&receipt)
}

/// A shim of another engine. Dropping it before its end makes it end its program.
struct Adopted(Handle);

impl Adopted {
    fn stop(&self) {
        // Not ours to signal: it ends at its own time limit.
        drop(self.0.signal(Signal::TERM));
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        self.stop();
    }
}

fn result(receipt: &Receipt) -> Ended {
    match receipt.look() {
        Ok(Progress::Ended(ended)) => *ended,
        Ok(_) => {
            Err(StepError::new("the process that watches over the program has died; whether it was done is not known")
                .help("look whether it was killed, for example for lack of memory, and what the program has done")
                .in_doubt())
        }
        Err(error) => Err(StepError::because("cannot read how the program ended", &error)),
    }
}

/// An error of the launcher in the words of any other error at the start.
fn launch_error(error: &LaunchError, program: &Path) -> StepError {
    match error {
        LaunchError::Exec { code: Some(code), .. } => StepError::from(StartError::Spawn {
            program: program.to_owned(),
            source: io::Error::from_raw_os_error(*code),
        }),
        LaunchError::Sandbox { .. } => StepError::new(error.to_string())
            .help("run it where the kernel has Landlock (Linux 6.10 or newer for all rules), or remove `required`"),
        LaunchError::NoPath { .. } => {
            StepError::new(error.to_string()).help("make it before this step; rules are about files that are there")
        }
        other => StepError::new(other.to_string()),
    }
}
