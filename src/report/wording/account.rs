//! The parts of a run in words: its steps, the detection, the causes, what was approved and how it
//! ended. Live reporters use them event by event, `runbook show` and the incident report afterwards.

use serde_json::Value;

use crate::base::units::show_duration;
use crate::base::{StepKey, Timestamp};
use crate::engine::event::{ApprovalVerdict, Cause, Finding, Outcome, StepStatus};
use crate::report::line::{Entry, Line, Mark};
use crate::report::time::TimeZoneChoice;
use crate::report::values;
use crate::report::view::{Answer, Approval, Detection, Notification, RunView, StepState, StepView};

use super::outcome_mark;

/// The subject of lines about the answer to "does the fault exist?".
pub const DETECTION: &str = "detection";

/// Inputs are shown on one line; longer ones are in the journal.
const LONGEST_INPUT: usize = 60;

pub fn opening(view: &RunView) -> Vec<Line> {
    let started_by = match view.trigger.as_str() {
        "hand" | "" => view.by.clone(),
        trigger => format!("{} ({trigger})", view.by),
    };
    let mut lines = vec![
        Line::Title { name: view.playbook.clone(), text: view.title.clone() },
        Line::Fact { label: "run", text: view.run.clone() },
        Line::Fact { label: "by", text: started_by },
    ];
    let inputs = inputs(&view.inputs);
    if !inputs.is_empty() {
        lines.push(Line::Fact { label: "inputs", text: inputs.join(", ") });
    }
    lines
}

/// `name=value` for each input.
pub fn inputs(inputs: &Value) -> Vec<String> {
    let Value::Object(fields) = inputs else { return Vec::new() };
    fields
        .iter()
        .map(|(name, value)| {
            let shown = values::pretty(name, value);
            format!("{name}={}", crate::report::text::shorten(&shown, LONGEST_INPUT))
        })
        .collect()
}

/// The line of a step and, when it did not pass, why and what to do; at most `reason_lines` of the why.
pub fn step(view: &RunView, step: &StepView, reason_lines: usize) -> Vec<Line> {
    let mut entry = Entry::new(step_mark(step), step.key.to_string(), step_word(step), step_text(view, step));
    entry.duration = step.duration();
    let mut lines = vec![Line::Entry(entry)];
    if !matches!(step.status(), Some(StepStatus::Passed | StepStatus::Skipped)) {
        lines.extend(reason(step, reason_lines));
    }
    lines
}

/// Whether this is a probe that found what it looks for. It passed, and yet it is no good news.
fn shows_the_fault(step: &StepView) -> bool {
    step.status() == Some(StepStatus::Passed) && step.output["holds"] == true
}

fn step_mark(step: &StepView) -> Mark {
    match step.state {
        _ if shows_the_fault(step) => Mark::Alarm,
        StepState::Waiting => Mark::Note,
        StepState::Asked | StepState::Suspended => Mark::Question,
        StepState::Running => Mark::Running,
        StepState::Finished(StepStatus::Passed) => Mark::Passed,
        StepState::Finished(StepStatus::Failed) => Mark::Failed,
        StepState::Finished(StepStatus::Error) => Mark::Error,
        StepState::Finished(StepStatus::Skipped) => Mark::Skipped,
        StepState::Finished(StepStatus::Cancelled) => Mark::Cancelled,
        StepState::Finished(StepStatus::InDoubt) => Mark::Question,
    }
}

fn step_word(step: &StepView) -> String {
    match step.state {
        _ if shows_the_fault(step) => "holds".to_owned(),
        StepState::Waiting => "not started".to_owned(),
        StepState::Asked => "waits for approval".to_owned(),
        StepState::Suspended => "waits for a person".to_owned(),
        StepState::Finished(StepStatus::InDoubt) => "in doubt".to_owned(),
        state => state.label().to_owned(),
    }
}

