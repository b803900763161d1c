//! The JSON Schema of a playbook, assembled from the types of the language and from every kind. The
//! parser checks with it, editors complete with it, and `schemas/playbook.schema.json` is it.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::model::Header;
use super::publish::publish;
use super::registry;
use super::step::StepKeys;
use crate::engine::event::Severity;
use crate::kind::schema_of;
use crate::language::Declaration;

/// Keys of a step that only make sense in a detection.
const DETECTION_KEYS: [&str; 2] = ["holds", "for"];
/// Keys of a step that make no sense in a detection.
const NOT_IN_DETECTION: [&str; 9] =
    ["expect", "fixes", "undo", "precondition", "check", "approve", "risk", "on_error", "severity"];

static SCHEMA: LazyLock<Value> = LazyLock::new(build);

/// The schema of a whole playbook.
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// The name of a kind's definition inside the schema.
pub fn kind_definition(kind: &str) -> String {
    format!("kind_{kind}")
}

fn build() -> Value {
    let mut definitions = Map::new();
    let kinds = add_kinds(&mut definitions);
    let keys = add(&mut definitions, "step_keys", schema_of::<StepKeys>());
    definitions.remove("step_keys");
    let step_keys = keys["properties"].as_object().cloned().unwrap_or_default();
    let without = |names: &[&str]| {
        let kept = step_keys.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        kept.map(|(name, part)| (name.clone(), part.clone())).collect::<Map<_, _>>()
    };
    definitions.insert(
        "step".into(),
        one_kind(&kinds, without(&DETECTION_KEYS), "A step: exactly one kind and any of the common keys."),
    );
    definitions.insert(
        "probe".into(),
        one_kind(&kinds, without(&NOT_IN_DETECTION), "A probe of a detection: one kind and `holds`."),
    );
    definitions.insert("action".into(), one_kind(&kinds, Map::new(), "Exactly one kind."));
    let expect = json!({"expect": step_keys["expect"]}).as_object().cloned().unwrap_or_default();
    definitions.insert(
        "check".into(),
        one_kind(&kinds, expect, "One kind, and what its output is like when the step was done."),
    );
    definitions.insert("probes".into(), probes());
    definitions.insert("cause".into(), cause());
    let input = add(&mut definitions, "input", schema_of::<Declaration>());
    definitions.insert("input".into(), input);
    definitions.insert("answers".into(), named("input", "Typed values that whoever approves the step gives."));
    let header = add(&mut definitions, "header", schema_of::<Header>());
    definitions.remove("header");
    whole(header, definitions)
}

/// Adds every kind's configuration as a definition and returns the property each kind adds to a step.
fn add_kinds(definitions: &mut Map<String, Value>) -> Map<String, Value> {
    let mut properties = Map::new();
    for kind in registry::kinds() {
        let name = kind_definition(kind.name);
        let mut schema = add(definitions, &name, (kind.config_schema)());
        schema["description"] = kind.summary.into();
        // Only what a step does is filled in when it starts; its other keys say how it is run.
        schema["x-templates"] = true.into();
        definitions.insert(name.clone(), schema);
        properties
            .insert(kind.name.to_owned(), json!({"$ref": format!("#/$defs/{name}"), "description": kind.summary}));
    }
    properties
}

/// Moves a schema's own definitions under names of their own and returns the schema without them.
fn add(definitions: &mut Map<String, Value>, prefix: &str, mut schema: Value) -> Value {
    let inner = schema.as_object_mut().and_then(|schema| {
        schema.remove("$schema");
        schema.remove("$defs")
    });
    if let Some(Value::Object(inner)) = inner {
        for (name, mut part) in inner {
            rename(&mut part, prefix);
            definitions.insert(format!("{prefix}_{name}"), part);
        }
    }
    rename(&mut schema, prefix);
    schema
}

