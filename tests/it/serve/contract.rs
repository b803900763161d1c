//! What the document of the API promises, held against real answers.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Answer, Served, token};

/// The document as a server serves it.
pub struct Contract {
    document: Value,
}

impl Contract {
    pub fn of(served: &Served) -> Self {
        let mut document = served.client.get("/api/v1/openapi.json", Some(&token("viewer"))).is(200).json();
        let mut parts = BTreeSet::new();
        find_parts(&document["components"]["schemas"], &mut parts);
        for (name, schema) in document["components"]["schemas"].as_object_mut().expect("schemas") {
            if !parts.contains(name) {
                close(schema);
            }
        }
        Contract { document }
    }

    /// Fails unless the document has this answer to a route of the table.
    pub fn check(&self, method: &str, path: &str, answer: &Answer) {
        let name = format!("{method} {path}: {}", answer.status);
        let responses = &self.document["paths"][path][method.to_lowercase()]["responses"];
        let response = &responses[answer.status.to_string()];
        assert!(response.is_object(), "{name} is not in the document:\n{}", answer.body);
        let content = response["content"].as_object().unwrap_or_else(|| panic!("{name} has no content"));
        let kind = kind_of(answer);
        let schema = &content.get(&kind).unwrap_or_else(|| panic!("{name}: no {kind}"))["schema"];
        if kind == "application/json" {
            let schema = json!({"allOf": [schema], "components": self.document["components"]});
            let validator = jsonschema::draft202012::new(&schema).expect("a schema");
            let value = answer.json();
            let wrong: Vec<String> =
                validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
            assert!(wrong.is_empty(), "{name}: {wrong:?}\n{value}");
        }
    }
}

fn kind_of(answer: &Answer) -> String {
    let headers = answer.headers.to_lowercase();
    let line = headers.lines().find_map(|line| line.strip_prefix("content-type:")).unwrap_or_default();
    line.split(';').next().unwrap_or_default().trim().to_owned()
}

/// The schemas that others are put together of; those may have more keys.
fn find_parts(value: &Value, parts: &mut BTreeSet<String>) {
    for part in value["allOf"].as_array().into_iter().flatten() {
        parts.extend(part["$ref"].as_str().and_then(|name| name.rsplit('/').next()).map(str::to_owned));
    }
    match value {
        Value::Object(inner) => inner.values().for_each(|inner| find_parts(inner, parts)),
        Value::Array(inner) => inner.iter().for_each(|inner| find_parts(inner, parts)),
        _ => {}
    }
}

/// A key that the document does not name is a mistake of the document.
fn close(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if schema.contains_key("properties") && !schema.contains_key("additionalProperties") {
        schema.insert("additionalProperties".into(), json!(false));
    }
    for name in ["oneOf", "anyOf"] {
        schema.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().for_each(close);
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flat_map(Map::values_mut).for_each(close);
    schema.get_mut("items").into_iter().for_each(close);
}
