//! From everything that was found to one word and one sentence.

use serde::Serialize;

use super::load::Tally;
use super::parity::Parity;
use super::readiness::Readiness;
use crate::model::golden::{self, CaseResult, Comparison};

/// What a check came to, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Match,
    OtherModel,
    Differs,
    NotFinite,
    WrongShape,
    Invalid,
    Unanswered,
    Refused,
    NotReady,
}

impl From<golden::Verdict> for Verdict {
    fn from(verdict: golden::Verdict) -> Self {
        match verdict {
            golden::Verdict::Match => Verdict::Match,
            golden::Verdict::Differs => Verdict::Differs,
            golden::Verdict::NotFinite => Verdict::NotFinite,
            golden::Verdict::WrongShape => Verdict::WrongShape,
            golden::Verdict::RunFailed | golden::Verdict::LoadFailed => Verdict::Invalid,
        }
    }
}

/// The verdict with its reasons.
pub(super) struct Findings {
    pub verdict: Verdict,
    pub comparison: Comparison,
    pub correct: bool,
    /// Why the step fails.
    pub failure: Option<String>,
}

impl Findings {
    pub(super) fn of(tally: &Tally, readiness: &Readiness, parity: &Parity, allowed_error_rate: f64) -> Self {
        let answered: Vec<CaseResult> = tally.results.iter().flatten().cloned().collect();
        let comparison = Comparison::of(&answered);
        let all_answered = answered.len() == tally.results.len();
        let mut complaints = Vec::new();
        if let Readiness::NotReady(why) = readiness {
            complaints.push((Verdict::NotReady, format!("the server says it is not ready: {why}")));
        }
        // A case without any answer was not judged, however small the share of errors is.
        if !all_answered || tally.error_rate() > allowed_error_rate {
            complaints.extend(refusals(tally).into_iter().chain(losses(tally)));
        }
        if comparison.verdict != golden::Verdict::Match {
            complaints.push((comparison.verdict.into(), wrong_answers(&comparison, tally.results.len())));
        }
        if parity.holds() == Some(false) {
            complaints.push((Verdict::OtherModel, other_model(parity)));
        }
        Findings {
            verdict: complaints.iter().map(|(verdict, _)| *verdict).max().unwrap_or(Verdict::Match),
            correct: all_answered && comparison.verdict == golden::Verdict::Match,
            comparison,
            failure: join(complaints),
        }
    }
}

fn join(complaints: Vec<(Verdict, String)>) -> Option<String> {
    let texts: Vec<String> = complaints.into_iter().map(|(_, text)| text).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

impl Tally {
    pub(super) fn errors(&self) -> usize {
        self.refused + self.lost
    }

    pub(super) fn error_rate(&self) -> f64 {
        // At least one request is sent.
        self.errors() as f64 / self.requests as f64
    }
}

fn refusals(tally: &Tally) -> Option<(Verdict, String)> {
    let (_, why) = tally.refusal.as_ref()?;
    let (refused, requests) = (tally.refused, tally.requests);
    Some((Verdict::Refused, format!("{refused} of {requests} requests were refused; the first with {why}")))
}

fn losses(tally: &Tally) -> Option<(Verdict, String)> {
    let why = tally.loss.as_ref()?;
    let (lost, requests) = (tally.lost, tally.requests);
    Some((Verdict::Unanswered, format!("{lost} of {requests} requests got no answer; the first: {why}")))
}

fn wrong_answers(comparison: &Comparison, cases: usize) -> String {
    let Comparison { mismatched, label_flips, .. } = comparison;
    let flips = if *label_flips > 0 { format!(", {label_flips} labels changed") } else { String::new() };
    let case = comparison.worst_case.as_deref().unwrap_or_default();
    let difference = comparison.first_difference.as_deref().unwrap_or_default();
    format!("{mismatched} of {cases} cases are answered wrongly{flips}; case '{case}': {difference}")
}

fn other_model(parity: &Parity) -> String {
    // Twelve digits tell two models apart; the output has all of them.
    let short = |hash: &Option<String>| hash.as_deref().map_or(String::new(), |hash| hash.chars().take(12).collect());
    format!(
        "the served model is not the file on disk: SHA-256 {}… is served, the file has {}…",
        short(&parity.served),
        short(&parity.file)
    )
}
