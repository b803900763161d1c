//! What a schema's annotations refuse.

use serde_json::json;

use super::*;

/// The codes of the problems with the text, as a value whose templates are collected.
fn problems(schema: &Value, text: &str) -> Vec<&'static str> {
    let source = Source::new("test.yaml", text);
    let node = crate::yaml::parse(&source).unwrap();
    let mut problems = Vec::new();
    decode_request(&node, Schema::whole(schema), &source, &mut problems);
    problems.iter().map(|problem| problem.code).collect()
}

fn command() -> Value {
    json!({
        "type": "object",
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
