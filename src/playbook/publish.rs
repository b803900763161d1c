//! The schema for editors: our own annotations turned into plain JSON Schema, so that an editor accepts
//! what the parser accepts.

use serde_json::{Map, Value, json};

/// Text that is filled in when the step starts, which stands for a value of any type.
const TEMPLATE: &str = r"\{\{";
const DURATION: &str = r"^\s*(0|(\d+(\.\d+)?(ms|s|m|h|d)\s*)+)$";
const SIZE: &str = r"^\s*\d+(\.\d+)?\s*(B|[kK]B|MB|GB|TB|KiB|MiB|GiB|TiB)?\s*$";

/// Annotations of ours that mean nothing to an editor.
const ANNOTATIONS: [&str; 5] = ["x-unit", "x-templates", "x-encode", "x-constant", "x-expression"];

/// Publishes a whole schema. `templated` says of a definition whether templates have a meaning in it.
pub(super) fn publish(schema: &mut Value, templated: fn(&str) -> bool) {
    if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
        definitions.iter_mut().for_each(|(name, definition)| plain(definition, templated(name), false));
    }
    for (name, part) in schema.as_object_mut().into_iter().flatten() {
        if name != "$defs" {
            plain(part, false, false);
        }
    }
}

/// `template_here` is false for a part that never stands for a template of its own.
fn plain(schema: &mut Value, templates: bool, template_here: bool) {
    match schema {
        Value::Object(entries) => object(entries, templates, template_here),
        Value::Array(items) => items.iter_mut().for_each(|item| plain(item, templates, template_here)),
        _ => {}
    }
}

fn object(entries: &mut Map<String, Value>, templates: bool, template_here: bool) {
    for (key, part) in entries.iter_mut() {
        // An alternative is one form of this very place, which takes its template as a whole.
        plain(part, templates, templates && key != "oneOf" && key != "anyOf");
    }
    if let Some(kinds) = entries.remove("x-kinds") {
        entries.insert("oneOf".into(), kinds);
    }
    if let Some(Value::String(pattern)) = entries.get_mut("pattern") {
        // Ours match the whole text, those of JSON Schema a part of it.
        *pattern = format!("^(?:{pattern})$");
    }
    if let Some(unit) = entries.get("x-unit").and_then(Value::as_str) {
        let form = with_unit(unit, entries.get("type").is_some_and(Value::is_array));
        entries.remove("type");
        entries.insert("anyOf".into(), form);
    }
    let takes_template = template_here && !entries.contains_key("x-constant") && is_not_any_text(entries);
    ANNOTATIONS.iter().for_each(|annotation| drop(entries.remove(*annotation)));
    if takes_template {
        or_template(entries);
    }
}

fn with_unit(unit: &str, optional: bool) -> Value {
    // A bare number is a number of bytes; of a duration nobody would know the unit.
    let mut forms = match unit {
        "bytes" => vec![json!({"type": "string", "pattern": SIZE}), json!({"type": "integer", "minimum": 0})],
        _ => vec![json!({"type": "string", "pattern": DURATION}), json!({"const": 0})],
    };
    if optional {
        forms.push(json!({"type": "null"}));
    }
    Value::Array(forms)
}

/// Whether a template, which is text, would be refused here. Mappings are written out: what stands in
/// them may be a template, they may not.
fn is_not_any_text(entries: &Map<String, Value>) -> bool {
    let is = |wanted: &[&str]| match entries.get("type") {
        Some(Value::String(name)) => wanted.contains(&name.as_str()),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(|name| wanted.contains(&name)),
        _ => false,
    };
    let restricted =
        ["enum", "const", "pattern"].iter().any(|key| entries.get(*key).is_some_and(|rule| !rule.is_object()));
    let choice = ["oneOf", "anyOf"].iter().any(|key| entries.get(*key).is_some_and(Value::is_array));
    is(&["integer", "number", "boolean", "array"]) || restricted || (choice && !entries.contains_key("properties"))
}

/// Words and the default stay outside, where editors look for them.
fn or_template(entries: &mut Map<String, Value>) {
    let outside = ["description", "default"].map(|key| (key, entries.remove(key)));
    let inner = Value::Object(std::mem::take(entries));
    for (key, value) in outside {
        entries.extend(value.map(|value| (key.to_owned(), value)));
    }
    entries.insert("anyOf".into(), json!([inner, {"type": "string", "pattern": TEMPLATE}]));
}
