//! Types of inputs and step outputs. Values themselves are `serde_json::Value`: bytes are whole
//! numbers, durations are seconds.

use std::fmt;

use serde_json::Value;

/// What `validate` knows about a value before anything runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    String,
    Int,
    Float,
    Bool,
    /// A whole number of bytes, written `512 MiB`.
    Bytes,
    /// Seconds, written `15m`.
    Duration,
    Path,
    Url,
    Enum(Vec<String>),
    List(Box<Type>),
    Object(Vec<Field>),
    /// Known only when the step has run, such as a value taken out of a JSON body.
    Any,
}

impl Type {
    pub fn is_number(&self) -> bool {
        matches!(self, Type::Int | Type::Float | Type::Bytes | Type::Duration)
    }

    pub fn is_text(&self) -> bool {
        matches!(self, Type::String | Type::Path | Type::Url | Type::Enum(_))
    }

    /// The type of a JSON Schema (the subset that `schemars` derives for our own types).
    pub fn of_schema(schema: &Value) -> Type {
        let Some(schema) = schema.as_object() else { return Type::Any };
        let name = match schema.get("type") {
            Some(Value::String(name)) => name.as_str(),
            // `["string", "null"]` is an optional value: it has the type of its first alternative.
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("")
            }
            _ => "",
        };
        match name {
            "string" => Type::String,
            "integer" => Type::Int,
            "number" => Type::Float,
            "boolean" => Type::Bool,
            "array" => Type::List(Box::new(schema.get("items").map_or(Type::Any, Type::of_schema))),
            "object" => match schema.get("properties").and_then(Value::as_object) {
                Some(_) => Type::Object(Field::of_schema(&Value::Object(schema.clone()))),
                None => Type::Any,
            },
            _ => Type::Any,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::String => formatter.write_str("text"),
            Type::Int => formatter.write_str("a whole number"),
            Type::Float => formatter.write_str("a number"),
            Type::Bool => formatter.write_str("true or false"),
            Type::Bytes => formatter.write_str("a size such as 512 MiB"),
            Type::Duration => formatter.write_str("a duration such as 15m"),
            Type::Path => formatter.write_str("a path"),
            Type::Url => formatter.write_str("an http or https address"),
            Type::Enum(values) => write!(formatter, "one of {}", values.join(", ")),
            Type::List(item) => write!(formatter, "a list, each {item}"),
            Type::Object(_) => formatter.write_str("an object"),
            Type::Any => formatter.write_str("any value"),
        }
    }
}

/// A named, typed part of a step's output.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    pub kind: Type,
    pub help: String,
}

impl Field {
    pub fn new(name: impl Into<String>, kind: Type, help: impl Into<String>) -> Self {
        Field { name: name.into(), kind, help: help.into() }
    }

    /// The properties of an object schema, in its order.
    pub fn of_schema(schema: &Value) -> Vec<Field> {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
        properties
            .iter()
            .map(|(name, part)| {
                let help = part.get("description").and_then(Value::as_str).unwrap_or_default();
                Field::new(name, Type::of_schema(&resolve(schema, part)), help)
            })
            .collect()
    }
}

/// Follows a `$ref` into the `$defs` of the same document.
fn resolve(document: &Value, part: &Value) -> Value {
    match part.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => document.pointer(pointer).cloned().unwrap_or(Value::Null),
        None => part.clone(),
    }
}

/// A value as it appears inside text: strings bare, everything else as JSON.
pub fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
