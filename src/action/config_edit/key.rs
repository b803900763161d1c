//! Which value of a document is meant.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Wish;
use super::error::EditError;

/// A key as it is written in a playbook.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Key {
    Dotted(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Part {
    Name(String),
    Index(u32),
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Part::Name(name) => formatter.write_str(name),
            Part::Index(index) => write!(formatter, "{index}"),
        }
    }
}

impl Key {
    /// The parts of the key; in a `flat` format, which has no levels, a dot is a letter like others.
    pub fn parts(&self, flat: bool) -> Vec<String> {
        match self {
            Key::Dotted(text) if flat => vec![text.clone()],
            Key::Dotted(text) => text.split('.').map(str::to_owned).collect(),
            Key::Parts(parts) => parts.iter().map(Part::to_string).collect(),
        }
    }

    pub fn show(&self) -> String {
        self.parts(false).join(".")
    }
}

/// What a value is, for messages.
fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// The value at the key.
pub(super) fn get<'a>(document: &'a Value, key: &[String]) -> Option<&'a Value> {
    key.iter().try_fold(document, |value, part| match value {
        Value::Object(entries) => entries.get(part),
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The document as it should be. This is the judge of the text editors, so it knows nothing of text.
pub(super) fn apply(mut document: Value, key: &[String], wish: &Wish) -> Result<Value, EditError> {
    let (last, above) = key.split_last().ok_or_else(|| EditError::Name(String::new()))?;
    if *wish == Wish::Remove && get(&document, key).is_none() {
        return Ok(document);
    }
    let mut value = &mut document;
    for (depth, part) in above.iter().enumerate() {
        value = enter(value, part, &key[..depth])?;
    }
    match wish {
        Wish::Set(wanted) => *enter(value, last, above)? = wanted.clone(),
        Wish::Remove => match value {
            // `shift` keeps the order of the others.
            Value::Object(entries) => drop(entries.shift_remove(last)),
            _ => return Err(EditError::ListItem { key: key.join(".") }),
        },
    }
    Ok(document)
}

/// The part below a value; made where it is missing.
fn enter<'a>(value: &'a mut Value, part: &str, above: &[String]) -> Result<&'a mut Value, EditError> {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    let (at, key) = (if above.is_empty() { "the file".to_owned() } else { above.join(".") }, part.to_owned());
    match value {
        Value::Object(entries) => Ok(entries.entry(part).or_insert(Value::Null)),
        Value::Array(items) => {
            let length = items.len();
            let item = part.parse().ok().and_then(|index: usize| items.get_mut(index));
            item.ok_or(EditError::NotInList { at, length, key })
        }
        other => Err(EditError::NotAMapping { at, found: describe(other), key }),
    }
}
