//! What systemd is told (sd_notify(3), sd_watchdog_enabled(3)): ready, well, reloading, stopping. Without systemd
//! nobody is told, and nothing else changes.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use crate::base::environment;

/// The service manager that started this program, if one did.
#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    line: Option<Arc<(UnixDatagram, SocketAddr)>>,
    /// How long it waits for a sign of life before it ends this program.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As the environment names it.
    pub fn of_this_process() -> Self {
        let Some(line) = environment::variable("NOTIFY_SOCKET").and_then(|name| connect(&name)) else {
            return Supervisor::default();
        };
        // The variables of a parent that did not mean this process.
        let for_us =
            environment::variable("WATCHDOG_PID").is_none_or(|process| process == std::process::id().to_string());
        let microseconds = environment::variable("WATCHDOG_USEC").filter(|_| for_us).and_then(|text| text.parse().ok());
        let watchdog = microseconds.filter(|microseconds| *microseconds > 0).map(Duration::from_micros);
        Supervisor { line: Some(Arc::new(line)), watchdog }
    }

    /// It listens and takes what comes; `status` is shown by `systemctl status`.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// It reads its playbooks again, until it is ready again.
    pub fn reloading(&self) {
        self.tell("RELOADING=1");
    }

    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=nothing new starts; runs may come to their end");
    }

    fn tell(&self, state: &str) {
        if let Some(line) = &self.line
            && let Err(error) = line.0.send_to_addr(state.as_bytes(), &line.1)
        {
            tracing::warn!(%error, "the service manager could not be told");
        }
    }

    /// Gives signs of life for as long as all is well. One that is ill is silent: systemd then starts it anew, and
    /// what it left goes on.
    pub(super) async fn keep_alive(self, shared: Arc<Shared>) {
        let Some(watchdog) = self.watchdog else { return };
        loop {
            if shared.health.look(&shared).await.is_good() {
                self.tell("WATCHDOG=1");
            }
            // Twice as often as needed, as the manual recommends.
            tokio::time::sleep(watchdog / 2).await;
        }
    }
}

/// A path, or behind `@` a name in the abstract namespace of Linux.
fn connect(name: &str) -> Option<(UnixDatagram, SocketAddr)> {
    let connected = || {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold up the server.
        socket.set_nonblocking(true)?;
        Ok((socket, address))
    };
    let connected: std::io::Result<_> = connected();
    connected.inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET cannot be used")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_behind_an_at_sign_is_abstract() {
        let name = format!("runbook-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let line = connect(&format!("@{name}")).map(Arc::new);
        Supervisor { line, watchdog: None }.ready("3 playbooks");
        let mut said = [0; 64];
        let length = manager.recv(&mut said).unwrap();
        assert_eq!(&said[..length], b"READY=1\nSTATUS=3 playbooks");
    }
}
