//! What is kept of the lines that match.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::numbers::Numbers;
use super::{Output, Sample, Settings, ValueCount};
use crate::base::Timestamp;
use crate::probe::text::clean;

/// Matches kept as samples, the newest.
const SAMPLES: usize = 20;
/// Shown of a match.
const SAMPLE_BYTES: usize = 2 << 10;
/// Shown of a line beside a match: enough for a stack frame.
const CONTEXT_BYTES: usize = 512;
/// Shown of all samples together: what a journal entry can carry without becoming slow to read.
const ALL_SAMPLE_BYTES: usize = 64 << 10;
/// Shown of the value of a group.
const VALUE_BYTES: usize = 256;
/// Values of a group that are told apart; a group with more is an identifier, not a category.
const VALUES: usize = 10_000;
/// Values of a group in the output.
const TOP_VALUES: usize = 20;

/// Takes lines one by one, file after file.
pub(super) struct Collector<'a> {
    settings: &'a Settings,
    has_groups: bool,
    file: String,
    output: Output,
    first_at: Option<i64>,
    /// The newest match: its time, and whether `last_line` is set.
    last: Option<Option<i64>>,
    /// The last lines of this file, for context.
    recent: VecDeque<Vec<u8>>,
    /// The newest matches, oldest first.
    samples: Vec<Held>,
    /// Samples that still want lines after them.
    open: usize,
    groups: BTreeMap<String, HashMap<String, u64>>,
    numbers: Option<Numbers>,
    order: u64,
}

/// A sample with its place among the others.
struct Held {
    /// Matches without a stamp count as older than those with one.
    key: (Option<i64>, u64),
    sample: Sample,
    wants_after: usize,
}

impl<'a> Collector<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        let groups: BTreeMap<_, _> = settings
            .pattern
            .capture_names()
            .flatten()
            .filter(|name| settings.number.as_deref() != Some(*name))
            .map(|name| (name.to_owned(), HashMap::new()))
            .collect();
        Collector {
            settings,
            has_groups: !groups.is_empty() || settings.number.is_some(),
            file: String::new(),
            output: Output::default(),
            first_at: None,
            last: None,
            recent: VecDeque::new(),
            samples: Vec::new(),
            open: 0,
            groups,
            numbers: settings.number.as_ref().map(|_| Numbers::default()),
            order: 0,
        }
    }

    /// What follows is not the context of what came before.
    pub(super) fn start_file(&mut self, name: String) {
        self.file = name;
        self.recent.clear();
        self.samples.iter_mut().for_each(|held| held.wants_after = 0);
        self.open = 0;
    }

    /// A line that was read: `length` bytes of the file, written `at`.
    pub(super) fn line(&mut self, line: &[u8], at: Option<i64>) {
        self.continue_samples(line);
        let counts = match self.settings.since {
            Some(since) => at.is_some_and(|at| at >= since.0),
            None => true,
        };
        if counts && self.is_match(line) {
            self.add(line, at);
        }
        self.remember(line);
    }

    pub(super) fn count_read(&mut self, length: u64, cut: bool) {
        self.output.scanned_lines += 1;
        self.output.scanned_bytes += length;
        self.output.cut_lines += u64::from(cut);
    }

    fn is_match(&self, line: &[u8]) -> bool {
        let excluded = || self.settings.exclude.as_ref().is_some_and(|exclude| exclude.is_match(line));
        self.settings.pattern.is_match(line) && !excluded()
    }

    fn add(&mut self, line: &[u8], at: Option<i64>) {
        self.output.count += 1;
        self.first_at = match (self.first_at, at) {
            (Some(first), Some(at)) => Some(first.min(at)),
            (first, at) => first.or(at),
        };
        if self.last.is_none_or(|last| at >= last) {
            self.last = Some(at);
            self.output.last_line = clean(line, SAMPLE_BYTES);
        }
        if self.has_groups {
            self.add_groups(line, at);
        }
        self.add_sample(line, at);
    }

    fn add_groups(&mut self, line: &[u8], at: Option<i64>) {
        let Some(captures) = self.settings.pattern.captures(line) else { return };
        let number = self.settings.number.as_deref().and_then(|name| captures.name(name));
        if let (Some(numbers), Some(number)) = (&mut self.numbers, number) {
            numbers.add(number.as_bytes(), at);
        }
        for (name, values) in &mut self.groups {
            let Some(value) = captures.name(name) else { continue };
            let value = clean(value.as_bytes(), VALUE_BYTES);
            if values.len() < VALUES || values.contains_key(&value) {
                *values.entry(value).or_insert(0) += 1;
            }
        }
    }

    fn add_sample(&mut self, line: &[u8], at: Option<i64>) {
        self.order += 1;
        let key = (at, self.order);
        if self.samples.len() == SAMPLES {
            if self.samples[0].key > key {
                return;
            }
            let oldest = self.samples.remove(0);
            self.open -= usize::from(oldest.wants_after > 0);
        }
        let sample = Sample {
            file: self.file.clone(),
            at: at.map(|at| Timestamp(at).to_rfc3339()),
            text: clean(line, SAMPLE_BYTES),
            before: self.recent.iter().map(|line| clean(line, CONTEXT_BYTES)).collect(),
            after: Vec::new(),
        };
        let wants_after = self.settings.after;
        self.open += usize::from(wants_after > 0);
        let place = self.samples.partition_point(|held| held.key < key);
        self.samples.insert(place, Held { key, sample, wants_after });
    }

    fn continue_samples(&mut self, line: &[u8]) {
        if self.open == 0 {
            return;
        }
        let text = clean(line, CONTEXT_BYTES);
        for held in self.samples.iter_mut().filter(|held| held.wants_after > 0) {
            held.sample.after.push(text.clone());
            held.wants_after -= 1;
            self.open -= usize::from(held.wants_after == 0);
        }
    }

    fn remember(&mut self, line: &[u8]) {
        if self.settings.before == 0 {
            return;
        }
        // The oldest buffer is used again, so that a long log costs no allocation a line.
        let mut buffer =
            if self.recent.len() == self.settings.before { self.recent.pop_front() } else { None }.unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(&line[..line.len().min(CONTEXT_BYTES + 4)]);
        self.recent.push_back(buffer);
    }

    pub(super) fn finish(self) -> Output {
        let seconds = |at: i64| at as f64 / 1000.0;
        Output {
            first_at: self.first_at.map(seconds),
            last_at: self.last.flatten().map(seconds),
            number: self.numbers.map(Numbers::finish),
            groups: self.groups.into_iter().map(|(name, values)| (name, most_frequent(values))).collect(),
            samples: newest_within(self.samples, ALL_SAMPLE_BYTES),
            complete: true,
            ..self.output
        }
    }
}

