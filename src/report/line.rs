//! What is said about a run, line by line, before anyone decides how it looks.

use std::time::Duration;

use super::text::escape_control;
use crate::base::units::show_duration;

/// The sign before a line. Signs differ in shape, so that nothing is told by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Passed,
    Failed,
    Error,
    Skipped,
    Cancelled,
    /// Something that only a person can decide.
    Question,
    Alarm,
    Cause,
    Undone,
    Running,
    Note,
}

/// How a mark and its word feel; a terminal gives each its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    Bad,
    Caution,
    Accent,
    Quiet,
}

impl Mark {
    pub fn sign(self) -> &'static str {
        match self {
            Mark::Passed => "✓",
            Mark::Failed => "✗",
            Mark::Error => "!",
            Mark::Skipped => "–",
            Mark::Cancelled => "■",
            Mark::Question => "?",
            Mark::Alarm => "▲",
            Mark::Cause => "◆",
            Mark::Undone => "↩",
            Mark::Running => "…",
            Mark::Note => "·",
        }
    }

    pub fn tone(self) -> Tone {
        match self {
            Mark::Passed => Tone::Good,
            Mark::Failed | Mark::Error => Tone::Bad,
            Mark::Cancelled | Mark::Question | Mark::Alarm | Mark::Undone => Tone::Caution,
            Mark::Cause | Mark::Running => Tone::Accent,
            Mark::Skipped | Mark::Note => Tone::Quiet,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// What runs.
    Title { name: String, text: String },
    /// A phase begins.
    Heading(String),
    /// Something happened to a subject: a step, the detection, the run.
    Entry(Entry),
    /// Something is going on; a terminal shows it until the next entry of the same subject.
    Passing { entry: Entry, logged: bool },
    /// The subject of a passing line needs no line of its own any more.
    Gone { subject: String },
    /// More about the entry above.
    Detail { label: &'static str, text: String },
    /// A named fact about the run.
    Fact { label: &'static str, text: String },
    /// How the run ended.
    Verdict { mark: Mark, word: String, text: String },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub mark: Mark,
    pub subject: String,
    /// What happened to it: `failed`, `approved by ada`.
    pub word: String,
    pub duration: Option<Duration>,
    /// What else there is to say in a few words.
    pub text: String,
}

impl Entry {
    pub fn new(mark: Mark, subject: impl Into<String>, word: impl Into<String>, text: impl Into<String>) -> Self {
        Entry { mark, subject: subject.into(), word: word.into(), duration: None, text: text.into() }
    }

    /// `diagnose.file failed after 12 ms: text`
    pub fn sentence(&self) -> String {
        let mut sentence = self.subject.clone();
        if !self.word.is_empty() {
            sentence.push(' ');
            sentence.push_str(&self.word);
        }
        if let Some(duration) = self.duration {
            sentence.push_str(" after ");
            sentence.push_str(&show_duration(duration));
        }
        if !self.text.is_empty() {
            sentence.push_str(": ");
            sentence.push_str(&self.text);
        }
        sentence
    }
}

impl From<Entry> for Line {
    fn from(entry: Entry) -> Self {
        Line::Entry(entry)
    }
}

impl Line {
    pub fn detail(text: impl Into<String>) -> Self {
        Line::Detail { label: "", text: text.into() }
    }

    /// The line without layout or colour, or `None` when it only matters on a live terminal.
    pub fn to_plain(&self) -> Option<String> {
        let text = match self {
            Line::Title { name, text } => format!("{name}: {text}"),
            Line::Heading(title) => title.clone(),
            Line::Entry(entry) | Line::Passing { entry, logged: true } => {
                format!("  {} {}", entry.mark.sign(), entry.sentence())
            }
            Line::Passing { logged: false, .. } | Line::Gone { .. } => return None,
            Line::Detail { label: "", text } => format!("      {text}"),
            Line::Detail { label, text } => format!("      {label}: {text}"),
            Line::Fact { label, text } => format!("  {label}: {text}"),
            Line::Verdict { mark, word, text } => format!("{} {word} {text}", mark.sign()),
        };
        Some(escape_control(&text).into_owned())
    }
}
