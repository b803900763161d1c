//! How lines look on a terminal: columns, wrapping and colour.

use console::Style;

use super::line::{Entry, Line, Mark, Tone};
use super::sketch::Sketches;
use super::text::{self, escape_control};
use super::time::TimeZoneChoice;
use crate::base::units::show_duration;

/// How a reporter for people shows things.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether to colour; `NO_COLOR` and terminals that cannot are the caller's to know.
    pub colour: bool,
    pub times: TimeZoneChoice,
    pub sketches: Sketches,
}

impl Default for Look {
    fn default() -> Self {
        Look { width: 80, colour: false, times: TimeZoneChoice::Local, sketches: Sketches::default() }
    }
}

impl Look {
    /// The look for a terminal, with its width.
    pub fn of_terminal(terminal: &console::Term, colour: bool) -> Self {
        let width = terminal.size_checked().map_or(80, |(_, columns)| usize::from(columns));
        // A line that fills the last column makes some terminals wrap.
        Look { width: width.saturating_sub(1), colour, ..Look::default() }
    }
}

/// Narrower than this a column of text is harder to read than a line that runs on.
const NARROWEST: usize = 24;
/// Names longer than this push their own line out instead of everybody's.
const LONGEST_SUBJECT: usize = 28;
const SHORTEST_SUBJECT: usize = 16;
/// Holds `59.9 s`; a longer one moves into the space that most names leave free.
const DURATION: usize = 8;
const DETAIL_INDENT: usize = 6;
const FACT_LABEL: usize = 10;

/// Turns lines into rows of a terminal.
#[derive(Debug, Clone)]
pub struct Layout {
    look: Look,
    subject: usize,
}

