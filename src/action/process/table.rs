//! The kernel's table of processes, read from `/proc`.

use std::path::Path;
use std::time::Duration;

use crate::base::Timestamp;

/// Of the times in `/proc`; fixed by the kernel's interface to programs on every machine Rust runs on.
const TICKS_PER_SECOND: u64 = 100;

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub pid: i32,
    /// The kernel's letter: `R` running, `S` sleeping, `Z` ended but not reaped.
    pub state: char,
    /// The process that started it, or the one that inherited it.
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// Clock ticks between the start of the machine and that of the process. A pid is used again, a
    /// pid with its start is not.
    pub start: u64,
}

impl Entry {
    /// The process with this number, unless there is none.
    pub fn of(pid: i32) -> Option<Self> {
        Entry::parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Still doing something: neither ended nor being removed.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }

    /// When the process was started, to about a second.
    pub fn started_at(&self) -> Option<Timestamp> {
        Some(booted_at()?.plus(Duration::from_millis(self.start * 1000 / TICKS_PER_SECOND)))
    }

    /// The program and its arguments, joined by spaces; empty when it cannot be read.
    pub fn command_line(&self) -> String {
        let bytes = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_owned()
    }

    /// Whether it was started with these variables, each written as `NAME=value`. That of others' processes
    /// cannot be read, and they are not ours.
    pub fn has_variables(&self, wanted: &[String]) -> bool {
        let environment = std::fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        let has = |line: &String| environment.split(|byte| *byte == 0).any(|known| known == line.as_bytes());
        wanted.iter().all(has)
    }

    fn parse(pid: i32, stat: &str) -> Option<Self> {
        // The name, in parentheses, may hold spaces and parentheses; the fields start behind its last.
        let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
        Some(Entry {
            pid,
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }
}

/// When the machine was started, to the second.
pub fn booted_at() -> Option<Timestamp> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let seconds: i64 = text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(Timestamp(seconds * 1000))
}

/// An identifier of this start of the machine; processes of different starts have nothing in common.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The members of a process group that are alive.
pub fn alive_in_group(group: i32) -> Vec<Entry> {
    all().into_iter().filter(|entry| entry.group == group && entry.is_alive()).collect()
}

/// Everybody, in no order that means anything.
pub fn all() -> Vec<Entry> {
    let Ok(folder) = Path::new("/proc").read_dir() else { return Vec::new() };
    folder.flatten().filter_map(|item| Entry::of(item.file_name().to_str()?.parse().ok()?)).collect()
}

/// How many threads the account of this process has.
pub fn threads_of_this_account() -> u64 {
    let own = rustix::process::getuid().as_raw();
    let threads = |pid: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let number = |name: &str| -> Option<u64> {
            status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
        };
        if number("Uid:") == Some(u64::from(own)) { number("Threads:").unwrap_or(1) } else { 0 }
    };
    all().iter().map(|entry| threads(&entry.pid)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let stat = "7 (a) Z 9 (b) S 1 5 6 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0";
        let entry = Entry::parse(7, stat).unwrap();
        assert_eq!(entry, Entry { pid: 7, state: 'S', parent: 1, group: 5, session: 6, start: 4242 });
    }

    #[test]
    fn this_process_was_started_after_the_machine_and_before_now() {
        let entry = Entry::of(std::process::id() as i32).unwrap();
        let started = entry.started_at().unwrap();
        let now = crate::base::Clock::start().now();
        assert!(booted_at().unwrap() <= started && started <= now.plus(Duration::from_secs(2)));
        assert!(!entry.command_line().is_empty());
    }

    #[test]
    fn this_process_is_in_the_table() {
        let me = std::process::id() as i32;
        let entry = Entry::of(me).unwrap();
        assert!(entry.is_alive());
        assert!(all().iter().any(|other| *other == Entry { state: other.state, ..entry.clone() }));
    }
}
