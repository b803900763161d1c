//! The parent's side of a check: starts the child, follows its phases, and tells how it went.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::engine_choice::EngineChoice;
use super::wire::{self, Frame, Request};
use super::workbench::Phase;
use crate::base::units::{show_bytes, show_duration};

/// The hidden subcommand of the child.
pub const SUBCOMMAND: &str = "__model";

/// Runs checks, each in a process of its own.
#[derive(Debug, Clone)]
pub struct Runner {
    /// The `runbook` program.
    pub program: PathBuf,
    /// Bytes that one check may allocate.
    pub memory: u64,
}

/// Why a check gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("the engine cannot be opened: {0}")]
    Engine(String),
    #[error("the model took the checker down: {end} while {phase}{said}")]
    Died { end: End, phase: Phase, said: Said, memory: u64 },
    #[error("the model did not come to an end within {}: it was stopped while {phase}", show_duration(*limit))]
    TooSlow { limit: Duration, phase: Phase },
    #[error("cannot start the checker {}", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("cannot talk to the checker")]
    Talk(#[source] io::Error),
}

impl CheckError {
    /// What the reader can do next.
    pub fn help(&self) -> Option<String> {
        match self {
            CheckError::Engine(_) => Some("`runbook doctor` shows which engines were found, and tries them".into()),
            CheckError::Died { memory, .. } => Some(format!(
                "roll back to the last model that passed its checks; if it really needs more than {}, raise \
                 `models: {{memory: …}}` in the site file",
                show_bytes(*memory)
            )),
            CheckError::TooSlow { .. } => Some(
                "a model that loops without end is a fault of the model: roll it back; a large one needs a longer \
                 `timeout` on this step"
                    .into(),
            ),
            CheckError::Start { .. } => Some("look whether processes or memory of this account ran out".into()),
            CheckError::Talk(_) => None,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy)]
pub struct End(ExitStatus);

impl End {
    pub fn of(status: ExitStatus) -> Self {
        End(status)
    }
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.signal(), self.0.code()) {
            (Some(signal), _) => write!(formatter, "killed by signal {signal}{}", meaning(signal)),
            (None, Some(code)) => write!(formatter, "ended with code {code}"),
            (None, None) => formatter.write_str("ended"),
        }
    }
}

fn meaning(signal: i32) -> &'static str {
    match signal {
        4 => " (illegal instruction)",
        6 => " (abort)",
        7 => " (bus error: a file was cut off or cannot be read)",
        8 => " (arithmetic error)",
        9 => " (killed, often for lack of memory)",
        11 => " (invalid memory access)",
        _ => "",
    }
}

/// The last words of the child on standard error.
#[derive(Debug, Clone, Default)]
pub struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(formatter, "; it said: {}", self.0) }
    }
}

impl Runner {
    /// Has `work` done by the child. Dropping the future ends the child.
    pub async fn run(
        &self,
        engine: &EngineChoice,
        work: Box<RawValue>,
        limit: Duration,
    ) -> Result<Box<RawValue>, CheckError> {
        let phase = Mutex::new(Phase::new("starting"));
        let request = Request { engine: engine.clone(), memory: self.memory, work };
        let ended = tokio::time::timeout(limit, self.converse(&request, &phase)).await;
        ended.unwrap_or_else(|_| Err(CheckError::TooSlow { limit, phase: last(&phase) }))
    }

    async fn converse(&self, request: &Request, phase: &Mutex<Phase>) -> Result<Box<RawValue>, CheckError> {
        let start_failed = |source| CheckError::Start { program: self.program.clone(), source };
        let mut child = command(&self.program, SUBCOMMAND).spawn().map_err(start_failed)?;
        // Held until the end: the child ends itself when its standard input does.
        let mut stdin = child.stdin.take();
        let request = wire::encode(request).map_err(CheckError::Talk)?;
        if let Some(stdin) = &mut stdin {
            // A child that died before it read the request says why by its end.
            drop(stdin.write_all(&request).await);
        }
        let (frame, said) = listen(&mut child, phase).await?;
        match frame {
            Some(Frame::Answer(answer)) => Ok(answer),
            Some(Frame::Refused(why)) => Err(CheckError::Engine(why)),
            _ => {
                let end = End(child.wait().await.map_err(CheckError::Talk)?);
                Err(CheckError::Died { end, phase: last(phase), said, memory: self.memory })
            }
        }
    }
}

fn last(phase: &Mutex<Phase>) -> Phase {
    phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}

/// A child of this program for work that may not come back.
pub fn command(program: &Path, subcommand: &str) -> Command {
    let mut command = Command::new(program);
    command
        .arg(subcommand)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its last line should say why an engine gave up, not where.
        .env("RUST_BACKTRACE", "0")
        // Ctrl-C goes to the whole group of the terminal; here the parent decides what it means.
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// The last frame, or without one the last words of the child.
async fn listen(child: &mut Child, phase: &Mutex<Phase>) -> Result<(Option<Frame>, Said), CheckError> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let frames = async {
        match stdout {
            Some(mut stdout) => last_frame(&mut stdout, phase).await,
            None => Ok(None),
        }
    };
    let said = async {
        match stderr {
            Some(stderr) => last_words(stderr).await,
            None => Said::default(),
        }
    };
    tokio::pin!(frames, said);
    // Both are read at once, or a child that says much would stop at a full pipe. With an answer at hand
    // nothing is waited for: unloading an engine takes longer than many a check.
    let mut words = None;
    let frame = loop {
        tokio::select! {
            frame = &mut frames => break frame.map_err(CheckError::Talk)?,
            said = &mut said, if words.is_none() => words = Some(said),
        }
    };
    match (frame, words) {
        (None, None) => Ok((None, said.await)),
        (frame, words) => Ok((frame, words.unwrap_or_default())),
    }
}

async fn last_frame(stdout: &mut (impl AsyncRead + Unpin), phase: &Mutex<Phase>) -> io::Result<Option<Frame>> {
    while let Some(frame) = wire::read_next::<Frame>(stdout).await? {
        match frame {
            Frame::Phase(next) => *phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = next,
            last => return Ok(Some(last)),
        }
    }
    Ok(None)
}

/// The last line on standard error; engines say there why they abort.
async fn last_words(mut stderr: impl AsyncRead + Unpin) -> Said {
    /// Enough for the message of an abort.
    const KEPT: usize = 4 << 10;
    let mut text = Vec::new();
    let mut part = [0; KEPT];
    while let Ok(length @ 1..) = stderr.read(&mut part).await {
        text.extend_from_slice(&part[..length]);
        text.drain(..text.len().saturating_sub(KEPT));
    }
    let text = String::from_utf8_lossy(&text);
    // The standard library adds a note on backtraces after the message of an abort.
    let telling = |line: &&str| !line.is_empty() && !line.starts_with("note: ");
    let line = text.lines().map(str::trim).rfind(telling).unwrap_or_default();
    Said(line.chars().filter(|letter| !letter.is_control()).take(300).collect())
}
