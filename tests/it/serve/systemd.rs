//! What systemd is told, and the unit that it is given.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use runbook::base::Clock;
use rustix::process::Signal;

use super::health::break_calls;
use super::{place, start};
use crate::support::Runbook;
use crate::tracing;

/// The watchdog of the tests; the server gives a sign of life twice as often.
const WATCHDOG: Duration = Duration::from_millis(400);

/// What stands in for systemd: a socket that takes what the server says.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn of(runbook: Runbook) -> (Self, Runbook) {
        let path = runbook.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        let runbook = runbook
            .variable("NOTIFY_SOCKET", path.display().to_string())
            .variable("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        (Manager { socket }, runbook)
    }

    fn next(&self) -> Option<String> {
        let mut said = [0; 256];
        let length = self.socket.recv(&mut said).ok()?;
        Some(String::from_utf8_lossy(&said[..length]).into_owned())
    }

    /// Waits for something that begins so.
    fn until(&self, beginning: &str) -> String {
        loop {
            let said = self.next().unwrap_or_else(|| panic!("'{beginning}' was not said"));
            if said.starts_with(beginning) {
                return said;
            }
        }
    }

    /// How often it gives a sign of life in some watchdogs' time.
    fn signs_of_life(&self, watchdogs: u32) -> usize {
        let (clock, mut count) = (Clock::start(), 0);
        self.socket.set_read_timeout(Some(WATCHDOG)).expect("a socket");
        while clock.elapsed() < WATCHDOG * watchdogs {
            count += usize::from(self.next().is_some_and(|said| said == "WATCHDOG=1"));
        }
        self.socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        count
    }
}

#[test]
fn it_is_ready_when_it_listens_says_when_it_reloads_and_when_it_stops() {
    let (manager, runbook) = Manager::of(place(""));
    let served = start(&runbook);
    assert_eq!(manager.until("READY=1"), "READY=1\nSTATUS=1 playbook, 1 trigger");
    served.client.get("/health", None).is(200);
    assert!(manager.signs_of_life(5) >= 5);
    served.running.signal(Signal::HUP);
    manager.until("RELOADING=1");
    manager.until("READY=1");
    served.running.signal(Signal::TERM);
    manager.until("STOPPING=1");
    served.running.done().exits(0);
}

#[test]
fn it_gives_no_sign_of_life_while_it_is_ill() {
    if !tracing::is_possible("the silence of a server that is ill") {
        return;
    }
    let (manager, runbook) = Manager::of(place(""));
    let mut served = start(&runbook);
    manager.until("WATCHDOG=1");
    let _strace = break_calls(&runbook, &mut served, "fdatasync,fsync", "error=EIO");
    served.running.until("it is ill", || served.client.get("/health", None).status == 503);
    // Those that were on their way.
    manager.signs_of_life(1);
    assert_eq!(manager.signs_of_life(10), 0);
}

#[test]
fn a_watchdog_that_is_meant_for_another_process_gets_no_sign_of_life() {
    let (manager, runbook) = Manager::of(place("").variable("WATCHDOG_PID", "1"));
    let _served = start(&runbook);
    manager.until("READY=1");
    assert_eq!(manager.signs_of_life(5), 0);
}

#[test]
fn systemd_has_nothing_to_say_against_the_unit() {
    let unit = include_str!("../../../examples/systemd/runbook.service");
    // Where the program will be, and is not on this machine.
    let runbook =
        Runbook::new().file("runbook.service", unit.replace("/usr/local/bin/runbook", env!("CARGO_BIN_EXE_runbook")));
    let path = runbook.path("runbook.service");
    let Ok(said) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output() else {
        return tracing::tell("NOT CHECKED: the unit of systemd, by systemd-analyze; Debian has systemd");
    };
    let everything = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    // What other units of the machine lack is not about this one.
    let about: Vec<&str> = everything.lines().filter(|line| line.contains("runbook.service")).collect();
    assert!(about.is_empty(), "{about:#?}");
}
