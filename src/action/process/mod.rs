//! Runs a program so that it always ends, never stalls on its own output and leaves nothing behind.
//!
//! ```text
//! spawn ─ drain both pipes ─ leader exits ─ wait 1 s at most for the pipes ─ reap
//!             │
//!             └─ cancelled: TERM+CONT to all ─ grace ─ KILL until nobody is left ─ reap
//!             └─ future dropped: KILL to all at once
//! ```
//!
//! The program leads a process group of its own. It stays unreaped until the group has been dealt
//! with, so its number cannot pass to a stranger while signals are sent to it. Descendants that leave
//! the group are found by their parents and by the marks in their environment (`family`).
//!
//! A program that must not be repeated, or that is limited, runs under a process of its own which
//! outlives the engine: `shim`.

pub mod capture;
mod cgroup;
mod confine;
mod environment;
mod error;
mod family;
mod group;
mod handle;
mod identity;
mod outputs;
mod privilege;
mod program;
pub mod shim;
pub mod table;

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use crate::base::live::Tail;
use futures_util::FutureExt;
use futures_util::future::{FusedFuture, join};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

pub use capture::Capture;
pub use confine::{Confinement, Enforcement, Limits, Orphan, Sandbox};
pub use environment::{Environment, check_name};
pub use error::StartError;
use family::Kin;
use group::Group;
pub use handle::Handle;
pub use identity::Identity;
use outputs::{Outputs, alongside, feed};
pub use program::find as find_program;

/// How long a stopped program may take to clean up unless the step says.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// What a descendant holding a pipe may delay the end of a step; a pipe never decides when a step ends.
const PIPE_WAIT: Duration = Duration::from_secs(1);

/// Text for standard input, which may be a secret.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Input(String);

impl std::fmt::Debug for Input {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

/// A program to run: found, checked, ready to start.
#[derive(Debug, Serialize, Deserialize)]
pub struct Launch {
    program: PathBuf,
    argv: Vec<String>,
    environment: Environment,
    folder: Option<PathBuf>,
    stdin: Option<Input>,
    grace: Duration,
    confinement: Confinement,
    /// The file in which whoever looks on sees its output.
    live: Option<PathBuf>,
    /// What sets up the program's own process before it.
    #[serde(skip)]
    launcher: Option<shim::Launcher>,
}

impl Launch {
    /// Finds the program of `argv` on the `PATH` of the environment, or relative to the folder.
    pub fn new(argv: Vec<String>, environment: Environment, folder: Option<PathBuf>) -> Result<Self, StartError> {
        if let Some(position) = argv.iter().position(|argument| argument.contains('\0')) {
            return Err(StartError::Nul { position });
        }
        let name = argv.first().filter(|name| !name.is_empty()).ok_or(StartError::Empty)?;
        if let Some(folder) = folder.as_ref().filter(|folder| !folder.is_dir()) {
            return Err(StartError::Folder { path: folder.clone() });
        }
        let program = program::find(name, environment.search_path(), folder.as_deref())?;
        let (grace, confinement) = (DEFAULT_GRACE, Confinement::default());
        Ok(Launch { program, argv, environment, folder, stdin: None, grace, confinement, live: None, launcher: None })
    }

    /// Text for standard input, which is otherwise empty.
    #[must_use]
    pub fn stdin(mut self, text: Option<String>) -> Self {
        self.stdin = text.map(Input);
        self
    }

    /// Shows the output as it comes in this file ([`crate::base::live`]).
    #[must_use]
    pub fn shown_in(mut self, file: Option<PathBuf>) -> Self {
        self.live = file;
        self
    }

    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What the program may use and touch. Limits and a sandbox take effect under a [`shim`] only.
    #[must_use]
    pub fn confined(mut self, confinement: Confinement) -> Self {
        self.confinement = confinement;
        self
    }
}

/// Why a program was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stopped {
    /// The attempt was cancelled or out of time.
    Cancelled,
    /// The engine had died, and the time of the attempt was over.
    OutOfTime(Duration),
    /// The engine had died, and the step says that its program dies too.
    Orphaned,
    /// It had more processes than it may have.
    Processes(u32),
}

/// The wish that a program ends.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    why: Stopped,
    grace: Duration,
}

/// A program that has ended.
#[derive(Debug, Serialize, Deserialize)]
pub struct Finished {
    /// The exit code, unless a signal ended the program.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: Capture,
    pub stderr: Capture,
    /// A descendant still held a pipe when the program had ended.
    pub leaked: bool,
    pub stopped: Option<Stopped>,
    /// What the kernel enforces of the sandbox, if there is one.
    pub sandbox: Option<Enforcement>,
    /// How long it ran.
    pub took: Duration,
    /// The engine that started it had died before it ended.
    pub adopted: bool,
}

/// Runs the program to its end, or stops it and its descendants when `cancel` fires.
pub async fn run(launch: Launch, cancel: &CancellationToken) -> Result<Finished, StartError> {
    let kin = Kin::marked(&launch.environment);
    let stop = cancel.cancelled().map(|()| Stop { why: Stopped::Cancelled, grace: launch.grace });
    let (mut group, streams) = Group::spawn(&launch, kin)?;
    supervise(&mut group, streams, &launch, stop, &CancellationToken::new()).await
}

/// Sees a started program to its end.
async fn supervise(
    group: &mut Group,
    streams: group::Streams,
    launch: &Launch,
    stop: impl Future<Output = Stop>,
    hurry: &CancellationToken,
) -> Result<Finished, StartError> {
    let started = tokio::time::Instant::now();
    let tail = launch.live.clone().map(Tail::new);
    let mut outputs = Outputs::new(streams.stdout, streams.stderr, tail.as_ref()).map_err(StartError::watch)?;
    let (stopped, leaked) = {
        let mut drained = pin!(outputs.drain().fuse());
        let fed = feed(streams.stdin, launch.stdin.clone().unwrap_or_default().0);
        let ended = pin!(group.end(stop, hurry));
        let stopped = alongside(ended, pin!(join(&mut drained, fed))).await;
        let leaked = !drained.is_terminated() && tokio::time::timeout(PIPE_WAIT, drained).await.is_err();
        (stopped, leaked)
    };
    outputs.stdout.1.finish();
    outputs.stderr.1.finish();
    let status = group.reap().await;
    Ok(Finished {
        code: status.and_then(|status| status.code()),
        signal: status.as_ref().and_then(ExitStatusExt::signal),
        stdout: outputs.stdout.1,
        stderr: outputs.stderr.1,
        leaked,
        stopped,
        sandbox: None,
        took: started.elapsed(),
        adopted: false,
    })
}

#[cfg(test)]
mod tests;
