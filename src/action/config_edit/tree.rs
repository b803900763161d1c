//! YAML and JSON, edited in their text at the place where the key is, or where it would be.

use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value};

use super::Wish;
use super::error::EditError;
use super::render::{self, Quote};
use super::scan;
use crate::base::Source;
use crate::yaml::{self, Data, Entry, Node};

pub(super) fn parse_yaml(text: &str) -> Result<Value, EditError> {
    read(text).map(|node| node.to_json())
}

pub(super) fn parse_json(text: &str) -> Result<Value, EditError> {
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_str(text).map_err(|error| EditError::Syntax(error.to_string()))
}

pub(super) fn change_yaml(text: &str, key: &[String], wish: &Wish) -> Result<String, EditError> {
    change(text, key, wish, Style::Yaml)
}

pub(super) fn change_json(text: &str, key: &[String], wish: &Wish) -> Result<String, EditError> {
    if text.trim().is_empty() {
        return change("{}\n", key, wish, Style::Json { compact: false });
    }
    let blank_after_colon = text.split_once("\":").is_none_or(|(_, rest)| rest.starts_with(char::is_whitespace));
    change(text, key, wish, Style::Json { compact: !blank_after_colon })
}

/// JSON is read as YAML too, of which it is a part, because that reader knows where things are.
fn read(text: &str) -> Result<Node, EditError> {
    yaml::parse(&Source::new(Path::new(""), text)).map_err(|problems| {
        let problem = problems.first().map(|problem| {
            let line = problem.place.as_ref().map_or(1, |(source, span)| source.line_column(span.start).0);
            format!("line {line}: {} {}", problem.message, problem.label).trim_end().to_owned()
        });
        EditError::Syntax(problem.unwrap_or_default())
    })
}

#[derive(Debug, Clone, Copy)]
enum Style {
    Yaml,
    Json { compact: bool },
}

impl Style {
    fn value(self, value: &Value, quote: Quote) -> String {
        match self {
            Style::Yaml => render::yaml(value, quote),
            Style::Json { compact } => render::json(value, compact),
        }
    }

    fn pair(self, key: &str, value: &Value) -> String {
        match self {
            Style::Yaml => format!("{}: {}", render::yaml_key(key), render::yaml(value, Quote::None)),
            Style::Json { compact } => {
                let colon = if compact { ":" } else { ": " };
                format!("{}{colon}{}", render::json_key(key), render::json(value, compact))
            }
        }
    }

    fn comma(self) -> &'static str {
        if matches!(self, Style::Json { compact: true }) { "," } else { ", " }
    }
}

/// How far the document goes along the key.
struct Walk<'a> {
    /// The root, then each part found; never empty.
    nodes: Vec<&'a Node>,
    /// The entry each part was found in; `None` for an item of a list.
    entries: Vec<Option<&'a Entry>>,
}

impl<'a> Walk<'a> {
    fn along(root: &'a Node, key: &[String]) -> Self {
        let mut walk = Walk { nodes: vec![root], entries: Vec::new() };
        for part in key {
            let node = walk.deepest();
            let entry = node.entries().iter().find(|entry| entry.key == *part);
            let item = || node.items().get(part.parse::<usize>().ok()?);
            let Some(next) = entry.map(|entry| &entry.value).or_else(item) else { break };
            walk.nodes.push(next);
            walk.entries.push(entry);
        }
        walk
    }

    fn deepest(&self) -> &'a Node {
        self.nodes[self.nodes.len() - 1]
    }

    /// The text of the deepest part.
    fn range(&self, text: &str) -> Option<Range<usize>> {
        match self.entries.last() {
            Some(Some(entry)) => scan::value_range(text, entry),
            _ => scan::item_range(text, self.deepest()),
        }
    }

    fn is_in_flow(&self, text: &str) -> bool {
        self.nodes.iter().any(|node| scan::is_flow(text, node))
    }
}

fn change(text: &str, key: &[String], wish: &Wish, style: Style) -> Result<String, EditError> {
    let root = read(text)?;
    let walk = Walk::along(&root, key);
    let editor = Editor { text, style };
    let rest = &key[walk.entries.len()..];
    let changed = match wish {
        Wish::Set(value) if rest.is_empty() => editor.replace(&walk, value),
        Wish::Set(value) => editor.add(&walk, rest, value),
        Wish::Remove => editor.remove(&walk, key),
    };
    // Where a border cannot be found, nothing is cut.
    changed.ok_or_else(|| EditError::WouldDamage { key: key.join(".") })
}

