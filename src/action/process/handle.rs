//! A hold on a process, of ours or not, that keeps meaning the same process when its number is used again.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process descriptor of the kernel.
#[derive(Debug)]
pub struct Handle(AsyncFd<OwnedFd>);

impl Handle {
    /// The process that has this number now; `None` when there is none.
    pub fn open(pid: Pid) -> io::Result<Option<Self>> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => Ok(Some(Handle(watch(descriptor)?))),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Resolves when the process has ended, reaped or not.
    pub async fn ended(&self) {
        // An error means that the runtime is going away, and with it everything that could wait.
        let _ = self.0.readable().await;
    }

    /// Sends a signal; a process that has ended needs none.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.0.get_ref(), signal) {
            Err(Errno::SRCH) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[expect(deprecated, reason = "an OwnedFd keeps its descriptor open, which the unsafe successor asks to promise")]
fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}
