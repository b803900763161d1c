//! Whether two samples come from the same distribution, by the largest gap between their empirical distributions.

use super::sample::Sorted;

/// The two-sample test of Kolmogorov and Smirnov.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KolmogorovSmirnov {
    /// `max |F₁(x) − F₂(x)|`, from 0 to 1.
    pub statistic: f64,
    /// The probability of such a gap or a larger one between samples of one distribution: the limit distribution of
    /// Smirnov (1948) at `statistic · sqrt(n·m / (n + m))`. It is good from about 35 values a sample and errs towards
    /// "no change" below and for values that repeat.
    pub p_value: f64,
}

/// The two-sided test, as `scipy.stats.ks_2samp` (statistic) and `scipy.special.kolmogorov` (p-value).
pub fn kolmogorov_smirnov(left: &Sorted, right: &Sorted) -> KolmogorovSmirnov {
    let statistic = largest_gap(left.values(), right.values());
    let (n, m) = (left.values().len() as f64, right.values().len() as f64);
    KolmogorovSmirnov { statistic, p_value: tail(statistic * (n * m / (n + m)).sqrt()) }
}

fn largest_gap(left: &[f64], right: &[f64]) -> f64 {
    let (mut i, mut j, mut gap) = (0, 0, 0.0_f64);
    while i < left.len() && j < right.len() {
        let value = left[i].min(right[j]);
        // Both step over the whole of a repeated value: between equal values there is no gap to look at.
        i += left[i..].iter().take_while(|other| **other <= value).count();
        j += right[j..].iter().take_while(|other| **other <= value).count();
        gap = gap.max((i as f64 / left.len() as f64 - j as f64 / right.len() as f64).abs());
    }
    gap
}

/// The upper tail of Kolmogorov's limit distribution.
fn tail(x: f64) -> f64 {
    use std::f64::consts::PI;
    if x <= 0.0 {
        return 1.0;
    }
    // Two forms of one theta function; below 1 the alternating one needs very many terms.
    let odd = |k: u32| f64::from(2 * k - 1);
    let tail = if x < 1.0 {
        let sum: f64 = (1..=20).map(|k| (-(odd(k) * PI / x).powi(2) / 8.0).exp()).sum();
        1.0 - (2.0 * PI).sqrt() / x * sum
    } else {
        let sign = |k: u32| if k % 2 == 1 { 1.0 } else { -1.0 };
        2.0 * (1..=20).map(|k| sign(k) * (-2.0 * (f64::from(k) * x).powi(2)).exp()).sum::<f64>()
    };
    tail.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers() -> impl Strategy<Value = Vec<f64>> {
        // Few distinct values, so that repeats within and between the samples are common.
        prop::collection::vec((-12..12_i32).prop_map(|number| f64::from(number) / 4.0), 1..50)
    }

    proptest! {
        #[test]
        fn the_gap_is_the_one_of_the_definition(left in numbers(), right in numbers()) {
            let share = |sample: &[f64], x: f64| sample.iter().filter(|value| **value <= x).count() as f64 / sample.len() as f64;
            let places = left.iter().chain(&right);
            let expected = places.map(|x| (share(&left, *x) - share(&right, *x)).abs()).fold(0.0, f64::max);
            let test = kolmogorov_smirnov(&Sorted::new(left).unwrap(), &Sorted::new(right).unwrap());
            prop_assert!((test.statistic - expected).abs() < 1e-12);
        }

        #[test]
        fn a_sample_is_like_itself_and_the_sides_are_alike(left in numbers(), right in numbers()) {
            let (left, right) = (Sorted::new(left).unwrap(), Sorted::new(right).unwrap());
            prop_assert_eq!(kolmogorov_smirnov(&left, &left), KolmogorovSmirnov { statistic: 0.0, p_value: 1.0 });
            prop_assert_eq!(kolmogorov_smirnov(&left, &right), kolmogorov_smirnov(&right, &left));
        }

        #[test]
        fn the_tail_falls(x in 0.0..3.0_f64, step in 0.0..1.0_f64) {
            prop_assert!(tail(x + step) <= tail(x) + 1e-15);
        }
    }

    #[test]
    fn the_two_forms_meet() {
        assert!((tail(1.0 - 1e-12) - tail(1.0)).abs() < 1e-11);
        // The critical value that every table prints.
        assert!((tail(1.358_098_878_677_99) - 0.05).abs() < 1e-3);
    }
}
