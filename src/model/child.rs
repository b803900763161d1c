//! The child's side of a check: one request on standard input, phases and one answer on standard output.
//!
//! The child limits itself before it touches a model: what it may allocate, no core file, and first in
//! line when the machine runs out of memory. When its standard input ends, nobody waits for the answer,
//! and it ends itself: a killed parent leaves no endless model behind.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};

use super::task::{Phase, TaskEntry, TaskError, Workbench};
use super::wire::{self, Frame, Request};

/// Answers the request on standard input. Returns when the answer is written.
pub fn serve(tasks: &[TaskEntry]) -> io::Result<()> {
    let mut stdin = io::stdin();
    let request: Request = wire::read(&mut stdin)?;
    end_with(stdin)?;
    limit_self(request.memory);
    let output = RefCell::new(own_output()?);
    // A parent that is gone ends the child by the end of standard input.
    let tell = |phase: Phase| drop(wire::write(&mut *output.borrow_mut(), &Frame::Phase(phase)));
    let frame = match answer(tasks, &request, &tell) {
        Ok(frame) => frame,
        Err(error) => Frame::Error(error),
    };
    wire::write(&mut *output.borrow_mut(), &frame)?;
    Ok(())
}

/// Standard output for frames alone: what a library prints goes to standard error from here on.
fn own_output() -> io::Result<File> {
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(File::from(output))
}

fn answer(tasks: &[TaskEntry], request: &Request, tell: &dyn Fn(Phase)) -> Result<Frame, TaskError> {
    let task = tasks.iter().find(|task| task.name == request.task);
    let task = task.ok_or_else(|| TaskError::new(format!("bug: no task is named '{}'", request.task)))?;
    tell(Phase::new("opening the engine"));
    let engine = request.engine.open()?;
    let bench = Workbench::new(engine, tell, &|| false);
    let answer = (task.run)(request.request.get().as_bytes(), &bench)?;
    let not_json = |error| TaskError::new(format!("bug: the answer is not JSON: {error}"));
    let text = String::from_utf8(answer).map_err(|error| not_json(error.to_string()))?;
    serde_json::value::RawValue::from_string(text).map(Frame::Answer).map_err(|error| not_json(error.to_string()))
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
