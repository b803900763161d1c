//! A bar for each thing, with a limit across them.

use serde_json::Value;

use super::canvas::{Axis, Drawing, Mark, Role, height_of_rows};
use super::scale::{Scale, range};
use super::{Plot, name, number, shares_of_largest};
use crate::base::picture::Unit;

/// Nobody reads more rows; the first are the ones that matter most.
const MOST_BARS: usize = 32;

pub struct Bars {
    thing: &'static str,
    measure: &'static str,
    scale: Scale,
    /// Name and length of each; without a length there is no bar.
    bars: Vec<(String, Option<f64>)>,
    /// How many there are in all.
    total: usize,
    limit: Option<f64>,
}

impl Bars {
    pub fn read(
        field: &Value,
        thing: &'static str,
        value: &str,
        measure: &'static str,
        unit: Unit,
        limit: Option<f64>,
    ) -> Option<Self> {
        let items = field.as_array()?;
        let bars: Vec<(String, Option<f64>)> =
            items.iter().take(MOST_BARS).map(|item| (named(&item[thing]), number(&item[value]))).collect();
        let lengths = bars.iter().filter_map(|(_, length)| *length);
        let largest = lengths.clone().chain(limit).fold(0.0, |largest: f64, length| largest.max(length.abs()));
        lengths.clone().next()?;
        Some(Bars { thing, measure, scale: Scale::of(unit, largest), total: items.len(), bars, limit })
    }

    fn lengths(&self) -> impl Iterator<Item = f64> + Clone {
        self.bars.iter().filter_map(|(_, length)| *length)
    }
}

fn named(value: &Value) -> String {
    match value {
        Value::String(text) => name(text),
        Value::Null => "?".to_owned(),
        other => name(&other.to_string()),
    }
}

impl Plot for Bars {
    fn extent(&self) -> String {
        let known = self.bars.iter().filter_map(|(name, length)| Some((name, (*length)?)));
        let longest = known.clone().max_by(|left, right| left.1.total_cmp(&right.1));
        let shortest = known.min_by(|left, right| left.1.total_cmp(&right.1));
        let told = |(name, length): (&String, f64)| format!("{} ({} {name})", self.scale.show(length), self.thing);
        let ends: Vec<String> = match (longest, shortest) {
            (Some(longest), Some(shortest)) if longest.0 == shortest.0 => vec![told(longest)],
            (longest, shortest) => [longest, shortest].into_iter().flatten().map(told).collect(),
        };
        let mut summary = ends.join(" to ");
        if let Some(limit) = self.limit {
            summary.push_str(&format!(", limit {}", self.scale.show(limit)));
        }
        if self.total > self.bars.len() {
            summary.push_str(&format!(", the first {} of {}", self.bars.len(), self.total));
        }
        summary
    }

    fn heights(&self) -> Vec<f64> {
        shares_of_largest(self.bars.iter().map(|(_, length)| length.unwrap_or(0.0)))
    }

    fn drawing(&self) -> Drawing {
        let count = self.bars.len() as f64;
        let ends = self.lengths().chain(self.limit).chain([0.0]).map(|length| self.scale.apply(length));
        let (low, high) = range(ends);
        let bars = self.bars.iter().enumerate().filter_map(|(row, (_, length))| Some((row as f64, (*length)?)));
        let mut marks: Vec<Mark> = bars
            .map(|(row, length)| Mark::Bar { from: (0.0, row + 0.36), to: (self.scale.apply(length), row - 0.36) })
            .collect();
        if let Some(limit) = self.limit {
            let at = self.scale.apply(limit);
            marks.push(Mark::Line { points: vec![(at, count - 0.4), (at, -1.0)], role: Role::Guide });
            marks.push(Mark::Note { at: (at, -1.0), text: format!("limit {}", self.scale.show(limit)) });
        }
        // A row above the first bar is for the name of the limit. The first thing stands on top, so the axis is
        // turned round.
        let top = if self.limit.is_some() { -1.6 } else { -0.6 };
        let names = self.bars.iter().map(|(name, _)| name.clone()).collect();
        Drawing {
            x: Axis { label: self.scale.axis(self.measure), range: (low, high + 0.04 * (high - low)), names: None },
            y: Axis { label: self.thing.to_owned(), range: (count - 0.4, top), names: Some(names) },
            height: height_of_rows(self.bars.len() + 1),
            marks,
        }
    }
}
