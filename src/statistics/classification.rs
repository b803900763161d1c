//! How often a classifier is right, in total and class by class.

use super::special::chi_squared_quantile;

/// The place of the first of the largest numbers, as `numpy.argmax`; `None` for an empty row or one with NaN.
pub fn argmax(row: &[f64]) -> Option<usize> {
    if row.is_empty() || row.iter().any(|number| number.is_nan()) {
        return None;
    }
    Some((1..row.len()).fold(0, |best, index| if row[index] > row[best] { index } else { best }))
}

/// Places at which two lists of classes differ: the label flips between two models.
pub fn disagreements(left: &[usize], right: &[usize]) -> usize {
    left.iter().zip(right).filter(|(left, right)| left != right).count()
}

/// How many rows of each true class (first place) got each predicted class (second place).
#[derive(Debug, Clone, PartialEq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

/// How one class fares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassScore {
    /// Of the rows predicted as this class, the share that is; 0 when none was predicted.
    pub precision: f64,
    /// Of the rows of this class, the share that was found; 0 when there is none.
    pub recall: f64,
    /// The harmonic mean of the two, `2·tp / (2·tp + fp + fn)`; 0 when the class does not occur.
    pub f1: f64,
    /// Rows of this class.
    pub support: u64,
    /// Rows predicted as this class.
    pub predicted: u64,
}

impl Confusion {
    /// `None` when the lists differ in length, are empty, or name a class that is not below `classes`.
    pub fn new(labels: &[usize], predictions: &[usize], classes: usize) -> Option<Self> {
        let inside = labels.iter().chain(predictions).all(|class| *class < classes);
        if labels.len() != predictions.len() || labels.is_empty() || !inside {
            return None;
        }
        let mut counts = vec![0; classes.checked_mul(classes)?];
        for (label, prediction) in labels.iter().zip(predictions) {
            counts[label * classes + prediction] += 1;
        }
        Some(Confusion { classes, counts })
    }

    pub fn count(&self, label: usize, prediction: usize) -> u64 {
        self.counts[label * self.classes + prediction]
    }

    /// One list for each true class.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes)
    }

    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn correct(&self) -> u64 {
        (0..self.classes).map(|class| self.count(class, class)).sum()
    }

    /// The share of rows whose predicted class is the true one (top-1).
    pub fn accuracy(&self) -> f64 {
        self.correct() as f64 / self.total() as f64
    }

    /// Precision, recall and F1 of each class, as scikit-learn with `zero_division=0`.
    pub fn scores(&self) -> Vec<ClassScore> {
        (0..self.classes).map(|class| self.score(class)).collect()
    }

    fn score(&self, class: usize) -> ClassScore {
        let hits = self.count(class, class);
        let support: u64 = (0..self.classes).map(|other| self.count(class, other)).sum();
        let predicted: u64 = (0..self.classes).map(|other| self.count(other, class)).sum();
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        ClassScore {
            precision: share(hits, predicted),
            recall: share(hits, support),
            f1: share(2 * hits, support + predicted),
            support,
            predicted,
        }
    }

    /// The unweighted mean of F1 over the classes that occur among labels or predictions (scikit-learn, `average="macro"`).
    pub fn macro_f1(&self) -> f64 {
        let occurring: Vec<f64> =
            self.scores().iter().filter(|score| score.support + score.predicted > 0).map(|score| score.f1).collect();
        occurring.iter().sum::<f64>() / occurring.len() as f64
    }

    /// The most frequent mistakes as `(true class, predicted class, rows)`, at most `most`.
    pub fn worst_confusions(&self, most: usize) -> Vec<(usize, usize, u64)> {
        let place = |index: usize| (index / self.classes, index % self.classes);
        let mut mistakes: Vec<(usize, usize, u64)> = (self.counts.iter().enumerate())
            .map(|(index, count)| (place(index).0, place(index).1, *count))
            .filter(|(label, prediction, count)| label != prediction && *count > 0)
            .collect();
        mistakes.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
        mistakes.truncate(most);
        mistakes
    }
}

