//! A measure over another, with its trend.

use serde_json::Value;

use super::canvas::{Axis, Drawing, HEIGHT, Mark, Point, Role};
use super::scale::{Scale, range};
use super::{Plot, numbers, together};
use crate::base::picture::Unit;

/// More points than the picture has columns add nothing to it.
const MOST_POINTS: usize = 400;

pub struct Series {
    over: &'static str,
    measure: &'static str,
    places: Scale,
    scale: Scale,
    points: Vec<Point>,
    /// Through the middle of all points, of which `points` may be a part.
    trend: Option<Trend>,
}

struct Trend {
    slope: f64,
    middle: Point,
}

impl Series {
    pub fn read(
        field: &Value,
        over: &'static str,
        values: &str,
        measure: &'static str,
        unit: Unit,
        slope: Option<f64>,
    ) -> Option<Self> {
        let (places, values) = (numbers(&field[over])?, numbers(&field[values])?);
        if places.len() != values.len() {
            return None;
        }
        let all: Vec<Point> =
            places.into_iter().zip(values).filter_map(|(place, value)| Some((place?, value?))).collect();
        let last = *all.last()?;
        let largest = |part: fn(&Point) -> f64| all.iter().fold(0.0, |most: f64, point| most.max(part(point).abs()));
        let largest = (largest(|point| point.0), largest(|point| point.1));
        let trend = slope.filter(|_| all.len() > 1).map(|slope| Trend { slope, middle: middle(&all) });
        // A line of least squares stays near its points; another one would make them invisible.
        let trend = trend.filter(|trend| (trend.slope * 2.0 * largest.0).abs() <= 10.0 * largest.1);
        let (places, scale) = (Scale::of(Unit::Number, largest.0), Scale::of(unit, largest.1));
        let mut points: Vec<Point> = all.iter().copied().step_by(together(all.len(), MOST_POINTS)).collect();
        if points.last() != Some(&last) {
            points.push(last);
        }
        Some(Series { over, measure, places, scale, points, trend })
    }

    fn ends(&self) -> (Point, Point) {
        // `read` lets no series without points through.
        (self.points[0], self.points[self.points.len() - 1])
    }

    fn drawn(&self, (place, value): Point) -> Point {
        (self.places.apply(place), self.scale.apply(value))
    }

    /// What the trend adds from the first place to the last.
    fn change(&self, trend: &Trend) -> String {
        let (first, last) = self.ends();
        let change = trend.slope * (last.0 - first.0);
        format!("{}{}", if change > 0.0 { "+" } else { "" }, self.scale.show(change))
    }

    fn line(&self, trend: &Trend) -> Vec<Point> {
        let (first, last) = self.ends();
        let at = |place: f64| (place, trend.middle.1 + trend.slope * (place - trend.middle.0));
        [at(first.0), at(last.0)].map(|end| self.drawn(end)).to_vec()
    }
}

/// The mean of the points, which every line of least squares goes through.
fn middle(points: &[Point]) -> Point {
    let count = points.len() as f64;
    points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0 / count, sum.1 + point.1 / count))
}

impl Plot for Series {
    fn extent(&self) -> String {
        let (first, last) = self.ends();
        let ends = format!("{} to {}", self.scale.show(first.1), self.scale.show(last.1));
        let over = format!("over {} to {} {}", self.places.show(first.0), self.places.show(last.0), self.over);
        let trend = self.trend.as_ref().map(|trend| format!(", trend {}", self.change(trend)));
        format!("{ends} {over}{}", trend.unwrap_or_default())
    }

    fn heights(&self) -> Vec<f64> {
        let values = self.points.iter().map(|point| self.scale.apply(point.1));
        let (low, high) = range(values.clone());
        values.map(|value| ((value - low) / (high - low)).clamp(0.0, 1.0)).collect()
    }

    fn drawing(&self) -> Drawing {
        let points: Vec<Point> = self.points.iter().map(|point| self.drawn(*point)).collect();
        let trend = self.trend.as_ref().map(|trend| (self.line(trend), self.change(trend)));
        let of_trend = trend.iter().flat_map(|(line, _)| line);
        let (low, high) = range(points.iter().chain(of_trend).map(|point| point.1));
        let across = range(points.iter().map(|point| point.0));
        let dots = points.iter().map(|at| Mark::Dot { at: *at, radius: 2, role: Role::Data });
        let mut marks: Vec<Mark> = dots.collect();
        marks.push(Mark::Line { points, role: Role::Data });
        let room = 0.1 * (high - low);
        if let Some((points, change)) = trend {
            marks.push(Mark::Line { points, role: Role::Guide });
            let text = format!("dashed: the trend, {change} over these {}", self.over);
            marks.push(Mark::Note { at: (across.0, high + 1.2 * room), text });
        }
        Drawing {
            x: Axis { label: self.places.axis(self.over), range: across, names: None },
            y: Axis { label: self.scale.axis(self.measure), range: (low - room, high + 2.0 * room), names: None },
            height: HEIGHT,
            marks,
        }
    }
}
