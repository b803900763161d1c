//! A command line as people read it, without its secrets.

use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};

use crate::probe::procfs::Process;
use crate::probe::text::clean;

/// Java services have command lines of many kilobytes; the start names the program.
const SHOWN_BYTES: usize = 1024;

/// What stands after a telling option or variable, and the password in an address.
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    let word = "(?:pass(?:word|wd|phrase)?|secret|token|credential|api[-_]?key|access[-_]?key|private[-_]?key)";
    // One space separates arguments here, so a value ends there.
    let pattern = format!(r"(?i)([\w-]*{word}[\w-]*(?:=|:| ))([^ ]+)|(://[^/@: ]*:)([^@/ ]+)(@)");
    Regex::new(&pattern).expect("the pattern is constant and a test uses it")
});

/// The arguments separated by one space; a kernel thread shows its short name.
pub(super) fn line(process: &Process) -> Vec<u8> {
    if process.arguments.is_empty() { process.short_name.clone() } else { process.arguments.join(&b' ') }
}

/// The command line for output.
pub(super) fn show(process: &Process) -> String {
    let line = line(process);
    let hidden = SECRET.replace_all(&line, |part: &Captures| {
        let group = |number: usize| part.get(number).map_or(&b""[..], |group| group.as_bytes());
        [group(1), group(3), b"***", group(5)].concat()
    });
    clean(&hidden, SHOWN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(arguments: &[&str]) -> String {
        show(&Process {
            pid: 1,
            parent: 0,
            short_name: b"kworker".to_vec(),
            state: 'S',
            threads: 1,
            cpu_ticks: 0,
            started_ticks: 0,
            arguments: arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect(),
            program: None,
        })
    }

    #[test]
    fn secrets_are_left_out() {
        for (arguments, expected) in [
            (vec!["app", "--password=hunter2", "-v"], "app --password=*** -v"),
            (vec!["app", "--db-password", "hunter2"], "app --db-password ***"),
            (vec!["env", "API_KEY=hunter2", "app"], "env API_KEY=*** app"),
            (vec!["app", "redis://user:hunter2@host:6379/0"], "app redis://user:***@host:6379/0"),
            (vec!["app", "--Token:hunter2"], "app --Token:***"),
            (vec!["app", "--port", "80"], "app --port 80"),
            (vec![], "kworker"),
        ] {
            assert_eq!(shown(&arguments), expected);
        }
    }

    #[test]
    fn long_and_odd_command_lines_are_bounded() {
        assert!(shown(&["x".repeat(1 << 20).as_str()]).len() < SHOWN_BYTES + 10);
        assert_eq!(shown(&["a\x1b[2J"]), r"a\u{1b}[2J");
    }
}
