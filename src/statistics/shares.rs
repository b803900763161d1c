//! How rows spread over classes.

/// The share of each class among `classes` many; all zero for an empty list. Classes beyond the number are left out.
pub fn class_shares(predictions: &[usize], classes: usize) -> Vec<f64> {
    let mut shares = vec![0.0; classes];
    for class in predictions.iter().filter(|class| **class < classes) {
        shares[*class] += 1.0;
    }
    let total = (predictions.len() as f64).max(1.0);
    shares.iter_mut().for_each(|share| *share /= total);
    shares
}

/// Shannon's entropy `−Σ p · ln p` in nats (`scipy.stats.entropy`); a share of 0 adds nothing.
pub fn entropy(shares: &[f64]) -> f64 {
    shares.iter().filter(|share| **share > 0.0).map(|share| -share * share.ln()).sum()
}

/// Entropy as a share of the most there could be (Pielou's evenness): 1 when all classes are equally frequent, 0 when one
/// class is all there is. A model that always answers the same has 0. One class alone is even by definition.
pub fn evenness(shares: &[f64]) -> f64 {
    if shares.len() < 2 { 1.0 } else { entropy(shares) / (shares.len() as f64).ln() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_sum_to_one(predictions in prop::collection::vec(0..7_usize, 1..80)) {
            let shares = class_shares(&predictions, 7);
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            prop_assert!((-1e-12..=1.0 + 1e-12).contains(&evenness(&shares)));
        }

        #[test]
        fn mixing_with_the_even_spread_is_more_even(predictions in prop::collection::vec(0..7_usize, 1..80)) {
            let shares = class_shares(&predictions, 7);
            let mixed: Vec<f64> = shares.iter().map(|share| f64::midpoint(*share, 1.0 / 7.0)).collect();
            prop_assert!(evenness(&mixed) >= evenness(&shares) - 1e-12);
        }
    }

    #[test]
    fn the_two_ends() {
        assert_eq!(evenness(&[0.0, 1.0, 0.0]), 0.0);
        assert!((evenness(&[0.25; 4]) - 1.0).abs() < 1e-15);
        assert_eq!(class_shares(&[], 3), [0.0; 3]);
    }
}
