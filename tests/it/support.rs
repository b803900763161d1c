//! A working place for the real binary: its own folders, a clean environment, text made comparable.

mod shown;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use runbook::action::process::table::Entry;
use runbook::base::{Clock, environment};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use shown::redact;

/// Nothing here takes longer on the slowest machine that runs these tests; a program that does is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a wait looks whether the program has ended.
const GLANCE: Duration = Duration::from_millis(10);

/// A temporary place with a working, a state and a home folder, in which the program is called.
pub struct Runbook {
    place: TempDir,
    variables: BTreeMap<String, String>,
}

impl Runbook {
    pub fn new() -> Self {
        let place = tempfile::tempdir().expect("a temporary folder");
        for folder in ["work", "state", "home"] {
            std::fs::create_dir(place.path().join(folder)).expect("an empty place");
        }
        Runbook { place, variables: BTreeMap::new() }
    }

    /// Writes a file below the working folder.
    #[must_use]
    pub fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.write(name, text);
        self
    }

    /// Sets an environment variable for every call.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set_variable(name, value);
        self
    }

    /// Sets an environment variable for every later call.
    pub fn set_variable(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(name.into(), value.into());
    }

    /// Writes a file below the working folder, with its folders.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a file below the folder")).expect("its folders");
        std::fs::write(path, text).expect("a writable place");
    }

    /// A path below the working folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join("work").join(name)
    }

    pub fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// The text of a file below the working folder; empty when there is none.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.place.path().join("state")
    }

    /// A call with these arguments, not started yet.
    pub fn args<I, T>(&self, arguments: I) -> Call<'_>
    where
        I: IntoIterator<Item = T>,
        T: Into<String>,
    {
        self.program(env!("CARGO_BIN_EXE_runbook"), arguments)
    }

    /// A call of another program, which calls this one.
    pub fn program<T: Into<String>>(&self, program: &'static str, arguments: impl IntoIterator<Item = T>) -> Call<'_> {
        Call { runbook: self, program, arguments: arguments.into_iter().map(Into::into).collect(), stdin: None }
    }

    /// Runs a shell script of the working folder, for what only a shell can do to the program.
    pub fn shell(&self, script: &str) -> Done {
        self.program("/bin/sh", [script]).done()
    }

    /// A call written as one line; its arguments have no spaces.
    pub fn call(&self, line: &str) -> Done {
        self.args(line.split_whitespace()).done()
    }

    /// What a power failure does to a step under a shim, after its engine has been killed: kills the shim of
    /// the process whose number is in the file. Tells whether there was a shim.
    pub fn fail_shim_of(&self, file: &str) -> bool {
        let Some(shim) = self.shim_of(file) else { return false };
        let pid = Pid::from_raw(shim.pid).expect("a number");
        // The step runs, so its shim does; nothing else has its number.
        kill_process(pid, Signal::KILL).expect("the shim still runs");
        let step = self.process(file);
        // The kernel ends the step with its shim.
        wait_until("the step's end", || step.as_ref().is_none_or(|step| !is_alive(step.pid)));
        true
    }

    /// The shim of the process whose number is in the file, if it has one.
    pub fn shim_of(&self, file: &str) -> Option<Entry> {
        let parent = Entry::of(self.process(file)?.parent)?;
        parent.command_line().contains("__shim").then_some(parent)
    }

    fn process(&self, file: &str) -> Option<Entry> {
        Entry::of(self.read(file).trim().parse().ok()?)
    }

    /// The newest run, as `show --format json` gives it.
    pub fn newest(&self) -> Value {
        self.call("show --format json").exits(0).json()
    }

    /// The name of the newest run.
    pub fn newest_run(&self) -> String {
        self.newest()["id"].as_str().expect("a run has a name").to_owned()
    }

    fn command(&self, program: &str, arguments: &[String]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path(""))
            .env_clear()
            .env("PATH", environment::variable("PATH").unwrap_or_default())
            .env("HOME", self.place.path().join("home"))
            .env("RUNBOOK_STATE", self.state())
            .env("TZ", "UTC")
            .env("USER", "tester")
            .envs(&self.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// A call of the program, not started yet.
pub struct Call<'a> {
    runbook: &'a Runbook,
    program: &'static str,
    arguments: Vec<String>,
    stdin: Option<String>,
}

impl Call<'_> {
    /// What the program reads; without it, nothing.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<String>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// Starts the program and waits for its end.
    pub fn done(self) -> Done {
        self.start().done()
    }

    pub fn start(self) -> Running {
        let mut child = self.runbook.command(self.program, &self.arguments).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("a piped input");
        // A program that does not read its input closes it; that is no fault of the test.
        drop(stdin.write_all(self.stdin.unwrap_or_default().as_bytes()));
        drop(stdin);
        let (sender, lines) = mpsc::channel();
        let mut output = BufReader::new(child.stdout.take().expect("a piped output"));
        std::thread::spawn(move || {
            let mut line = String::new();
            while output.read_line(&mut line).is_ok_and(|length| length > 0) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        let mut errors = child.stderr.take().expect("a piped output");
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            drop(errors.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        Running {
            what: format!("runbook {}", self.arguments.join(" ")),
            folder: self.runbook.place.path().to_owned(),
            child,
            lines,
            stdout: String::new(),
            stderr: Some(stderr),
            clock: Clock::start(),
        }
    }
}

/// A started program; ends with this value.
pub struct Running {
    what: String,
    folder: PathBuf,
    child: Child,
    lines: Receiver<String>,
    pub stdout: String,
    stderr: Option<JoinHandle<String>>,
    clock: Clock,
}

impl Running {
    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Ends the program without a chance to say anything, like a crash.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    pub fn signal(&self, signal: Signal) {
        // Not waited for yet, so the number is still this child's.
        kill_process(Pid::from_child(&self.child), signal).expect("the program still runs");
    }

    /// Its number, which stays its own until this value is dropped.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of standard output with this text.
    pub fn until_it_says(&mut self, text: &str) {
        while !self.stdout.lines().any(|line| line.contains(text)) {
            match self.lines.recv_timeout(self.left()) {
                Ok(line) => self.stdout.push_str(&line),
                Err(_) => panic!("{} did not say '{text}', but:\n{}", self.what, self.stdout),
            }
        }
    }

    /// Waits until this holds, for what the program does outside of its output.
    pub fn until(&mut self, what: &str, holds: impl Fn() -> bool) {
        while !holds() {
            assert!(self.left() > GLANCE, "{}: {what} did not happen; it said:\n{}", self.what, self.stdout);
            self.glance();
        }
    }

    /// Waits a moment, for a line at most.
    fn glance(&mut self) {
        match self.lines.recv_timeout(GLANCE) {
            Ok(line) => self.stdout.push_str(&line),
            Err(RecvTimeoutError::Timeout) => {}
            // Its output is closed, which answers at once.
            Err(RecvTimeoutError::Disconnected) => std::thread::park_timeout(GLANCE),
        }
    }

    fn left(&self) -> Duration {
        PATIENCE.saturating_sub(self.clock.elapsed())
    }

    /// Waits for the end.
    pub fn done(mut self) -> Done {
        let status = self.status();
        while let Ok(line) = self.lines.recv_timeout(self.left()) {
            self.stdout.push_str(&line);
        }
        let stderr = self.stderr.take().map(|reader| reader.join().expect("reading does not panic"));
        Done {
            what: self.what.clone(),
            folder: self.folder.clone(),
            status,
            stdout: std::mem::take(&mut self.stdout),
            stderr: stderr.unwrap_or_default(),
            took: self.clock.elapsed(),
        }
    }

    fn status(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(self.left() > GLANCE, "{} did not end; it said:\n{}", self.what, self.stdout);
            self.glance();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Does nothing when it has been waited for; else ends this child and no other.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether the process with this number is there and has not ended.
pub fn is_alive(pid: i32) -> bool {
    Entry::of(pid).is_some_and(|entry| entry.is_alive())
}

/// Waits until this holds.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let clock = Clock::start();
    while !holds() {
        assert!(clock.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::park_timeout(GLANCE);
    }
}

/// What a program that has ended left behind.
pub struct Done {
    what: String,
    folder: PathBuf,
    pub status: ExitStatus,
    stdout: String,
    stderr: String,
    pub took: Duration,
}

impl Done {
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{} ended otherwise:\n{}", self.what, self.everything());
        self
    }

    /// Some line of its output or errors has this text.
    pub fn says(self, text: &str) -> Self {
        assert!(self.everything().contains(text), "{} did not say '{text}', but:\n{}", self.what, self.everything());
        self
    }

    pub fn does_not_say(self, text: &str) -> Self {
        assert!(!self.everything().contains(text), "{} said '{text}':\n{}", self.what, self.everything());
        self
    }

    /// Standard output as it was written.
    pub fn stdout(&self) -> String {
        self.stdout.clone()
    }

    /// Standard error as it was written.
    pub fn stderr(&self) -> String {
        self.stderr.clone()
    }

    /// Standard output as one JSON value.
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_str(&self.stdout);
        parsed.unwrap_or_else(|error| panic!("{}: {error} in:\n{}", self.what, self.everything()))
    }

    /// Standard output as one JSON value a line.
    pub fn events(&self) -> Vec<Value> {
        let parsed: Result<Vec<Value>, _> = self.stdout.lines().map(serde_json::from_str).collect();
        parsed.unwrap_or_else(|error| panic!("{}: {error} in:\n{}", self.what, self.everything()))
    }

    /// All that was said, with what differs from call to call replaced.
    pub fn shown(&self) -> String {
        redact(&self.everything(), &self.folder)
    }

    fn everything(&self) -> String {
        match (self.stdout.is_empty(), self.stderr.is_empty()) {
            (_, true) => self.stdout.clone(),
            (true, false) => self.stderr.clone(),
            (false, false) => format!("{}--- stderr ---\n{}", self.stdout, self.stderr),
        }
    }
}