fn step_text(view: &RunView, step: &StepView) -> String {
    match step.status() {
        Some(StepStatus::Skipped) => step.reason.clone().unwrap_or_default(),
        Some(StepStatus::Passed) => passed_text(view, step),
        Some(_) => {
            let attempts = (step.attempts > 1).then(|| format!("{} attempts", step.attempts));
            [item_name(step), attempts].into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
        None => String::new(),
    }
}

fn passed_text(view: &RunView, step: &StepView) -> String {
    if !step.items.is_empty() {
        return item_counts(view, &step.key);
    }
    let summary = values::summary(&step.output);
    let attempts = (step.attempts > 1).then(|| format!("at attempt {}", step.attempts));
    let parts = [item_name(step), Some(summary).filter(|text| !text.is_empty()), attempts];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn item_name(step: &StepView) -> Option<String> {
    step.item.as_ref().map(|item| match item {
        Value::String(name) => name.clone(),
        other => format!("item {}", values::pretty("", other)),
    })
}

/// `39 passed, 1 failed`
fn item_counts(view: &RunView, parent: &StepKey) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for step in view.steps.iter().filter(|step| step.key.step == parent.step && step.key.item.is_some()) {
        let label = step.state.label();
        match counts.iter_mut().find(|(known, _)| *known == label) {
            Some((_, count)) => *count += 1,
            None => counts.push((label, 1)),
        }
    }
    counts.iter().map(|(label, count)| format!("{count} {label}")).collect::<Vec<_>>().join(", ")
}

/// Why a step did not pass, and what to do about it.
fn reason(step: &StepView, limit: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = step.reason.iter().flat_map(|reason| cut_lines(reason, limit)).collect();
    lines.extend(step.help.iter().map(|help| Line::Detail { label: "help", text: help.clone() }));
    lines
}

fn cut_lines(text: &str, limit: usize) -> Vec<Line> {
    let all: Vec<&str> = text.trim_end().lines().collect();
    let mut lines: Vec<Line> = all.iter().take(limit).map(|line| Line::detail(*line)).collect();
    if all.len() > limit {
        lines.push(Line::detail(format!("… and {} more lines", all.len() - limit)));
    }
    lines
}

/// The answer of the detection with the values it was judged by.
/// `before` is the first answer when this is the one after remediation.
pub fn detection(detection: &Detection, before: Option<&Detection>) -> Vec<Line> {
    let recheck = before.is_some();
    let (mark, word) = match (detection.holds, recheck) {
        (Some(true), false) => (Mark::Alarm, "fault detected"),
        (Some(true), true) => (Mark::Failed, "still holds"),
        (Some(false), false) => (Mark::Passed, "nothing detected"),
        (Some(false), true) => (Mark::Passed, "no longer holds"),
        (None, _) => (Mark::Error, "could not be decided"),
    };
    let told = detection.findings.iter().filter(|finding| is_told(finding, detection.holds, before));
    let mut lines = vec![Entry::new(mark, DETECTION, word, "").into()];
    lines.extend(told.map(|finding| Line::detail(format!("{}: {}", finding.name, evidence(finding)))));
    lines
}

/// What decided the answer; after a remediation that helped, what held before it.
fn is_told(finding: &Finding, answer: Option<bool>, before: Option<&Detection>) -> bool {
    let held = |before: &Detection| {
        before.findings.iter().any(|earlier| earlier.name == finding.name && earlier.holds == Some(true))
    };
    match answer {
        Some(true) => finding.holds == Some(true),
        Some(false) => before.is_some_and(held),
        None => finding.holds.is_none(),
    }
}

/// `status != "healthy", with status = "down"`
pub fn evidence(finding: &Finding) -> String {
    let mut text = finding.condition.clone();
    if !finding.values.is_empty() {
        text.push_str(", with ");
        text.push_str(&observed(finding));
    }
    if let Some(why) = &finding.why {
        text.push_str(if text.is_empty() { "" } else { ": " });
        text.push_str(why);
    }
    text
}

/// The values that a finding was judged by.
pub fn observed(finding: &Finding) -> String {
    finding.values.iter().map(|(name, value)| values::exact(name, value)).collect::<Vec<_>>().join(", ")
}

/// The causes that were found or could not be decided, each with its evidence.
pub fn causes(causes: &[Cause]) -> Vec<Line> {
    let mut lines = Vec::new();
    for cause in causes.iter().filter(|cause| cause.finding.holds != Some(false)) {
        let (mark, word) = match cause.finding.holds {
            Some(_) => (Mark::Cause, "found"),
            None => (Mark::Error, "could not be decided"),
        };
        lines.push(Entry::new(mark, cause.finding.name.clone(), word, cause.title.clone()).into());
        lines.push(Line::detail(evidence(&cause.finding)));
    }
    if !causes.iter().any(|cause| cause.finding.holds == Some(true)) {
        lines.push(Entry::new(Mark::Question, "cause", "none of the known causes was found", "").into());
    }
    lines
}

/// What a person is asked. The request is shown whole: nobody approves what they cannot read.
pub fn approval_question(approval: &Approval, times: TimeZoneChoice) -> Vec<Line> {
    let until = approval.expires_at.map(|at| format!(", until {}", times.time(at))).unwrap_or_default();
    let text = format!("{}{until}", approval.risk);
    let question = Entry::new(Mark::Question, approval.key.to_string(), "waits for approval", text);
    std::iter::once(question.into()).chain(approval_terms(approval)).collect()
}

/// What exactly is asked, of whom, and the digest that an answer is bound to.
pub fn approval_terms(approval: &Approval) -> Vec<Line> {
    let mut lines = vec![Line::detail(approval.summary.clone())];
    lines.extend(request(&approval.request).into_iter().map(Line::detail));
    if approval.quorum > 1 || !approval.by.is_empty() {
        lines.push(Line::Detail { label: "asks", text: asked_of(approval) });
    }
    if !approval.digest.is_empty() {
        lines.push(Line::Detail { label: "digest", text: approval.digest.clone() });
    }
    lines
}

/// `2 of ml-platform, sre`, or `2 people`.
pub fn asked_of(approval: &Approval) -> String {
    match (approval.quorum, approval.by.is_empty()) {
        (1, false) => format!("one of {}", approval.by.join(", ")),
        (quorum, false) => format!("{quorum} of {}", approval.by.join(", ")),
        (quorum, true) => format!("{quorum} people"),
    }
}

/// How many of those who have to agree did.
pub fn counted(approval: &Approval) -> Entry {
    Entry::new(Mark::Question, approval.key.to_string(), counted_words(approval), "")
}

/// `1 of 2 approved: ada`.
pub fn counted_words(approval: &Approval) -> String {
    format!("{} of {} approved: {}", approval.counted.len(), approval.quorum, approval.counted.join(", "))
}

/// An answer that does not count.
pub fn refused(key: &StepKey, by: &str, why: &str) -> Entry {
    Entry::new(Mark::Failed, key.to_string(), format!("the answer of {by} does not count"), why)
}

/// An approval without those who should have agreed.
pub fn broken_glass(key: &StepKey, by: &str, reason: &str) -> Entry {
    Entry::new(Mark::Alarm, key.to_string(), format!("glass broken by {by}"), reason)
}

/// What a person answered.
pub fn settled(key: &StepKey, answer: &Answer) -> Entry {
    let (mark, word) = match answer.verdict {
        ApprovalVerdict::Approved => (Mark::Passed, format!("approved by {}", answer.by)),
        ApprovalVerdict::Rejected => (Mark::Failed, format!("rejected by {}", answer.by)),
        ApprovalVerdict::TimedOut => (Mark::Failed, "not approved in time".to_owned()),
        ApprovalVerdict::Parked => (Mark::Question, "not answered, nobody can be asked here".to_owned()),
    };
    Entry::new(mark, key.to_string(), word, answer.reason.clone())
}

/// A request as lines `http.post: http://…`, one for each value in it.
pub fn request(request: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    push_request("", request, &mut lines);
    lines
}

fn push_request(name: &str, value: &Value, lines: &mut Vec<String>) {
    let joined = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(key, part)| push_request(&joined(key), part, lines));
        }
        Value::Object(_) if name.is_empty() => {}
        Value::Null => {}
        Value::String(text) if text.contains('\n') => {
            lines.push(format!("{name}:"));
            lines.extend(text.lines().map(|line| format!("  {line}")));
        }
        Value::String(text) => lines.push(labelled(name, text)),
        other => lines.push(labelled(name, &other.to_string())),
    }
}

