//! Standard output and error: the only place that writes to them.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::Exit;
use crate::base::{Diagnostic, environment, redaction};
use crate::report::escape_control_in_lines;

/// Why a command could not do what was asked.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    pub help: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { exit, message: message.into(), help: None }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    /// `error` with its chain of causes.
    pub fn because(exit: Exit, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut message = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !message.contains(&text) {
                message.push_str(&format!(": {text}"));
            }
            next = cause.source();
        }
        Failure::new(exit, message)
    }

    /// Problems with their excerpts.
    pub fn diagnostics(problems: &[Diagnostic]) -> Self {
        let colour = colour(&io::stderr());
        let all: Vec<String> = problems.iter().map(|problem| problem.render(colour)).collect();
        // The excerpts carry their own "error:"; the empty message keeps `Display` from adding one.
        Failure { exit: Exit::Invalid, message: String::new(), help: Some(all.join("\n\n")) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.help, self.message.is_empty()) {
            (Some(text), true) => formatter.write_str(text),
            (Some(help), false) => write!(formatter, "error: {}\n  help: {help}", self.message),
            (None, _) => write!(formatter, "error: {}", self.message),
        }
    }
}

/// Whether to colour what goes to this stream (no-color.org).
pub fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
        && environment::variable("NO_COLOR").is_none()
        && environment::variable("TERM").as_deref() != Some("dumb")
}

/// Standard output, without secrets.
pub fn stdout() -> Masked<io::Stdout> {
    Masked::new(io::stdout())
}

/// Standard error, without secrets.
pub fn stderr() -> Masked<io::Stderr> {
    Masked::new(io::stderr())
}

/// Masks secrets in each line before it is written. It ends with a line, with a flush, or when it is dropped.
pub struct Masked<W: Write> {
    writer: W,
    line: Vec<u8>,
}

impl<W: Write> Masked<W> {
    fn new(writer: W) -> Self {
        Masked { writer, line: Vec::new() }
    }

    fn release(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.writer.write_all(&redaction::known().bytes(&line))
    }
}

impl<W: Write> Write for Masked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if bytes.ends_with(b"\n") {
            self.release()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.release()?;
        self.writer.flush()
    }
}

impl<W: Write> Drop for Masked<W> {
    fn drop(&mut self) {
        drop(self.release());
    }
}

/// Writes a line to standard output. A reader that went away (`| head`) is no error of ours.
pub fn line(text: &str) {
    drop(writeln!(stdout(), "{text}"));
}

/// Shows a message of the `console` channel, whose receipt is its text: beside the output, with its lines.
pub fn message(text: &str) {
    error(&format!("\n{}\n", escape_control_in_lines(text)));
}

/// Writes text to standard output as it is.
pub fn text(text: &str) {
    let mut output = stdout();
    drop(output.write_all(text.as_bytes()).and_then(|()| output.flush()));
}

/// Writes a line to standard error.
pub fn error(text: &str) {
    drop(writeln!(stderr(), "{text}"));
}

/// Pretty JSON on standard output.
pub fn json(value: &serde_json::Value) {
    line(&serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string()));
}

/// How internal messages are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people, without the time, which the system's log adds.
    #[default]
    Text,
    /// One JSON object a line, with time, run and step.
    Json,
}

/// Internal messages go to standard error; `RUNBOOK_LOG=debug` shows more of them.
pub fn start_logging(format: LogFormat) {
    // A program that reads them wants the beginnings and ends of runs, which people see on standard output.
    let default = if format == LogFormat::Json { "warn,runbook::cli::serve=info" } else { "warn" };
    let filter = environment::variable("RUNBOOK_LOG").unwrap_or_else(|| default.into());
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr);
    let layer = match format {
        LogFormat::Text => layer.with_ansi(colour(&io::stderr())).without_time().boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let all = tracing_subscriber::registry().with(EnvFilter::new(filter)).with(layer);
    #[cfg(feature = "otel")]
    let all = all.with(super::spans::layer());
    all.init();
}

/// What has been said goes out before the program ends.
pub fn finish_logging() {
    #[cfg(feature = "otel")]
    super::spans::finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_masked_however_it_is_written() {
        redaction::learn("written-in-many-pieces").unwrap();
        let mut written = Vec::new();
        let mut masked = Masked::new(&mut written);
        for piece in ["a written-in-", "many", "-pieces b\n", "written-in-many-pieces"] {
            masked.write_all(piece.as_bytes()).unwrap();
        }
        drop(masked);
        assert_eq!(String::from_utf8(written).unwrap(), "a [secret] b\n[secret]");
    }
}
