//! Quantiles of classic histograms, by the rule of Prometheus' `histogram_quantile`.

use super::exposition::Sample;

/// How many observations were not above a bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bucket {
    pub bound: f64,
    pub count: f64,
}

/// The buckets of several series added up by their bound, lowest bound first. A bucket whose `le` is
/// missing or not a number belongs to no histogram and is left out, as Prometheus does.
pub(super) fn buckets(samples: &[Sample]) -> Vec<Bucket> {
    let mut parsed: Vec<Bucket> = samples
        .iter()
        .filter_map(|sample| {
            let bound: f64 = sample.labels.get("le")?.parse().ok()?;
            (!bound.is_nan()).then_some(Bucket { bound, count: sample.value })
        })
        .collect();
    parsed.sort_by(|left, right| left.bound.total_cmp(&right.bound));
    let mut merged: Vec<Bucket> = Vec::new();
    for bucket in parsed {
        match merged.last_mut() {
            Some(last) if last.bound == bucket.bound => last.count += bucket.count,
            _ => merged.push(bucket),
        }
    }
    make_monotonic(&mut merged);
    merged
}

/// Counts are cumulative; a scrape in the middle of an observation can show one that is not.
fn make_monotonic(buckets: &mut [Bucket]) {
    let mut highest = f64::NEG_INFINITY;
    for bucket in buckets {
        highest = highest.max(bucket.count);
        bucket.count = highest;
    }
}

/// The number of observations: what the bucket without a bound counted.
pub(super) fn observations(buckets: &[Bucket]) -> Option<f64> {
    buckets.last().filter(|last| last.bound == f64::INFINITY).map(|last| last.count)
}

/// The estimated value below which the share `quantile` of the observations lies, by linear
/// interpolation inside a bucket; `None` without observations or without a last bucket `+Inf`.
pub(super) fn quantile(quantile: f64, buckets: &[Bucket]) -> Option<f64> {
    let total = observations(buckets).filter(|total| *total > 0.0)?;
    let (_, bounded) = buckets.split_last()?;
    let highest = bounded.last()?;
    let rank = quantile * total;
    let position = bounded.partition_point(|bucket| bucket.count < rank);
    // Above the highest bound nothing is known, so the bound itself is the best answer.
    let Some(bucket) = bounded.get(position) else { return Some(highest.bound) };
    if position == 0 && bucket.bound <= 0.0 {
        return Some(bucket.bound);
    }
    let below = match position {
        0 => Bucket { bound: 0.0, count: 0.0 },
        _ => bounded[position - 1],
    };
    let estimate = below.bound + (bucket.bound - below.bound) * (rank - below.count) / (bucket.count - below.count);
    Some(estimate).filter(|estimate| estimate.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, f64)]) -> Vec<Bucket> {
        let samples: Vec<Sample> = pairs
            .iter()
            .map(|(bound, count)| Sample {
                name: "x_bucket".into(),
                labels: [("le".to_owned(), (*bound).to_owned())].into(),
                value: *count,
            })
            .collect();
        buckets(&samples)
    }

    #[test]
    fn interpolates_inside_a_bucket() {
        let buckets = of(&[("0.1", 10.0), ("+Inf", 20.0), ("0.2", 20.0)]);
        assert_eq!(quantile(0.25, &buckets), Some(0.05));
        assert!((quantile(0.75, &buckets).unwrap() - 0.15).abs() < 1e-12);
        assert_eq!(quantile(1.0, &buckets), Some(0.2));
        assert_eq!(observations(&buckets), Some(20.0));
    }

    #[test]
    fn above_the_highest_bound_the_bound_is_the_answer() {
        assert_eq!(quantile(0.99, &of(&[("0.1", 1.0), ("0.5", 2.0), ("+Inf", 100.0)])), Some(0.5));
    }

    #[test]
    fn without_observations_or_bounds_nothing_is_known() {
        assert_eq!(quantile(0.5, &of(&[("0.1", 0.0), ("+Inf", 0.0)])), None);
        assert_eq!(quantile(0.5, &of(&[("0.1", 5.0), ("0.2", 6.0)])), None);
        assert_eq!(quantile(0.5, &of(&[("+Inf", 5.0)])), None);
        assert_eq!(quantile(0.5, &[]), None);
        assert_eq!(quantile(0.0, &of(&[("0.1", 0.0), ("+Inf", 5.0)])), None);
    }

    #[test]
    fn the_lowest_bucket_begins_at_zero_or_is_its_own_bound() {
        assert_eq!(quantile(0.5, &of(&[("10", 4.0), ("+Inf", 4.0)])), Some(5.0));
        assert_eq!(quantile(0.5, &of(&[("-1", 4.0), ("+Inf", 4.0)])), Some(-1.0));
    }

    #[test]
    fn series_are_added_up_and_slips_of_a_scrape_evened_out() {
        let buckets = of(&[("1", 3.0), ("1.0", 2.0), ("2", 4.0), ("+Inf", 5.0), ("x", 9.0)]);
        assert_eq!(buckets.iter().map(|bucket| bucket.count).collect::<Vec<_>>(), [5.0, 5.0, 5.0]);
    }
}
