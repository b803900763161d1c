//! The program under `strace`: killed, failed or delayed at a chosen system call, or only listened to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use runbook::base::environment;

use crate::support::{Call, Runbook};

/// Tells the reader of the log, whatever the test's outcome: what was not tried, and how much was.
pub fn tell(text: &str) {
    // Not `eprintln!`, which is kept from the log when the test passes.
    drop(std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes()));
}

/// Whether a program can be traced here. Where it cannot, that is said.
pub fn is_possible(test: &str) -> bool {
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let possible = tried.is_ok_and(|status| status.success());
    if !possible {
        tell(&format!("NOT CHECKED: {test} needs strace and the right to trace; the Debian package is named strace"));
    }
    possible
}

/// Where the system calls of the last traced call are written down.
pub fn trace_file(place: &Runbook) -> PathBuf {
    place.state().with_file_name("trace")
}

pub fn trace(place: &Runbook) -> String {
    std::fs::read_to_string(trace_file(place)).expect("a trace")
}

/// A call of the program and of all it starts, traced with these options.
pub fn traced<'a>(place: &'a Runbook, options: &[&str], arguments: &[&str]) -> Call<'a> {
    let file = trace_file(place).display().to_string();
    // Not `--seccomp-bpf`, which is faster: where calls are stopped by it the kernel drops injected signals.
    let fixed = ["-f", "-q", "-o", &file];
    let program = ["--", env!("CARGO_BIN_EXE_runbook")];
    let all = fixed.into_iter().chain(options.iter().copied()).chain(program).chain(arguments.iter().copied());
    place.program("strace", all)
}

/// How often the busiest thread made each system call of the trace; an injection counts for each thread alone.
pub fn most_by_one_thread(trace: &str) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        *counts.entry((thread, call)).or_default() += 1;
    }
    let mut most: BTreeMap<String, usize> = BTreeMap::new();
    for ((_, call), count) in counts {
        let known = most.entry(call.to_owned()).or_default();
        *known = count.max(*known);
    }
    most
}

/// Whether every point is to be tried, for nightly runs, and not a part that everybody can wait for.
pub fn try_all() -> bool {
    environment::variable("RUNBOOK_TEST_ALL").is_some()
}

/// Tries every case, several at a time: such runs mostly wait for the disk.
pub fn each<T: Sync>(cases: &[T], attempt: impl Fn(&T) + Sync) {
    const AT_A_TIME: usize = 4;
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    attempt(case);
                }
            });
        }
    });
}
