//! A run live on a terminal: what is finished stands above, what runs turns below.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::Reporter;
use super::layout::{Layout, Look};
use super::line::{Entry, Line};
use super::wording::Narrator;
use crate::base::units::show_duration;
use crate::engine::{Event, Record};

/// Eight turns a second read as motion and cost next to nothing.
const TURN: Duration = Duration::from_millis(125);

pub struct Progress {
    bars: MultiProgress,
    narrator: Narrator,
    look: Look,
    layout: Layout,
    animated: bool,
    running: Vec<Running>,
    /// While paused: the rows to print afterwards.
    held: Option<Vec<String>>,
}

struct Running {
    subject: String,
    bar: ProgressBar,
}

impl Progress {
    /// Draws to a terminal such as `ProgressDrawTarget::stderr()`; does nothing where there is none.
    pub fn new(target: ProgressDrawTarget, look: Look) -> Self {
        Progress {
            bars: MultiProgress::with_draw_target(target),
            narrator: Narrator::new(look.times).sketching(look.sketches),
            look,
            layout: Layout::new(look, []),
            animated: true,
            running: Vec::new(),
            held: None,
        }
    }

    /// Without motion, for terminals that cannot redraw in place smoothly and for tests.
    #[must_use]
    pub fn still(mut self) -> Self {
        self.animated = false;
        self
    }

    fn show(&mut self, line: &Line) {
        match line {
            Line::Passing { entry, .. } => self.run(entry),
            Line::Gone { subject } => self.end(subject),
            Line::Entry(entry) => {
                self.end(&entry.subject);
                self.print(self.layout.rows(line));
            }
            Line::Title { .. } | Line::Heading(_) | Line::Detail { .. } | Line::Fact { .. } => {
                self.print(self.layout.rows(line));
            }
            Line::Verdict { .. } => {
                self.clear();
                self.print(self.layout.rows(line));
            }
        }
    }

    fn print(&mut self, rows: Vec<String>) {
        if let Some(held) = &mut self.held {
            held.extend(rows);
            return;
        }
        for row in rows {
            // An empty text prints no row at all.
            let row = if row.is_empty() { Cow::Borrowed(" ") } else { Cow::Owned(row) };
            if let Err(error) = self.bars.println(row) {
                tracing::warn!(%error, "cannot draw on the terminal; the run goes on");
            }
        }
    }

    fn run(&mut self, entry: &Entry) {
        let (subject, remark) = self.layout.passing(entry);
        if let Some(running) = self.running.iter().find(|running| running.subject == entry.subject) {
            running.bar.set_message(remark);
            return;
        }
        // Hidden until it is added, since a bar of its own would draw to the standard error by itself.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let bar = bar.with_style(style(self.look.colour));
        let bar = if self.held.is_some() { bar } else { self.bars.add(bar) };
        bar.set_prefix(subject);
        bar.set_message(remark);
        if self.animated {
            bar.enable_steady_tick(TURN);
        }
        self.running.push(Running { subject: entry.subject.clone(), bar });
    }

    fn end(&mut self, subject: &str) {
        if let Some(position) = self.running.iter().position(|running| running.subject == subject) {
            let running = self.running.remove(position);
            running.bar.finish_and_clear();
            self.bars.remove(&running.bar);
        }
    }

    fn clear(&mut self) {
        for running in std::mem::take(&mut self.running) {
            running.bar.finish_and_clear();
            self.bars.remove(&running.bar);
        }
    }
}

impl Reporter for Progress {
    fn report(&mut self, record: &Record) {
        let lines = self.narrator.tell(record);
        match &record.event {
            Event::RunStarted(started) if !record.run.is_child() => {
                self.layout = Layout::new(self.look, started.steps.iter().map(|step| step.id.as_str()));
            }
            Event::FannedOut { step, items } => self.layout.make_room(&format!("{step}[{}]", items.len())),
            _ => {}
        }
        lines.iter().for_each(|line| self.show(line));
    }

    fn pause(&mut self) {
        if self.held.is_some() {
            return;
        }
        if let Err(error) = self.bars.clear() {
            tracing::warn!(%error, "cannot clear the terminal for a question");
        }
        // Taken out of the terminal, a bar goes on counting its time and draws nothing.
        self.running.iter().for_each(|running| self.bars.remove(&running.bar));
        self.held = Some(Vec::new());
    }

