//! Where a value really begins and ends in YAML or JSON text. The parser's spans say where it was found;
//! an edit must know to the byte what belongs to it.

use std::ops::Range;

use crate::yaml::{Data, Entry, Node};

/// The offset behind the colon of an entry; `None` for forms without one (`{a}`, `? a`).
pub(super) fn after_colon(text: &str, entry: &Entry) -> Option<usize> {
    let key = key_range(text, entry);
    let rest = &text[key.end..];
    let colon = rest.find(|letter: char| !letter.is_whitespace())?;
    rest[colon..].starts_with(':').then_some(key.end + colon + 1)
}

/// The key with its quotes.
pub(super) fn key_range(text: &str, entry: &Entry) -> Range<usize> {
    let start = entry.key_span.start;
    match quoted_end(text, start) {
        Some(end) => start..end,
        None => start..entry.key_span.end,
    }
}

/// The value of an entry; an empty range behind the colon when nothing is written there. The lines of a
/// block begin behind the colon too: the comments before its first key are part of it.
pub(super) fn value_range(text: &str, entry: &Entry) -> Option<Range<usize>> {
    let from = after_colon(text, entry)?;
    let start = from + leading_blanks(&text[from..]);
    if let Some(end) = closed_end(text, start, &entry.value) {
        return Some(start..end);
    }
    match &entry.value.data {
        Data::Null => Some(null_range(text, start).unwrap_or(from..from)),
        // The span of a block scalar begins behind its header.
        Data::String(_) if text[start..].starts_with(['|', '>']) => Some(start..entry.value.span.end),
        Data::List(_) | Data::Map(_) => Some(from..node_end(text, &entry.value)?),
        _ => item_range(text, &entry.value),
    }
}

/// A value that has no key before it: an item of a list, or the whole document.
pub(super) fn item_range(text: &str, node: &Node) -> Option<Range<usize>> {
    match text.as_bytes().get(node.span.start) {
        // What has an anchor or an empty item has no clear border.
        None | Some(b'&') => None,
        Some(_) if matches!(node.data, Data::Null) => null_range(text, node.span.start),
        Some(_) => Some(node.span.start..node_end(text, node)?),
    }
}

/// Whether the value is written in brackets or braces.
pub(super) fn is_flow(text: &str, node: &Node) -> bool {
    // The parser lets some block lists begin with their first item, behind the dash.
    let begins_with_item = node.items().first().is_some_and(|item| item.span.start == node.span.start);
    let collection = matches!(node.data, Data::List(_) | Data::Map(_));
    collection && !begins_with_item && text[node.span.start..].starts_with(['[', '{'])
}

/// The end of the line that holds the offset, line break included.
pub(super) fn line_end(text: &str, offset: usize) -> usize {
    text[offset..].find('\n').map_or(text.len(), |newline| offset + newline + 1)
}

pub(super) fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind('\n').map_or(0, |newline| newline + 1)
}

fn node_end(text: &str, node: &Node) -> Option<usize> {
    if let Some(end) = closed_end(text, node.span.start, node) {
        return Some(end);
    }
    match &node.data {
        Data::Map(entries) => value_range(text, entries.last()?).map(|range| range.end),
        Data::List(items) => item_range(text, items.last()?).map(|range| range.end),
        _ => Some(node.span.end),
    }
}

/// The end of a value in quotes, brackets or braces that begins at the offset. A block may begin with a
/// quote as well, that of its first key.
fn closed_end(text: &str, start: usize, node: &Node) -> Option<usize> {
    match &node.data {
        Data::String(_) => quoted_end(text, start),
        _ if is_flow(text, node) => flow_end(text, node.span.start),
        _ => None,
    }
}

fn quoted_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = *bytes.get(start).filter(|byte| matches!(byte, b'"' | b'\''))?;
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 2,
            // In single quotes a quote is written twice.
            b'\'' if quote == byte && bytes.get(at + 1) == Some(&byte) => at += 2,
            _ if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

fn flow_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    bytes.get(start).filter(|byte| matches!(byte, b'[' | b'{'))?;
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            b'"' | b'\'' if begins_value(bytes, at) => {
                at = quoted_end(text, at)?;
                continue;
            }
            b'#' if bytes[at - 1].is_ascii_whitespace() => at = line_end(text, at) - 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// A quote inside a plain word (`it's`) opens nothing.
fn begins_value(bytes: &[u8], at: usize) -> bool {
    let before = bytes[..at].iter().rev().find(|byte| !byte.is_ascii_whitespace());
    before.is_none_or(|byte| matches!(byte, b'[' | b'{' | b',' | b':'))
}

fn null_range(text: &str, start: usize) -> Option<Range<usize>> {
    let word = ["null", "Null", "NULL", "~"].into_iter().find(|word| text[start..].starts_with(word))?;
    let end = start + word.len();
    let delimited = text[end..].chars().next().is_none_or(|next| next.is_whitespace() || ",]}".contains(next));
    delimited.then_some(start..end)
}

fn leading_blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t', '\r', '\n']).len()
}
