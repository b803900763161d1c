//! Compares what a model answers with what it should answer. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Case, Tolerance, Values};
use crate::model::ModelFault;

/// What a comparison came to, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every number is within the tolerance.
    Match,
    /// Numbers are beyond the tolerance.
    Differs,
    /// An answer holds NaN or infinity.
    NotFinite,
    /// An output is missing or has another shape.
    WrongShape,
    /// The model loaded but could not be run.
    RunFailed,
    /// The model could not be loaded.
    LoadFailed,
}

/// How one case went.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseResult {
    pub name: String,
    pub verdict: Verdict,
    /// NaN and infinities among the answered numbers.
    pub not_finite: usize,
    /// Rows whose largest number is at another place than in the golden answer.
    pub label_flips: usize,
    pub max_absolute_error: f64,
    /// Only of numbers whose golden value is not zero.
    pub max_relative_error: f64,
    /// The first thing that is not as it should be, in words.
    pub first_difference: Option<String>,
    /// The fault of a model that gave no answer.
    pub fault: Option<ModelFault>,
}

impl CaseResult {
    fn new(name: &str) -> Self {
        CaseResult {
            name: name.to_owned(),
            verdict: Verdict::Match,
            not_finite: 0,
            label_flips: 0,
            max_absolute_error: 0.0,
            max_relative_error: 0.0,
            first_difference: None,
            fault: None,
        }
    }

    /// A case to which there is no answer at all.
    pub fn run_failed(name: &str, why: String) -> Self {
        let mut result = CaseResult::new(name);
        result.note(Verdict::RunFailed, || why);
        result
    }

    /// A case to which the model gave no answer.
    pub fn faulted(name: &str, fault: ModelFault) -> Self {
        CaseResult { fault: Some(fault.clone()), ..CaseResult::run_failed(name, fault.detail) }
    }

    fn note(&mut self, verdict: Verdict, difference: impl FnOnce() -> String) {
        self.verdict = self.verdict.max(verdict);
        self.first_difference.get_or_insert_with(difference);
    }

    fn note_shape(&mut self, output: &str, expected: &Values, actual: Option<&Values>) {
        let answered =
            actual.map_or("is not answered".to_owned(), |actual| format!("has the shape {:?}", actual.shape));
        self.note(Verdict::WrongShape, || format!("'{output}' {answered}; expected the shape {:?}", expected.shape));
    }

    fn compare_numbers(&mut self, output: &str, expected: &Values, actual: &Values, tolerance: Tolerance) {
        for (index, (want, got)) in expected.data.iter().zip(&actual.data).enumerate() {
            let place = || format!("'{output}'{:?}", place_of(index, &expected.shape));
            if !got.is_finite() {
                self.not_finite += 1;
                self.note(Verdict::NotFinite, || format!("{} is {got}; expected {want}", place()));
                continue;
            }
            let error = (got - want).abs();
            self.max_absolute_error = self.max_absolute_error.max(error);
            if *want != 0.0 {
                // Not infinity for the tiniest of golden values: JSON has no word for it.
                let relative = (error / want.abs()).min(f64::MAX);
                self.max_relative_error = self.max_relative_error.max(relative);
            }
            if !tolerance.accepts(*got, *want) {
                self.note(Verdict::Differs, || format!("{} is {got}; expected {want}", place()));
            }
        }
    }
}

/// Judges the answer to one case. Outputs beyond those of the case are not looked at.
pub fn compare(case: &Case, actual: &BTreeMap<String, Values>, tolerance: Tolerance) -> CaseResult {
    let mut result = CaseResult::new(&case.name);
    for (output, expected) in &case.outputs {
        match actual.get(output) {
            Some(actual) if actual.shape == expected.shape && actual.data.len() == expected.data.len() => {
                result.compare_numbers(output, expected, actual, tolerance);
                result.label_flips += label_flips(expected, actual);
            }
            other => result.note_shape(output, expected, other),
        }
    }
    result
}

/// Position of the element `index` in each dimension.
fn place_of(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut place: Vec<usize> = shape
        .iter()
        .rev()
        .map(|size| {
            // An element exists, so no size is zero.
            let position = index % size;
            index /= size;
            position
        })
        .collect();
    place.reverse();
    place
}

/// Rows, along the last dimension, whose largest element moved. A row with NaN has no largest element.
fn label_flips(expected: &Values, actual: &Values) -> usize {
    // A row of one number has no labels to choose from.
    let Some(width) = expected.shape.last().copied().filter(|width| *width > 1) else { return 0 };
    let rows = expected.data.chunks_exact(width).zip(actual.data.chunks_exact(width));
    rows.filter(|(_, actual)| actual.iter().all(|number| !number.is_nan()))
        .filter(|(expected, actual)| largest(expected) != largest(actual))
        .count()
}

/// The first of the largest, as numpy's argmax.
fn largest(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, index| if row[index] > row[best] { index } else { best })
}

/// All cases together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub verdict: Verdict,
    pub cases: usize,
    pub matched: usize,
    pub mismatched: usize,
    pub not_finite: usize,
    pub shape_mismatches: usize,
    pub label_flips: usize,
    pub max_absolute_error: f64,
    pub max_relative_error: f64,
    /// The case with the worst verdict; among equals the one with the largest absolute error.
    pub worst_case: Option<String>,
    pub first_difference: Option<String>,
    /// Why the model did not load, or gave no answer to a case.
    pub fault: Option<ModelFault>,
}

impl Comparison {
    /// What is known when the model does not load: no case was run.
    pub fn load_failed(cases: usize, fault: &ModelFault) -> Self {
        Comparison {
            verdict: Verdict::LoadFailed,
            cases,
            mismatched: cases,
            first_difference: Some(fault.detail.clone()),
            fault: Some(fault.clone()),
            ..Comparison::of(&[])
        }
    }

    pub fn of(results: &[CaseResult]) -> Self {
        let count = |verdict| results.iter().filter(|result| result.verdict == verdict).count();
        let largest = |error: fn(&CaseResult) -> f64| results.iter().map(error).fold(0.0, f64::max);
        let worst = results.iter().filter(|result| result.verdict != Verdict::Match).max_by(|left, right| {
            left.verdict.cmp(&right.verdict).then(left.max_absolute_error.total_cmp(&right.max_absolute_error))
        });
        let matched = count(Verdict::Match);
        Comparison {
            verdict: worst.map_or(Verdict::Match, |worst| worst.verdict),
            cases: results.len(),
            matched,
            mismatched: results.len() - matched,
            not_finite: results.iter().map(|result| result.not_finite).sum(),
            shape_mismatches: count(Verdict::WrongShape),
            label_flips: results.iter().map(|result| result.label_flips).sum(),
            max_absolute_error: largest(|result| result.max_absolute_error),
            max_relative_error: largest(|result| result.max_relative_error),
            worst_case: worst.map(|worst| worst.name.clone()),
            first_difference: worst.and_then(|worst| worst.first_difference.clone()),
            fault: results.iter().find_map(|result| result.fault.clone()),
        }
    }
}
