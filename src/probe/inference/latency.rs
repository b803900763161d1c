//! How long requests took, as far as their number supports a statement.

/// Fewer samples beyond a percentile make it a matter of chance.
const SAMPLES_BEYOND: usize = 10;

/// Seconds; null where the samples do not support it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Latency {
    pub samples: usize,
    pub mean: Option<f64>,
    pub slowest: Option<f64>,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

impl Latency {
    pub(super) fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let samples = seconds.len();
        Latency {
            samples,
            mean: (samples > 0).then(|| seconds.iter().sum::<f64>() / samples as f64),
            slowest: seconds.last().copied(),
            p50: percentile(&seconds, 50),
            p95: percentile(&seconds, 95),
            p99: percentile(&seconds, 99),
        }
    }
}

/// Between the two nearest samples in proportion, the default of numpy (type 7).
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    if sorted.len() * (100 - percent) < SAMPLES_BEYOND * 100 {
        return None;
    }
    let place = (sorted.len() - 1) as f64 * percent as f64 / 100.0;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_need_ten_samples_beyond_them() {
        let of = |count: usize| Latency::of((1..=count).rev().map(|number| number as f64).collect());
        assert_eq!(of(0), Latency { samples: 0, mean: None, slowest: None, p50: None, p95: None, p99: None });
        assert_eq!((of(19).p50, of(20).p50), (None, Some(10.5)));
        assert_eq!((of(199).p95, of(200).p95), (None, Some(190.05)));
        assert_eq!((of(999).p99, of(1001).p99), (None, Some(991.0)));
        assert_eq!((of(4).mean, of(4).slowest), (Some(2.5), Some(4.0)));
    }
}
