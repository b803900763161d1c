//! How long runs or requests took, as far as their number supports a statement.

use schemars::JsonSchema;
use serde::Serialize;

use crate::statistics::{Sorted, histogram, mean, standard_deviation};

/// Bars of the picture.
const BARS: usize = 30;

/// Seconds. A percentile is of type 7 (numpy's default), and none when fewer than ten samples lie beyond it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Latency {
    pub samples: usize,
    pub mean: f64,
    /// None for one sample.
    pub deviation: Option<f64>,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub fastest: f64,
    pub slowest: f64,
    pub histogram: Bars,
}

/// Samples by how long they took.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Bars {
    /// Where the intervals begin and end, in seconds; one more than there are counts.
    edges: Vec<f64>,
    /// Samples in each interval.
    counts: Vec<u64>,
}

impl Latency {
    /// None without a sample.
    pub(super) fn of(seconds: Vec<f64>) -> Option<Self> {
        let (samples, middle, deviation) = (seconds.len(), mean(&seconds)?, standard_deviation(&seconds));
        let sorted = Sorted::new(seconds)?;
        let picture = histogram(&sorted, BARS);
        Some(Latency {
            samples,
            mean: middle,
            deviation,
            p50: sorted.defensible_quantile(0.5),
            p90: sorted.defensible_quantile(0.9),
            p95: sorted.defensible_quantile(0.95),
            p99: sorted.defensible_quantile(0.99),
            fastest: sorted.smallest(),
            slowest: sorted.largest(),
            histogram: Bars { edges: picture.edges, counts: picture.counts },
        })
    }
}

impl Bars {
    /// Of nothing.
    pub(super) fn empty() -> Self {
        Bars { edges: Vec::new(), counts: Vec::new() }
    }

    #[cfg(test)]
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_need_ten_samples_beyond_them() {
        let of = |count: usize| Latency::of((1..=count).rev().map(|number| number as f64).collect()).unwrap();
        assert_eq!((of(19).p50, of(20).p50), (None, Some(10.5)));
        assert_eq!((of(99).p90, of(100).p90.is_some()), (None, true));
        assert_eq!((of(199).p95, of(200).p95.is_some()), (None, true));
        assert_eq!((of(999).p99, of(1001).p99), (None, Some(991.0)));
        let few = of(4);
        assert_eq!((few.samples, few.mean, few.fastest, few.slowest), (4, 2.5, 1.0, 4.0));
        assert_eq!(few.histogram.total(), 4);
        assert_eq!(Latency::of(Vec::new()), None);
    }
}
