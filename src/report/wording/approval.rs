//! Questions and what people said to them, in words.

use serde_json::Value;

use super::account::request;
use crate::base::StepKey;
use crate::base::value::show;
use crate::engine::event::{Answers, ApprovalVerdict, AskedAnswer};
use crate::report::line::{Entry, Line, Mark};
use crate::report::time::TimeZoneChoice;
use crate::report::view::{Answer, Approval, RunView};

/// What a person is asked. The request is shown whole: nobody approves what they cannot read.
pub fn question(approval: &Approval, times: TimeZoneChoice) -> Vec<Line> {
    let until = approval.expires_at.map(|at| format!(", until {}", times.time(at))).unwrap_or_default();
    let text = format!("{}{until}", approval.risk);
    let question = Entry::new(Mark::Question, approval.key.to_string(), "waits for approval", text);
    std::iter::once(question.into()).chain(terms(approval)).collect()
}

/// What exactly is asked, of whom, and the digest that an answer is bound to.
pub fn terms(approval: &Approval) -> Vec<Line> {
    let mut lines = vec![Line::detail(approval.summary.clone())];
    lines.extend(request(&approval.request).into_iter().map(Line::detail));
    if approval.quorum > 1 || !approval.by.is_empty() {
        lines.push(Line::Detail { label: "asks", text: asked_of(approval) });
    }
    lines.extend(approval.asks.iter().map(|asks| Line::Detail { label: "answer", text: asked_answer(approval, asks) }));
    if !approval.digest.is_empty() {
        lines.push(Line::Detail { label: "digest", text: approval.asked_digest() });
    }
    lines
}

/// `replicas: How many replicas; a whole number, from 1 to 10; default 2`, or what was already said.
fn asked_answer(approval: &Approval, asks: &AskedAnswer) -> String {
    let title = asks.title.as_ref().map(|title| format!("{title}; ")).unwrap_or_default();
    let said = match (approval.answers.get(&asks.name), &asks.default) {
        (Some(value), _) => {
            format!("; {} said {}", approval.counted.first().map_or("somebody", String::as_str), show(value))
        }
        (None, Some(default)) => format!("; default {}", show(default)),
        (None, None) => String::new(),
    };
    format!("{}: {title}{}{said}", asks.name, asks.expected)
}

/// `replicas = 3, ticket = OPS-7`.
pub fn answers(answers: &Answers) -> String {
    let one = |(name, value): (&String, &Value)| format!("{name} = {}", show(value));
    answers.iter().map(one).collect::<Vec<_>>().join(", ")
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

/// `1 of 2 approved: ada (replicas = 3)`.
pub fn counted_words(approval: &Approval) -> String {
    let said = if approval.answers.is_empty() { String::new() } else { format!(" ({})", answers(&approval.answers)) };
    format!("{} of {} approved: {}{said}", approval.counted.len(), approval.quorum, approval.counted.join(", "))
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
pub fn settled(approval: &Approval, answer: &Answer) -> Entry {
    let (mark, word) = match answer.verdict {
        ApprovalVerdict::Approved if approval.answers.is_empty() => {
            (Mark::Passed, format!("approved by {}", answer.by))
        }
        ApprovalVerdict::Approved => {
            (Mark::Passed, format!("approved by {} with {}", answer.by, answers(&approval.answers)))
        }
        ApprovalVerdict::Rejected => (Mark::Failed, format!("rejected by {}", answer.by)),
        ApprovalVerdict::TimedOut => (Mark::Failed, "not approved in time".to_owned()),
        ApprovalVerdict::Parked => (Mark::Question, "not answered, nobody can be asked here".to_owned()),
    };
    Entry::new(mark, approval.key.to_string(), word, answer.reason.clone())
}

/// How to approve, with every answer that nothing is taken for.
pub fn command(view: &RunView, key: &StepKey) -> String {
    let asked = view.approvals.iter().rev().find(|approval| approval.key == *key);
    let open = asked.into_iter().filter(|approval| approval.counted.is_empty()).flat_map(|approval| &approval.asks);
    let needed = open.filter(|asks| asks.default.is_none()).map(|asks| format!(" --answer {}=…", asks.name));
    format!("runbook approve {} {key}{}", view.run, needed.collect::<String>())
}