fn rename(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(entries) => {
            if let Some(Value::String(name)) = entries.get("x-definition").cloned() {
                // `description` stays; a step inside a kind has the form of a step's action.
                entries.insert("$ref".into(), format!("#/$defs/{name}").into());
                entries.remove("x-definition");
                return;
            }
            if let Some(Value::String(reference)) = entries.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                *reference = format!("#/$defs/{prefix}_{name}");
            }
            entries.values_mut().for_each(|part| rename(part, prefix));
        }
        Value::Array(items) => items.iter_mut().for_each(|part| rename(part, prefix)),
        _ => {}
    }
}

fn one_kind(kinds: &Map<String, Value>, keys: Map<String, Value>, help: &str) -> Value {
    let mut properties = keys;
    let names: Vec<Value> = kinds.keys().map(|name| json!({"required": [name]})).collect();
    properties.extend(kinds.clone());
    // `x-kinds` is `oneOf` under another name for our own checker, which words that mistake better;
    // the published schema turns it back.
    json!({"type": "object", "description": help, "properties": properties, "additionalProperties": false, "x-kinds": names})
}

const NAME_PATTERN: &str = "[a-z][a-z0-9_]*";

fn probes() -> Value {
    json!({
        "type": "object",
        "description": "Named probes, or groups of them under any, all or not.",
        "properties": {"any": {"$ref": "#/$defs/probes"}, "all": {"$ref": "#/$defs/probes"}, "not": {"$ref": "#/$defs/probes"}},
        "propertyNames": {"pattern": NAME_PATTERN},
        "additionalProperties": {"$ref": "#/$defs/probe"},
    })
}

fn cause() -> Value {
    json!({
        "type": "object",
        "description": "A finding with a name.",
        "properties": {
            "title": {"type": "string", "description": "The cause in words."},
            "when": {"type": "string", "x-expression": true, "description": "When the diagnosis shows this cause."},
        },
        "required": ["title", "when"],
        "additionalProperties": false,
    })
}

fn named(definition: &str, help: &str) -> Value {
    json!({
        "type": "object",
        "description": help,
        "propertyNames": {"pattern": NAME_PATTERN},
        "additionalProperties": {"$ref": format!("#/$defs/{definition}")},
    })
}

fn whole(header: Value, definitions: Map<String, Value>) -> Value {
    let mut properties = header["properties"].as_object().cloned().unwrap_or_default();
    properties.insert("inputs".into(), named("input", "Typed values that a run is started with."));
    properties.insert(
        "detect".into(),
        json!({
            "type": "object",
            "description": "When the fault exists: any, all or not of named probes.",
            "properties": {"any": {"$ref": "#/$defs/probes"}, "all": {"$ref": "#/$defs/probes"}, "not": {"$ref": "#/$defs/probes"}},
            "additionalProperties": false,
        }),
    );
    for (phase, help) in [
        ("diagnose", "Read-only steps that look for the cause."),
        ("remediate", "Steps that fix causes."),
        ("verify", "Read-only steps that must pass after the fix, on top of the detection."),
        ("finally", "Steps that always run at the end."),
    ] {
        properties.insert(phase.into(), named("step", help));
    }
    properties.insert("causes".into(), named("cause", "Findings with names, judged when the diagnosis is complete."));
    properties.insert("severity".into(), severity());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "runbook playbook",
        "type": "object",
        "properties": properties,
        "required": ["runbook", "name", "title"],
        "additionalProperties": false,
        "$defs": definitions,
    })
}

fn severity() -> Value {
    let mut words = schema_of::<Severity>();
    if let Some(schema) = words.as_object_mut() {
        schema.remove("$schema");
        schema.remove("title");
    }
    json!({
        "description": "The severity of the run: the first rule that holds; medium without one.",
        "anyOf": [
            words,
            {"type": "array", "items": {
                "type": "object",
                "properties": {
                    "when": {"type": "string", "x-expression": true, "description": "When this severity applies; always, when absent."},
                    "is": {"anyOf": [words], "description": "The severity then."},
                },
                "required": ["is"],
                "additionalProperties": false,
            }},
        ],
    })
}

/// The schema for editors.
pub fn published() -> Value {
    let mut schema = schema().clone();
    // Only the configuration of kinds is filled in when a step starts.
    publish(&mut schema, |definition| definition.starts_with(&kind_definition("")));
    schema
}
