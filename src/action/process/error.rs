//! Why a program could not be started, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::kind::StepError;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("there is no program to run")]
    Empty,
    #[error("argument {position} holds a NUL byte, which no argument can")]
    Nul { position: usize },
    #[error("the working folder {path} does not exist")]
    Folder { path: PathBuf },
    #[error("the program '{program}' was not found")]
    NotFound { program: String, searched: String },
    #[error("{path} is not an executable file")]
    NotExecutable { path: PathBuf },
    #[error("cannot start {program}")]
    Spawn { program: PathBuf, source: io::Error },
    #[error("cannot watch the started program")]
    Watch { source: io::Error },
}

impl StartError {
    pub(super) fn watch(source: io::Error) -> Self {
        StartError::Watch { source }
    }

    fn help(&self) -> Option<String> {
        match self {
            StartError::Empty => Some("write the program and its arguments as a list: [systemctl, status, api]".into()),
            StartError::Nul { .. } => Some("the inserted value comes from data; check it with `expect` before".into()),
            StartError::Folder { .. } => Some("make the folder, or correct `cwd`".into()),
            StartError::NotFound { searched, .. } => {
                Some(format!("install it, or give its full path; searched {searched}"))
            }
            StartError::NotExecutable { path } => Some(format!("if it is a script: chmod +x {}", path.display())),
            StartError::Spawn { program, source } => spawn_help(program, source),
            StartError::Watch { .. } => {
                Some("the kernel must be Linux 5.3 or newer, with file descriptors left".into())
            }
        }
    }
}

fn spawn_help(program: &std::path::Path, source: &io::Error) -> Option<String> {
    match source.raw_os_error().map(rustix::io::Errno::from_raw_os_error)? {
        rustix::io::Errno::NOEXEC => Some(format!("{} needs a first line such as #!/bin/sh", program.display())),
        rustix::io::Errno::NOENT => Some("the interpreter named in its first line does not exist".into()),
        rustix::io::Errno::TOOBIG => Some("pass long values by `stdin` instead of arguments or `env`".into()),
        rustix::io::Errno::AGAIN | rustix::io::Errno::NOMEM => Some("the machine is out of processes or memory".into()),
        _ => None,
    }
}

impl From<StartError> for StepError {
    fn from(error: StartError) -> Self {
        let message = match std::error::Error::source(&error) {
            Some(cause) => StepError::because(&error, cause),
            None => StepError::new(error.to_string()),
        };
        match error.help() {
            Some(help) => message.help(help),
            None => message,
        }
    }
}
