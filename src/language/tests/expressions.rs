//! What conditions mean.

use serde_json::{Value, json};

use super::Values;
use crate::language::{Expression, Truth};

fn values() -> Values {
    Values(json!({
        "yes": true, "no": false, "five": 5, "half": 0.5, "text": "healthy", "null": null,
        "list": [3, 1, 2], "empty": [], "object": {"inner": {"deep": 7}}, "names": ["east", "west"],
        "big": 9_007_199_254_740_993_i64,
    }))
}

fn value(text: &str) -> Result<Value, String> {
    Expression::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}")).value(&values())
}

fn truth(text: &str) -> Truth {
    Expression::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}")).truth(&values())
}

#[test]
fn operators_bind_as_everywhere() {
    for (text, expected) in [
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("10 - 4 - 3", 3.0),
        ("12 / 4 / 3", 1.0),
        ("7 % 4", 3.0),
        ("-five + 6", 1.0),
        ("2 - -3", 5.0),
        ("object.inner.deep - 1", 6.0),
        ("list.0 + list.2", 5.0),
    ] {
        assert_eq!(value(text), Ok(json!(expected)), "{text}");
    }
    for text in [
        "yes || no && no",
        "!no && yes",
        "!(no || no)",
        "1 + 1 == 2 && 3 > 2",
        "five >= 5 && five <= 5 && five != 4",
        "text == \"healthy\" || silent",
        "true && !false",
    ] {
        assert_eq!(truth(text), Truth::True, "{text}");
    }
}

#[test]
fn numbers_take_units() {
    for text in [
        "15m == 900",
        "1h30m == 90m",
        "250ms == 0.25",
        "512MiB == 536870912",
        "1GB > 0.9GB",
        "2KiB == 2048",
        "five < 6s",
        "1d == 24h",
    ] {
        assert_eq!(truth(text), Truth::True, "{text}");
    }
    assert_eq!(
        Expression::parse("wait > 15m && wait < 512MiB").map(|parsed| parsed.references().to_vec()),
        Ok(vec!["wait".into()])
    );
}

#[test]
fn unknown_follows_the_strong_logic_of_kleene() {
    use Truth::{False, True};
    let unknown = |truth: &Truth| matches!(truth, Truth::Unknown(_));
    for (left, and, or) in [("yes", None, Some(True)), ("no", Some(False), None), ("silent", None, None)] {
        for (joined, expected) in [
            (format!("{left} && silent"), &and),
            (format!("silent && {left}"), &and),
            (format!("{left} || silent"), &or),
            (format!("silent || {left}"), &or),
        ] {
            let found = truth(&joined);
            assert!(expected.as_ref().map_or(unknown(&found), |expected| found == *expected), "{joined}: {found:?}");
        }
    }
    assert!(unknown(&truth("!silent")));
    for (left, right, and, or) in [("yes", "yes", True, True), ("yes", "no", False, True), ("no", "no", False, False)] {
        assert_eq!(truth(&format!("{left} && {right}")), and);
        assert_eq!(truth(&format!("{left} || {right}")), or);
    }
}

#[test]
fn what_touches_an_unknown_is_unknown_and_says_why() {
    for text in ["silent == 1", "silent != 1", "silent > 1", "silent + 1 > 0", "max(silent, 1) > 0", "silent == silent"]
    {
        assert_eq!(truth(text), Truth::Unknown("it did not answer".into()), "{text}");
    }
    assert_eq!(truth("five"), Truth::Unknown("'5' is neither true nor false".into()));
    assert_eq!(truth("object.gone"), Truth::Unknown("it has no 'gone'".into()));
}

#[test]
fn null_is_an_answer_without_a_size() {
    assert_eq!(truth("null == 5"), Truth::False);
    assert_eq!(truth("null != \"healthy\""), Truth::True);
    for text in ["null > 5", "null + 1 == 1", "-null == 0"] {
        assert_eq!(truth(text), Truth::Unknown("a value is null".into()), "{text}");
    }
    assert!(matches!(truth("null"), Truth::Unknown(_)));
}

#[test]
fn division_by_zero_is_unknown() {
    for text in ["five / 0 > 1", "five % 0 == 0", "five / (1 - 1) == 0"] {
        assert_eq!(truth(text), Truth::Unknown("a division by zero".into()), "{text}");
    }
}

#[test]
fn whole_and_other_numbers_are_equal_by_value() {
    for text in ["5 == 5.0", "five == 5.0", "half == 0.5", "half + half == 1", "list.0 == 3.0", "contains(list, 2.0)"] {
        assert_eq!(truth(text), Truth::True, "{text}");
    }
    assert_eq!(truth("five == \"5\""), Truth::False, "text is no number");
    assert_eq!(truth("yes == 1"), Truth::False, "nor is a truth value");
    assert_eq!(truth("big == 9007199254740992"), Truth::False, "great numbers keep their last digit");
    assert_eq!(truth("big == 9007199254740993"), Truth::True);
}

