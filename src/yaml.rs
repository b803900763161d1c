//! YAML text to a tree whose every part knows its place.
//!
//! `serde` stops at the first error and forgets where it was; a playbook's author wants every error
//! with its line. So the text becomes [`Node`]s with spans, which are checked against a schema
//! (`schema::check`) and only then decoded. Limits make a hostile document an error, not an outage:
//! size, depth and number of nodes are bounded, aliases and tags are refused, and so are duplicate keys.

mod flow;

use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as ParserSpan};
use serde_json::Value;

use crate::base::source::Part;
use crate::base::{Diagnostic, Route, Source, Span};

/// A playbook of 10,000 steps has about 1 MiB; ten times that is no longer a playbook.
const MAX_BYTES: usize = 16 << 20;
/// The language nests less than ten levels; request bodies a few more.
const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 250_000;
/// Nobody reads further; each costs a look for its line.
const MAX_PROBLEMS: usize = 100;

/// A part of a YAML document.
#[derive(Debug, Clone)]
pub struct Node {
    pub span: Span,
    pub data: Data,
}

#[derive(Debug, Clone)]
pub enum Data {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The entries of a mapping in their written order; empty for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.data {
            Data::List(items) => items,
            _ => &[],
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a scalar. A number or flag where text is meant reads as that text: `when: false`.
    pub fn text(&self) -> Option<String> {
        match &self.data {
            Data::String(text) => Some(text.clone()),
            Data::Bool(_) | Data::Int(_) | Data::Float(_) => Some(self.to_json().to_string()),
            Data::Null | Data::List(_) | Data::Map(_) => None,
        }
    }

    /// What the node is, for messages: "a list", "text".
    pub fn describe(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "true or false",
            Data::Int(_) => "a whole number",
            Data::Float(_) => "a number",
            Data::String(_) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }

    pub fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(flag) => Value::Bool(*flag),
            Data::Int(number) => Value::from(*number),
            Data::Float(number) => Value::from(*number),
            Data::String(text) => Value::String(text.clone()),
            Data::List(items) => items.iter().map(Node::to_json).collect(),
            Data::Map(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect())
            }
        }
    }

    /// The span of the part that the route names, or of the deepest part of it that exists.
    pub fn locate(&self, route: &Route) -> Span {
        let mut node = self;
        for part in route.parts() {
            let next = match part {
                Part::Key(key) => node.get(key),
                Part::Index(index) => node.items().get(*index),
            };
            match next {
                Some(found) => node = found,
                None => break,
            }
        }
        node.span
    }

    /// The span of the key that the route ends in, or of what `locate` finds.
    pub fn locate_key(&self, route: &Route) -> Span {
        let Some((Part::Key(last), before)) = route.parts().split_last() else { return self.locate(route) };
        let mut node = self;
        for part in before {
            let next = match part {
                Part::Key(key) => node.get(key),
                Part::Index(index) => node.items().get(*index),
            };
            let Some(found) = next else { return node.span };
            node = found;
        }
        node.entries().iter().find(|entry| entry.key == *last).map_or(node.span, |entry| entry.key_span)
    }
}

/// Reads one YAML document. An empty text is an empty mapping.
pub fn parse(source: &Source) -> Result<Node, Vec<Diagnostic>> {
    match read(source) {
        (Some(node), problems) if problems.is_empty() => Ok(node),
        (_, problems) => Err(problems),
    }
}

/// Reads one YAML document as far as it makes sense: with a key given twice it is still a tree, in which
/// further mistakes can be looked for.
pub fn read(source: &Source) -> (Option<Node>, Vec<Diagnostic>) {
    if source.text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; the limit is {MAX_BYTES}", source.text.len());
        // Without an excerpt: the first line may be the whole file.
        let message = format!("{}: {message}", source.path.display());
        return (None, vec![Diagnostic::error("yaml-limit", message)]);
    }
    if let Some(line) = flow::crowded_line(&source.text) {
        let message = format!("{}: {}", source.path.display(), flow::problem(line));
        let help = "write it in lines that are indented".to_owned();
        return (None, vec![Diagnostic::error("yaml-limit", message).help(help)]);
    }
    let mut reader = Reader::new(source);
    reader.read_all();
    let empty = Node { span: Span::default(), data: Data::Map(Vec::new()) };
    let node = if reader.stop { None } else { Some(reader.root.unwrap_or(empty)) };
    (node, reader.problems)
}