fn labelled(name: &str, text: &str) -> String {
    if name.is_empty() { text.to_owned() } else { format!("{name}: {text}") }
}

pub fn undone(key: &StepKey, error: Option<&str>) -> Vec<Line> {
    let subject = key.to_string();
    match error {
        None => vec![Entry::new(Mark::Undone, subject, "undone", "").into()],
        Some(error) => {
            vec![Entry::new(Mark::Error, subject, "could not be undone", "").into(), Line::detail(error)]
        }
    }
}

pub fn notified(notification: &Notification) -> Vec<Line> {
    let subject = notification.channel.clone();
    match &notification.error {
        None => vec![Entry::new(Mark::Note, subject, "told", notification.on.clone()).into()],
        Some(error) => {
            let attempts = notification.attempts;
            let plural = if attempts == 1 { "" } else { "s" };
            let text = format!("{}, {attempts} attempt{plural}", notification.on);
            vec![Entry::new(Mark::Error, subject, "not told", text).into(), Line::detail(error.clone())]
        }
    }
}

/// How the run ended, and what a person should do now.
pub fn closing(view: &RunView, at: Timestamp) -> Vec<Line> {
    let Some(outcome) = view.outcome else { return Vec::new() };
    let text = format!("after {}", show_duration(at.since(view.started_at)));
    let mut lines = vec![Line::Verdict { mark: outcome_mark(outcome), word: outcome.to_string(), text }];
    if !view.why.is_empty() {
        lines.push(Line::Fact { label: "why", text: view.why.clone() });
    }
    lines.extend(closing_facts(view));
    lines
}

