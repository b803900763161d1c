//! The population stability index: how far the shares of a sample moved from those of a reference.

use super::sample::Sorted;
use super::special::chi_squared_quantile;

/// The least share an interval is given, so that an empty one does not make the index infinite.
const FLOOR: f64 = 1e-4;

/// Intervals cut at the quantiles of a reference sample, and the share of the reference in each.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceBins {
    /// Upper edges of all intervals but the last, which is open. An interval holds its upper edge.
    edges: Vec<f64>,
    shares: Vec<f64>,
}

impl ReferenceBins {
    /// Cuts at the `1/bins, 2/bins, …` quantiles (type 7) of the reference. Where values repeat, equal cuts are one, so
    /// there may be fewer intervals. A reference of one value gets three: below it, the value, above it.
    pub fn new(reference: &Sorted, bins: usize) -> Self {
        let mut edges: Vec<f64> = (1..bins).map(|cut| reference.quantile(cut as f64 / bins as f64)).collect();
        edges.dedup();
        if reference.smallest() == reference.largest() {
            edges = vec![reference.smallest().next_down(), reference.smallest()];
        }
        let shares = shares(&edges, reference.values());
        ReferenceBins { edges, shares }
    }

    pub fn count(&self) -> usize {
        self.shares.len()
    }

    /// The index of a sample against the reference.
    pub fn index(&self, sample: &Sorted) -> f64 {
        share_index(&self.shares, &shares(&self.edges, sample.values()))
    }
}

fn shares(edges: &[f64], values: &[f64]) -> Vec<f64> {
    let mut counts = vec![0.0; edges.len() + 1];
    for value in values {
        counts[edges.partition_point(|edge| edge < value)] += 1.0;
    }
    counts.iter_mut().for_each(|count| *count /= values.len() as f64);
    counts
}

/// The index `Σ (c − r) · ln(c / r)` over pairs of shares, each at least 0.0001 (Siddiqi, "Credit Risk Scorecards", 2006).
/// By custom 0.1 is worth a look and 0.25 worth an action.
pub fn share_index(reference: &[f64], current: &[f64]) -> f64 {
    let pairs = reference.iter().zip(current).map(|(reference, current)| (reference.max(FLOOR), current.max(FLOOR)));
    pairs.map(|(reference, current)| (current - reference) * (current / reference).ln()).sum()
}

/// What the index comes to by chance alone, on average: `(1/n + 1/m) · (bins − 1)` for samples of `n` and `m` of one
/// distribution (Yurdakul, "Statistical Properties of Population Stability Index", 2018). For 512 against 512 and ten
/// intervals that is 0.035; for 50 against 50 it is 0.36, more than the customary limit.
pub fn psi_noise(n: usize, m: usize, bins: usize) -> f64 {
    (1.0 / n as f64 + 1.0 / m as f64) * bins.saturating_sub(1) as f64
}

/// The limit that knows the size of the samples: the customary `limit` above the average noise, and never below what
/// chance exceeds with probability `alpha` (noise follows `(1/n + 1/m)` times chi-squared with `bins − 1` degrees).
pub fn psi_limit(limit: f64, n: usize, m: usize, bins: usize, alpha: f64) -> f64 {
    if bins < 2 {
        return limit;
    }
    let scale = 1.0 / n as f64 + 1.0 / m as f64;
    let chance = scale * chi_squared_quantile(1.0 - alpha, (bins - 1) as f64);
    (limit + psi_noise(n, m, bins)).max(chance)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(values: Vec<f64>) -> Sorted {
        Sorted::new(values).unwrap()
    }

    proptest! {
        #[test]
        fn the_index_is_never_negative(
            reference in prop::collection::vec(-5..5_i32, 1..60),
            current in prop::collection::vec(-5..5_i32, 1..60),
        ) {
            let numbers = |values: Vec<i32>| sample(values.into_iter().map(f64::from).collect());
            let bins = ReferenceBins::new(&numbers(reference.clone()), 10);
            prop_assert!(bins.count() >= 1);
            prop_assert!(bins.index(&numbers(current)) >= 0.0);
            prop_assert!(bins.index(&numbers(reference)) < 1e-12);
        }

        #[test]
        fn a_larger_sample_has_a_lower_limit(n in 20..2000_usize, bins in 2..20_usize) {
            prop_assert!(psi_limit(0.25, n, n, bins, 1e-3) >= psi_limit(0.25, 2 * n, 2 * n, bins, 1e-3));
            prop_assert!(psi_limit(0.25, n, n, bins, 1e-3) >= 0.25 + psi_noise(n, n, bins));
        }
    }

    #[test]
    fn the_noise_of_the_documented_sizes() {
        assert_eq!((psi_noise(512, 512, 10) * 1000.0).round(), 35.0);
        assert_eq!(psi_noise(50, 50, 10), 0.36);
    }

    #[test]
    fn a_constant_that_moves_is_seen_either_way() {
        let bins = ReferenceBins::new(&sample(vec![2.0; 30]), 10);
        assert!(bins.index(&sample(vec![2.0; 50])) < 1e-12);
        assert!(bins.index(&sample(vec![1.0; 50])) > 9.0);
        assert!(bins.index(&sample(vec![3.0; 50])) > 9.0);
    }

    #[test]
    fn equal_cuts_are_one() {
        let mostly_zero: Vec<f64> = (0..100).map(|index| if index < 75 { 0.0 } else { f64::from(index) }).collect();
        assert_eq!(ReferenceBins::new(&sample(mostly_zero), 10).count(), 4);
    }
}
