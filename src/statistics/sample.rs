//! One sample: its middle, its spread, its quantiles, its picture.

/// The arithmetic mean; `None` for an empty sample.
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { Some(values.iter().sum::<f64>() / values.len() as f64) }
}

/// The sample standard deviation, `sqrt(Σ(x − mean)² / (n − 1))` (`numpy.std` with `ddof=1`); `None` below two values.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    let middle = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
    if values.len() < 2 { None } else { Some((squares / (values.len() - 1) as f64).sqrt()) }
}

/// A sample in ascending order, without NaN and not empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Sorted(Vec<f64>);

impl Sorted {
    /// Values that must lie beyond a quantile before the quantile is more than the mood of a few outliers.
    /// With ten, a 99th percentile needs 1,000 values.
    pub const BEYOND: f64 = 10.0;

    /// `None` when there is no value or one of them is NaN.
    pub fn new(mut values: Vec<f64>) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| value.is_nan()) {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        Some(Sorted(values))
    }

    pub fn values(&self) -> &[f64] {
        &self.0
    }

    pub fn smallest(&self) -> f64 {
        self.0[0]
    }

    pub fn largest(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    /// The quantile of type 7 in Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996): linear between
    /// the values at the ranks around `(n − 1)·p`. It is the default of numpy and R. `p` outside 0 to 1 is clamped.
    pub fn quantile(&self, p: f64) -> f64 {
        let rank = (self.0.len() - 1) as f64 * p.clamp(0.0, 1.0);
        let below = self.0[rank.floor() as usize];
        let above = self.0[rank.ceil() as usize];
        let share = rank.fract();
        // Equal neighbours are answered as they are: infinity less infinity is no number. From the nearer neighbour, as
        // numpy does: a quantile that is an edge of an interval must round like theirs, or values on it change sides.
        match below == above {
            true => below,
            false if share < 0.5 => below + (above - below) * share,
            false => above - (above - below) * (1.0 - share),
        }
    }

    /// The quantile, if at least [`Sorted::BEYOND`] values lie beyond it on its nearer side.
    pub fn defensible_quantile(&self, p: f64) -> Option<f64> {
        (self.0.len() >= Sorted::needed_for(p)).then(|| self.quantile(p))
    }

    /// The smallest sample for which [`Sorted::defensible_quantile`] answers.
    pub fn needed_for(p: f64) -> usize {
        // 10 / (1 − 0.9) is a little above 100 in binary; the rounding must not cost a value.
        (Sorted::BEYOND / p.min(1.0 - p) - 1e-6).ceil() as usize
    }
}

/// How many values lie in each of equally wide intervals.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// One more than there are counts, ascending.
    pub edges: Vec<f64>,
    pub counts: Vec<u64>,
}

