//! Which pictures a report shows, and how many.

use crate::engine::event::StepStatus;
use crate::report::document::{Block, Illustration, plain};
use crate::report::picture::Gallery;
use crate::report::view::StepView;

/// A step may run once for each of a thousand models; a report with a thousand pictures is not read.
const MOST: usize = 24;

/// The pictures of a report, counted.
pub struct Pictures {
    gallery: Gallery,
    drawn: usize,
}

impl Pictures {
    pub fn new(gallery: Gallery) -> Self {
        Pictures { gallery, drawn: 0 }
    }

    /// The pictures of these steps; of those that did not pass first, when there is no room for all.
    pub fn of<'a>(&mut self, steps: impl Iterator<Item = &'a StepView>) -> Vec<Block> {
        let mut all: Vec<(bool, Illustration)> = steps.flat_map(|step| self.of_step(step)).collect();
        let room = MOST - self.drawn;
        let left_out = all.len().saturating_sub(room);
        if left_out > 0 {
            all.sort_by_key(|(passed, _)| *passed);
            all.truncate(room);
        }
        self.drawn += all.len();
        let note = (left_out > 0).then(|| Block::Paragraph(vec![plain(left_out_note(left_out))]));
        all.into_iter().map(|(_, illustration)| Block::Picture(illustration)).chain(note).collect()
    }

    fn of_step(&self, step: &StepView) -> Vec<(bool, Illustration)> {
        let passed = step.status() == Some(StepStatus::Passed);
        let figures = self.gallery.figures(&step.kind, &step.output);
        figures.into_iter().map(|figure| (passed, Illustration { step: step.key.to_string(), figure })).collect()
    }
}

fn left_out_note(count: usize) -> String {
    let what = if count == 1 { "1 more picture is".to_owned() } else { format!("{count} more pictures are") };
    format!("{what} left out; `runbook show` has the numbers of every step.")
}
