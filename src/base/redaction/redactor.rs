//! The search for secrets in a text and in a tree of values.

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::AhoCorasick;
use serde_json::{Map, Value};

use super::{MARK, forms};

/// Finds secrets in every form they are likely to be written in: as they are, each line by itself, in
/// base64 at its three alignments and in both alphabets, in hex, escaped for JSON, for an address and for a
/// shell. Only literal texts are searched for: a pattern made from a secret could fail and show it.
#[derive(Debug, Default)]
pub struct Redactor {
    secrets: Vec<crate::base::Secret<String>>,
    /// Every form that is searched for, in order.
    needles: Option<crate::base::Secret<Vec<Vec<u8>>>>,
    search: Option<AhoCorasick>,
    longest: usize,
}

impl Redactor {
    /// A redactor of these secrets; those of fewer than [`SHORTEST`](super::SHORTEST) characters must have
    /// been refused before.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets: Vec<&str> = secrets.into_iter().collect();
        let mut needles: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| forms::of(secret)).collect();
        needles.sort_unstable();
        let longest = needles.iter().map(Vec::len).max().unwrap_or(0);
        // Building fails only beyond two billion states; a redactor without a search would let all through.
        let search = AhoCorasick::new(&needles).expect("secrets are far smaller than the limit of the automaton");
        let secrets = secrets.into_iter().map(|secret| crate::base::Secret::new(secret.to_owned())).collect();
        let needles = Some(crate::base::Secret::new(needles));
        Redactor { secrets, needles, search: (longest > 0).then_some(search), longest }
    }

    /// This one, and `secret` as well.
    #[must_use]
    pub fn with(&self, secret: &str) -> Self {
        Redactor::new(self.secrets.iter().map(|known| known.reveal().as_str()).chain([secret]))
    }

    pub fn knows(&self, secret: &str) -> bool {
        self.secrets.iter().any(|known| known.reveal() == secret)
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(|secret| secret.reveal().as_str())
    }

    pub fn is_empty(&self) -> bool {
        self.search.is_none()
    }

    /// The length in bytes of the longest form; a shorter piece of a stream may be the beginning of a secret.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Whether a secret is in the text, in any form.
    pub fn finds(&self, text: &str) -> bool {
        self.search.as_ref().is_some_and(|search| search.is_match(text))
    }

    /// The text with [`MARK`] in place of each secret.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.covered(text.as_bytes()) {
            covered if covered.is_empty() => Cow::Borrowed(text),
            // Forms are whole characters, so what is left is still UTF-8.
            covered => Cow::Owned(String::from_utf8_lossy(&masked(text.as_bytes(), &covered)).into_owned()),
        }
    }

    /// The bytes with [`MARK`] in place of each secret.
    pub fn bytes<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        match self.covered(bytes) {
            covered if covered.is_empty() => Cow::Borrowed(bytes),
            covered => Cow::Owned(masked(bytes, &covered)),
        }
    }

    /// Masks the texts of the tree, the names of its fields, and numbers whose digits are a secret.
    pub fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(masked) = self.text(text) {
                    *text = masked;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => *fields = self.fields(std::mem::take(fields)),
            Value::Number(number) if self.finds(&number.to_string()) => *value = MARK.into(),
            Value::Number(_) | Value::Bool(_) | Value::Null => {}
        }
    }

    /// Two names that are both secrets stay two fields.
    fn fields(&self, fields: Map<String, Value>) -> Map<String, Value> {
        let mut masked = Map::with_capacity(fields.len());
        for (name, mut value) in fields {
            self.value(&mut value);
            let plain = self.text(&name).into_owned();
            let numbered = (2..).map(|number| format!("{plain} ({number})"));
            let free = std::iter::once(plain.clone()).chain(numbered).find(|name| !masked.contains_key(name));
            masked.insert(free.unwrap_or(plain), value);
        }
        masked
    }

    /// Where the last bytes begin that may be the beginning of a secret; the length when there are none.
    pub(super) fn settled(&self, bytes: &[u8]) -> usize {
        let first = bytes.len().saturating_sub(self.longest.saturating_sub(1));
        (first..bytes.len()).find(|at| self.begins_with(&bytes[*at..])).unwrap_or(bytes.len())
    }

    /// Whether a form of a secret begins like this.
    fn begins_with(&self, piece: &[u8]) -> bool {
        let needles = self.needles.as_ref().map_or(&[][..], |needles| needles.reveal());
        // In their order the first one that is not before the piece begins with it, if any does.
        let place = needles.partition_point(|needle| needle.as_slice() < piece);
        needles.get(place).is_some_and(|needle| needle.starts_with(piece))
    }

    /// The parts that belong to secrets, in order and apart from each other. Every match counts, also one
    /// inside or across another: keeping only the longest of them would leave the rest of its neighbour.
    pub(super) fn covered(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let Some(search) = &self.search else { return Vec::new() };
        let mut matches: Vec<Range<usize>> = search.find_overlapping_iter(bytes).map(|found| found.range()).collect();
        matches.sort_unstable_by_key(|range| range.start);
        let mut covered: Vec<Range<usize>> = Vec::with_capacity(matches.len());
        for range in matches {
            match covered.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => covered.push(range),
            }
        }
        covered
    }
}

fn masked(bytes: &[u8], covered: &[Range<usize>]) -> Vec<u8> {
    let mut result = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for range in covered {
        result.extend_from_slice(&bytes[at..range.start]);
        result.extend_from_slice(MARK.as_bytes());
        at = range.end;
    }
    result.extend_from_slice(&bytes[at..]);
    result
}
