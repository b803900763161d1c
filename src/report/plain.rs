//! A run as log lines with their time, for continuous integration and for files.

use std::io::Write;

use super::Reporter;
use super::sink::Sink;
use super::sketch::Sketches;
use super::time::TimeZoneChoice;
use super::wording::Narrator;
use crate::engine::Record;

/// Writes lines such as `17:40:12Z   ✓ diagnose.file passed after 12 ms: model.onnx 34.1 KiB`.
pub struct Plain {
    sink: Sink,
    narrator: Narrator,
    times: TimeZoneChoice,
}

impl Plain {
    pub fn new(writer: Box<dyn Write + Send>, times: TimeZoneChoice) -> Self {
        Plain { sink: Sink::new(writer), narrator: Narrator::new(times), times }
    }

    /// Tells steps with sparklines of their outputs.
    #[must_use]
    pub fn sketching(mut self, sketches: Sketches) -> Self {
        self.narrator = self.narrator.sketching(sketches);
        self
    }
}

impl Reporter for Plain {
    fn report(&mut self, record: &Record) {
        let time = self.times.time(record.at);
        for text in self.narrator.tell(record).iter().filter_map(|line| line.to_plain()) {
            self.sink.line(&format!("{time} {text}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::stories::{self, Captured};

    fn told(records: &[Record]) -> String {
        let captured = Captured::default();
        let mut plain = Plain::new(Box::new(captured.clone()), TimeZoneChoice::Utc);
        records.iter().for_each(|record| plain.report(record));
        plain.finish();
        captured.text()
    }

    #[test]
    fn snapshots() {
        for (name, records) in stories::all() {
            insta::assert_snapshot!(format!("plain_{name}"), told(&records));
        }
    }

    #[test]
    fn data_cannot_steer_the_terminal() {
        let text = told(&stories::hostile());
        let steering = |character: char| character.is_control() && character != '\n';
        assert!(!text.contains(steering), "{text:?}");
        assert!(text.contains("\\x1b]0;owned\\x07"), "{text}");
    }
}
