//! A running process group and how it ends.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Handle, Launch, StartError, table};

/// How long KILL may take. Only a process stuck in the kernel survives it, and waiting for that would
/// hold up the run: the end is promised two seconds after the grace, one of which the pipes may take.
const KILL_LIMIT: Duration = Duration::from_millis(900);
/// Between two looks at the process table: short against a grace, long against the cost of a look.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The ends of the pipes that the engine holds.
pub struct Streams {
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// A program and what it has started. Dropping it kills the group.
pub struct Group {
    /// Held unreaped as long as the group may still be signalled: an unreaped number is not used again.
    leader: Option<Child>,
    id: Pid,
    handle: Handle,
}

impl Group {
    pub fn spawn(launch: &Launch) -> Result<(Self, Streams), StartError> {
        let failed = |source| StartError::Spawn { program: launch.program.clone(), source };
        let mut child = command(launch).spawn().map_err(failed)?;
        let streams = streams(&mut child);
        let id = Pid::from_child(&child);
        // From here on an early return must not leave the program running.
        let mut leader = Unwatched(Some(child));
        let ended = Handle::open(id).map_err(StartError::watch)?;
        // An unreaped child always has a number to open, and a piped stream always has an end.
        let (Some(handle), Some(streams)) = (ended, streams) else {
            return Err(StartError::watch(std::io::ErrorKind::BrokenPipe.into()));
        };
        Ok((Group { leader: leader.0.take(), id, handle }, streams))
    }

    /// Waits until the leader has ended, or stops the group when `cancel` fires; tells whether it did.
    pub async fn end(&self, cancel: &CancellationToken, grace: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.handle.ended() => false,
            () = cancel.cancelled() => {
                self.stop(grace).await;
                true
            }
        }
    }

    /// The leader's status; `None` when it could not be killed.
    pub fn reap(&mut self) -> Option<ExitStatus> {
        let status = self.leader.as_mut()?.try_wait().ok().flatten();
        if status.is_some() {
            self.leader = None;
        }
        status
    }

    async fn stop(&self, grace: Duration) {
        self.signal(Signal::TERM);
        // A stopped process cannot act on TERM before it continues.
        self.signal(Signal::CONT);
        if self.gone_by(Instant::now() + grace, None).await {
            return;
        }
        self.gone_by(Instant::now() + KILL_LIMIT, Some(Signal::KILL)).await;
    }

    /// Waits until nobody of the group is alive, sending `signal` to those left at each look.
    async fn gone_by(&self, deadline: Instant, signal: Option<Signal>) -> bool {
        if let Some(signal) = signal {
            self.signal(signal);
        }
        if timeout_at(deadline, self.handle.ended()).await.is_err() {
            return false;
        }
        while !table::alive_in_group(self.id).is_empty() {
            if Instant::now() >= deadline {
                return false;
            }
            if let Some(signal) = signal {
                self.signal(signal);
            }
            sleep(LOOK_AGAIN).await;
        }
        true
    }

    fn signal(&self, signal: Signal) {
        // No such group: everybody has gone, which is what was wanted.
        let _ = kill_process_group(self.id, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(Unwatched(self.leader.take()));
    }
}

/// A started program that nobody waits for any more: dropping it kills its group and reaps it.
struct Unwatched(Option<Child>);

impl Drop for Unwatched {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        if matches!(child.try_wait(), Ok(None)) {
            // A drop cannot wait, and the dying leader must still be reaped.
            let reaper = std::thread::Builder::new().name("reaper".into());
            let _ = reaper.spawn(move || child.wait());
        }
    }
}

fn command(launch: &Launch) -> Command {
    let mut command = Command::new(&launch.program);
    command
        .arg0(&launch.argv[0])
        .args(&launch.argv[1..])
        .env_clear()
        .envs(launch.environment.variables().iter().map(|(name, value)| (name, value)))
        // The group is set by posix_spawn itself; a hook before exec would make every start a slow fork.
        .process_group(0)
        .stdin(if launch.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(folder) = &launch.folder {
        command.current_dir(folder);
    }
    command
}

fn streams(child: &mut Child) -> Option<Streams> {
    Some(Streams {
        stdin: child.stdin.take().map(OwnedFd::from),
        stdout: OwnedFd::from(child.stdout.take()?),
        stderr: OwnedFd::from(child.stderr.take()?),
    })
}