fn closing_facts(view: &RunView) -> Vec<Line> {
    let mut facts = Vec::new();
    let causes = view.cause_names();
    if !causes.is_empty() {
        facts.push(Line::Fact { label: "cause", text: causes.join(", ") });
    }
    if let Some(severity) = view.severity.filter(|_| view.outcome != Some(Outcome::Healthy)) {
        facts.push(Line::Fact { label: "severity", text: severity.to_string() });
    }
    facts.extend(next_steps(view).into_iter().map(|text| Line::Fact { label: "next", text }));
    facts
}

/// What a person should do now; empty when nothing is left to do.
pub fn next_steps(view: &RunView) -> Vec<String> {
    let mut steps = Vec::new();
    for undo in view.undo.iter().filter(|undo| undo.error.is_some()) {
        steps.push(format!("look after {} by hand: it could not be undone", undo.key));
    }
    for step in &view.steps {
        match step.state {
            StepState::Asked => steps.push(format!("runbook approve {} {}", view.run, step.key)),
            StepState::Suspended => {
                steps.push(format!("{} waits for a person: {}", step.key, step.help.as_deref().unwrap_or_default()));
            }
            StepState::Finished(StepStatus::InDoubt) => {
                steps.push(format!(
                    "find out whether {0} took effect, then: runbook resolve {1} {0} --done|--retry|--abort --reason TEXT",
                    step.key, view.run
                ));
            }
            _ => {}
        }
    }
    match view.outcome {
        Some(Outcome::Unresolved | Outcome::Rejected | Outcome::Cancelled) if detection_stands(view) => {
            steps.push("the fault still exists: take over by hand".to_owned());
        }
        Some(Outcome::Mitigated) => {
            steps.push("the fault is gone, but a step that should have passed did not: look at it".to_owned());
        }
        _ => {}
    }
    steps
}

/// Whether the latest answer says that the fault exists.
fn detection_stands(view: &RunView) -> bool {
    view.after.as_ref().or(view.before.as_ref()).is_some_and(|detection| detection.holds == Some(true))
}