/// The histogram between the smallest and the largest value, as `numpy.histogram`: an interval holds its lower edge,
/// the last one both. A sample of equal values gets an interval of width one around it.
pub fn histogram(sample: &Sorted, bins: usize) -> Histogram {
    let bins = bins.max(1);
    let (mut low, mut high) = (sample.smallest(), sample.largest());
    if low == high {
        (low, high) = (low - 0.5, high + 0.5);
    }
    // Multiples of one width, rounded once: with numpy's edges, to the last bit, a value on one falls on the same side.
    let width = (high - low) / bins as f64;
    let edge = |index: usize| if index == bins { high } else { low + width * index as f64 };
    let edges: Vec<f64> = (0..=bins).map(edge).collect();
    // The sample is in order, so what lies below an edge is a prefix of it.
    let below = |edge: f64| sample.values().partition_point(|value| *value < edge);
    let counts = (0..bins).map(|bin| {
        let end = if bin + 1 == bins { sample.values().len() } else { below(edges[bin + 1]) };
        (end - below(edges[bin])) as u64
    });
    let counts = counts.collect();
    Histogram { edges, counts }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn quantiles_rise_and_stay_inside(
            values in prop::collection::vec(-1e9..1e9_f64, 1..60),
            p in 0.0..=1.0_f64,
            q in 0.0..=1.0_f64,
        ) {
            let sample = Sorted::new(values).unwrap();
            let (low, high) = (sample.quantile(p.min(q)), sample.quantile(p.max(q)));
            prop_assert!(low <= high);
            prop_assert!(sample.smallest() <= low && high <= sample.largest());
        }

        #[test]
        fn quantiles_move_with_the_sample(values in prop::collection::vec(-1e3..1e3_f64, 1..60), p in 0.0..=1.0_f64) {
            let sample = Sorted::new(values.clone()).unwrap();
            let moved = Sorted::new(values.iter().map(|value| 2.0 * value + 7.0).collect()).unwrap();
            prop_assert!((moved.quantile(p) - (2.0 * sample.quantile(p) + 7.0)).abs() < 1e-9);
        }

        #[test]
        fn a_histogram_counts_every_value_once(values in prop::collection::vec(-1e3..1e3_f64, 1..60), bins in 1..20_usize) {
            let picture = histogram(&Sorted::new(values.clone()).unwrap(), bins);
            prop_assert_eq!(picture.counts.iter().sum::<u64>(), values.len() as u64);
            prop_assert_eq!(picture.edges.len(), bins + 1);
            prop_assert!(picture.edges.windows(2).all(|pair| pair[0] < pair[1]));
        }

        #[test]
        fn spread_is_free_of_place(values in prop::collection::vec(-1e3..1e3_f64, 2..60), shift in -1e3..1e3_f64) {
            let moved: Vec<f64> = values.iter().map(|value| value + shift).collect();
            let (before, after) = (standard_deviation(&values).unwrap(), standard_deviation(&moved).unwrap());
            prop_assert!((before - after).abs() < 1e-8);
        }
    }

    #[test]
    fn a_value_on_an_edge_falls_where_numpy_puts_it() {
        // The edges of ten intervals from -2.6 to 2.9, as numpy prints them.
        let edges = histogram(&Sorted::new(vec![-2.6, 2.9]).unwrap(), 10).edges;
        assert_eq!(edges[4..8], [-0.3999999999999999, 0.1499999999999999, 0.7000000000000002, 1.2500000000000004]);
        // 0.1 + (0.2 - 0.1) * 0.7 is 0.16999999999999998.
        assert_eq!(Sorted::new(vec![0.1, 0.2]).unwrap().quantile(0.7), 0.17);
    }

    #[test]
    fn what_is_not_defined_has_no_value() {
        assert_eq!(mean(&[]), None);
        assert_eq!(standard_deviation(&[1.0]), None);
        assert_eq!(Sorted::new(vec![]), None);
        assert_eq!(Sorted::new(vec![1.0, f64::NAN]), None);
        assert_eq!(Sorted::new(vec![f64::INFINITY; 3]).unwrap().quantile(0.3), f64::INFINITY);
    }

    #[test]
    fn a_quantile_needs_ten_values_beyond_it() {
        let needed = [0.5, 0.9, 0.95, 0.99, 0.999].map(Sorted::needed_for);
        assert_eq!(needed, [20, 100, 200, 1000, 10_000]);
        let sample = |count: usize| Sorted::new((0..count).map(|value| value as f64).collect()).unwrap();
        assert_eq!(sample(999).defensible_quantile(0.99), None);
        assert_eq!(sample(1000).defensible_quantile(0.99), Some(989.01));
        assert_eq!(sample(100).defensible_quantile(0.1), Some(9.9));
    }

    #[test]
    fn the_picture_of_equal_values_has_a_width() {
        let picture = histogram(&Sorted::new(vec![3.0, 3.0]).unwrap(), 2);
        assert_eq!((picture.edges, picture.counts), (vec![2.5, 3.0, 3.5], vec![0, 2]));
    }
}
