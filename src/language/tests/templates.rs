//! Templates fill values in and never become code.

use serde_json::{Value, json};

use super::{Values, known};
use crate::language::encoding::Encoding;
use crate::language::{LanguageError, Template, is_template};

fn values() -> Values {
    Values(json!({
        "name": "east", "count": 3, "flag": true, "off": false, "null": null, "list": ["a", "b"],
        "people": [{"name": "ada"}, {"name": "grace"}], "sly": "{{name}} {{{name}}} {{#each list}}",
        "quote": "a\"b\\c\n", "path": "a/b?c d", "object": {"inner": "deep"}, "empty": "",
    }))
}

fn fill_as(encoding: Encoding, text: &str) -> Result<String, LanguageError> {
    Template::parse(&encoding.prepare(text))
        .unwrap_or_else(|problem| panic!("{text}: {problem}"))
        .render(&values(), encoding)
}

fn fill(text: &str) -> Result<String, LanguageError> {
    fill_as(Encoding::Plain, text)
}

fn filled(text: &str) -> String {
    fill(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
}

#[test]
fn names_are_replaced_by_their_values() {
    for (text, expected) in [
        ("plain", "plain"),
        ("{{name}}", "east"),
        ("a-{{name}}-{{count}}-{{flag}}", "a-east-3-true"),
        ("{{ name }}", "east"),
        ("{{object.inner}}", "deep"),
        ("{{list.1}} {{list.[0]}}", "b a"),
        ("{{list}}", "[\"a\",\"b\"]"),
        ("{{! a remark }}x", "x"),
        ("{{!-- a remark }} --}}x", "x"),
        ("\\{{name}}", "{{name}}"),
        ("{{empty}}", ""),
        ("ü{{name}}ü", "üeastü"),
    ] {
        assert_eq!(filled(text), expected, "{text}");
    }
}

#[test]
fn blocks() {
    for (text, expected) in [
        ("{{#if flag}}on{{else}}off{{/if}}", "on"),
        ("{{#if off}}on{{else}}off{{/if}}", "off"),
        ("{{#unless off}}x{{/unless}}", "x"),
        ("{{#each list}}{{this}}{{#unless @last}},{{/unless}}{{/each}}", "a,b"),
        ("{{#each people}}{{this.name}} {{/each}}", "ada grace "),
        ("{{#each people as |person|}}{{person.name}} {{/each}}", "ada grace "),
        ("{{#each people as |person at|}}{{at}}{{person.name}} {{/each}}", "0ada 1grace "),
        ("{{#if (eq name \"east\")}}E{{else}}other{{/if}}", "E"),
        ("{{#if (eq object.inner \"flat\")}}F{{else}}other{{/if}}", "other"),
        ("{{#if (and flag (gt count 2))}}yes{{/if}}", "yes"),
        ("{{len list}}", "2"),
        ("{{lookup list 1}}", "b"),
    ] {
        assert_eq!(filled(text), expected, "{text}");
    }
}

#[test]
fn a_name_without_a_value_is_an_error_wherever_it_stands() {
    for (text, message) in [
        ("{{gone}}", "'gone' has no value: it has no 'gone'"),
        ("a {{silent}} b", "'silent' has no value: it did not answer"),
        ("{{null}}", "'null' is null"),
        ("{{object.gone}}", "it has no 'gone'"),
    ] {
        let problem = fill(text).expect_err(text);
        assert!(problem.message.contains(message), "{text}: {problem}");
        assert!(problem.at.is_some(), "{text}");
    }
    for text in ["{{#each list}}{{gone}}{{/each}}", "{{#if flag}}{{gone}}{{/if}}", "{{#if flag}}{{null}}{{/if}}"] {
        assert!(fill(text).is_err(), "{text}: {:?}", fill(text));
    }
}

#[test]
fn a_value_that_looks_like_a_template_stays_text() {
    let sly = "{{name}} {{{name}}} {{#each list}}";
    assert_eq!(filled("{{sly}}"), sly);
    assert_eq!(filled("x{{sly}}y"), format!("x{sly}y"));
    assert_eq!(filled("{{#if flag}}{{sly}}{{/if}}"), sly);
    assert_eq!(filled("{{#each list}}{{../sly}}{{/each}}"), sly.repeat(2));
}

#[test]
fn every_place_has_its_encoding() {
    for (encoding, text, expected) in [
        (Encoding::Url, "http://x/{{path}}?q={{quote}}", "http://x/a%2Fb%3Fc%20d?q=a%22b%5Cc%0A"),
        (Encoding::Promql, "up{job=\"{{quote}}\"}", "up{job=\"a\\\"b\\\\c\\n\"}"),
        (Encoding::Regex, "^{{path}}$", "^a/b\\?c d$"),
        (Encoding::JsonPath, "$.all.{{quote}}.x", "$.all['a\\u0022b\\\\c\\n'].x"),
        (Encoding::Plain, "{{quote}}", "a\"b\\c\n"),
    ] {
        assert_eq!(fill_as(encoding, text), Ok(expected.into()), "{encoding:?} {text}");
    }
}

#[test]
fn blocks_encode_too() {
    for text in [
        "http://x/{{#if flag}}{{path}}{{/if}}",
        "http://x/{{#each people}}{{#if @first}}{{../path}}{{/if}}{{/each}}",
        "http://x/{{#with path}}{{this}}{{/with}}",
        "http://x/{{#each paths}}{{this}}{{/each}}",
        "http://x/{{lookup paths 0}}",
    ] {
        let template = Template::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        let scope = Values(json!({"flag": true, "path": "a/b", "people": [1], "paths": ["a/b"]}));
        assert_eq!(template.render(&scope, Encoding::Url), Ok("http://x/a%2Fb".into()), "{text}");
    }
}

#[test]
fn what_is_no_template_is_refused() {
    for (text, message) in [
        ("{{{name}}}", "without encoding"),
        ("{{&name}}", "without encoding"),
        ("{{#if flag}}{{{name}}}{{/if}}", "without encoding"),
        ("{{> part}}", "partials and decorators"),
        ("{{* decorate}}", "partials and decorators"),
        ("{{name", "not a valid template"),
        ("{{#if flag}}x", "not a valid template"),
        ("{{}}", "not a valid template"),
        ("{{log name}}", "templates have no 'log'"),
        ("{{shout name}}", "templates have no 'shout'"),
        ("{{#eech list}}x{{/eech}}", "templates have no 'eech'"),
        ("{{#if (shout name)}}x{{/if}}", "templates have no 'shout'"),
    ] {
        let problem = Template::parse(text).expect_err(text);
        assert!(problem.message.contains(message), "{text}: {problem}");
    }
    let help = Template::parse("{{#eech list}}x{{/eech}}").expect_err("unknown").help;
    assert_eq!(help.as_deref(), Some("did you mean 'each'?"));
}

#[test]
fn every_name_it_reads_is_known_before_a_run() {
    for (text, expected) in [
        ("{{a}} {{b.c}} {{a}}", &["a", "b.c"][..]),
        ("{{#if a}}{{b}}{{else}}{{c}}{{/if}}", &["a", "b", "c"]),
        ("{{#each a}}{{this}} {{this.x}} {{@index}}{{/each}}", &["a"]),
        ("{{#each a as |x|}}{{x}} {{x.y}} {{b}}{{/each}} {{x}}", &["a", "b", "x"]),
        ("{{#if (eq a b.c)}}{{/if}}", &["a", "b.c"]),
        ("{{#if (and (not a) (eq b \"x\"))}}{{/if}}", &["a", "b"]),
        ("{{lookup a b}}", &["a", "b"]),
        ("{{#each a}}{{../b}}{{/each}}", &["a", "b"]),
    ] {
        let template = Template::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        assert_eq!(template.references(), expected, "{text}");
    }
}

#[test]
fn unknown_names_are_reported_with_their_places() {
    let text = "{{text}}/{{misspelt}}/{{#if gone}}x{{/if}}";
    let problems = Template::parse(text).expect("it parses").check(&known());
    let places: Vec<&str> =
        problems.iter().filter_map(|problem| problem.at).map(|(start, length)| &text[start..start + length]).collect();
    assert_eq!(places, ["misspelt", "gone"]);
}

#[test]
fn only_a_template_of_one_name_is_that_name() {
    for (text, expected) in
        [("{{a.b}}", Some("a.b")), (" {{a}}", None), ("{{a}}{{b}}", None), ("a", None), ("{{#if a}}{{/if}}", None)]
    {
        assert_eq!(Template::parse(text).expect(text).whole(), expected, "{text}");
    }
    assert!(is_template("{{a}}") && !is_template("{a}"));
}

#[test]
fn nothing_that_is_written_overflows_the_stack() {
    let blocks = format!("{}x{}", "{{#if a}}".repeat(100_000), "{{/if}}".repeat(100_000));
    let calls = format!("{{{{#if {}a{}}}}}{{{{/if}}}}", "(not ".repeat(100_000), ")".repeat(100_000));
    for text in [blocks, calls, "{{#if a}}".repeat(100_000), "{".repeat(100_000), "{{".repeat(50_000)] {
        assert!(Template::parse(&text).is_err());
    }
    let nested =
        |levels: usize| Template::parse(&format!("{}x{}", "{{#if a}}".repeat(levels), "{{/if}}".repeat(levels)));
    assert!(nested(16).is_ok());
    assert!(nested(17).is_err_and(|problem| problem.message.contains("nested deeper than 16 levels")));
    let deep = Value::from("x".repeat(1_000_000));
    let template = Template::parse("{{a}}{{a}}").expect("it parses");
    assert_eq!(template.render(&Values(json!({ "a": deep })), Encoding::Plain).map(|text| text.len()), Ok(2_000_000));
}