#[derive(Clone, Copy)]
struct Editor<'a> {
    text: &'a str,
    style: Style,
}

impl Editor<'_> {
    fn splice(self, range: Range<usize>, new: &str) -> String {
        format!("{}{new}{}", &self.text[..range.start], &self.text[range.end..])
    }

    fn replace(self, walk: &Walk<'_>, value: &Value) -> Option<String> {
        let range = walk.range(self.text)?;
        let quote = Quote::of(&self.text[range.clone()]);
        Some(self.put(walk, range, &self.style.value(value, quote)))
    }

    /// Puts a value written on one line in the place of another, which may stand on lines of its own
    /// or be nothing at all.
    fn put(self, walk: &Walk<'_>, range: Range<usize>, new: &str) -> String {
        let colon = walk.entries.last().copied().flatten().and_then(|entry| scan::after_colon(self.text, entry));
        let Some(colon) = colon else { return self.splice(range, new) };
        let deepest = walk.deepest();
        if matches!(deepest.data, Data::List(_) | Data::Map(_)) && !scan::is_flow(self.text, deepest) {
            return self.put_over_block(range, new);
        }
        if range.is_empty() || self.text[colon..range.start].contains('\n') {
            return self.splice(colon..range.end, &format!(" {new}"));
        }
        self.splice(range, new)
    }

    /// The comment behind the key stays; those inside the block go with it, also that behind its end.
    fn put_over_block(self, range: Range<usize>, new: &str) -> String {
        let line = &self.text[range.start..scan::line_end(self.text, range.start)];
        let comment = if line.trim_start().starts_with('#') { line.trim_end() } else { "" };
        let last = &self.text[range.end..scan::line_end(self.text, range.end)];
        let end = range.end + last.trim_end_matches(['\r', '\n']).len();
        self.splice(range.start..end, &format!(" {new}{comment}"))
    }

    fn add(self, walk: &Walk<'_>, rest: &[String], value: &Value) -> Option<String> {
        let parent = walk.deepest();
        let (first, below) = rest.split_first()?;
        let nested = nest(below, value);
        match &parent.data {
            Data::Map(_) if scan::is_flow(self.text, parent) => self.add_to_flow(parent, first, &nested),
            Data::Map(entries) if entries.is_empty() => Some(self.append(&self.block(rest, value, 0))),
            Data::Map(entries) => self.add_to_block(entries, rest, value),
            Data::Null => self.add_to_nothing(walk, rest, value),
            _ => None,
        }
    }

    fn add_to_flow(self, parent: &Node, key: &str, value: &Value) -> Option<String> {
        let pair = self.style.pair(key, value);
        let (Some(first), Some(last)) = (parent.entries().first(), parent.entries().last()) else {
            let inside = parent.span.start + 1;
            return Some(self.splice(inside..inside, &pair));
        };
        let end = scan::value_range(self.text, last).map_or(last.key_span.end, |range| range.end);
        // Entries on lines of their own stay so.
        let lead = &self.text[parent.span.start + 1..first.key_span.start];
        let separator = match lead.rfind('\n') {
            Some(newline) if lead[newline..].trim().is_empty() => {
                format!(",{}", &lead[line_break_start(lead, newline)..])
            }
            _ => self.style.comma().to_owned(),
        };
        let after = &self.text[end..];
        let comma = after.len() - after.trim_start().len();
        if after[comma..].starts_with(',') {
            let at = end + comma + 1;
            return Some(self.splice(at..at, &format!("{}{pair}", &separator[1..])));
        }
        Some(self.splice(end..end, &format!("{separator}{pair}")))
    }

    fn add_to_block(self, entries: &[Entry], rest: &[String], value: &Value) -> Option<String> {
        let (first, last) = (entries.first()?, entries.last()?);
        let column = column(self.text, first.key_span.start);
        let at = scan::line_end(self.text, scan::value_range(self.text, last)?.end);
        Some(self.insert_lines(at, &self.block(rest, value, column)))
    }

    /// Below a key that has no value, or the value `null`.
    fn add_to_nothing(self, walk: &Walk<'_>, rest: &[String], value: &Value) -> Option<String> {
        let range = walk.range(self.text)?;
        let entry = walk.entries.last().copied().flatten();
        match entry {
            Some(entry) if range.is_empty() && !walk.is_in_flow(self.text) => {
                let column = column(self.text, entry.key_span.start) + indentation(self.text);
                let at = scan::line_end(self.text, range.end);
                Some(self.insert_lines(at, &self.block(rest, value, column)))
            }
            _ => Some(self.put(walk, range, &self.style.value(&nest(rest, value), Quote::None))),
        }
    }

    fn append(self, lines: &str) -> String {
        self.insert_lines(self.text.len(), lines)
    }

    /// `lines` begin at their indentation and have no line break at their end.
    fn insert_lines(self, at: usize, lines: &str) -> String {
        let ending = line_ending(self.text);
        let lines = lines.replace('\n', ending);
        if at == 0 || self.text[..at].ends_with('\n') {
            self.splice(at..at, &format!("{lines}{ending}"))
        } else {
            self.splice(at..at, &format!("{ending}{lines}"))
        }
    }

    /// Nested keys on lines of their own.
    fn block(self, keys: &[String], value: &Value, column: usize) -> String {
        let step = indentation(self.text);
        let lines = keys.iter().enumerate().map(|(depth, key)| {
            let indent = " ".repeat(column + depth * step);
            match depth + 1 == keys.len() {
                true => format!("{indent}{}", self.style.pair(key, value)),
                false => format!("{indent}{}:", render::yaml_key(key)),
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn remove(self, walk: &Walk<'_>, key: &[String]) -> Option<String> {
        let entry = walk.entries.last().copied().flatten()?;
        let parent = walk.nodes[walk.nodes.len() - 2];
        let entries = parent.entries();
        let index = entries.iter().position(|other| other.key == entry.key)?;
        if scan::is_flow(self.text, parent) {
            return self.remove_from_flow(entries, index);
        }
        if entries.len() == 1 {
            return self.empty(parent, &key[..key.len() - 1], walk);
        }
        self.remove_from_block(entries, index)
    }

    fn remove_from_flow(self, entries: &[Entry], index: usize) -> Option<String> {
        let start = scan::key_range(self.text, &entries[index]).start;
        let end = scan::value_range(self.text, &entries[index])?.end;
        // A comma goes with the entry: the one behind it, or for the last one the one before.
        if let Some(next) = entries.get(index + 1) {
            return Some(self.splice(start..next.key_span.start, ""));
        }
        match index.checked_sub(1) {
            Some(previous) => Some(self.splice(scan::value_range(self.text, &entries[previous])?.end..end, "")),
            None => Some(self.splice(start..end, "")),
        }
    }

    fn remove_from_block(self, entries: &[Entry], index: usize) -> Option<String> {
        let start = entries[index].key_span.start;
        let line = scan::line_start(self.text, start);
        if self.text[line..start].trim().is_empty() {
            let end = scan::line_end(self.text, scan::value_range(self.text, &entries[index])?.end);
            return Some(self.splice(line..end, ""));
        }
        // The first key behind the dash of a list item: the next one takes its place.
        Some(self.splice(start..entries.get(index + 1)?.key_span.start, ""))
    }

    /// A mapping that loses its only entry becomes `{}`; without it, it would become nothing.
    fn empty(self, parent: &Node, above: &[String], walk: &Walk<'_>) -> Option<String> {
        if above.is_empty() {
            return Some(self.splice(scan::item_range(self.text, parent)?, "{}"));
        }
        let above =
            Walk { nodes: walk.nodes[..walk.nodes.len() - 1].to_vec(), entries: walk.entries[..above.len()].to_vec() };
        let range = above.range(self.text)?;
        Some(self.put(&above, range, "{}"))
    }
}

/// The value below the keys, as mappings in mappings.
fn nest(keys: &[String], value: &Value) -> Value {
    keys.iter().rev().fold(value.clone(), |inner, key| Value::Object(Map::from_iter([(key.clone(), inner)])))
}

fn column(text: &str, offset: usize) -> usize {
    text[scan::line_start(text, offset)..offset].chars().count()
}

/// The blanks by which the document indents: those of its first indented line.
fn indentation(text: &str) -> usize {
    let blanks = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with(['#', '-']) && !line.trim().is_empty());
    lines.map(blanks).find(|blanks| *blanks > 0).unwrap_or(2)
}

fn line_ending(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// Where the line break at `newline` begins, with the carriage return before it.
fn line_break_start(text: &str, newline: usize) -> usize {
    newline - usize::from(text[..newline].ends_with('\r'))
}