/// A collection that is being read.
enum Open {
    List { start: usize, items: Vec<Node> },
    Map { start: usize, entries: Vec<Entry>, names: Names, key: Option<(String, Span)> },
}

/// The keys of a mapping that is being read, in a form in which finding one takes no longer when
/// there are ten thousand steps.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    /// Up to here comparing with each key costs less than keeping a set.
    const FEW: usize = 24;

    /// Whether the mapping already has the key; `name` is one of its keys from now on.
    fn has(&mut self, name: &str, entries: &[Entry]) -> bool {
        if entries.len() < Self::FEW {
            return entries.iter().any(|entry| entry.key == name);
        }
        if self.0.is_empty() {
            self.0.extend(entries.iter().map(|entry| entry.key.clone()));
        }
        !self.0.insert(name.to_owned())
    }
}

struct Reader<'a> {
    source: &'a Source,
    /// Byte offset of each character; the parser counts characters. Empty for pure ASCII text.
    offsets: Vec<usize>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    problems: Vec<Diagnostic>,
    stop: bool,
}

impl<'a> Reader<'a> {
    fn new(source: &'a Source) -> Self {
        let offsets = if source.text.is_ascii() {
            Vec::new()
        } else {
            source.text.char_indices().map(|(offset, _)| offset).collect()
        };
        Reader { source, offsets, open: Vec::new(), root: None, nodes: 0, problems: Vec::new(), stop: false }
    }

    fn read_all(&mut self) {
        for next in Parser::new_from_str(&self.source.text) {
            match next {
                Ok((event, span)) => self.event(event, span),
                Err(error) => {
                    let at = self.offset(error.marker().index());
                    let span = Span { start: at, end: at };
                    return self.fatal(
                        Diagnostic::error("yaml-syntax", "not valid YAML").at(self.source, span).label(error.info()),
                    );
                }
            }
            self.stop |= self.problems.len() >= MAX_PROBLEMS;
            if self.stop {
                return;
            }
        }
    }

    fn offset(&self, character: usize) -> usize {
        if self.offsets.is_empty() {
            character
        } else {
            self.offsets.get(character).copied().unwrap_or(self.source.text.len())
        }
    }

    fn span(&self, span: ParserSpan) -> Span {
        let start = self.offset(span.start.index());
        let end = self.offset(span.end.index());
        // A plain scalar's end may include the white space behind it.
        let text = self.source.text.get(start..end).unwrap_or_default();
        Span { start, end: start + text.trim_end().len() }
    }

    fn fatal(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
        self.stop = true;
    }

    fn event(&mut self, event: Event<'_>, parser_span: ParserSpan) {
        let span = self.span(parser_span);
        match event {
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                self.fatal(
                    Diagnostic::error("yaml-tag", "YAML tags are not part of the language")
                        .at(self.source, span)
                        .help("remove the '!…'".to_owned()),
                );
            }
            Event::Scalar(text, style, ..) => self.scalar(&text, style, span),
            Event::SequenceStart(..) => self.open(Open::List { start: span.start, items: Vec::new() }, span),
            Event::MappingStart(..) => self
                .open(Open::Map { start: span.start, entries: Vec::new(), names: Names::default(), key: None }, span),
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(_) => {
                let problem =
                    Diagnostic::error("yaml-alias", "YAML aliases are not part of the language").at(self.source, span);
                self.fatal(problem.help("write the value out, or move it into a sub-playbook".to_owned()));
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                self.fatal(
                    Diagnostic::error("yaml-documents", "a second document in one file")
                        .at(self.source, span)
                        .help("put it into a file of its own".to_owned()),
                );
            }
            _ => {}
        }
    }

    fn open(&mut self, open: Open, span: Span) {
        if self.open.len() >= MAX_DEPTH {
            return self.fatal(
                Diagnostic::error("yaml-limit", format!("nested deeper than {MAX_DEPTH} levels")).at(self.source, span),
            );
        }
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return self.fatal(Diagnostic::error("yaml-key", "a key must be text").at(self.source, span));
        }
        self.open.push(open);
    }

    fn close(&mut self, span: Span) {
        let node = match self.open.pop() {
            Some(Open::List { start, items }) => Node {
                span: self.block_span(start, span, items.last().map(|item| item.span.end)),
                data: Data::List(items),
            },
            Some(Open::Map { start, entries, .. }) => {
                let last = entries.last().map(|entry| entry.value.span.end.max(entry.key_span.end));
                Node { span: self.block_span(start, span, last), data: Data::Map(entries) }
            }
            None => return,
        };
        self.add(node);
    }

    /// A block collection ends, for the parser, where the next thing begins; for people it ends with
    /// its last part.
    fn block_span(&self, start: usize, end: Span, last: Option<usize>) -> Span {
        let closed = self.source.text.as_bytes().get(end.start).is_some_and(|byte| matches!(byte, b']' | b'}'));
        let end = if closed { end.start + 1 } else { last.unwrap_or(start) };
        Span { start, end: end.max(start) }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) {
        if let Some(Open::Map { entries, names, key: key @ None, .. }) = self.open.last_mut() {
            if names.has(text, entries)
                && let Some(first) = entries.iter().find(|entry| entry.key == text)
            {
                let (line, _) = self.source.line_column(first.key_span.start);
                let problem =
                    Diagnostic::error("duplicate-key", format!("'{text}' is given twice")).at(self.source, span);
                self.problems
                    .push(problem.label(format!("first given on line {line}")).help("keep one of the two".to_owned()));
            }
            *key = Some((text.to_owned(), span));
            return;
        }
        let data = if style == ScalarStyle::Plain { plain(text) } else { Data::String(text.to_owned()) };
        self.add(Node { span, data });
    }

    fn add(&mut self, node: Node) {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.fatal(
                Diagnostic::error("yaml-limit", format!("more than {MAX_NODES} values")).at(self.source, node.span),
            );
        }
        match self.open.last_mut() {
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                if let Some((key, key_span)) = key.take() {
                    entries.push(Entry { key, key_span, value: node });
                }
            }
            None => self.root = Some(node),
        }
    }
}