/// The score interval of Wilson (1927) for a share of `hits` among `total`; unlike the textbook interval it stays
/// inside 0 to 1 and is right for small samples. `None` for an empty sample.
pub fn wilson_interval(hits: u64, total: u64, confidence: f64) -> Option<(f64, f64)> {
    if total == 0 {
        return None;
    }
    let (count, share) = (total as f64, hits as f64 / total as f64);
    // The square of a normal variable is chi-squared with one degree of freedom.
    let z_squared = chi_squared_quantile(confidence, 1.0);
    let centre = share + z_squared / (2.0 * count);
    let width = (z_squared * (share * (1.0 - share) / count + z_squared / (4.0 * count * count))).sqrt();
    let scale = 1.0 + z_squared / count;
    Some((((centre - width) / scale).max(0.0), ((centre + width) / scale).min(1.0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs() -> impl Strategy<Value = Vec<(usize, usize)>> {
        prop::collection::vec((0..6_usize, 0..6_usize), 1..80)
    }

    proptest! {
        #[test]
        fn scores_are_shares_and_add_up(pairs in pairs()) {
            let (labels, predictions): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
            let confusion = Confusion::new(&labels, &predictions, 6).unwrap();
            let scores = confusion.scores();
            prop_assert_eq!(scores.iter().map(|score| score.support).sum::<u64>(), labels.len() as u64);
            // Recall weighted by support is accuracy.
            let weighted: f64 = scores.iter().map(|score| score.recall * score.support as f64).sum();
            prop_assert!((weighted / labels.len() as f64 - confusion.accuracy()).abs() < 1e-12);
            for score in scores {
                let between = score.f1 >= score.precision.min(score.recall) && score.f1 <= score.precision.max(score.recall);
                prop_assert!(between || score.f1 == 0.0);
            }
            prop_assert_eq!(disagreements(&labels, &predictions) as u64, confusion.total() - confusion.correct());
        }

        #[test]
        fn names_of_classes_do_not_matter(pairs in pairs()) {
            let (labels, predictions): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
            let turned = |classes: &[usize]| -> Vec<usize> { classes.iter().map(|class| 5 - class).collect() };
            let before = Confusion::new(&labels, &predictions, 6).unwrap();
            let after = Confusion::new(&turned(&labels), &turned(&predictions), 6).unwrap();
            prop_assert!((before.macro_f1() - after.macro_f1()).abs() < 1e-12);
        }

        #[test]
        fn the_interval_holds_the_share(hits in 0..200_u64, misses in 0..200_u64) {
            prop_assume!(hits + misses > 0);
            let (low, high) = wilson_interval(hits, hits + misses, 0.95).unwrap();
            let share = hits as f64 / (hits + misses) as f64;
            prop_assert!(0.0 <= low && low <= share + 1e-12 && share <= high + 1e-12 && high <= 1.0);
        }
    }

    #[test]
    fn three_test_cases_say_little() {
        let (low, high) = wilson_interval(3, 3, 0.95).unwrap();
        assert!(low < 0.44 && high == 1.0, "{low}");
        assert_eq!(wilson_interval(0, 0, 0.95), None);
    }

    #[test]
    fn the_largest_is_the_first_of_the_largest() {
        assert_eq!(argmax(&[0.1, 0.4, 0.4]), Some(1));
        assert_eq!(argmax(&[0.1, f64::NAN]), None);
        assert_eq!(argmax(&[]), None);
    }

    #[test]
    fn the_worst_mistakes_come_first() {
        let confusion = Confusion::new(&[0, 0, 0, 1, 1], &[1, 1, 0, 0, 1], 2).unwrap();
        assert_eq!(confusion.worst_confusions(8), [(0, 1, 2), (1, 0, 1)]);
        assert_eq!(confusion.rows().collect::<Vec<_>>(), [[1, 2], [1, 1]]);
        assert_eq!(Confusion::new(&[0], &[2], 2), None);
        assert_eq!(Confusion::new(&[], &[], 2), None);
    }
}
