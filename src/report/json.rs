//! A run as JSON, one event a line, for programs.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write;

use serde_json::{Value, json};

use super::Reporter;
use super::sink::Sink;
use super::text::is_treacherous;
use super::view::RunView;
use crate::base::RunId;
use crate::engine::{Event, Record};

/// Writes every record as it is in the journal. `run_finished` carries two more fields, so that a
/// program that reads only the last line knows the result: `causes`, the names of the causes found,
/// and `duration_ms`.
pub struct Json {
    sink: Sink,
    /// Called playbooks report through the same lines, each with its own run.
    views: HashMap<RunId, RunView>,
}

impl Json {
    pub fn new(writer: Box<dyn Write + Send>) -> Self {
        Json { sink: Sink::new(writer), views: HashMap::new() }
    }

    fn document(&mut self, record: &Record) -> serde_json::Result<Value> {
        let view = self.views.entry(record.run.clone()).or_default();
        view.apply(record);
        let mut document = serde_json::to_value(record)?;
        if let Event::RunFinished { .. } = record.event {
            document["causes"] = json!(view.cause_names());
            document["duration_ms"] = json!(view.duration().as_millis() as u64);
            self.views.remove(&record.run);
        }
        Ok(document)
    }
}

impl Reporter for Json {
    fn report(&mut self, record: &Record) {
        match self.document(record) {
            Ok(document) => self.sink.line(&harmless(&document.to_string())),
            Err(error) => tracing::error!(%error, "bug: an event cannot be written as JSON"),
        }
    }
}

/// JSON whose strings escape every character that could steer a terminal, not only the first 32.
/// Such characters stand only inside strings, so replacing them keeps the document valid.
fn harmless(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if is_treacherous(character) {
            let mut units = [0_u16; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::stories::{self, Captured};

    fn told(records: &[Record]) -> Vec<Value> {
        let captured = Captured::default();
        let mut reporter = Json::new(Box::new(captured.clone()));
        records.iter().for_each(|record| reporter.report(record));
        captured.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_record_is_a_line_that_reads_back() {
        for (name, records) in stories::all() {
            let lines = told(&records);
            let back: Vec<Record> = lines.into_iter().map(|line| serde_json::from_value(line).unwrap()).collect();
            assert_eq!(back, records, "{name}");
        }
    }

    #[test]
    fn the_last_line_has_the_result() {
        let last = told(&stories::resolved()).pop().unwrap();
        assert_eq!(last["event"], "run_finished");
        assert_eq!(last["outcome"], "resolved");
        assert_eq!(last["severity"], "high");
        assert_eq!(last["causes"], json!(["missing_file"]));
        assert_eq!(last["duration_ms"], 98_320);
    }

    #[test]
    fn strings_cannot_steer_a_terminal_and_read_back_the_same() {
        let text = "a\u{9b}31m\u{202e}b\u{e0041}\u{1b}";
        let line = harmless(&json!(text).to_string());
        assert!(line.is_ascii(), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }
}
