//! The pictures of a run. A kind declares them ([`Picture`]), the journal holds the numbers, this room draws.
//!
//! ```text
//! Picture + output ─ Figure ─┬ plot: marks and axes ─ canvas ─ SVG     reports
//! (declared) (journal)       └ heights ─ spark                         terminal
//! ```
//!
//! One file for each shape; none of them knows how marks become SVG, and only `canvas` does. An output that does not
//! look as declared, such as one of an older version, has no picture and is no error.

mod bars;
mod canvas;
mod histogram;
mod reliability;
mod scale;
mod series;
mod spark;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::text::{self, escape_control};
use crate::base::Picture;
use crate::base::picture::Shape;

pub use canvas::STYLE;
pub use spark::Glyphs;

/// The longest name of a thing in a picture; the report's tables have the whole.
const LONGEST_NAME: usize = 16;

/// Which pictures the outputs of each kind have.
#[derive(Clone, Copy)]
pub struct Gallery(fn(&str) -> &'static [Picture]);

impl Gallery {
    /// `pictures` tells them by the name of the kind.
    pub fn new(pictures: fn(&str) -> &'static [Picture]) -> Self {
        Gallery(pictures)
    }

    /// The pictures of an output.
    pub fn figures(self, kind: &str, output: &Value) -> Vec<Figure> {
        (self.0)(kind).iter().filter_map(|picture| Figure::of(picture, output)).collect()
    }
}

impl Default for Gallery {
    /// No pictures.
    fn default() -> Self {
        Gallery(|_| &[])
    }
}

impl std::fmt::Debug for Gallery {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Gallery")
    }
}

/// A picture with the numbers of one output.
pub struct Figure {
    pub title: &'static str,
    plot: Box<dyn Plot>,
}

impl Figure {
    /// `None` when the output has no such field, or nothing in it that can be drawn.
    pub fn of(picture: &Picture, output: &Value) -> Option<Self> {
        let field = output.get(picture.field)?;
        let plot: Box<dyn Plot> = match picture.shape {
            Shape::Histogram { of, unit, counted, marks } => {
                Box::new(histogram::Histogram::read(field, output, of, unit, counted, marks)?)
            }
            Shape::Reliability => Box::new(reliability::Reliability::read(field)?),
            Shape::Bars { thing, value, measure, unit, limit } => {
                let limit = limit.and_then(|limit| number(&output[limit]));
                Box::new(bars::Bars::read(field, thing, value, measure, unit, limit)?)
            }
            Shape::Series { over, values, measure, unit, slope } => {
                let slope = slope.and_then(|slope| number(&output[slope]));
                Box::new(series::Series::read(field, over, values, measure, unit, slope)?)
            }
        };
        Some(Figure { title: picture.title, plot })
    }

    /// From where to where, in a few words: `280 µs to 1.9 ms, 1000 runs`. Of data, made harmless for a terminal.
    pub fn extent(&self) -> String {
        self.plot.extent()
    }

    /// The same with everything else that the picture says, for those who do not see it.
    pub fn summary(&self) -> String {
        self.plot.summary()
    }

    /// The picture as one SVG element of at most a few hundred kilobytes, without a blank line in it; `None` when it
    /// could not be drawn, which is told in the log.
    pub fn svg(&self) -> Option<String> {
        canvas::svg(self.title, &self.summary(), &self.plot.drawing())
    }

    /// The picture as one short row of characters.
    pub fn spark(&self, glyphs: Glyphs) -> String {
        spark::row(&self.plot.heights(), glyphs)
    }
}

/// Numbers that were read and can be drawn.
trait Plot {
    fn extent(&self) -> String;

    fn summary(&self) -> String {
        self.extent()
    }

    /// What stands beside each other, from left to right, each between 0 and 1.
    fn heights(&self) -> Vec<f64>;

    fn drawing(&self) -> canvas::Drawing;
}

/// A number of an output. Infinity and NaN are null there.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

/// The numbers of a list; what is no number is `None` and keeps its place.
fn numbers(value: &Value) -> Option<Vec<Option<f64>>> {
    value.as_array().map(|items| items.iter().map(number).collect())
}

/// Text of an output as a picture shows it: short, one line, and only characters that XML allows.
fn name(text: &str) -> String {
    let allowed = escape_control(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
    text::shorten(&allowed, LONGEST_NAME).into_owned()
}

/// Where each lies between 0 and the largest.
fn shares_of_largest(values: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let largest = values.clone().fold(0.0, f64::max);
    values.map(|value| if largest > 0.0 { (value / largest).clamp(0.0, 1.0) } else { 0.0 }).collect()
}

/// How many neighbours have to be taken together so that at most `most` of `count` are left.
fn together(count: usize, most: usize) -> usize {
    count.div_ceil(most).max(1)
}
