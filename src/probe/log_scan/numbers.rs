//! A sum-up of many numbers in bounded memory.

use schemars::JsonSchema;
use serde::Serialize;

/// Numbers kept for the percentiles: 8 MB, and far more than a percentile needs.
const KEPT: usize = 1_000_000;

/// What the numbers of a group come to. Every field but the counts is null when there are none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct NumberSummary {
    /// Numbers found.
    pub count: u64,
    /// Matches whose group was no number.
    pub not_numbers: u64,
    /// The smallest; null without numbers.
    pub min: Option<f64>,
    /// The largest; null without numbers.
    pub max: Option<f64>,
    /// Their mean; null without numbers.
    pub mean: Option<f64>,
    /// Half of the numbers are no larger.
    pub p50: Option<f64>,
    /// 95 of 100 numbers are no larger. Percentiles are those of the last million numbers.
    pub p95: Option<f64>,
    /// 99 of 100 numbers are no larger.
    pub p99: Option<f64>,
    /// The number of the newest match that had one.
    pub last: Option<f64>,
}

/// Collects numbers.
#[derive(Default)]
pub(super) struct Numbers {
    summary: NumberSummary,
    sum: f64,
    kept: Vec<f64>,
    /// The moment of `last`: files are read one after another, but overlap in time.
    last_at: Option<i64>,
}

impl Numbers {
    pub(super) fn add(&mut self, text: &[u8], at: Option<i64>) {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<f64>().ok());
        let Some(number) = number.filter(|number| number.is_finite()) else {
            self.summary.not_numbers += 1;
            return;
        };
        let place = (self.summary.count % KEPT as u64) as usize;
        match self.kept.get_mut(place) {
            Some(oldest) => *oldest = number,
            None => self.kept.push(number),
        }
        let summary = &mut self.summary;
        summary.count += 1;
        summary.min = Some(summary.min.map_or(number, |least| least.min(number)));
        summary.max = Some(summary.max.map_or(number, |most| most.max(number)));
        self.sum += number;
        if at >= self.last_at {
            (summary.last, self.last_at) = (Some(number), at);
        }
    }

    pub(super) fn finish(mut self) -> NumberSummary {
        self.kept.sort_unstable_by(f64::total_cmp);
        let mut summary = self.summary;
        summary.mean = (summary.count > 0).then(|| self.sum / summary.count as f64);
        summary.p50 = percentile(&self.kept, 50);
        summary.p95 = percentile(&self.kept, 95);
        summary.p99 = percentile(&self.kept, 99);
        summary
    }
}

/// The smallest of the sorted numbers that `percent` of 100 do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_numbers() {
        let mut numbers = Numbers::default();
        for number in (1..=100).rev() {
            numbers.add(format!(" {number}.0").as_bytes(), None);
        }
        for wrong in [&b"fast"[..], b"", b"NaN", b"inf", b"\xff"] {
            numbers.add(wrong, None);
        }
        let summary = numbers.finish();
        assert_eq!((summary.count, summary.not_numbers), (100, 5));
        assert_eq!((summary.min, summary.max, summary.mean), (Some(1.0), Some(100.0), Some(50.5)));
        assert_eq!((summary.p50, summary.p95, summary.p99), (Some(50.0), Some(95.0), Some(99.0)));
        assert_eq!(summary.last, Some(1.0));
    }

    #[test]
    fn the_last_number_is_the_newest() {
        let mut numbers = Numbers::default();
        for (text, at) in [("1", 10), ("2", 30), ("3", 20)] {
            numbers.add(text.as_bytes(), Some(at));
        }
        assert_eq!(numbers.finish().last, Some(2.0));
    }

    #[test]
    fn few_numbers_or_none() {
        assert_eq!(Numbers::default().finish(), NumberSummary::default());
        let mut one = Numbers::default();
        one.add(b"-2.5e1", None);
        let summary = one.finish();
        assert_eq!((summary.p50, summary.p99, summary.mean), (Some(-25.0), Some(-25.0), Some(-25.0)));
    }

    #[test]
    fn memory_stays_bounded() {
        let mut numbers = Numbers::default();
        for _ in 0..KEPT + 10 {
            numbers.add(b"1", None);
        }
        numbers.add(b"5", None);
        assert_eq!(numbers.kept.len(), KEPT);
        let summary = numbers.finish();
        assert_eq!((summary.count, summary.max), (KEPT as u64 + 11, Some(5.0)));
    }
}