#[test]
fn functions() {
    for (text, expected) in [
        ("max(list)", json!(3.0)),
        ("min(list)", json!(1.0)),
        ("max(1, five, 2)", json!(5.0)),
        ("sum(list)", json!(6.0)),
        ("sum(empty)", json!(0.0)),
        ("mean(list)", json!(2.0)),
        ("count(list)", json!(3.0)),
        ("count(text)", json!(7.0)),
        ("count(object)", json!(1.0)),
        ("abs(-5)", json!(5.0)),
        ("round(2.6)", json!(3.0)),
        ("contains(names, \"east\")", json!(true)),
        ("contains(text, \"heal\")", json!(true)),
        ("contains(\"port 5\", five)", json!(true)),
        ("contains(\"port 5\", 5)", json!(true)),
        ("contains(object, \"inner\")", json!(true)),
        ("starts_with(text, \"hea\")", json!(true)),
        ("ends_with(text, \"hea\")", json!(false)),
        ("matches(text, \"^h.+y$\")", json!(true)),
        ("lower(\"ÄB\")", json!("äb")),
        ("\"a\" + text", json!("ahealthy")),
    ] {
        assert_eq!(value(text), Ok(expected), "{text}");
    }
    for (text, why) in [
        ("max(empty)", "the list is empty"),
        ("min(empty)", "the list is empty"),
        ("mean(empty)", "the list is empty"),
        ("sum(names)", "'east' is not a number"),
        ("count(five)", "'5' has no items to count"),
        ("contains(five, 1)", "'5' has no parts"),
        ("abs(text)", "'healthy' is not a number"),
        ("nothing(1)", "there is no function 'nothing'"),
        ("max()", "'max' got 0 arguments"),
        ("abs(1, 2)", "'abs' got 2 arguments"),
    ] {
        assert_eq!(value(text), Err(why.into()), "{text}");
    }
    assert!(value("matches(text, \"(\")").is_err());
}

#[test]
fn evidence_is_every_value_that_was_read() {
    let expression = Expression::parse("five > 4 && text == \"x\" && five < silent && gone").expect("it parses");
    assert_eq!(expression.values(&values()), [("five".into(), json!(5)), ("text".into(), json!("healthy"))]);
}

#[test]
fn what_is_no_condition_is_refused_with_help() {
    for (text, message, help) in [
        ("", "the expression is empty", "write a condition"),
        ("   ", "the expression is empty", "write a condition"),
        ("a = 1", "cannot assign", "compare with '=='"),
        ("a += 1", "cannot assign", "compare"),
        ("a == 1; b", "remove the ';'", ""),
        ("a ^ 2 > 1", "powers", ""),
        ("status == 'x'", "''x'' is not a name", "double quotes"),
        ("status == 'x y'", "is not a name", "double quotes"),
        ("a and b", "'and' is not a name", "write && for and"),
        ("not a", "'not' is not a name", "write && for and"),
        ("a or (b", "not a valid expression", "write && for and"),
        ("$.a == 1", "'$.a' is not a name", ""),
        ("(a", "not a valid expression", "operators are"),
        ("a)", "not a valid expression", ""),
        ("\"open", "not a valid expression", ""),
        ("a & b", "not a valid expression", ""),
        ("()", "a pair of parentheses is empty", ""),
        ("!()", "a pair of parentheses is empty", ""),
        ("() && a", "a pair of parentheses is empty", ""),
        ("a &&", "something is missing beside '&&'", ""),
        ("a >", "something is missing beside '>'", ""),
        ("!", "something is missing beside '!'", ""),
        ("-", "something is missing beside '-'", ""),
        ("a + ", "something is missing beside '+'", ""),
        // An operator without its left side takes two values; the first is left without what it is called with.
        ("*a 9", "something is missing beside 'a'", ""),
        ("max(1,)", "a pair of parentheses is empty", ""),
    ] {
        let problem = Expression::parse(text).expect_err(text);
        assert!(problem.message.contains(message), "{text}: {problem}");
        assert!(problem.help.as_deref().unwrap_or_default().contains(help), "{text}: {:?}", problem.help);
    }
}

#[test]
fn nothing_that_is_written_overflows_the_stack() {
    let nested = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let cases = |levels: usize| {
        [
            nested("(", "yes", ")", levels),
            nested("!", "yes", "", levels),
            nested("- ", "five", "", levels),
            nested("!(", "yes", ")", levels / 2),
            nested("abs(", "five", ")", levels / 2),
            format!("five{}", "+five".repeat(levels)),
            format!("yes{}", "&&yes".repeat(levels)),
            nested("1+(", "five", ")", levels / 2),
        ]
    };
    for text in cases(45) {
        let expression = Expression::parse(&text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        assert!(expression.value(&values()).is_ok(), "{text}");
        assert!(expression.check(&super::known()).is_err(), "the names are others there");
    }
    for text in cases(390) {
        let problem = Expression::parse(&text).expect_err(&text);
        assert!(problem.message.contains("nested deeper than 100"), "{text}: {problem}");
    }
}

#[test]
fn a_text_that_is_too_long_is_refused_at_once() {
    for text in ["(".repeat(5_000_000), format!("yes{}", " || yes".repeat(300))] {
        let problem = Expression::parse(&text).expect_err("too long");
        assert!(problem.message.contains("longer than 2000"), "{problem}");
    }
}
