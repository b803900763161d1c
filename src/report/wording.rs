//! The one place that turns events into sentences. [`Narrator`] folds the records it is shown, so that
//! a line can say how long a step took or which item it ran for; `account` words the parts of a run.

pub mod account;
pub mod approval;
pub mod escalation;

use std::collections::BTreeMap;

use crate::base::{RunId, StepKey, Timestamp};
use crate::engine::Record;
use crate::engine::event::{Cause, Event, Impact, NOT_CALLED_FOR, Outcome, Phase, Resolution, Role, StepStatus};

use super::line::{Entry, Line, Mark};
use super::sketch::Sketches;
use super::time::TimeZoneChoice;
use super::view::{Approval, RunView, StepState};

/// More items than this are told as a count; what did not pass is told in any case.
const ITEMS_TOLD: usize = 12;
/// Lines of a reason shown while the run goes on; `runbook show` has the rest.
const REASON_LINES: usize = 8;

/// Tells one run.
#[derive(Debug, Clone, Default)]
pub struct Narrator {
    view: RunView,
    times: TimeZoneChoice,
    sketches: Sketches,
    heading: Option<String>,
    /// Remediations that the diagnosis did not ask for, told as a number.
    not_called_for: usize,
    /// The runs of called playbooks, told in short inside the step that called them.
    called: BTreeMap<RunId, Narrator>,
}

impl Narrator {
    pub fn new(times: TimeZoneChoice) -> Self {
        Narrator { times, ..Narrator::default() }
    }

    /// Tells steps with sparklines of their outputs.
    #[must_use]
    pub fn sketching(mut self, sketches: Sketches) -> Self {
        self.sketches = sketches;
        self
    }

    /// The run as far as it was told.
    pub fn view(&self) -> &RunView {
        &self.view
    }

    /// What there is to say about one more event. Events of a stranger's run say nothing.
    pub fn tell(&mut self, record: &Record) -> Vec<Line> {
        let mine = format!("{}/", self.view.run);
        if !self.view.run.is_empty() && record.run.as_str().starts_with(&mine) {
            let times = self.times;
            let called = self.called.entry(record.run.clone()).or_insert_with(|| Narrator::new(times));
            return called.tell(record).into_iter().filter_map(nested).collect();
        }
        let known_skip = match &record.event {
            Event::StepFinished { key, status: StepStatus::Skipped, .. } => self.is_skipped(key),
            _ => false,
        };
        self.view.apply(record);
        // A skip may be followed by the formal end of the step, which adds nothing for a reader.
        if known_skip || self.view.run != record.run.as_str() {
            return Vec::new();
        }
        self.lines(record.at, &record.event)
    }

    fn is_skipped(&self, key: &StepKey) -> bool {
        self.view.step(key).is_some_and(|step| step.state == StepState::Finished(StepStatus::Skipped))
    }

