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

/// The name of the person or service account the program runs for.
pub fn user() -> String {
    variable("SUDO_USER")
        .or_else(|| variable("USER"))
        .or_else(|| variable("LOGNAME"))
        .unwrap_or_else(|| "unknown".into())
}
