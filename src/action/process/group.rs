//! A running program and how it and everything it has started end.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::family::{Family, Kin};
use super::privilege::spawn_unprivileged;
use super::{Handle, Launch, StartError, Stop, Stopped};

/// How long KILL may take. Only a process stuck in the kernel survives it, and waiting for that would
/// hold up the run: the end is promised two seconds after the grace, one of which the pipes may take.
const KILL_LIMIT: Duration = Duration::from_millis(900);
/// Between two looks at the process table: short against a grace, long against the cost of a look.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A tracer that watches the program, such as strace or a security monitor, learns its status first; as long
/// as it takes to pass that on, the program has ended and cannot be waited for.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// The ends of the pipes that the engine holds.
pub struct Streams {
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// A program and what it has started. Dropping it kills them.
pub struct Group {
    /// Held unreaped as long as the group may still be signalled: an unreaped number is not used again.
    leader: Option<Child>,
    family: Arc<Family>,
    handle: Handle,
}

impl Group {
    pub fn spawn(launch: &Launch, kin: Kin) -> Result<(Self, Streams), StartError> {
        let failed = |source| StartError::Spawn { program: launch.program.clone(), source };
        let mut child = start(launch).map_err(failed)?;
        let streams = streams(&mut child);
        let id = Pid::from_child(&child);
        // From here on an early return must not leave the program running.
        let mut leader = Unwatched(Some(child));
        let ended = Handle::open(id).map_err(StartError::watch)?;
        // An unreaped child always has a number to open, and a piped stream always has an end.
        let (Some(handle), Some(streams)) = (ended, streams) else {
            return Err(StartError::watch(std::io::ErrorKind::BrokenPipe.into()));
        };
        Ok((Group { leader: leader.0.take(), family: Arc::new(Family::new(id, kin)), handle }, streams))
    }

    /// Waits until the leader has ended, or stops everybody when `stop` comes; tells whether and why it did.
    pub async fn end(&self, stop: impl Future<Output = Stop>, hurry: &CancellationToken) -> Option<Stopped> {
        tokio::select! {
            biased;
            () = self.handle.ended() => None,
            stop = stop => {
                self.stop(stop.grace, hurry).await;
                Some(stop.why)
            }
        }
    }

    /// Who belongs to the program.
    pub fn family(&self) -> Arc<Family> {
        self.family.clone()
    }

    /// The leader's status; `None` when it could not be killed.
    pub async fn reap(&mut self) -> Option<ExitStatus> {
        let release = Instant::now() + RELEASE_LIMIT;
        let leader = self.leader.as_mut()?;
        let mut status = leader.try_wait().ok().flatten();
        while status.is_none() && self.handle.ended().now_or_never().is_some() && Instant::now() < release {
            sleep(LOOK_AGAIN).await;
            status = leader.try_wait().ok().flatten();
        }
        if status.is_some() {
            self.leader = None;
        }
        status
    }

    async fn stop(&self, grace: Duration, hurry: &CancellationToken) {
        self.family.signal(Signal::TERM);
        // A stopped process cannot act on TERM before it continues.
        self.family.signal(Signal::CONT);
        let obeyed = tokio::select! {
            obeyed = self.gone_by(Instant::now() + grace, None) => obeyed,
            () = hurry.cancelled() => false,
        };
        if !obeyed {
            self.gone_by(Instant::now() + KILL_LIMIT, Some(Signal::KILL)).await;
        }
    }

    /// Waits until nobody is alive, sending `signal` to those left at each look: one that was just being
    /// started by another is seen at the next.
    async fn gone_by(&self, deadline: Instant, signal: Option<Signal>) -> bool {
        if let Some(signal) = signal {
            self.family.signal(signal);
        }
        if timeout_at(deadline, self.handle.ended()).await.is_err() {
            return false;
        }
        while !self.family.alive().is_empty() {
            if Instant::now() >= deadline {
                return false;
            }
            if let Some(signal) = signal {
                self.family.signal(signal);
            }
            sleep(LOOK_AGAIN).await;
        }
        true
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.leader.is_some() {
            // Those outside of the group, who cannot be found any more when the leader has gone.
            self.family.signal(Signal::KILL);
        }
        drop(Unwatched(self.leader.take()));
    }
}

/// A started program that nobody waits for any more: dropping it kills its group and reaps it.
struct Unwatched(Option<Child>);

impl Drop for Unwatched {
    fn drop(&mut self) {
        if let Some(child) = self.0.take() {
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            reap(child);
        }
    }
}

/// Reaps a child that is about to end. A drop cannot wait, and the dying child must still be reaped.
pub(super) fn reap(mut child: Child) {
    if matches!(child.try_wait(), Ok(None)) {
        let reaper = std::thread::Builder::new().name("reaper".into());
        let _ = reaper.spawn(move || child.wait());
    }
}

fn start(launch: &Launch) -> std::io::Result<Child> {
    let mut command = command(launch);
    // A launcher sets the mark itself, in the program's own process.
    if launch.confinement.new_privileges || launch.launcher.is_some() {
        return command.spawn();
    }
    spawn_unprivileged(command)
}

fn command(launch: &Launch) -> Command {
    let mut command = match &launch.launcher {
        Some(launcher) => launcher.command(launch),
        None => {
            let mut command = Command::new(&launch.program);
            command.arg0(&launch.argv[0]).args(&launch.argv[1..]);
            command
        }
    };
    command
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
