//! The child's side of a check: one request on standard input, phases and one answer on standard output.
//!
//! The child limits itself before it touches a model: what it may allocate, no core file, and first in
//! line when the machine runs out of memory. When its standard input ends, nobody waits for the answer,
//! and it ends itself: a killed parent leaves no endless model behind.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
use serde_json::value::RawValue;

use super::wire::{self, Frame, Request};
use super::workbench::{Phase, Workbench};

/// Answers the request on standard input by `work`, which gets it and gives its answer as JSON. Returns
/// when the answer is written.
pub fn serve(work: impl FnOnce(&RawValue, Workbench) -> io::Result<Box<RawValue>>) -> io::Result<()> {
    let mut stdin = io::stdin();
    let request: Request = wire::read(&mut stdin)?;
    end_with(stdin)?;
    limit_self(request.memory);
    let output = Arc::new(Mutex::new(own_output()?));
    let write = move |frame: &Frame| wire::write(&mut *output.lock().unwrap_or_else(PoisonError::into_inner), frame);
    let tell = {
        let write = write.clone();
        // A parent that is gone ends the child by the end of standard input.
        Arc::new(move |phase: Phase| drop(write(&Frame::Phase(phase))))
    };
    tell(Phase::new("opening the engine"));
    let frame = match request.engine.open() {
        Ok(engine) => Frame::Answer(work(&request.work, Workbench::new(request.engine, engine, tell))?),
        Err(error) => Frame::Refused(error.to_string()),
    };
    write(&frame)
}

/// Standard output for frames alone: what a library prints goes to standard error from here on.
fn own_output() -> io::Result<File> {
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(File::from(output))
}

/// Ends this process when `stdin` does.
fn end_with(mut stdin: io::Stdin) -> io::Result<()> {
    let wait = move || {
        // Nothing more is sent; what comes is the end.
        let _ = stdin.read(&mut [0]);
        // Not an orderly exit: that would wait for locks which a hanging model may hold.
        let _ = kill_process(getpid(), Signal::KILL);
    };
    std::thread::Builder::new().name("parent".into()).stack_size(64 << 10).spawn(wait).map(drop)
}

/// A crash is told by its signal; the memory of a model on the disk helps nobody and may fill it.
pub fn no_core_file() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Each limit is a courtesy to the machine; where one cannot be set the others still hold.
fn limit_self(memory: u64) {
    // Data, not address space: allocators reserve far more addresses than they ever use.
    let _ = setrlimit(Resource::Data, Rlimit { current: Some(memory), maximum: Some(memory) });
    no_core_file();
    // Best effort: other systems have no such files.
    drop(std::fs::write("/proc/self/oom_score_adj", "1000"));
    drop(std::fs::write("/proc/self/comm", "runbook-model"));
}
