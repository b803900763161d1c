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
    /// The answers by what the model file answers, as far as it was asked.
    pub parity: Option<Comparison>,
    /// Whether the served model is the one on disk, if anything tells it.
    pub same_model: Option<bool>,
}

impl Findings {
    pub(super) fn of(tally: &Tally, readiness: &Readiness, parity: &Parity, allowed_error_rate: f64) -> Self {
        let answered: Vec<CaseResult> = tally.results.iter().flatten().cloned().collect();
        let comparison = Comparison::of(&answered);
        let all_answered = answered.len() == tally.results.len();
        let compared: Vec<CaseResult> = tally.parity.iter().flatten().cloned().collect();
        let by_file = (!compared.is_empty()).then(|| Comparison::of(&compared));
        let same_model = parity.holds(by_file.as_ref());
        let mut complaints = Vec::new();
        if let Readiness::NotReady(why) = readiness {
            complaints.push((Verdict::NotReady, format!("the server says it is not ready: {why}")));
        }
        // A case without any answer was not judged, however small the share of errors is.
        if !all_answered || tally.error_rate() > allowed_error_rate {
            complaints.extend(refusals(tally).into_iter().chain(losses(tally)));
        }
        if comparison.verdict != golden::Verdict::Match {
            let says_ready = if readiness.told() == Some(true) { "the server says it is ready, but " } else { "" };
            let wrong = wrong_answers(&comparison, tally.results.len());
            complaints.push((comparison.verdict.into(), format!("{says_ready}{wrong}")));
        }
        if same_model == Some(false) {
            complaints.push((Verdict::OtherModel, other_model(parity, by_file.as_ref())));
        }
        Findings {
            verdict: complaints.iter().map(|(verdict, _)| *verdict).max().unwrap_or(Verdict::Match),
            correct: all_answered && comparison.verdict == golden::Verdict::Match,
            comparison,
            failure: join(complaints),
            parity: by_file,
            same_model,
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
    let why = &tally.refusal.as_ref()?.said;
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

fn other_model(parity: &Parity, by_file: Option<&Comparison>) -> String {
    let reasons = [other_hash(parity), by_file.and_then(other_answers)];
    let reasons: Vec<String> = reasons.into_iter().flatten().collect();
    format!("the served model is not the file on disk: {}", reasons.join("; "))
}

fn other_hash(parity: &Parity) -> Option<String> {
    let (served, file) = (parity.served.as_ref()?, parity.file.as_ref()?);
    // Twelve digits tell two models apart; the output has all of them.
    let short = |hash: &str| hash.chars().take(12).collect::<String>();
    (served != file).then(|| format!("SHA-256 {}… is served, the file has {}…", short(served), short(file)))
}

fn other_answers(comparison: &Comparison) -> Option<String> {
    let difference = comparison.first_difference.as_deref()?;
    let Comparison { mismatched, cases, label_flips, .. } = comparison;
    let flips = if *label_flips > 0 { format!(", {label_flips} labels differ") } else { String::new() };
    let case = comparison.worst_case.as_deref().unwrap_or_default();
    Some(format!(
        "they answer {mismatched} of {cases} cases differently{flips}; case '{case}', by the file: {difference}"
    ))
}