impl Layout {
    /// `subjects` are the names that will be shown; the longest decides the width of their column.
    pub fn new<'a>(look: Look, subjects: impl IntoIterator<Item = &'a str>) -> Self {
        let longest = subjects.into_iter().map(text::width).max().unwrap_or(0);
        Layout { look, subject: longest.clamp(SHORTEST_SUBJECT, LONGEST_SUBJECT) }
    }

    /// The rows of a line; none for what only lives while it lasts.
    pub fn rows(&self, line: &Line) -> Vec<String> {
        match line {
            Line::Title { name, text } => vec![self.title(name, text)],
            Line::Heading(title) => vec![String::new(), self.styled(&Style::new().bold(), &escape_control(title))],
            Line::Entry(entry) => self.entry(entry),
            Line::Passing { .. } | Line::Gone { .. } => Vec::new(),
            Line::Detail { label, text } => self.detail(label, text),
            Line::Fact { label, text } => self.fact(label, text),
            Line::Verdict { mark, word, text } => vec![String::new(), self.verdict(*mark, word, text)],
        }
    }

    fn title(&self, name: &str, text: &str) -> String {
        let name = escape_control(name);
        let room = self.look.width.saturating_sub(text::width(&name) + 2).max(NARROWEST);
        let text = escape_control(text);
        format!("{}  {}", self.styled(&Style::new().bold(), &name), text::shorten(&text, room))
    }

    /// Makes room for the items of a step.
    pub fn make_room(&mut self, subject: &str) {
        self.subject = self.subject.max(text::width(subject)).min(LONGEST_SUBJECT);
    }

    fn entry(&self, entry: &Entry) -> Vec<String> {
        let subject = escape_control(&entry.subject);
        let duration = entry.duration.map(show_duration).unwrap_or_default();
        let free = (self.subject + DURATION).saturating_sub(text::width(&subject));
        // Two columns keep a long name and a long duration apart.
        let duration = text::pad_left(&duration, free.max(text::width(&duration) + 2));
        let column = 4 + text::width(&subject) + text::width(&duration) + 2;
        let room = self.look.width.saturating_sub(column).max(NARROWEST);
        let sign = self.toned(entry.mark.tone(), entry.mark.sign());
        let start = format!("  {sign} {subject}{}", self.quiet(&duration));
        let mut rows = self.remark(entry, room).into_iter();
        let first = rows.next().unwrap_or_default();
        let mut all = vec![format!("{start}  {first}").trim_end().to_owned()];
        all.extend(rows.map(|row| format!("{}{row}", " ".repeat(column))));
        all
    }

    /// What stands right of the duration. A step that passed needs no word and stays one line.
    fn remark(&self, entry: &Entry, room: usize) -> Vec<String> {
        let body = escape_control(&entry.text);
        if entry.mark == Mark::Passed && entry.word == "passed" {
            return vec![self.quiet(&text::shorten(&body, room))];
        }
        if entry.mark == Mark::Cause {
            // Under its heading a cause is its title.
            let accent = |row: &String| self.styled(&Style::new().bold(), row);
            return text::wrap(&body, room).iter().map(accent).collect();
        }
        let word = escape_control(&entry.word);
        let joined = if body.is_empty() { word.to_string() } else { format!("{word}: {body}") };
        let mut rows = text::wrap(&joined, room);
        // The word is coloured only where wrapping left it in one piece.
        if let Some(rest) = rows[0].strip_prefix(&*word) {
            rows[0] = format!("{}{rest}", self.toned(entry.mark.tone(), &word));
        }
        rows
    }

    fn detail(&self, label: &str, text: &str) -> Vec<String> {
        let label = if label.is_empty() { String::new() } else { format!("{label}: ") };
        let indent = DETAIL_INDENT + text::width(&label);
        let room = self.look.width.saturating_sub(indent).max(NARROWEST);
        let rows = text::wrap(&escape_control(text), room).into_iter().enumerate();
        rows.map(|(position, row)| match position {
            0 => format!("{}{}{row}", " ".repeat(DETAIL_INDENT), self.quiet(&label)),
            _ => format!("{}{row}", " ".repeat(indent)),
        })
        .collect()
    }

    fn fact(&self, label: &str, text: &str) -> Vec<String> {
        let indent = 2 + FACT_LABEL;
        let room = self.look.width.saturating_sub(indent).max(NARROWEST);
        let rows = text::wrap(&escape_control(text), room).into_iter().enumerate();
        rows.map(|(position, row)| match position {
            0 => format!("  {}{row}", self.quiet(&text::pad(label, FACT_LABEL))),
            _ => format!("{}{row}", " ".repeat(indent)),
        })
        .collect()
    }

    fn verdict(&self, mark: Mark, word: &str, text: &str) -> String {
        let banner = format!("{} {}", mark.sign(), escape_control(word).to_uppercase());
        let style = tone_style(mark.tone()).bold();
        format!("{}  {}", self.styled(&style, &banner), escape_control(text))
    }

    /// One row for what is going on, without the elapsed time that the terminal adds itself.
    pub fn passing(&self, entry: &Entry) -> (String, String) {
        let subject = text::pad(&escape_control(&entry.subject), self.subject);
        let column = 4 + text::width(&subject) + DURATION + 2;
        let room = self.look.width.saturating_sub(column).max(NARROWEST);
        let joined = match (entry.word.is_empty(), entry.text.is_empty()) {
            (false, false) => format!("{}: {}", entry.word, entry.text),
            _ => format!("{}{}", entry.word, entry.text),
        };
        let remark = self.quiet(&text::shorten(&escape_control(&joined), room));
        (subject, remark)
    }

    fn quiet(&self, text: &str) -> String {
        self.toned(Tone::Quiet, text)
    }

    pub(super) fn toned(&self, tone: Tone, text: &str) -> String {
        self.styled(&tone_style(tone), text)
    }

    fn styled(&self, style: &Style, text: &str) -> String {
        if text.trim().is_empty() {
            return text.to_owned();
        }
        style.clone().force_styling(self.look.colour).apply_to(text).to_string()
    }
}

/// Only the sixteen basic colours, which follow the reader's own colour scheme.
fn tone_style(tone: Tone) -> Style {
    match tone {
        Tone::Good => Style::new().green(),
        Tone::Bad => Style::new().red(),
        Tone::Caution => Style::new().yellow(),
        Tone::Accent => Style::new().cyan(),
        Tone::Quiet => Style::new().dim(),
    }
}
