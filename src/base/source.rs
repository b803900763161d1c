//! Places in a source text.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of a line that are looked at behind the place that is shown; some files are one line.
const MOST_BESIDE: usize = 1000;

/// A range of bytes of a source text; the end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// A text that diagnostics can point into.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: PathBuf,
    pub text: Arc<str>,
}

impl Source {
    pub fn new(path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> Self {
        Source { path: path.into(), text: text.into() }
    }

    /// Line and column of a byte offset, both counted from 1, the column in characters.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(offset.min(self.text.len()))];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The lines that a span stands in, the number of the first of them, and the span inside of them. The
    /// renderer looks through all it is given, so a large file would make every excerpt slow.
    pub fn excerpt(&self, span: Span) -> (&str, usize, Span) {
        let end = self.text.floor_char_boundary(span.end.min(self.text.len()));
        let start = self.text.floor_char_boundary(span.start.min(end));
        let first = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let last = self.text[end..].find('\n').map_or(self.text.len(), |newline| end + newline);
        let line = self.text[..first].matches('\n').count() + 1;
        let last = self.text.floor_char_boundary(last.min(end + MOST_BESIDE));
        (&self.text[first..last], line, Span { start: start - first, end: end - first })
    }
}

/// A place in a document by name, `diagnose.file.file.path` or `triggers[0].alert`; turned into a
/// span only when something has to be shown there.
#[derive(Debug, Clone, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub struct Route(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Key(String),
    Index(usize),
}

impl Route {
    pub fn root() -> Self {
        Route::default()
    }

    pub fn of<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        Route(keys.into_iter().map(|key| Part::Key(key.to_owned())).collect())
    }

    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Part::Key(key.to_owned()))
    }

    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Part::Index(index))
    }

    fn with(&self, part: Part) -> Self {
        let mut parts = self.0.clone();
        parts.push(part);
        Route(parts)
    }

    pub fn parts(&self) -> &[Part] {
        &self.0
    }
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, part) in self.0.iter().enumerate() {
            match part {
                Part::Key(key) if position == 0 => write!(formatter, "{key}")?,
                Part::Key(key) => write!(formatter, ".{key}")?,
                Part::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let source = Source::new("x.yaml", "a: ü\nb: 2\n");
        assert_eq!(source.line_column(0), (1, 1));
        assert_eq!(source.line_column(5), (1, 5));
        assert_eq!(source.line_column(6), (2, 1));
    }

    #[test]
    fn routes_read_like_paths() {
        assert_eq!(Route::of(["triggers"]).index(0).key("alert").to_string(), "triggers[0].alert");
    }
}
