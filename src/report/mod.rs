//! A run in front of someone's eyes: live on a terminal, as log lines, as JSON, as an incident report.
//!
//! ```text
//!            ┌─ view ──────────────┬─ incident ─ document ─┬─ markdown  incident report
//! Record ────┤  fold of the events │                       └─ html
//!            │                     ├─ history    `runbook history`, `runbook show`
//!            └─ wording ───────────┼─ progress   live terminal     ┐
//!               events as lines    ├─ plain      log lines          ├ Reporter, told through FanOut
//!                                  └─ json       one event a line  ┘
//! ```
//!
//! `picture` draws what the output of a step has to show, for all of them.
//!
//! Reporters only look: one that fails is left out and said so in the log, and the run goes on.

mod document;
pub mod history;
pub mod html;
mod incident;
pub mod json;
pub mod layout;
pub mod line;
pub mod markdown;
mod markup;
pub mod picture;
pub mod plain;
pub mod progress;
mod sink;
pub mod sketch;
#[cfg(test)]
mod stories;
pub mod text;
pub mod time;
pub mod values;
pub mod view;
pub mod wording;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::engine::Record;

pub use history::{HistoryRow, history, show};
pub use html::html;
pub use incident::Incident;
pub use json::Json;
pub use layout::Look;
pub use markdown::{Placement, markdown, picture_files};
pub use picture::{Gallery, Glyphs};
pub use plain::Plain;
pub use progress::Progress;
pub use sketch::Sketches;
pub use text::{escape_control, escape_control_in_lines};
pub use time::TimeZoneChoice;
pub use view::RunView;

/// Someone who is told about each event of a run, after it is durable.
pub trait Reporter: Send {
    fn report(&mut self, record: &Record);

    /// Leaves the terminal to a question that is put to a person; what happens meanwhile is told
    /// after `resume`.
    fn pause(&mut self) {}

    fn resume(&mut self) {}

    /// Nothing more will be reported.
    fn finish(&mut self) {}
}

/// Tells several reporters. One that panics is left out from then on.
#[derive(Default)]
pub struct FanOut {
    reporters: Vec<Box<dyn Reporter>>,
}

impl FanOut {
    pub fn new(reporters: Vec<Box<dyn Reporter>>) -> Self {
        FanOut { reporters }
    }

    pub fn add(&mut self, reporter: Box<dyn Reporter>) {
        self.reporters.push(reporter);
    }

    fn each(&mut self, mut tell: impl FnMut(&mut dyn Reporter)) {
        // A reporter that panicked may be half changed; it is dropped, so nothing sees that state.
        self.reporters.retain_mut(|reporter| {
            let told = catch_unwind(AssertUnwindSafe(|| tell(reporter.as_mut())));
            if told.is_err() {
                tracing::error!("a reporter panicked and is left out from now on; the run goes on");
            }
            told.is_ok()
        });
    }
}

impl Reporter for FanOut {
    fn report(&mut self, record: &Record) {
        self.each(|reporter| reporter.report(record));
    }

    fn pause(&mut self) {
        self.each(|reporter| reporter.pause());
    }

    fn resume(&mut self) {
        self.each(|reporter| reporter.resume());
    }

    fn finish(&mut self) {
        self.each(|reporter| reporter.finish());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Counting(Arc<AtomicUsize>);

    impl Reporter for Counting {
        fn report(&mut self, _record: &Record) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Broken(Arc<AtomicUsize>);

    impl Reporter for Broken {
        fn report(&mut self, _record: &Record) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("planted");
        }
    }

    #[test]
    fn a_broken_reporter_does_not_stop_the_others() {
        let (counted, tried) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let broken = Box::new(Broken(tried.clone()));
        let mut all = FanOut::new(vec![broken, Box::new(Counting(counted.clone()))]);
        let records = stories::healthy();
        records.iter().for_each(|record| all.report(record));
        all.finish();
        assert_eq!(counted.load(Ordering::Relaxed), records.len());
        assert_eq!(tried.load(Ordering::Relaxed), 1, "left out after its first panic");
    }
}
