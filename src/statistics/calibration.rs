//! Whether a classifier's confidence is the share of rows in which it is right.

/// The rows whose confidence lies in one interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// Confidence above this …
    pub lower: f64,
    /// … and up to this.
    pub upper: f64,
    pub count: u64,
    /// The mean confidence of the rows; 0 when there is none.
    pub confidence: f64,
    /// The share of the rows that is right; 0 when there is none.
    pub accuracy: f64,
}

/// The reliability table: equally wide intervals of confidence from 0 to 1, each open below and closed above, as in Guo,
/// Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (2017). A confidence of 0 is in the first.
/// `None` when the lists differ in length, are empty, or a confidence is not between 0 and 1.
pub fn reliability(confidences: &[f64], correct: &[bool], bins: usize) -> Option<Vec<ReliabilityBin>> {
    let shares = confidences.iter().all(|confidence| (0.0..=1.0).contains(confidence));
    if confidences.len() != correct.len() || confidences.is_empty() || bins == 0 || !shares {
        return None;
    }
    let edge = |index: usize| index as f64 / bins as f64;
    let mut sums = vec![(0_u64, 0.0, 0_u64); bins];
    for (confidence, correct) in confidences.iter().zip(correct) {
        let bin = (1..bins).filter(|index| edge(*index) < *confidence).count();
        let sum = &mut sums[bin];
        *sum = (sum.0 + 1, sum.1 + confidence, sum.2 + u64::from(*correct));
    }
    let share = |part: f64, count: u64| if count == 0 { 0.0 } else { part / count as f64 };
    let table = sums.iter().enumerate().map(|(index, (count, confidence, hits))| ReliabilityBin {
        lower: edge(index),
        upper: edge(index + 1),
        count: *count,
        confidence: share(*confidence, *count),
        accuracy: share(*hits as f64, *count),
    });
    Some(table.collect())
}

/// The expected calibration error `Σ (n_b / N) · |accuracy_b − confidence_b|` (Naeini, Cooper and Hauskrecht, 2015).
pub fn expected_calibration_error(table: &[ReliabilityBin]) -> f64 {
    let total: u64 = table.iter().map(|bin| bin.count).sum();
    let weighted = table.iter().map(|bin| bin.count as f64 * (bin.accuracy - bin.confidence).abs());
    if total == 0 { 0.0 } else { weighted.sum::<f64>() / total as f64 }
}

/// The largest gap between confidence and accuracy among the intervals that hold a row.
pub fn maximum_calibration_error(table: &[ReliabilityBin]) -> f64 {
    let held = table.iter().filter(|bin| bin.count > 0);
    held.map(|bin| (bin.accuracy - bin.confidence).abs()).fold(0.0, f64::max)
}

/// The score of Brier (1950) for several classes: the mean over the rows of `Σ_k (p_k − y_k)²`, from 0 (best) to 2, where
/// `y` is 1 for the true class. scikit-learn calls it `brier_score_loss(…, scale_by_half=False)`. `None` without rows or
/// for a label without a probability.
pub fn brier_score(probabilities: &[&[f64]], labels: &[usize]) -> Option<f64> {
    if probabilities.is_empty() || probabilities.len() != labels.len() {
        return None;
    }
    let row_score = |(row, label): (&&[f64], &usize)| -> Option<f64> {
        row.get(*label)?;
        let truth = |class: usize| if class == *label { 1.0 } else { 0.0 };
        Some(row.iter().enumerate().map(|(class, share)| (share - truth(class)).powi(2)).sum())
    };
    let total: Option<f64> = probabilities.iter().zip(labels).map(row_score).sum();
    Some(total? / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_row_is_in_one_interval(
            rows in prop::collection::vec((0.0..=1.0_f64, any::<bool>()), 1..80),
            bins in 1..20_usize,
        ) {
            let (confidences, correct): (Vec<f64>, Vec<bool>) = rows.into_iter().unzip();
            let table = reliability(&confidences, &correct, bins).unwrap();
            prop_assert_eq!(table.iter().map(|bin| bin.count).sum::<u64>(), correct.len() as u64);
            let (expected, largest) = (expected_calibration_error(&table), maximum_calibration_error(&table));
            prop_assert!(0.0 <= expected && expected <= largest + 1e-12 && largest <= 1.0);
            for bin in table.iter().filter(|bin| bin.count > 0) {
                prop_assert!(bin.lower - 1e-12 <= bin.confidence && bin.confidence <= bin.upper + 1e-12);
            }
        }

        #[test]
        fn one_interval_compares_the_means(rows in prop::collection::vec((0.0..=1.0_f64, any::<bool>()), 1..80)) {
            let (confidences, correct): (Vec<f64>, Vec<bool>) = rows.into_iter().unzip();
            let right = correct.iter().filter(|correct| **correct).count() as f64 / correct.len() as f64;
            let mean = confidences.iter().sum::<f64>() / correct.len() as f64;
            let error = expected_calibration_error(&reliability(&confidences, &correct, 1).unwrap());
            prop_assert!((error - (right - mean).abs()).abs() < 1e-12);
        }

        #[test]
        fn certainty_scores_best_or_worst(label in 0..4_usize, guess in 0..4_usize) {
            let mut row = [0.0; 4];
            row[guess] = 1.0;
            let score = brier_score(&[&row], &[label]).unwrap();
            prop_assert_eq!(score, if guess == label { 0.0 } else { 2.0 });
        }
    }

    #[test]
    fn an_edge_belongs_to_the_interval_below() {
        let table = reliability(&[0.0, 0.5, 1.0], &[false, true, true], 2).unwrap();
        assert_eq!(table.iter().map(|bin| bin.count).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn what_is_no_share_has_no_table() {
        assert_eq!(reliability(&[1.1], &[true], 10), None);
        assert_eq!(reliability(&[f64::NAN], &[true], 10), None);
        assert_eq!(reliability(&[], &[], 10), None);
        assert_eq!(brier_score(&[&[0.5, 0.5]], &[2]), None);
        assert_eq!(brier_score(&[], &[]), None);
    }
}
