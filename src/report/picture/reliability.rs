//! The reliability diagram: is a classifier right as often as it says?

use serde_json::Value;

use super::canvas::{Axis, Drawing, HEIGHT, Mark, Role};
use super::{Plot, number};
use crate::report::values::rounded;

/// More intervals than this cannot be told apart.
const MOST_INTERVALS: usize = 100;

pub struct Reliability {
    /// Those with rows, from the smallest confidence.
    intervals: Vec<Interval>,
    rows: f64,
}

struct Interval {
    lower: f64,
    upper: f64,
    rows: f64,
    confidence: f64,
    accuracy: f64,
}

impl Reliability {
    pub fn read(field: &Value) -> Option<Self> {
        let all: Vec<Interval> =
            field.as_array()?.iter().take(MOST_INTERVALS).map(interval).collect::<Option<Vec<_>>>()?;
        let intervals: Vec<Interval> = all.into_iter().filter(|interval| interval.rows > 0.0).collect();
        let rows = intervals.iter().map(|interval| interval.rows).sum();
        (!intervals.is_empty() && f64::is_finite(rows)).then_some(Reliability { intervals, rows })
    }
}

fn interval(item: &Value) -> Option<Interval> {
    let share = |name: &str| number(&item[name]).filter(|share| (0.0..=1.0).contains(share));
    Some(Interval {
        lower: share("lower")?,
        upper: share("upper")?,
        rows: number(&item["rows"])?,
        confidence: share("confidence")?,
        accuracy: share("accuracy")?,
    })
}

impl Plot for Reliability {
    fn extent(&self) -> String {
        let gap = |interval: &&Interval| (interval.accuracy - interval.confidence).abs();
        let widest = self.intervals.iter().max_by(|left, right| gap(left).total_cmp(&gap(right)));
        let told = widest.map(|widest| {
            format!(
                "; farthest apart: right {} where confidence is {}",
                rounded(widest.accuracy),
                rounded(widest.confidence)
            )
        });
        let plural = if self.intervals.len() == 1 { "" } else { "s" };
        format!("{} rows in {} interval{plural}{}", self.rows, self.intervals.len(), told.unwrap_or_default())
    }

    fn heights(&self) -> Vec<f64> {
        self.intervals.iter().map(|interval| interval.accuracy).collect()
    }

    fn drawing(&self) -> Drawing {
        let mut marks: Vec<Mark> = self
            .intervals
            .iter()
            .map(|interval| Mark::Shade { from: (interval.lower, 0.0), to: (interval.upper, interval.accuracy) })
            .collect();
        marks.push(Mark::Line { points: vec![(0.0, 0.0), (1.0, 1.0)], role: Role::Guide });
        marks.push(Mark::Note {
            at: (0.0, 1.06),
            text: "dashed: confidence is right; large dots: many rows".to_owned(),
        });
        marks.extend(self.intervals.iter().map(|interval| {
            // The area of a dot is the share of rows; the smallest can still be seen.
            let radius = (12.0 * (interval.rows / self.rows).sqrt()).round().clamp(3.0, 12.0) as u32;
            Mark::Dot { at: (interval.confidence, interval.accuracy), radius, role: Role::Data }
        }));
        let axis = |label: &str, top| Axis { label: label.to_owned(), range: (0.0, top), names: None };
        Drawing { x: axis("mean confidence", 1.0), y: axis("share that is right", 1.12), height: HEIGHT, marks }
    }
}
