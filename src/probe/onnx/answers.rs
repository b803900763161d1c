//! What a model answers to many rows, and what a classifier means by it.

use super::{Broken, Feed, Session};
use crate::kind::StepError;
use crate::model::golden::Values;
use crate::statistics::argmax;

/// The outputs of a model for the rows of a feed.
#[derive(Debug, Clone)]
pub(in crate::probe) struct Answers {
    /// Each with the rows in its first dimension.
    pub outputs: Vec<(String, Values)>,
}

impl Answers {
    /// Runs the model over all rows, `batch` at a time.
    pub(in crate::probe) fn of(session: &Session<'_>, feed: &Feed, batch: usize) -> Result<Answers, Answering> {
        let mut together: Vec<(String, Values)> = Vec::new();
        let batches = feed.rows.div_ceil(batch.max(1));
        for (index, rows) in feed.batches(batch).enumerate() {
            let count = rows.len();
            session.round("running batch", index + 1, batches);
            let answered = session.run(&feed.slice(rows)?)?;
            for (place, (name, tensor)) in answered.into_iter().enumerate() {
                let part = feed.rows_first(Values::from(&tensor), count);
                if part.shape.first() != Some(&count) {
                    let shape = &part.shape;
                    return Err(Broken::Shape(format!("'{name}' has the shape {shape:?} for {count} rows")).into());
                }
                match together.get_mut(place) {
                    None => together.push((name, part)),
                    Some((_, values)) => append(&name, values, part)?,
                }
            }
        }
        Ok(Answers { outputs: together })
    }

    /// The output of that name, else the first.
    pub(in crate::probe) fn output(&self, name: Option<&str>) -> Result<&(String, Values), StepError> {
        let found = match name {
            None => self.outputs.first(),
            Some(name) => self.outputs.iter().find(|(other, _)| other == name),
        };
        found.ok_or_else(|| {
            let names: Vec<&str> = self.outputs.iter().map(|(name, _)| &**name).collect();
            StepError::new(format!("the model has no output '{}'", name.unwrap_or_default()))
                .help(format!("its outputs are: {}", names.join(", ")))
        })
    }

    /// The output as numbers for each class.
    pub(in crate::probe) fn scores(&self, output: Option<&str>) -> Result<Scores, StepError> {
        let (name, values) = self.output(output)?;
        match values.shape[..] {
            [_, classes] if classes > 1 => Ok(Scores { classes, data: values.data.clone() }),
            _ => Err(StepError::new(format!("'{name}' has the shape {:?}, not one number a class", values.shape))
                .help("name the output with the classes as `output`; this check is for classifiers")),
        }
    }
}

fn append(name: &str, values: &mut Values, part: Values) -> Result<(), Broken> {
    if values.shape[1..] != part.shape[1..] {
        let (before, now) = (&values.shape[1..], &part.shape[1..]);
        return Err(Broken::Shape(format!("rows of '{name}' have the shape {now:?} and before {before:?}")));
    }
    values.shape[0] += part.shape[0];
    values.data.extend(part.data);
    Ok(())
}

/// How far two sets of answers to the same rows are apart.
#[derive(Debug, Default, Clone)]
pub(in crate::probe) struct Difference {
    /// Infinite when NaN or infinity stands against another number.
    apart: f64,
    /// Rows whose largest number is at another place.
    pub label_flips: usize,
    /// The first number that is not the same, in words.
    pub first: Option<String>,
}

impl Difference {
    /// An error when the answers differ in form.
    pub(in crate::probe) fn between(answers: &Answers, before: &Answers) -> Result<Difference, Broken> {
        let mut difference = Difference::default();
        for ((name, now), (other, then)) in answers.outputs.iter().zip(&before.outputs) {
            if now.shape != then.shape {
                let what = format!("'{name}' has the shape {:?}, and '{other}' {:?}", now.shape, then.shape);
                return Err(Broken::Shape(what));
            }
            difference.numbers(name, now, then);
        }
        Ok(difference)
    }

    fn numbers(&mut self, name: &str, now: &Values, then: &Values) {
        let width: usize = now.shape[1..].iter().product::<usize>().max(1);
        for (index, (number, before)) in now.data.iter().zip(&then.data).enumerate() {
            let apart = distance(*number, *before);
            if apart > 0.0 {
                self.first
                    .get_or_insert_with(|| format!("'{name}' of row {} is {number} and was {before}", index / width));
            }
            self.apart = self.apart.max(apart);
        }
        let rows = now.data.chunks_exact(width).zip(then.data.chunks_exact(width));
        self.label_flips += rows.filter(|(now, then)| argmax(now) != argmax(then)).count();
    }

    pub(in crate::probe) fn add(&mut self, other: Difference) {
        self.apart = self.apart.max(other.apart);
        self.label_flips += other.label_flips;
        self.first = self.first.take().or(other.first);
    }

    pub(in crate::probe) fn exceeds(&self, tolerance: f64) -> bool {
        self.apart > tolerance
    }

    /// The largest distance; `None` when it is no number.
    pub(in crate::probe) fn largest(&self) -> Option<f64> {
        self.apart.is_finite().then_some(self.apart)
    }
}