fn most_frequent(values: HashMap<String, u64>) -> Vec<ValueCount> {
    let mut counts: Vec<ValueCount> = values.into_iter().map(|(value, count)| ValueCount { value, count }).collect();
    counts.sort_by(|left, right| right.count.cmp(&left.count).then_with(|| left.value.cmp(&right.value)));
    counts.truncate(TOP_VALUES);
    counts
}

fn newest_within(samples: Vec<Held>, mut budget: usize) -> Vec<Sample> {
    let mut kept: Vec<Sample> = samples
        .into_iter()
        .rev()
        .map(|held| held.sample)
        .take_while(|sample| {
            let lines = sample.before.iter().chain(&sample.after).chain([&sample.text]);
            let size: usize = lines.map(String::len).sum();
            let fits = size <= budget;
            budget = budget.saturating_sub(size);
            fits
        })
        .collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(config: serde_json::Value) -> Settings {
        Settings::of(&serde_json::from_value(config).unwrap(), Timestamp(1_000_000)).unwrap()
    }

    #[test]
    fn context_does_not_cross_files() {
        let settings = settings(json!({"pattern": "hit", "before": 2, "after": 2}));
        let mut collector = settings.collector();
        collector.start_file("one".into());
        for line in ["a", "b", "c", "hit 1", "d"] {
            collector.line(line.as_bytes(), None);
        }
        collector.start_file("two".into());
        for line in ["e", "hit 2", "hit 3", "f", "g"] {
            collector.line(line.as_bytes(), None);
        }
        let samples = collector.finish().samples;
        let context: Vec<_> = samples.iter().map(|sample| (sample.before.join(","), sample.after.join(","))).collect();
        let expected = [("b,c", "d"), ("e", "hit 3,f"), ("e,hit 2", "f,g")];
        assert_eq!(context, expected.map(|(before, after)| (before.to_owned(), after.to_owned())));
    }

    #[test]
    fn the_newest_samples_stay_whatever_the_order_of_files() {
        let settings = settings(json!({"pattern": "."}));
        let mut collector = settings.collector();
        for at in (0..60).map(|number| (number * 7) % 60) {
            collector.line(at.to_string().as_bytes(), Some(at));
        }
        let output = collector.finish();
        let texts: Vec<_> = output.samples.iter().map(|sample| sample.text.parse::<i64>().unwrap()).collect();
        assert_eq!(texts, (40..60).collect::<Vec<_>>());
        assert_eq!((output.first_at, output.last_at, output.last_line.as_str()), (Some(0.0), Some(0.059), "59"));
    }

    #[test]
    fn samples_share_a_budget() {
        let settings = settings(json!({"pattern": ".", "before": 10}));
        let mut collector = settings.collector();
        for _ in 0..100 {
            collector.line(&[b'x'; 60_000], None);
        }
        let output = collector.finish();
        let size: usize = output.samples.iter().map(|sample| sample.text.len() + sample.before.concat().len()).sum();
        assert_eq!(output.count, 100);
        assert!(output.samples.len() >= 5 && size <= ALL_SAMPLE_BYTES, "{size}");
    }

    #[test]
    fn groups_are_counted_up_to_a_bound() {
        let settings = settings(json!({"pattern": "id=(?<id>\\w+) (?<kind>\\w+)?"}));
        let mut collector = settings.collector();
        for number in 0..VALUES + 500 {
            collector.line(format!("id={number} a").as_bytes(), None);
        }
        collector.line(b"id=7 b", None);
        collector.line(b"id=7 ", None);
        let output = collector.finish();
        assert_eq!(output.groups["id"].len(), TOP_VALUES);
        assert_eq!(output.groups["id"][0], ValueCount { value: "7".into(), count: 3 });
        let kinds: Vec<_> = output.groups["kind"].iter().map(|kind| kind.count).collect();
        assert_eq!(kinds, [VALUES as u64 + 500, 1]);
    }
}
