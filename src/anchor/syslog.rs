//! `syslog`: checkpoints as messages to the local syslog (RFC 5424), which forwards them to another machine.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Anchor, AnchorError, Offer, blocking};
use crate::audit::one_line;
use crate::base::{Clock, Timestamp};

/// Facility 10 (security), severity 5 (notice): 10 × 8 + 5.
const PRIORITY: u8 = 85;

/// A syslog that does not read its socket must not hold anything up.
const TIME_LIMIT: Duration = Duration::from_secs(5);

pub struct Keeper;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The datagram socket of the syslog.
    #[serde(default = "default_socket")]
    pub socket: PathBuf,
}

fn default_socket() -> PathBuf {
    "/dev/log".into()
}

impl Anchor for Keeper {
    const NAME: &'static str = "syslog";
    const SUMMARY: &'static str = "Sends checkpoints to the local syslog, which should forward them. \
        A syslog confirms nothing: what is counted as kept was only handed over.";
    const EXAMPLE: &'static str = "{socket: /dev/log}";
    type Config = Config;

    async fn keep(config: Config, offer: Offer) -> Result<(), AnchorError> {
        blocking(move || {
            let message = message(&offer, Clock::start().now());
            send(&config.socket, &message)
                .map_err(|error| AnchorError::of_io(&format!("send to {}", config.socket.display()), &error))
        })
        .await
    }
}

fn send(socket: &Path, message: &str) -> Result<(), std::io::Error> {
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(TIME_LIMIT))?;
    sender.send_to(message.as_bytes(), socket).map(drop)
}

fn message(offer: &Offer, at: Timestamp) -> String {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let machine: String = machine.chars().filter(char::is_ascii_graphic).take(255).collect();
    let machine = if machine.is_empty() { "-".to_owned() } else { machine };
    let (time, process) = (at.to_rfc3339(), std::process::id());
    format!(
        "<{PRIORITY}>1 {time} {machine} runbook {process} checkpoint - {}",
        one_line(&offer.checkpoint, &offer.note)
    )
}

#[cfg(test)]
mod tests {
    use super::super::doubles::Log;
    use super::*;
    use crate::audit::{Verdict, notes_in};

    #[tokio::test]
    async fn a_checkpoint_is_one_message_that_can_be_verified() {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("log");
        let syslog = UnixDatagram::bind(&socket).unwrap();
        Keeper::keep(Config { socket }, Log::of(9).offer(7)).await.unwrap();
        let mut received = [0; 2048];
        let length = syslog.recv(&mut received).unwrap();
        let line = std::str::from_utf8(&received[..length]).unwrap();
        assert!(line.starts_with("<85>1 2") && line.contains(" runbook ") && !line.contains('\n'), "{line}");
        let notes = notes_in(line);
        assert_eq!(Log::key().public().verify(&notes[0].1), Verdict::Signed);
    }

    #[tokio::test]
    async fn a_syslog_that_is_not_there_is_an_error() {
        let socket = PathBuf::from("/nonexistent/log");
        assert!(
            Keeper::keep(Config { socket }, Log::of(3).offer(3)).await.unwrap_err().message.contains("cannot send to")
        );
    }
}