/// The core schema of YAML 1.2 for an unquoted scalar (yaml.org/spec/1.2.2 section 10.3.2), without
/// octal and hexadecimal numbers, which no runbook needs and which surprise in file modes.
fn plain(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" => return Data::Bool(true),
        "false" | "False" | "FALSE" => return Data::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let numeric = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    // A leading zero marks text such as a file mode or a telephone number.
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if !numeric || leading_zero {
        return Data::String(text.to_owned());
    }
    if let Ok(number) = text.parse::<i64>() {
        return Data::Int(number);
    }
    let float_like =
        digits.chars().all(|letter| letter.is_ascii_digit() || matches!(letter, '.' | 'e' | 'E' | '+' | '-'));
    match text.parse::<f64>() {
        Ok(number) if float_like && number.is_finite() => Data::Float(number),
        _ => Data::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node, Vec<Diagnostic>> {
        parse(&Source::new("test.yaml", text))
    }

    #[test]
    fn values_and_spans() {
        let text = "a: 1\nb: [x, 'y']\nc:\n  d: ü 15m\n  mode: 0644\n";
        let node = read(text).unwrap();
        assert_eq!(node.to_json(), serde_json::json!({"a": 1, "b": ["x", "y"], "c": {"d": "ü 15m", "mode": "0644"}}));
        let span = node.locate(&Route::of(["c", "d"]));
        assert_eq!(&text[span.start..span.end], "ü 15m");
        let span = node.locate_key(&Route::of(["c", "mode"]));
        assert_eq!(&text[span.start..span.end], "mode");
    }

    #[test]
    fn every_duplicate_is_reported() {
        let problems = read("a: 1\na: 2\nb: {c: 1, c: 2}\n").unwrap_err();
        assert_eq!(problems.len(), 2);
        assert!(problems[0].label.contains("line 1"));
    }

    #[test]
    fn a_duplicate_is_found_in_a_mapping_of_any_length() {
        for count in [Names::FEW - 1, Names::FEW, Names::FEW + 1, 1000] {
            let lines: String = (0..count).map(|line| format!("k{line}: 1\n")).collect();
            assert!(read(&lines).is_ok(), "{count}");
            for again in ["k0", &format!("k{}", count - 1)] {
                let problems = read(&format!("{lines}{again}: 2\n")).unwrap_err();
                assert_eq!(problems.len(), 1, "{again} of {count}");
            }
        }
    }

    #[test]
    fn hostile_documents_are_errors() {
        let deep = "[".repeat(10_000);
        for text in ["a: &x 1\nb: *x\n", "a: !!python/object x\n", deep.as_str(), "a: 1\n---\nb: 2\n", "a: [1\n"] {
            assert!(read(text).is_err(), "{}", &text[..text.len().min(30)]);
        }
    }
}
