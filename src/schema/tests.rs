//! What a schema's annotations refuse.

use serde_json::json;

use super::*;

/// The codes of the problems with the text, as a value whose templates are collected.
fn problems(schema: &Value, text: &str) -> Vec<&'static str> {
    let source = Source::new("test.yaml", text);
    let node = crate::yaml::parse(&source).unwrap();
    let mut problems = Vec::new();
    decode(&node, Schema::whole(schema), &source, &mut problems);
    problems.iter().map(|problem| problem.code).collect()
}

fn command() -> Value {
    json!({
        "type": "object",
        "x-templates": true,
        "properties": {
            "argv": {"type": "array", "items": {"type": "string"}, "prefixItems": [{"type": "string", "x-constant": true}]},
            "shell": {"type": "string", "x-constant": true},
            "grace": {"type": "number", "x-unit": "duration"},
        },
        "additionalProperties": false,
        "oneOf": [{"required": ["argv"]}, {"required": ["shell"]}],
    })
}

#[test]
fn keys_that_exclude_each_other_leave_the_properties_checked() {
    assert_eq!(problems(&command(), "shell: 'echo {{inputs.host}}'"), ["template-in-code"]);
    assert_eq!(problems(&command(), "{shell: ls, grace: soon}"), ["wrong-value"]);
    assert_eq!(problems(&command(), "{shell: ls, shelf: ls}"), ["unknown-key"]);
    assert_eq!(problems(&command(), "shell: ls"), [""; 0]);
}

#[test]
fn exactly_one_of_them_is_given() {
    assert_eq!(problems(&command(), "grace: 1s"), ["missing-key"]);
    assert_eq!(problems(&command(), "{shell: ls, argv: [ls]}"), ["excluded-key"]);
}

#[test]
fn the_program_is_constant_and_its_arguments_are_not() {
    assert_eq!(problems(&command(), "argv: ['{{inputs.program}}', x]"), ["template-in-code"]);
    assert_eq!(problems(&command(), "argv: [ls, '{{inputs.folder}}']"), [""; 0]);
}

fn decoded(schema: &Value, text: &str) -> (Node, Decoded) {
    let source = Source::new("test.yaml", text);
    let node = crate::yaml::parse(&source).unwrap();
    let decoded = decode(&node, Schema::whole(schema), &source, &mut Vec::new());
    (node, decoded)
}

/// A document with two parts that are filled when they are used, and a key that is not.
fn steps() -> Value {
    let step = json!({
        "type": "object",
        "properties": {
            "command": {"$ref": "#/$defs/command"},
            "timeout": {"type": "number", "x-unit": "duration"},
            "when": {"type": "string", "x-expression": true},
        },
        "additionalProperties": false,
    });
    json!({"type": "object", "additionalProperties": step, "$defs": {"command": command()}})
}

#[test]
fn each_part_with_templates_is_found_by_its_node() {
    let text = "a: {command: {argv: [ls, '{{inputs.a}}']}, when: 1 < 2}\nb: {command: {argv: [ls, -l]}, timeout: 1m}";
    let (node, mut decoded) = decoded(&steps(), text);
    assert_eq!(
        decoded.value,
        json!({"a": {"command": null, "when": "1 < 2"}, "b": {"command": null, "timeout": 60.0}})
    );
    let part = |step: &str, key: &str| node.get(step).and_then(|step| step.get(key)).unwrap().clone();
    let request = decoded.request(&part("a", "command")).unwrap();
    assert_eq!(request.raw, json!({"argv": ["ls", "{{inputs.a}}"]}));
    assert_eq!(request.slots[0].route.to_string(), "argv[1]");
    assert!(decoded.request(&part("b", "command")).unwrap().slots.is_empty());
    assert_eq!(decoded.expression(&part("a", "when")).unwrap().text(), "1 < 2");
}

#[test]
fn a_template_is_refused_where_nothing_fills_it() {
    assert_eq!(problems(&steps(), "a: {timeout: '{{inputs.limit}}'}"), ["wrong-value"]);
}

#[test]
fn a_mistake_is_told_once_and_with_its_whole_place() {
    let source = Source::new("test.yaml", "a: {command: {argv: [ls], shelf: 1}}");
    let mut problems = Vec::new();
    decode(&crate::yaml::parse(&source).unwrap(), Schema::whole(&steps()), &source, &mut problems);
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(messages, ["unknown key 'shelf' in 'a.command'"]);
}
