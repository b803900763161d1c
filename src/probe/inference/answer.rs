//! Judges one answer: its form, its numbers, its text.

use std::collections::BTreeMap;

use super::config::{Config, ExpectedOutput};
use super::form::Form;
use super::parity::Local;
use super::protocol::Answer;
use super::tensor::OutputTensor;
use crate::kind::StepError;
use crate::model::golden::{Case, CaseResult, Tolerance, Values, Verdict, compare};
use crate::probe::text::clean;

/// Of a text that a model wrote, in a message.
const QUOTED_BYTES: usize = 200;

pub(super) struct Judge<'a> {
    config: &'a Config,
    tolerance: Tolerance,
    form: Form,
    /// What the model file answers, to compare with.
    local: Option<&'a Local>,
}

/// One answer by what is right, and by what the model file answers.
pub(super) struct Judgement {
    pub result: CaseResult,
    pub parity: Option<CaseResult>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(config: &'a Config, tolerance: Tolerance, local: Option<&'a Local>) -> Result<Self, StepError> {
        Ok(Judge { config, tolerance, form: Form::of(config)?, local })
    }

    /// The outputs that are looked at in the answer to the case at `index`.
    pub(super) fn wanted<'b>(&'b self, index: usize, case: &'b Case) -> Vec<&'b str> {
        let of_schema = self.config.schema.iter().map(|output| output.name.as_str());
        let of_file = self.local.into_iter().flat_map(|local| local.outputs(index));
        let of_case = case.outputs.keys().map(String::as_str);
        let mut names: Vec<&str> = of_case.chain(of_schema).chain(of_file).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    pub(super) fn judge(&self, index: usize, case: &Case, answer: &Answer) -> Judgement {
        let parity = self.local.map(|local| local.judge(index, &case.name, answer));
        Judgement { result: self.judge_by_case(case, answer), parity }
    }

    fn judge_by_case(&self, case: &Case, answer: &Answer) -> CaseResult {
        let values = match numbers(&case.name, case.outputs.keys(), answer) {
            Ok(values) => values,
            Err(result) => return result,
        };
        let mut result = compare(case, &values, self.tolerance);
        if let Some(why) = self.form.fault(answer) {
            note(&mut result, Verdict::WrongShape, why);
        }
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

/// The numbers of the outputs of these names that were answered; a result when one of them holds none.
pub(super) fn numbers<'a>(
    case: &str,
    names: impl Iterator<Item = &'a String>,
    answer: &Answer,
) -> Result<BTreeMap<String, Values>, CaseResult> {
    let answered = names.filter_map(|name| Some((name, answer.tensors.get(name)?)));
    let values = answered.map(|(name, tensor)| match &tensor.numbers {
        Ok(data) => Ok((name.clone(), Values { shape: tensor.shape.clone(), data: data.clone() })),
        Err(what) => Err(CaseResult::run_failed(case, format!("the output '{name}' {what}"))),
    });
    values.collect()
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
