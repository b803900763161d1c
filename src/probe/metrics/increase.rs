//! How much counters and gauges grew between two readings.

use std::collections::HashMap;

use super::exposition::{Labels, Sample};

/// The series of the last reading, each with its growth as the value.
///
/// A gauge may fall, and its growth is then below zero. A counter never falls: a smaller number means that the process started again, so all of it is new. So is all of a series
/// that was not there before: client libraries make a labelled series at its first use.
pub(super) fn between(first: &[Sample], last: &[Sample], gauge: bool) -> Vec<Sample> {
    let before: HashMap<&Labels, f64> = first.iter().map(|sample| (&sample.labels, sample.value)).collect();
    last.iter()
        .map(|sample| {
            let before = before.get(&sample.labels).copied().unwrap_or(0.0);
            let growth = if sample.value < before && !gauge { sample.value } else { sample.value - before };
            Sample { value: growth, ..sample.clone() }
        })
        .collect()
}
