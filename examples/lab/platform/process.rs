//! The process of the platform: pid file, signals, memory.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use runbook::base::Clock;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Platform, http};
use crate::error::LabError;
use crate::folder::Folder;
use crate::supervisor;

/// Runs the platform until it is asked to end.
pub async fn serve(folder: Folder, port: u16) -> Result<(), LabError> {
    let listen_failed = |source| LabError::Listen { port, source };
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(listen_failed)?;
    // The signals are taken before anybody can know the process by its pid file.
    let mut signals = Signals::take()?;
    let pid_file = folder.pid_file();
    fs::write(&pid_file, format!("{}\n", std::process::id())).map_err(LabError::file("write", &pid_file))?;
    let platform = Arc::new(Platform::new(folder, Clock::start())?);
    platform.log.info("platform", &format!("STARTED pid={} port={port}", std::process::id()));
    platform.initialise_all().await;
    tokio::select! {
        ended = axum::serve(listener, http::router(Arc::clone(&platform))) => ended.map_err(listen_failed)?,
        () = Arc::clone(&platform).own_traffic() => {}
        () = signals.until_end(&platform) => {}
        () = until_abandoned(&platform.folder) => {}
    }
    platform.log.info("platform", "STOPPED");
    fs::remove_file(&pid_file).map_err(LabError::file("delete", &pid_file))
}

/// Returns when the process that set the lab up is gone: killed, it cannot clean up behind itself.
async fn until_abandoned(folder: &Folder) {
    let mut looks = tokio::time::interval(Duration::from_secs(1));
    while supervisor::owner_lives(folder) {
        looks.tick().await;
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn take() -> Result<Self, LabError> {
        let take = |kind| signal(kind).map_err(LabError::Signals);
        Ok(Signals {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hang_up: take(SignalKind::hangup())?,
        })
    }

    /// Reloads at each SIGHUP, and returns when the process shall end.
    async fn until_end(&mut self, platform: &Platform) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                // A configuration that is not valid is in the log already.
                _ = self.hang_up.recv() => drop(platform.reload().await),
            }
        }
    }
}

/// Resident memory of this process; 0 where the kernel does not tell.
pub fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.map_or(0, |number| number * 1024)
}
