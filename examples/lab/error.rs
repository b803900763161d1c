//! What can go wrong in the lab itself, and what to do about it.

use std::error::Error;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("cannot {doing} {path}")]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen { port: u16, source: io::Error },
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    #[error("the platform does not answer at {url}")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("cannot run {program}")]
    Run { program: String, source: io::Error },
    #[error("{what}")]
    Impossible { what: String, help: &'static str },
}

impl LabError {
    /// For `map_err` on calls about one file.
    pub fn file<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> LabError + 'a {
        move |source| LabError::File { doing, path: path.to_owned(), source }
    }

    pub fn impossible(what: impl Into<String>, help: &'static str) -> Self {
        LabError::Impossible { what: what.into(), help }
    }

    fn help(&self) -> Option<&'static str> {
        match self {
            LabError::Listen { .. } => Some("choose another port with --port, or stop what listens there"),
            LabError::Unreachable { .. } => Some("start it with `lab up`, or bring it back with `lab heal`"),
            LabError::Impossible { help, .. } => Some(help),
            _ => None,
        }
    }

    /// The error, its causes and the way out, for a terminal.
    pub fn explain(&self) -> String {
        let mut text = format!("error: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        if let Some(help) = self.help() {
            let _ = write!(text, "\nhelp: {help}");
        }
        text
    }
}