    fn lines(&mut self, at: Timestamp, event: &Event) -> Vec<Line> {
        match event {
            Event::RunStarted(_) => account::opening(&self.view),
            Event::PhaseStarted { phase } => self.phase(*phase),
            Event::StepSkipped { reason, .. } if reason.starts_with(NOT_CALLED_FOR) => {
                self.not_called_for += 1;
                Vec::new()
            }
            Event::FannedOut { step, items } => vec![self.fanned_out(step, items.len())],
            Event::StepTakenOver { key, from, status, .. } => vec![taken_over(key, from, *status).into()],
            Event::StepSkipped { key, .. } | Event::StepFinished { key, .. } => self.step(key),
            Event::ApprovalAsked { .. } => self.asked(),
            Event::ApprovalCounted { key, .. } => self.counted(key),
            Event::ApprovalRefused { key, by, why } => vec![approval::refused(key, by, why).into()],
            Event::GlassBroken { key, by, reason } => vec![approval::broken_glass(key, by, reason).into()],
            Event::ApprovalSettled { key, .. } => self.settled(key),
            Event::AttemptStarted { key, role, attempt, .. } => vec![self.started(key, *role, *attempt)],
            Event::AttemptEnded { .. } => Vec::new(),
            Event::AttemptInterrupted { key, .. } => vec![interrupted(key).into()],
            Event::AttemptSuspended { key, why, .. } => {
                vec![Entry::new(Mark::Question, key.to_string(), "waits for a person", why).into()]
            }
            Event::PreconditionMet { .. }
            | Event::StandingOrder(_)
            | Event::Intake(_)
            | Event::Schedule(_)
            | Event::Outbox(_)
            | Event::Silence(_)
            | Event::Escalation(_)
            | Event::NotificationRouted { .. } => Vec::new(),
            Event::NotificationQueued { on, channel, .. } => {
                vec![Entry::new(Mark::Note, channel.clone(), "is told by the outbox", on.clone()).into()]
            }
            Event::RemediationWithheld { why } => {
                vec![Entry::new(Mark::Alarm, "remediate", "withheld", why).into()]
            }
            Event::RetryScheduled { key, attempt, at, why, .. } => vec![self.retry(key, *attempt, *at, why)],
            Event::HoldScheduled { key, at, .. } => vec![self.hold(key, *at)],
            Event::DetectionSettled { recheck, .. } => self.detection(*recheck),
            Event::RecheckScheduled { at } => vec![self.recheck(*at)],
            Event::CausesFound { causes, impact, .. } => self.causes(causes, impact.as_ref()),
            Event::SeverityRaised { severity, why } => {
                vec![Entry::new(Mark::Alarm, "severity", format!("raised to {severity}"), why).into()]
            }
            Event::UndoStarted { steps } => self.undo(steps),
            Event::UndoFinished { key, error } => account::undone(key, error.as_deref()),
            Event::CancelRequested { by, hard } => vec![cancel_requested(by, *hard).into()],
            Event::EscalationRaised { policy, why } => {
                vec![Entry::new(Mark::Alarm, "escalation", format!("raised to {policy}"), why).into()]
            }
            Event::NotificationSent { .. } => self.view.notifications.last().map(account::notified).unwrap_or_default(),
            Event::Resumed { by } => vec![Entry::new(Mark::Note, "run", format!("resumed by {by}"), "").into()],
            Event::DoubtResolved { key, resolution, by, reason } => {
                vec![doubt_resolved(key, *resolution, by, reason).into()]
            }
            Event::RunFinished { .. } => self.closing(at),
        }
    }

    /// Ends the account of the phase before, and begins the one of a phase that has anything to do.
    fn phase(&mut self, phase: Phase) -> Vec<Line> {
        let mut lines = Vec::new();
        let uncalled = std::mem::take(&mut self.not_called_for);
        if uncalled > 0 {
            let what = if uncalled == 1 { "1 step was".to_owned() } else { format!("{uncalled} steps were") };
            lines.push(Entry::new(Mark::Skipped, "remediate", format!("{what} not called for"), "").into());
        }
        if self.view.has_steps(phase) {
            lines.extend(self.heading(phase_title(phase)));
        }
        lines
    }

    /// A phase may be announced by more than one event; its heading comes once.
    fn heading(&mut self, title: &str) -> Vec<Line> {
        if self.heading.as_deref() == Some(title) {
            return Vec::new();
        }
        self.heading = Some(title.to_owned());
        vec![Line::Heading(title.to_owned())]
    }

    fn step(&self, key: &StepKey) -> Vec<Line> {
        let Some(step) = self.view.step(key) else { return Vec::new() };
        let acts = step.phase == Some(Phase::Remediate);
        // Items that only look are told by the step as a whole; what changed something is told in any
        // case, unless there is too much of it.
        let passed = step.status() == Some(StepStatus::Passed);
        if key.item.is_some() && (!acts || (passed && self.siblings(key) > ITEMS_TOLD)) {
            return vec![Line::Gone { subject: key.to_string() }];
        }
        let mut lines = account::step(&self.view, step, REASON_LINES);
        lines.extend(self.sketches.lines(step));
        lines
    }

    fn siblings(&self, key: &StepKey) -> usize {
        self.view.step(&StepKey::plain(key.step.clone())).map_or(0, |step| step.items.len())
    }

    fn asked(&self) -> Vec<Line> {
        let Some(approval) = self.view.approvals.last() else { return Vec::new() };
        let mut lines = approval::question(approval, self.times);
        let waiting = Entry::new(Mark::Question, approval.key.to_string(), "waits for approval", "");
        lines.push(Line::Passing { entry: waiting, logged: false });
        lines
    }