fn distance(number: f64, before: f64) -> f64 {
    // The same infinity and NaN against NaN are the same answer.
    if number == before || (number.is_nan() && before.is_nan()) {
        return 0.0;
    }
    let apart = (number - before).abs();
    if apart.is_nan() { f64::INFINITY } else { apart }
}

/// Why there are no answers: the model, or the rows that it should answer.
#[derive(Debug)]
pub(in crate::probe) enum Answering {
    Model(Broken),
    Rows(StepError),
}

impl From<Broken> for Answering {
    fn from(broken: Broken) -> Self {
        Answering::Model(broken)
    }
}

impl From<StepError> for Answering {
    fn from(error: StepError) -> Self {
        Answering::Rows(error)
    }
}

impl From<Answering> for StepError {
    fn from(answering: Answering) -> Self {
        match answering {
            Answering::Model(broken) => broken.into(),
            Answering::Rows(error) => error,
        }
    }
}

/// One number for each class and row.
#[derive(Debug, Clone)]
pub(in crate::probe) struct Scores {
    pub classes: usize,
    data: Vec<f64>,
}

impl Scores {
    pub(in crate::probe) fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.data.chunks_exact(self.classes)
    }

    /// The class with the largest number in each row.
    pub(in crate::probe) fn predictions(&self) -> Result<Vec<usize>, StepError> {
        let class = |(row, scores)| {
            argmax(scores).ok_or_else(|| {
                StepError::new(format!("the answer to row {row} holds NaN, so no class is predicted"))
                    .help("an `onnx_validate` step tells how many rows are affected")
            })
        };
        self.rows().enumerate().map(class).collect()
    }

    /// The numbers as shares that sum to 1: by softmax if they are logits, else as they are.
    pub(in crate::probe) fn probabilities(mut self, logits: bool) -> Result<Scores, StepError> {
        /// float16 and int8 models miss 1 by about so much.
        const SLACK: f64 = 0.01;
        for (index, row) in self.data.chunks_exact_mut(self.classes).enumerate() {
            if logits {
                softmax(row);
            }
            let sum: f64 = row.iter().sum();
            let shares = row.iter().all(|share| (-SLACK..=1.0 + SLACK).contains(share));
            if !shares || (sum - 1.0).abs() > SLACK {
                return Err(StepError::new(format!(
                    "the answer to row {index} is no set of probabilities: its sum is {sum:.4}"
                ))
                .help("write `logits: true` if the model answers before softmax"));
            }
            row.iter_mut().for_each(|share| *share = share.clamp(0.0, 1.0));
        }
        Ok(self)
    }

    /// The largest number of each row.
    pub(in crate::probe) fn confidences(&self) -> Vec<f64> {
        self.rows().map(|row| row.iter().copied().fold(f64::NEG_INFINITY, f64::max)).collect()
    }
}

fn softmax(row: &mut [f64]) {
    // Less the largest, so that no power overflows.
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|power| *power /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(data: &[f64]) -> Scores {
        Scores { classes: 2, data: data.to_vec() }
    }

    fn answers(data: &[f64]) -> Answers {
        Answers { outputs: vec![("p".into(), Values { shape: vec![data.len() / 2, 2], data: data.to_vec() })] }
    }

    #[test]
    fn differences_are_measured_and_placed() {
        let difference =
            Difference::between(&answers(&[0.0, 1.0, 0.4, 0.6]), &answers(&[0.0, 1.0, 0.75, 0.25])).unwrap();
        assert_eq!((difference.largest(), difference.label_flips), (Some(0.35), 1));
        assert_eq!(difference.first.as_deref(), Some("'p' of row 1 is 0.4 and was 0.75"));
        assert!(difference.exceeds(0.3) && !difference.exceeds(0.36));
        assert!(Difference::between(&answers(&[0.0, 1.0]), &answers(&[0.0; 4])).is_err());
    }

    #[test]
    fn nan_against_a_number_is_beyond_every_tolerance() {
        let same =
            Difference::between(&answers(&[f64::NAN, f64::INFINITY]), &answers(&[f64::NAN, f64::INFINITY])).unwrap();
        assert!(!same.exceeds(0.0));
        for other in [f64::NAN, f64::NEG_INFINITY] {
            let difference = Difference::between(&answers(&[other, 0.0]), &answers(&[1.0, 0.0])).unwrap();
            assert!(difference.exceeds(f64::MAX) && difference.largest().is_none());
        }
    }

    #[test]
    fn logits_become_shares() {
        let shares = scores(&[1000.0, 1000.0, 0.0, 3.0_f64.ln()]).probabilities(true).unwrap();
        let rounded: Vec<f64> = shares.rows().flatten().map(|share| (share * 1e9).round() / 1e9).collect();
        assert_eq!(rounded, [0.5, 0.5, 0.25, 0.75]);
        assert_eq!(shares.confidences()[0], 0.5);
        assert_eq!(shares.predictions().unwrap(), [0, 1]);
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        assert!(scores(&[0.5, 0.5, 3.0, -2.0]).probabilities(false).unwrap_err().help.unwrap().contains("logits"));
        assert!(scores(&[f64::NAN, 0.5]).probabilities(false).is_err());
        assert!(scores(&[f64::NAN, 0.5]).predictions().unwrap_err().message.contains("row 0"));
    }
}