    fn resume(&mut self) {
        let Some(rows) = self.held.take() else { return };
        self.print(rows);
        for running in &mut self.running {
            running.bar = self.bars.add(running.bar.clone());
            running.bar.tick();
        }
    }

    fn finish(&mut self) {
        self.resume();
        self.clear();
    }
}

fn style(colour: bool) -> ProgressStyle {
    let spinner = if colour { "{spinner:.cyan}" } else { "{spinner}" };
    ProgressStyle::with_template(&format!("  {spinner} {{prefix}}{{calm:>8}}  {{msg}}"))
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
        .with_key("calm", write_calm_elapsed)
}

/// Whole seconds: milliseconds that flicker tell nothing.
fn write_calm_elapsed(state: &ProgressState, text: &mut dyn fmt::Write) {
    let seconds = state.elapsed().as_secs();
    let shown = match seconds {
        0 => String::new(),
        1..=59 => format!("{seconds} s"),
        _ => show_duration(Duration::from_secs(seconds)),
    };
    // Indicatif draws what was written; there is nobody to tell about a failure.
    let _ = text.write_str(&shown);
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;
    use crate::report::stories;
    use crate::report::time::TimeZoneChoice;

    fn terminal() -> (InMemoryTerm, Progress) {
        let terminal = InMemoryTerm::new(80, 80);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let look = Look { times: TimeZoneChoice::Utc, ..Look::default() };
        (terminal, Progress::new(target, look).still())
    }

    #[test]
    fn snapshots() {
        for (name, records) in stories::all() {
            let (terminal, mut progress) = terminal();
            records.iter().for_each(|record| progress.report(record));
            progress.finish();
            let screen = terminal.contents();
            assert!(screen.lines().all(|row| row.chars().count() <= 80), "{name}: {screen}");
            insta::assert_snapshot!(format!("progress_{name}"), screen);
        }
    }

    #[test]
    fn running_steps_turn_below_what_is_finished() {
        let (terminal, mut progress) = terminal();
        stories::until_running().iter().for_each(|record| progress.report(record));
        insta::assert_snapshot!("progress_running", terminal.contents());
    }

    #[test]
    fn a_question_has_the_terminal_for_itself() {
        let (terminal, mut progress) = terminal();
        let records = stories::until_running();
        let (last, before) = records.split_last().unwrap();
        before.iter().for_each(|record| progress.report(record));
        progress.pause();
        let asked = terminal.contents();
        assert!(!asked.contains('⠋'), "{asked}");
        progress.report(last);
        assert_eq!(terminal.contents(), asked, "nothing is drawn while a person is asked");
        progress.report(&stories::load_failed(last));
        progress.resume();
        let resumed = terminal.contents();
        assert!(resumed.contains("✗ diagnose.load"), "what ended meanwhile is told: {resumed}");
        assert_eq!(resumed.matches("diagnose.load").count(), 1, "and turns no more: {resumed}");
        assert!(resumed.lines().last().is_some_and(|row| row.contains("diagnose.memory")), "{resumed}");
    }

    #[test]
    fn colour_is_only_used_when_asked_for() {
        let look = Look { colour: true, times: TimeZoneChoice::Utc, ..Look::default() };
        let coloured =
            Layout::new(look, []).rows(&Entry::new(crate::report::line::Mark::Failed, "x", "failed", "").into());
        assert_eq!(coloured, [format!("  \u{1b}[31m✗\u{1b}[0m x{}\u{1b}[31mfailed\u{1b}[0m", " ".repeat(25))]);
    }

    #[test]
    fn data_cannot_steer_the_terminal() {
        let layout = Layout::new(Look { times: TimeZoneChoice::Utc, ..Look::default() }, []);
        let mut narrator = Narrator::new(TimeZoneChoice::Utc);
        for line in stories::hostile().iter().flat_map(|record| narrator.tell(record)) {
            assert!(layout.rows(&line).iter().all(|row| !row.contains(char::is_control)), "{line:?}");
            if let Line::Passing { entry, .. } = &line {
                let (subject, remark) = layout.passing(entry);
                assert!(!subject.contains(char::is_control) && !remark.contains(char::is_control));
            }
        }
    }
}