    fn fanned_out(&self, step: &str, count: usize) -> Line {
        let word = if count == 1 { "runs for 1 item".to_owned() } else { format!("runs for {count} items") };
        let logged = self.view.step(&StepKey::plain(step)).is_some_and(|step| step.phase == Some(Phase::Remediate));
        Line::Passing { entry: Entry::new(Mark::Running, step, word, ""), logged }
    }

    fn counted(&self, key: &StepKey) -> Vec<Line> {
        let approval = self.view.approvals.iter().rev().find(|approval| approval.key == *key);
        approval.map(|approval| approval::counted(approval).into()).into_iter().collect()
    }

    fn settled(&self, key: &StepKey) -> Vec<Line> {
        let approval = self.view.approvals.iter().rev().find(|approval| approval.key == *key);
        let settled = |approval: &Approval| Some(approval::settled(approval, approval.answer.as_ref()?).into());
        approval.and_then(settled).into_iter().collect()
    }

    fn started(&self, key: &StepKey, role: Role, attempt: u32) -> Line {
        let step = self.view.step(key);
        let changes = step.is_some_and(|step| step.phase == Some(Phase::Remediate));
        let kind = step.map(|step| step.kind.clone()).unwrap_or_default();
        let (word, text) = match role {
            Role::Main if changes => ("started", kind),
            Role::Main => ("", kind),
            Role::Precondition => ("looks whether it may still be done", String::new()),
            Role::Check => ("asks whether it was done", String::new()),
            Role::Undo => ("undo started", String::new()),
        };
        let text = if attempt > 1 { format!("attempt {attempt}") } else { text };
        let entry = Entry::new(Mark::Running, key.to_string(), word, text);
        // Where something changes, its start is worth a line of its own in a log.
        Line::Passing { entry, logged: changes || role == Role::Undo }
    }

    fn retry(&self, key: &StepKey, attempt: u32, at: Timestamp, why: &str) -> Line {
        let word = format!("tries again at {}", self.times.time(at));
        let text = format!("attempt {attempt}, because {why}");
        Line::Passing { entry: Entry::new(Mark::Running, key.to_string(), word, text), logged: true }
    }

    fn hold(&self, key: &StepKey, at: Timestamp) -> Line {
        let word = format!("holds, and must until {}", self.times.time(at));
        Line::Passing { entry: Entry::new(Mark::Running, key.to_string(), word, ""), logged: true }
    }

    fn detection(&self, recheck: bool) -> Vec<Line> {
        let (detection, before) = match recheck {
            true => (&self.view.after, self.view.before.as_ref()),
            false => (&self.view.before, None),
        };
        detection.as_ref().map(|detection| account::detection(detection, before)).unwrap_or_default()
    }

    fn recheck(&self, at: Timestamp) -> Line {
        let word = format!("still holds; evaluated again at {}", self.times.time(at));
        Line::Passing { entry: Entry::new(Mark::Running, account::DETECTION, word, ""), logged: true }
    }

    fn causes(&mut self, causes: &[Cause], impact: Option<&Impact>) -> Vec<Line> {
        let mut lines = Vec::new();
        // A playbook that knows no causes has none to tell.
        if !causes.is_empty() {
            lines.extend(self.heading("Cause"));
            lines.extend(account::causes(causes));
        }
        lines.extend(impact.map(|impact| Entry::new(Mark::Alarm, "impact", impact.to_string(), "").into()));
        lines
    }

    fn closing(&self, at: Timestamp) -> Vec<Line> {
        let mut lines = account::closing(&self.view, at);
        let run = &self.view.run;
        lines.push(Line::Fact { label: "details", text: format!("runbook show {run}") });
        lines.push(Line::Fact { label: "report", text: format!("runbook report {run} > incident.md") });
        lines.push(Line::Fact { label: "audit", text: "runbook audit verify".to_owned() });
        lines
    }

    fn undo(&mut self, steps: &[StepKey]) -> Vec<Line> {
        let mut lines = self.heading(phase_title(Phase::Undo));
        let word = match steps.len() {
            1 => "takes back 1 completed step".to_owned(),
            count => format!("takes back {count} completed steps, the last first"),
        };
        lines.push(Entry::new(Mark::Undone, "undo", word, "").into());
        lines
    }
}

