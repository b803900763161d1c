//! Judges one answer: its form, its numbers, its text.

use std::collections::BTreeMap;

use super::config::{Config, ExpectedOutput};
use super::protocol::{Answer, Protocol};
use super::tensor::OutputTensor;
use crate::model::golden::{Case, CaseResult, Tolerance, Values, Verdict, compare};
use crate::probe::text::clean;

/// Of a text that a model wrote, in a message.
const QUOTED_BYTES: usize = 200;

pub(super) struct Judge<'a> {
    pub protocol: &'a dyn Protocol,
    config: &'a Config,
    tolerance: Tolerance,
}

impl<'a> Judge<'a> {
    pub(super) fn new(config: &'a Config, protocol: &'a dyn Protocol, tolerance: Tolerance) -> Self {
        Judge { protocol, config, tolerance }
    }

    /// The outputs that are looked at.
    pub(super) fn wanted<'b>(&'b self, case: &'b Case) -> Vec<&'b str> {
        let of_schema = self.config.schema.iter().map(|output| output.name.as_str());
        let mut names: Vec<&str> = case.outputs.keys().map(String::as_str).chain(of_schema).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    pub(super) fn judge(&self, case: &Case, answer: &Answer) -> CaseResult {
        let mut values = BTreeMap::new();
        for name in case.outputs.keys() {
            match answer.tensors.get(name).map(|tensor| (&tensor.shape, &tensor.numbers)) {
                Some((shape, Ok(data))) => {
                    values.insert(name.clone(), Values { shape: shape.clone(), data: data.clone() });
                }
                Some((_, Err(what))) => {
                    return CaseResult::run_failed(&case.name, format!("the output '{name}' {what}"));
                }
                None => {}
            }
        }
        let mut result = compare(case, &values, self.tolerance);
        for expected in &self.config.schema {
            self.judge_form(case, expected, answer, &mut result);
        }
        if let Some(why) = answer.text.as_deref().and_then(|text| self.wrong_text(text)) {
            note(&mut result, Verdict::Differs, why);
        }
        result
    }

    fn judge_form(&self, case: &Case, expected: &ExpectedOutput, answer: &Answer, result: &mut CaseResult) {
        let name = &expected.name;
        let Some(tensor) = answer.tensors.get(name) else {
            return note(result, Verdict::WrongShape, format!("'{name}' is not answered"));
        };
        if let Some(why) = wrong_form(expected, tensor) {
            note(result, Verdict::WrongShape, format!("'{name}' {why}"));
        }
        // The comparison has counted those of the outputs that the case knows.
        let numbers = tensor.numbers.iter().flatten().filter(|_| !case.outputs.contains_key(name));
        let not_finite = numbers.filter(|number| !number.is_finite()).count();
        if not_finite > 0 {
            result.not_finite += not_finite;
            note(result, Verdict::NotFinite, format!("'{name}' holds {not_finite} numbers that are NaN or infinite"));
        }
    }

    fn wrong_text(&self, text: &str) -> Option<String> {
        let wanted = match (&self.config.equals, &self.config.contains) {
            (Some(equals), _) if text.trim() != equals.trim() => format!("expected '{}'", equals.trim()),
            (_, Some(contains)) if !text.contains(contains) => format!("expected it to contain '{contains}'"),
            _ => return None,
        };
        Some(format!("the answer is '{}'; {wanted}", clean(text.as_bytes(), QUOTED_BYTES)))
    }
}

fn note(result: &mut CaseResult, verdict: Verdict, difference: String) {
    // What is told first should be what the verdict is about.
    if verdict > result.verdict {
        result.verdict = verdict;
        result.first_difference = Some(difference);
    }
}

fn wrong_form(expected: &ExpectedOutput, tensor: &OutputTensor) -> Option<String> {
    let fits = |(want, got): (&i64, &usize)| *want < 0 || usize::try_from(*want) == Ok(*got);
    if let Some(shape) = &expected.shape
        && !(shape.len() == tensor.shape.len() && shape.iter().zip(&tensor.shape).all(fits))
    {
        return Some(format!("has the shape {:?}; expected {shape:?}", tensor.shape));
    }
    let wanted = expected.datatype.as_ref()?;
    let told = tensor.datatype.as_deref().unwrap_or("of no told type");
    (told != wanted).then(|| format!("is {told}; expected {wanted}"))
}
