//! Finished runs as text: the table of `runbook history` and the account of `runbook show`.

use std::time::Duration;

use super::layout::{Layout, Look};
use super::line::{Entry, Line, Tone};
use super::text::{self, escape_control};
use super::view::{Approval, RunView, StepState, StepView};
use super::wording::{account, approval, escalation as told, outcome_mark, phase_title};
use crate::base::Timestamp;
use crate::base::units::show_duration;
use crate::engine::event::{Outcome, Phase};

/// A run in the table of `runbook history`.
#[derive(Debug, Clone)]
pub struct HistoryRow {
    pub run: String,
    pub started_at: Timestamp,
    pub playbook: String,
    /// `None` while it runs.
    pub outcome: Option<Outcome>,
    pub duration: Duration,
    pub causes: Vec<String>,
    pub by: String,
}

impl HistoryRow {
    pub fn of(view: &RunView) -> Self {
        HistoryRow {
            run: view.run.clone(),
            started_at: view.started_at,
            playbook: view.playbook.clone(),
            outcome: view.outcome,
            duration: view.duration(),
            causes: view.cause_names().into_iter().map(str::to_owned).collect(),
            by: view.by.clone(),
        }
    }

    fn cells(&self, look: Look) -> [String; COLUMNS] {
        let outcome = match self.outcome {
            Some(outcome) => format!("{} {outcome}", outcome_mark(outcome).sign()),
            None => "… running".to_owned(),
        };
        let cells = [
            self.run.clone(),
            look.times.date_time(self.started_at),
            self.playbook.clone(),
            outcome,
            show_duration(self.duration),
            self.causes.join(", "),
            self.by.clone(),
        ];
        cells.map(|cell| escape_control(&cell).into_owned())
    }

    fn tone(&self) -> Tone {
        self.outcome.map_or(Tone::Accent, |outcome| outcome_mark(outcome).tone())
    }
}

const COLUMNS: usize = 7;
const TITLES: [&str; COLUMNS] = ["RUN", "STARTED", "PLAYBOOK", "OUTCOME", "TOOK", "CAUSE", "BY"];
const OUTCOME: usize = 3;

/// A line for each run under a line of titles, in the order given. Lines are not cut at the width
/// of the terminal, since they are also what `grep` reads.
pub fn history(rows: &[HistoryRow], look: Look) -> String {
    let layout = Layout::new(look, []);
    let cells: Vec<[String; COLUMNS]> = rows.iter().map(|row| row.cells(look)).collect();
    let mut widths = TITLES.map(text::width);
    for row in &cells {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(text::width(cell)));
    }
    let mut table = layout.toned(Tone::Quiet, &table_line(&TITLES.map(str::to_owned), &widths, |_, cell| cell));
    table.push('\n');
    for (row, cells) in rows.iter().zip(&cells) {
        let coloured = |column, cell: String| if column == OUTCOME { layout.toned(row.tone(), &cell) } else { cell };
        table.push_str(&table_line(cells, &widths, coloured));
        table.push('\n');
    }
    table
}

fn table_line(cells: &[String], widths: &[usize], style: impl Fn(usize, String) -> String) -> String {
    let padded = cells.iter().zip(widths).enumerate();
    let line: Vec<String> = padded.map(|(column, (cell, width))| style(column, text::pad(cell, *width))).collect();
    line.join("  ").trim_end().to_owned()
}