/// A line of a called playbook inside the account of its caller: what happened to its steps, without
/// titles, facts and the verdict, which the calling step tells.
fn nested(line: Line) -> Option<Line> {
    let inside = |subject: &str| format!("↳ {subject}");
    match line {
        // What a called playbook looked at and found in order is told by the step that called it.
        Line::Entry(entry) if entry.mark == Mark::Passed && !entry.subject.starts_with("remediate.") => None,
        Line::Passing { logged: false, .. } | Line::Gone { .. } => None,
        Line::Entry(entry) => Some(Line::Entry(Entry { subject: inside(&entry.subject), ..entry })),
        Line::Passing { entry, logged } => {
            Some(Line::Passing { entry: Entry { subject: inside(&entry.subject), ..entry }, logged })
        }
        Line::Detail { .. } => Some(line),
        Line::Title { .. } | Line::Heading(_) | Line::Fact { .. } | Line::Verdict { .. } => None,
    }
}

pub fn phase_title(phase: Phase) -> &'static str {
    match phase {
        Phase::Detect => "Detect",
        Phase::Diagnose => "Diagnose",
        Phase::Remediate => "Remediate",
        Phase::Verify => "Verify",
        Phase::Undo => "Undo",
        Phase::Finally => "Finally",
    }
}

pub fn outcome_mark(outcome: Outcome) -> Mark {
    match outcome {
        Outcome::Healthy | Outcome::Resolved => Mark::Passed,
        Outcome::Mitigated => Mark::Alarm,
        Outcome::Unresolved | Outcome::Rejected => Mark::Failed,
        Outcome::Cancelled => Mark::Cancelled,
        Outcome::Parked => Mark::Question,
        Outcome::Error => Mark::Error,
    }
}

/// A moment of a run in one sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    pub at: Timestamp,
    pub text: String,
}

/// The whole run as a list of moments.
pub fn timeline(records: &[Record], times: TimeZoneChoice) -> Vec<Moment> {
    let mut narrator = Narrator::new(times);
    let mut moments = Vec::new();
    for record in records {
        let lines = narrator.tell(record);
        let mut rest = lines.as_slice();
        while let [line, after @ ..] = rest {
            moments.extend(moment_text(line, after.first()).map(|text| Moment { at: record.at, text }));
            rest = after;
        }
    }
    moments
}

/// A line as a sentence, with the reason that follows a bad one.
fn moment_text(line: &Line, next: Option<&Line>) -> Option<String> {
    match line {
        Line::Title { name, .. } => Some(format!("run of {name} started")),
        Line::Entry(entry) => Some(match next {
            Some(Line::Detail { label: "", text }) if entry.mark != Mark::Question => {
                let joint = if entry.text.is_empty() { ": " } else { "; " };
                format!("{}{joint}{text}", entry.sentence())
            }
            _ => entry.sentence(),
        }),
        Line::Passing { entry, logged: true } => Some(entry.sentence()),
        Line::Verdict { word, text, .. } => Some(format!("run ended {word} {text}")),
        Line::Heading(_) | Line::Passing { .. } | Line::Gone { .. } | Line::Detail { .. } | Line::Fact { .. } => None,
    }
}

fn taken_over(key: &StepKey, from: &RunId, status: StepStatus) -> Entry {
    let mark = match status {
        StepStatus::Passed => Mark::Passed,
        StepStatus::Failed => Mark::Failed,
        _ => Mark::Error,
    };
    Entry::new(mark, key.to_string(), format!("{status}, taken over"), format!("not done here; from run {from}"))
}

fn interrupted(key: &StepKey) -> Entry {
    let text = "the program ended while it ran; whether it took effect is not known";
    Entry::new(Mark::Question, key.to_string(), "interrupted", text)
}

fn cancel_requested(by: &str, hard: bool) -> Entry {
    let text = if hard { "running steps are ended at once" } else { "running steps may finish" };
    Entry::new(Mark::Cancelled, "run", format!("cancel asked by {by}"), text)
}

fn doubt_resolved(key: &StepKey, resolution: Resolution, by: &str, reason: &str) -> Entry {
    let word = match resolution {
        Resolution::Done => format!("said to be done by {by}"),
        Resolution::Retry => format!("is to be tried again, says {by}"),
        Resolution::Abort => format!("given up by {by}"),
    };
    Entry::new(Mark::Note, key.to_string(), word, reason)
}
