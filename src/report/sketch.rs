//! The pictures of a step below its line: a row of characters with its numbers.

use super::line::Line;
use super::picture::{Gallery, Glyphs};
use super::view::StepView;

/// Which sketches there are, and what they are made of. None by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sketches {
    pub gallery: Gallery,
    pub glyphs: Glyphs,
}

impl Sketches {
    /// A line for each picture of the step's output.
    pub fn lines(&self, step: &StepView) -> Vec<Line> {
        let figures = self.gallery.figures(&step.kind, &step.output).into_iter();
        figures
            .map(|figure| Line::Detail {
                label: figure.title,
                text: format!("{} {}", figure.spark(self.glyphs), figure.extent()),
            })
            .collect()
    }
}
