//! Values for a playbook's inputs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::base::Source;
use crate::language::Given;
use crate::playbook::inputs::resolve;
use crate::playbook::{Playbook, parse};

fn playbook(inputs: &str) -> Playbook {
    let text = format!("runbook: 1\nname: test\ntitle: T\ninputs:\n{inputs}\n");
    parse(&Source::new("test.yaml", text)).unwrap_or_else(|problems| panic!("{inputs}: {}", problems[0].message))
}

/// What an input of this declaration becomes.
fn read(declaration: &str, given: Given) -> Result<Value, String> {
    let playbook = playbook(&format!("  a: {{{declaration}}}"));
    let given = BTreeMap::from([("a".to_owned(), given)]);
    resolve(&playbook, &given).map(|values| values["a"].clone()).map_err(|problems| problems[0].message.clone())
}

fn text(declaration: &str, given: &str) -> Result<Value, String> {
    read(declaration, Given::Text(given.into()))
}

#[test]
fn every_type_reads_its_values() {
    for (declaration, given, expected) in [
        ("type: string", "east", json!("east")),
        ("type: string", "", json!("")),
        ("type: int", "-5", json!(-5)),
        ("type: float", "0.5", json!(0.5)),
        ("type: float", "5", json!(5.0)),
        ("type: bool", "true", json!(true)),
        ("type: bytes", "512 MiB", json!(536_870_912)),
        ("type: bytes", "4096", json!(4096)),
        ("type: duration", "1h30m", json!(5400.0)),
        ("type: duration", "0", json!(0.0)),
        ("type: path", "models/a b", json!("models/a b")),
        ("type: url", "http://127.0.0.1:8000/", json!("http://127.0.0.1:8000")),
        ("type: url", "https://x/y?z=1", json!("https://x/y?z=1")),
        ("type: enum, values: [low, high]", "low", json!("low")),
        ("type: list", "a, b,c", json!(["a", "b", "c"])),
        ("type: list", "", json!([])),
        ("type: list, of: int", "1,2", json!([1, 2])),
        ("type: list, of: duration", "1m,2m", json!([60.0, 120.0])),
        ("type: list, of: enum, values: [a, b]", "a,b", json!(["a", "b"])),
    ] {
        assert_eq!(text(declaration, given), Ok(expected), "{declaration} with {given}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_what_would() {
    for (declaration, given, message) in [
        ("type: int", "5.5", "'5.5' is not a whole number"),
        ("type: int", "", "is not a whole number"),
        ("type: int", "99999999999999999999", "is not a whole number"),
        ("type: float", "inf", "is not a number"),
        ("type: float", "NaN", "is not a number"),
        ("type: bool", "yes", "is not true or false"),
        ("type: bytes", "lots", "is not a size; write for example 512 MiB"),
        ("type: bytes", "-1", "is not a size"),
        ("type: duration", "30", "is not a duration; write for example 90s"),
        ("type: duration", "-1s", "is not a duration"),
        ("type: path", "", "is not a path"),
        ("type: url", "ftp://x", "is not an http or https address"),
        ("type: url", "127.0.0.1:8000", "is not an http or https address"),
        ("type: url", "javascript:alert(1)", "is not an http or https address"),
        ("type: enum, values: [low, high]", "medium", "'medium' is not one of low, high"),
        ("type: list, of: int", "1,x", "'x' is not a whole number"),
        ("type: string, pattern: '[a-z]+'", "East", "'East' does not match [a-z]+"),
        ("type: string, pattern: 'a|b'", "ax", "does not match"),
        ("type: string, pattern: '[a-z]+'", "a\nb", "does not match"),
        ("type: string, pattern: '[a-z]+'", "a\n", "does not match"),
        ("type: list, pattern: '[a-z]+'", "a,B", "'B' does not match"),
        ("type: int, min: 1, max: 3", "0", "it is less than 1"),
        ("type: int, min: 1, max: 3", "4", "it is more than 3"),
        ("type: bytes, min: 1 MiB", "1 KiB", "it is less than 1 MiB"),
        ("type: duration, max: 15m", "16m", "it is more than 15m"),
        ("type: list, of: int, max: 3", "1,9", "it is more than 3"),
    ] {
        let problem = text(declaration, given).expect_err(declaration);
        assert!(
            problem.starts_with("input 'a': ") && problem.contains(message),
            "{declaration} with {given}: {problem}"
        );
    }
}

#[test]
fn values_from_a_file_are_read_by_their_type() {
    for (declaration, given, expected) in [
        ("type: string", json!(5), Some(json!("5"))),
        ("type: int", json!(5), Some(json!(5))),
        ("type: int", json!("5"), Some(json!(5))),
        ("type: int", json!(5.5), None),
        ("type: bool", json!(true), Some(json!(true))),
        ("type: bool", json!(1), None),
        ("type: duration", json!("15m"), Some(json!(900.0))),
        ("type: duration", json!(15), None),
        ("type: bytes", json!(4096), Some(json!(4096))),
        ("type: list", json!(["a", 5]), Some(json!(["a", "5"]))),
        ("type: list", json!("a"), None),
        ("type: list", json!([["a"]]), None),
        ("type: string", json!(null), None),
        ("type: string", json!({"a": 1}), None),
    ] {
        assert_eq!(read(declaration, Given::Value(given.clone())).ok(), expected, "{declaration} with {given}");
    }
}

#[test]
fn a_calling_playbook_passes_its_own_values_on() {
    let declarations = ["type: duration", "type: bytes", "type: float", "type: list, of: duration", "type: bool"];
    let given = ["15m", "2 MiB", "0.5", "1m,90s", "true"];
    for (declaration, given) in declarations.iter().zip(given) {
        let own = text(declaration, given).expect(given);
        assert_eq!(read(declaration, Given::Passed(own.clone())), Ok(own), "{declaration}");
    }
    assert_eq!(read("type: duration", Given::Passed(json!("15m"))), Ok(json!(900.0)), "or writes them down");
}

#[test]
fn defaults_are_read_like_values() {
    let playbook = playbook(
        "  a: {type: duration, default: 15m}\n  b: {type: bytes, default: 1 KiB}\n  c: {type: list, default: [x]}",
    );
    let values = resolve(&playbook, &BTreeMap::new()).expect("all have defaults");
    assert_eq!(values, json!({"a": 900.0, "b": 1024, "c": ["x"]}));
    let given = BTreeMap::from([("a".to_owned(), Given::Text("1m".into()))]);
    assert_eq!(resolve(&playbook, &given).expect("given")["a"], 60.0);
}

#[test]
fn every_problem_is_listed_with_what_to_write() {
    let playbook = playbook(
        "  provider: {type: string, help: the provider, example: ocr-east}\n  size: {type: bytes}\n  mode: {type: enum, values: [fast, safe]}\n  ok: {type: int, default: 1}",
    );
    let given = BTreeMap::from([
        ("size".to_owned(), Given::Text("big".into())),
        ("providr".to_owned(), Given::Text("x".into())),
    ]);
    let problems = resolve(&playbook, &given).expect_err("four problems");
    let told: Vec<(&str, &str)> = problems
        .iter()
        .map(|problem| (problem.message.as_str(), problem.help.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(
        told,
        [
            ("input 'provider' is missing; it is text", "give it with --input provider=ocr-east   (the provider)"),
            (
                "input 'size': 'big' is not a size; write for example 512 MiB, 2 GB or 4096",
                "give it with --input size='512 MiB'"
            ),
            ("input 'mode' is missing; it is one of fast, safe", "give it with --input mode=fast"),
            ("'test' has no input 'providr'", "did you mean 'provider'?"),
        ]
    );
}

#[test]
fn a_declaration_that_no_value_fits_is_a_mistake() {
    for (declaration, message) in [
        ("type: int, default: x", "the default of input 'a' does not fit: 'x' is not a whole number"),
        ("type: int, max: 3, default: 5", "the default of input 'a' does not fit: it is more than 3"),
        ("type: url, example: nowhere", "the example of input 'a' does not fit"),
        ("type: string, pattern: '('", "is not a regular expression"),
        ("type: enum", "is an enum without `values`"),
        ("type: list, of: enum", "is an enum without `values`"),
        ("type: list, of: list", "a list of lists"),
        ("type: int, min: soon", "'min' of input 'a' does not fit: 'soon' is not a whole number"),
        ("type: duration, min: 5m, max: 1m", "'min' of input 'a' is more than its 'max'"),
        ("type: string, min: 5", "'min' means nothing for input 'a', which is text"),
        ("type: bool, pattern: x", "'pattern' means nothing"),
        ("type: string, values: [a]", "'values' means nothing"),
        ("type: string, of: int", "'of' means nothing"),
    ] {
        let text = format!("runbook: 1\nname: test\ntitle: T\ninputs:\n  a: {{{declaration}}}\n");
        let problems = parse(&Source::new("test.yaml", text)).expect_err(declaration);
        assert_eq!(problems[0].code, "bad-input");
        assert!(problems[0].message.contains(message), "{declaration}: {}", problems[0].message);
    }
}
