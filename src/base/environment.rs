//! The one place that reads environment variables.

use std::path::PathBuf;

/// The variable's text, or `None` when it is unset, empty or not UTF-8.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The variable as a path, whatever its encoding, or `None` when it is unset or empty.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// Where files go that nobody needs after the program.
pub fn temporary_folder() -> PathBuf {
    path("TMPDIR").unwrap_or_else(|| "/tmp".into())
}

/// The name of the person or service account the program runs for.
pub fn user() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(variable);
    named.unwrap_or_else(account)
}

/// The account's name; services and containers often have no variable that says it.
fn account() -> String {
    let number = rustix::process::getuid().as_raw().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mine = accounts
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&number.as_str()));
    mine.map_or_else(|| format!("uid {number}"), |fields| fields[0].to_owned())
}
