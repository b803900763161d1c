//! Models from the command line, and the child that judges one for a step.

use std::path::{Path, PathBuf};

use super::Exit;
use super::output::Failure;
use crate::model;
use crate::probe::MODEL_TASKS;

/// This program, as its children are started.
pub fn this_program() -> PathBuf {
    // The running image itself: it is there, and speaks the same protocol, when an upgrade has replaced the file.
    let image = Path::new("/proc/self/exe");
    if image.exists() { image.to_owned() } else { std::env::current_exe().unwrap_or_else(|_| "runbook".into()) }
}

/// Does what the request on standard input asks.
pub fn child() -> Result<Exit, Failure> {
    model::child::serve(MODEL_TASKS).map(|()| Exit::Done).map_err(|error| Failure::because(Exit::Error, &error))
}

/// Tries a library of ONNX Runtime and says how it went.
pub fn probe_library(path: &Path) -> Result<Exit, Failure> {
    model::library::probe_and_tell(path).map(|()| Exit::Done).map_err(|error| Failure::because(Exit::Error, &error))
}
