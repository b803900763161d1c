//! How often each interval occurred, with its percentiles.

use serde_json::Value;

use super::canvas::{Axis, Drawing, HEIGHT, Mark, Role};
use super::scale::{Scale, range};
use super::{Plot, number, numbers, shares_of_largest, together};
use crate::base::picture::Unit;

/// More bars than this are thinner than a line.
const MOST_BARS: usize = 120;

pub struct Histogram {
    of: &'static str,
    counted: &'static str,
    scale: Scale,
    edges: Vec<f64>,
    counts: Vec<f64>,
    /// The marks that are defined, with their names.
    marks: Vec<(&'static str, f64)>,
}

impl Histogram {
    pub fn read(
        field: &Value,
        output: &Value,
        of: &'static str,
        unit: Unit,
        counted: &'static str,
        marks: &[&'static str],
    ) -> Option<Self> {
        let edges: Vec<f64> = numbers(&field["edges"])?.into_iter().collect::<Option<_>>()?;
        let counts: Vec<f64> = numbers(&field["counts"])?.into_iter().collect::<Option<_>>()?;
        let sound = !counts.is_empty()
            && edges.len() == counts.len() + 1
            && edges.is_sorted()
            && counts.iter().all(|count| *count >= 0.0);
        if !sound {
            return None;
        }
        let group = together(counts.len(), MOST_BARS);
        let last = edges.last().copied();
        let mut edges: Vec<f64> = edges[..counts.len()].iter().copied().step_by(group).collect();
        edges.extend(last);
        let counts = counts.chunks(group).map(|group| group.iter().sum()).collect();
        let inside =
            |value: &f64| edges.first().is_some_and(|first| first <= value) && last.is_some_and(|last| *value <= last);
        let marks = marks.iter().filter_map(|name| Some((*name, number(&output[*name]).filter(inside)?))).collect();
        let largest = edges.iter().fold(0.0, |largest: f64, edge| largest.max(edge.abs()));
        Some(Histogram { of, counted, scale: Scale::of(unit, largest), edges, counts, marks })
    }

    fn ends(&self) -> (f64, f64) {
        // There is one edge more than counts, and at least one count.
        (self.edges[0], self.edges[self.edges.len() - 1])
    }
}

impl Plot for Histogram {
    fn extent(&self) -> String {
        let (low, high) = self.ends();
        let total: f64 = self.counts.iter().sum();
        format!("{} to {}, {total} {}", self.scale.show(low), self.scale.show(high), self.counted)
    }

    fn summary(&self) -> String {
        let marks = self.marks.iter().map(|(name, value)| format!(", {name} {}", self.scale.show(*value)));
        self.extent() + &marks.collect::<String>()
    }

    fn heights(&self) -> Vec<f64> {
        shares_of_largest(self.counts.iter().copied())
    }

    fn drawing(&self) -> Drawing {
        let heights = self.counts.iter().copied();
        let count = Scale::of(Unit::Number, heights.clone().fold(0.0, f64::max));
        let tallest = heights.clone().fold(0.0, f64::max);
        let top = if tallest > 0.0 { count.apply(tallest) } else { 1.0 };
        let edges: Vec<f64> = self.edges.iter().map(|edge| self.scale.apply(*edge)).collect();
        let bars = edges.windows(2).zip(heights);
        let mut marks: Vec<Mark> = bars
            .filter(|(_, height)| *height > 0.0)
            .map(|(ends, height)| Mark::Bar { from: (ends[0], 0.0), to: (ends[1], count.apply(height)) })
            .collect();
        // Above the tallest bar there is a row of its own for each name, so that none covers another.
        let row = 0.08 * top;
        for (place, (name, value)) in self.marks.iter().enumerate() {
            let (at, height) = (self.scale.apply(*value), top + row * (place as f64 + 1.0));
            marks.push(Mark::Line { points: vec![(at, 0.0), (at, height)], role: Role::Guide });
            marks.push(Mark::Note { at: (at, height), text: format!("{name} {}", self.scale.show(*value)) });
        }
        Drawing {
            x: Axis { label: self.scale.axis(self.of), range: range(edges.iter().copied()), names: None },
            y: Axis {
                label: count.axis(self.counted),
                range: (0.0, top + row * (self.marks.len() as f64 + 1.0)),
                names: None,
            },
            height: HEIGHT,
            marks,
        }
    }
}
