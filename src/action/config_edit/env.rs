//! Files of `NAME=value` lines, as systemd, Docker and shells read them.

use serde_json::{Map, Value};

use super::Wish;
use super::error::EditError;

/// One assignment and its place in the text.
struct Line<'a> {
    name: &'a str,
    /// Where the value stands, with its quotes and without a comment behind it.
    value: std::ops::Range<usize>,
    /// The whole line with its line break.
    whole: std::ops::Range<usize>,
    number: usize,
}

pub(super) fn parse(text: &str) -> Result<Value, EditError> {
    let mut values = Map::new();
    let mut seen: Vec<Line<'_>> = Vec::new();
    for line in lines(text)? {
        if let Some(first) = seen.iter().find(|other| other.name == line.name) {
            let key = line.name.to_owned();
            return Err(EditError::Twice { key, first: first.number, second: line.number });
        }
        values.insert(line.name.to_owned(), Value::String(unquoted(&text[line.value.clone()])));
        seen.push(line);
    }
    Ok(Value::Object(values))
}

/// The wish in the only type that such a file has.
pub(super) fn as_text(wish: &Wish) -> Wish {
    match wish {
        Wish::Set(value @ (Value::Bool(_) | Value::Number(_))) => Wish::Set(Value::String(value.to_string())),
        other => other.clone(),
    }
}

pub(super) fn change(text: &str, key: &[String], wish: &Wish) -> Result<String, EditError> {
    let name = key.join(".");
    let line = lines(text)?.into_iter().find(|line| line.name == name);
    let mut new = text.to_owned();
    match (wish, line) {
        (Wish::Set(value), Some(line)) => new.replace_range(line.value, &quoted(&name, value)?),
        (Wish::Set(value), None) => {
            check_name(&name)?;
            let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
            if !new.is_empty() && !new.ends_with('\n') {
                new.push_str(ending);
            }
            new.push_str(&format!("{name}={}{ending}", quoted(&name, value)?));
        }
        (Wish::Remove, Some(line)) => new.replace_range(line.whole, ""),
        (Wish::Remove, None) => {}
    }
    Ok(new)
}

fn lines(text: &str) -> Result<Vec<Line<'_>>, EditError> {
    let mut start = 0;
    let mut found = Vec::new();
    for (index, whole) in text.split_inclusive('\n').enumerate() {
        let content = whole.trim();
        if !content.is_empty() && !content.starts_with('#') {
            let line = line(text, start..start + whole.len(), index + 1);
            found.push(line.ok_or_else(|| EditError::Syntax(format!("line {} is not NAME=value", index + 1)))?);
        }
        start += whole.len();
    }
    Ok(found)
}

fn line(text: &str, whole: std::ops::Range<usize>, number: usize) -> Option<Line<'_>> {
    let (left, right) = text[whole.clone()].split_once('=')?;
    let left = left.trim();
    let name = left.strip_prefix("export ").map_or(left, str::trim_start);
    check_name(name).ok()?;
    let start = whole.end - right.len() + (right.len() - right.trim_start_matches([' ', '\t']).len());
    let length = value_length(text[start..whole.end].trim_end())?;
    Some(Line { name, value: start..start + length, whole, number })
}

/// The length of the value; `None` for a quote that the line does not close.
fn value_length(rest: &str) -> Option<usize> {
    match rest.as_bytes().first() {
        Some(b'\'') => rest[1..].find('\'').map(|end| end + 2),
        Some(b'"') => {
            let mut escaped = false;
            let end = rest[1..].bytes().position(|byte| {
                let closes = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                closes
            });
            end.map(|end| end + 2)
        }
        // A number sign begins a comment only behind a blank; it is common inside passwords.
        _ => Some(rest.find(" #").map_or(rest.len(), |comment| rest[..comment].trim_end().len())),
    }
}

fn unquoted(value: &str) -> String {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(literal) = inner('\'') {
        return literal.to_owned();
    }
    let Some(quoted) = inner('"') else { return value.to_owned() };
    let mut letters = quoted.chars();
    let mut plain = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => plain.extend(letters.next()),
            _ => plain.push(letter),
        }
    }
    plain
}

/// The value in the simplest quotes that all readers understand alike.
fn quoted(name: &str, value: &Value) -> Result<String, EditError> {
    let cannot = |value: &str| EditError::Value { key: name.to_owned(), value: value.to_owned() };
    let Value::String(text) = value else { return Err(cannot("a list, a mapping or nothing")) };
    if text.chars().any(char::is_control) {
        // The readers disagree on what stands for a line break.
        return Err(cannot("control characters"));
    }
    let plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_./:@%+,=-".contains(letter));
    Ok(match text {
        text if plain => text.clone(),
        text if !text.contains('\'') => format!("'{text}'"),
        text => {
            let escape =
                |letter: char| if "\"\\$`".contains(letter) { format!("\\{letter}") } else { letter.to_string() };
            format!("\"{}\"", text.chars().map(escape).collect::<String>())
        }
    })
}

fn check_name(name: &str) -> Result<(), EditError> {
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let rest = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if starts && rest { Ok(()) } else { Err(EditError::Name(name.to_owned())) }
}
