//! Runs a program so that it always ends, never stalls on its own output and leaves nothing behind.
//!
//! ```text
//! spawn ─ drain both pipes ─ leader exits ─ wait 1 s at most for the pipes ─ reap
//!             │
//!             └─ cancelled: TERM+CONT to the group ─ grace ─ KILL until the group is empty ─ reap
//!             └─ future dropped: KILL to the group at once
//! ```
//!
//! The program leads a process group of its own. It stays unreaped until the group has been dealt
//! with, so its number cannot pass to a stranger while signals are sent to it. A descendant that makes
//! itself a session of its own leaves the group; the `leaked` mark is what shows it.

pub mod capture;
mod environment;
mod error;
mod group;
mod handle;
mod program;
pub mod table;

use std::future::Future;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, FusedFuture, join, select};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

pub use capture::Capture;
pub use environment::{Environment, check_name};
pub use error::StartError;
use group::Group;
pub use handle::Handle;
pub use program::find as find_program;

/// How long a stopped program may take to clean up unless the step says.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// What a descendant holding a pipe may delay the end of a step; a pipe never decides when a step ends.
const PIPE_WAIT: Duration = Duration::from_secs(1);

/// A program to run: found, checked, ready to start.
#[derive(Debug)]
pub struct Launch {
    program: PathBuf,
    argv: Vec<String>,
    environment: Environment,
    folder: Option<PathBuf>,
    stdin: Option<String>,
    grace: Duration,
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
        Ok(Launch { program, argv, environment, folder, stdin: None, grace: DEFAULT_GRACE })
    }

    /// Text for standard input, which is otherwise empty.
    #[must_use]
    pub fn stdin(mut self, text: Option<String>) -> Self {
        self.stdin = text;
        self
    }

    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code, unless a signal ended the program.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: Capture,
    pub stderr: Capture,
    /// A descendant still held a pipe when the program had ended.
    pub leaked: bool,
    /// The program was stopped because the attempt was cancelled.
    pub cancelled: bool,
}

/// Runs the program to its end, or stops it and its group when `cancel` fires.
pub async fn run(launch: Launch, cancel: &CancellationToken) -> Result<Finished, StartError> {
    let (mut group, streams) = Group::spawn(&launch)?;
    let mut outputs = Outputs::new(streams.stdout, streams.stderr).map_err(StartError::watch)?;
    let (cancelled, leaked) = {
        let mut drained = pin!(outputs.drain().fuse());
        let fed = feed(streams.stdin, launch.stdin.unwrap_or_default());
        let ended = pin!(group.end(cancel, launch.grace));
        let cancelled = alongside(ended, pin!(join(&mut drained, fed))).await;
        let leaked = !drained.is_terminated() && tokio::time::timeout(PIPE_WAIT, drained).await.is_err();
        (cancelled, leaked)
    };
    outputs.stdout.1.finish();
    outputs.stderr.1.finish();
    let status = group.reap();
    Ok(Finished {
        code: status.and_then(|status| status.code()),
        signal: status.as_ref().and_then(ExitStatus::signal),
        stdout: outputs.stdout.1,
        stderr: outputs.stderr.1,
        leaked,
        cancelled,
    })
}

/// The result of `main`; `background` makes progress meanwhile and may end earlier.
async fn alongside<T>(
    main: Pin<&mut impl Future<Output = T>>,
    background: Pin<&mut impl Future<Output = ((), ())>>,
) -> T {
    match select(main, background).await {
        Either::Left((result, _)) => result,
        Either::Right((_, main)) => main.await,
    }
}

/// Both outputs of a program. They are read side by side: a program that fills one pipe while the
/// other is being waited for would never end.
struct Outputs {
    stdout: (pipe::Receiver, Capture),
    stderr: (pipe::Receiver, Capture),
}

impl Outputs {
    fn new(stdout: OwnedFd, stderr: OwnedFd) -> std::io::Result<Self> {
        let open = |end| Ok::<_, std::io::Error>((pipe::Receiver::from_owned_fd(end)?, Capture::default()));
        Ok(Outputs { stdout: open(stdout)?, stderr: open(stderr)? })
    }

    async fn drain(&mut self) {
        join(self.stdout.1.fill(&mut self.stdout.0), self.stderr.1.fill(&mut self.stderr.0)).await;
    }
}

/// Writes the text and closes standard input. A program may end without reading all of it, so a
/// broken pipe is not an error.
async fn feed(stdin: Option<OwnedFd>, text: String) {
    let Some(Ok(mut writer)) = stdin.map(pipe::Sender::from_owned_fd) else { return };
    let _ = writer.write_all(text.as_bytes()).await;
}

#[cfg(test)]
mod tests;
