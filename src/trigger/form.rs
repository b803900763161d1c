//! What sources that send JSON share: reading the body, and texts of bounded length.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Refusal, Request};

/// More labels than this, or longer ones, are not labels: they would be kept in the journal for ever.
const MOST_LABELS: usize = 128;
const LONGEST: usize = 4_096;

/// The body as JSON.
pub(super) fn json(request: &Request) -> Result<Value, Refusal> {
    serde_json::from_slice(&request.body).map_err(|error| Refusal::Malformed(format!("the body is not JSON: {error}")))
}

/// The members of a mapping that are texts, numbers or truth values, as labels.
pub(super) fn labels(value: Option<&Value>) -> Result<BTreeMap<String, String>, Refusal> {
    let members = value.and_then(Value::as_object).into_iter().flatten();
    let labels: BTreeMap<String, String> =
        members.filter_map(|(name, value)| Some((name.clone(), plain(value)?))).collect();
    let too_long = labels.iter().any(|(name, value)| name.len() > LONGEST || value.len() > LONGEST);
    if labels.len() > MOST_LABELS || too_long {
        return Err(Refusal::Malformed(format!("more than {MOST_LABELS} labels, or one longer than {LONGEST} bytes")));
    }
    Ok(labels)
}

/// A simple value as text.
pub(super) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A text member, or that it is missing.
pub(super) fn text(value: &Value, name: &str) -> Result<String, Refusal> {
    let found = value.get(name).and_then(plain).filter(|text| !text.is_empty() && text.len() <= LONGEST);
    found.ok_or_else(|| Refusal::Malformed(format!("'{name}' is missing, or no text of at most {LONGEST} bytes")))
}