/// A run for people: every step with its result, and why.
pub fn show(view: &RunView, look: Look) -> String {
    let names: Vec<String> = view.steps.iter().map(|step| step.key.to_string()).collect();
    let layout = Layout::new(look, names.iter().map(String::as_str));
    let mut text = String::new();
    for row in account_lines(view, look).iter().flat_map(|line| layout.rows(line)) {
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

fn account_lines(view: &RunView, look: Look) -> Vec<Line> {
    let mut lines = account::opening(view);
    lines.push(Line::Fact { label: "started", text: look.times.date_time(view.started_at) });
    lines.push(Line::Fact { label: "playbook", text: format!("{} {}", view.file, view.digest) });
    lines.extend(phase(view, look, Phase::Detect));
    lines.extend(phase(view, look, Phase::Diagnose));
    if !view.causes.is_empty() {
        lines.push(Line::Heading("Cause".to_owned()));
        lines.extend(account::causes(&view.causes));
    }
    lines.extend(phase(view, look, Phase::Remediate));
    lines.extend(phase(view, look, Phase::Verify));
    lines.extend(undo(view));
    lines.extend(phase(view, look, Phase::Finally));
    lines.extend(notifications(view));
    lines.extend(escalation(view, look));
    lines.extend(ending(view));
    lines
}

fn phase(view: &RunView, look: Look, phase: Phase) -> Vec<Line> {
    let steps = view.steps_in_order().into_iter();
    let of_phase = |wanted| steps.clone().filter(move |step| step.phase == Some(wanted));
    let mut lines: Vec<Line> = match phase {
        Phase::Detect => of_phase(phase).flat_map(|step| sketched(view, look, step.at_first())).collect(),
        Phase::Verify => {
            let again = of_phase(Phase::Detect).filter(|step| step.earlier.is_some());
            again.chain(of_phase(phase)).flat_map(|step| step_with_approvals(view, look, step)).collect()
        }
        _ => of_phase(phase).flat_map(|step| step_with_approvals(view, look, step)).collect(),
    };
    lines.extend(match phase {
        Phase::Detect => view.before.iter().flat_map(|found| account::detection(found, None)).collect(),
        Phase::Verify => view.after.iter().flat_map(|found| account::detection(found, view.before.as_ref())).collect(),
        _ => Vec::new(),
    });
    if !lines.is_empty() {
        lines.insert(0, Line::Heading(phase_title(phase).to_owned()));
    }
    lines
}

fn sketched(view: &RunView, look: Look, step: &StepView) -> Vec<Line> {
    let mut lines = account::step(view, step, usize::MAX);
    lines.extend(look.sketches.lines(step));
    lines
}

fn step_with_approvals(view: &RunView, look: Look, step: &StepView) -> Vec<Line> {
    let mut lines = sketched(view, look, step);
    let asked: Vec<&Approval> = view.approvals.iter().filter(|approval| approval.key == step.key).collect();
    // What is still open is shown as it was asked, whoever reads it.
    if let Some(open) = asked.last().filter(|_| step.state == StepState::Asked) {
        lines.extend(approval::terms(open));
        lines.extend(open_until(open, look));
    }
    lines.extend(asked.into_iter().flat_map(|approval| attempted(approval).into_iter().chain(said(approval, look))));
    lines
}

fn said(approval: &Approval, look: Look) -> Option<Line> {
    let answer = approval.answer.as_ref()?;
    let Entry { word, text, .. } = approval::settled(approval, answer);
    let reason = if text.is_empty() { text } else { format!(": {text}") };
    let at = look.times.time(answer.at);
    Some(Line::Detail { label: "approval", text: format!("{word} at {at}{reason}") })
}

fn open_until(approval: &Approval, look: Look) -> Option<Line> {
    let at = look.times.time(approval.expires_at?);
    Some(Line::Detail { label: "until", text: format!("{at}; after that it is not done") })
}

/// What people said to a question before it was settled.
fn attempted(approval: &Approval) -> Vec<Line> {
    let mut texts = Vec::new();
    if !approval.counted.is_empty() {
        texts.push(approval::counted_words(approval));
    }
    texts.extend(approval.refused.iter().map(|(by, why)| format!("the answer of {by} does not count: {why}")));
    texts.extend(approval.broken_glass.iter().map(|(by, reason)| format!("glass broken by {by}: {reason}")));
    texts.into_iter().map(|text| Line::Detail { label: "approval", text }).collect()
}

fn undo(view: &RunView) -> Vec<Line> {
    let done = view.undo.iter().filter(|undo| undo.finished_at.is_some());
    let mut lines: Vec<Line> = done.flat_map(|undo| account::undone(&undo.key, undo.error.as_deref())).collect();
    if !lines.is_empty() {
        lines.insert(0, Line::Heading(phase_title(Phase::Undo).to_owned()));
    }
    lines
}

fn notifications(view: &RunView) -> Vec<Line> {
    let mut lines: Vec<Line> = view.notifications.iter().flat_map(account::notified).collect();
    if !lines.is_empty() {
        lines.insert(0, Line::Heading("Notifications".to_owned()));
    }
    lines
}

fn escalation(view: &RunView, look: Look) -> Vec<Line> {
    let Some(case) = &view.escalation else { return Vec::new() };
    let mut lines = vec![Line::Heading("Escalation".to_owned())];
    lines.extend(told::account(case).into_iter().map(|(at, text)| {
        let text = escape_control(&format!("{} {text}", look.times.date_time(at))).to_string();
        Line::Detail { label: "", text }
    }));
    lines
}

fn ending(view: &RunView) -> Vec<Line> {
    match view.finished_at {
        Some(at) => account::closing(view, at),
        None => {
            let mark = super::line::Mark::Running;
            vec![Line::Verdict { mark, word: "running".to_owned(), text: "it has not ended".to_owned() }]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::stories;
    use crate::report::time::TimeZoneChoice;

    fn look() -> Look {
        Look { times: TimeZoneChoice::Utc, ..Look::default() }
    }

    #[test]
    fn runs_in_a_table() {
        let rows: Vec<HistoryRow> =
            stories::all().iter().map(|(_, records)| HistoryRow::of(&RunView::of(records))).collect();
        insta::assert_snapshot!("history", history(&rows, look()));
    }

    #[test]
    fn snapshots_of_show() {
        for (name, records) in stories::all() {
            insta::assert_snapshot!(format!("show_{name}"), show(&RunView::of(&records), look()));
        }
    }

    #[test]
    fn a_run_that_has_not_ended_can_be_shown() {
        let text = show(&RunView::of(&stories::until_running()), look());
        assert!(text.contains("… RUNNING"), "{text}");
        assert!(text.contains("diagnose.load") && text.contains("running"), "{text}");
    }
}
