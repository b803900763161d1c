//! Mistakes of types and names, each with its place in the text.

use super::known;
use crate::base::Type;
use crate::language::{Expression, LanguageError};

fn check(text: &str) -> Result<Type, Vec<LanguageError>> {
    Expression::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}")).check(&known())
}

#[test]
fn expressions_have_types() {
    for (text, expected) in [
        ("flag", Type::Bool),
        ("flag && !flag || count > 3", Type::Bool),
        ("count + share", Type::Float),
        ("size - 512MiB", Type::Float),
        ("wait", Type::Duration),
        ("15m", Type::Duration),
        ("1MiB", Type::Bytes),
        ("count == share", Type::Bool),
        ("text == path", Type::Bool),
        ("state == \"open\"", Type::Bool),
        ("body == 5 && body == \"x\"", Type::Bool),
        ("body && body > 3", Type::Bool),
        ("max(items)", Type::Float),
        ("contains(items, 3)", Type::Bool),
        ("lower(text)", Type::String),
        ("text + \".onnx\"", Type::String),
        ("\"a\" + path + text", Type::String),
        ("body + body", Type::Any),
        ("body + 1", Type::Float),
        ("-count", Type::Float),
        ("items", Type::List(Box::new(Type::Int))),
    ] {
        assert_eq!(check(text), Ok(expected), "{text}");
    }
}

#[test]
fn each_mistake_points_at_its_place() {
    for (text, at, message) in [
        ("missing > 3", "missing", "'missing' is not known"),
        ("flag && text", "text", "expected true or false, but this is text"),
        ("!count", "count", "expected true or false, but this is a whole number"),
        ("text > 3", "text", "expected a number, but this is text"),
        ("flag + 1", "flag", "expected a number, but this is true or false"),
        ("text + count", "count", "expected text, but this is a whole number"),
        ("-text", "text", "expected a number"),
        ("count == text", "count", "a whole number is never equal to text"),
        ("flag != 1", "flag", "true or false is never equal to a whole number"),
        ("items == 1", "items", "never equal"),
        ("state == \"opne\"", "opne", "it can never be \"opne\""),
        ("\"opne\" != state", "opne", "it can never be \"opne\""),
        ("maks(items) > 1", "maks", "there is no function 'maks'"),
        ("abs(count, 2) > 1", "abs", "'abs' got 2 arguments"),
        ("max() > 1", "max", "'max' got 0 arguments"),
        ("flag || (flag && (count > text))", "text", "expected a number"),
    ] {
        let problems = check(text).expect_err(text);
        let found: Vec<(Option<&str>, &str)> = problems
            .iter()
            .map(|problem| (problem.at.map(|(start, length)| &text[start..start + length]), problem.message.as_str()))
            .collect();
        let wanted = found.iter().any(|(place, said)| *place == Some(at) && said.contains(message));
        assert!(wanted, "{text}: {found:?}");
    }
}

#[test]
fn every_mistake_is_reported() {
    let problems = check("missing > 1 && text > 2 && count == \"x\" && gone").expect_err("four mistakes");
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(messages.len(), 4, "{messages:?}");
}

#[test]
fn slips_get_a_suggestion() {
    for (text, help) in
        [("state == \"opne\"", "'open'"), ("maks(items) > 1", "'max'"), ("abs() > 1", "write abs(number)")]
    {
        let problems = check(text).expect_err(text);
        let given = problems[0].help.as_deref().unwrap_or_default();
        assert!(given.contains(help), "{text}: {given}");
    }
}

#[test]
fn a_name_inside_a_longer_name_is_not_the_place() {
    let problems = check("text_count.missing == 1 || missing").expect_err("two unknown names");
    let places: Vec<_> = problems.iter().filter_map(|problem| problem.at).collect();
    assert_eq!(places, [(0, 18), (27, 7)]);
}
