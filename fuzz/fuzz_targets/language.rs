//! The two small languages: an expression or template either is refused with a place inside of it, or can be
//! evaluated; and no value leaves the place of a template that it was inserted at.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runbook::base::Type;
use runbook::language::encoding::Encoding;
use runbook::language::{Expression, LanguageError, Lookup, Names, Scope, Template};
use serde_json::{Value, json};

/// What the names of a text stand for: one value of every type.
struct Known {
    text: String,
}

impl Known {
    fn value(&self, name: &str) -> Option<(Type, Value)> {
        Some(match name {
            "text" => (Type::String, json!(self.text)),
            "count" => (Type::Int, json!(7)),
            "share" => (Type::Float, json!(0.25)),
            "ready" => (Type::Bool, json!(true)),
            "size" => (Type::Bytes, json!(1 << 20)),
            "age" => (Type::Duration, json!(90.0)),
            "names" => (Type::List(Box::new(Type::String)), json!([self.text, "b"])),
            "any" => (Type::Any, json!({"a": [1, self.text]})),
            _ => return None,
        })
    }
}

impl Scope for Known {
    fn lookup(&self, name: &str) -> Lookup {
        match self.value(name) {
            Some((_, value)) => Lookup::Value(value),
            None => Lookup::Missing(format!("{name} did not answer")),
        }
    }
}

impl Names for Known {
    fn type_of(&self, name: &str) -> Result<Type, LanguageError> {
        self.value(name).map(|(kind, _)| kind).ok_or_else(|| LanguageError::new(format!("unknown name '{name}'")))
    }
}

fuzz_target!(|input: (&str, &str)| {
    let (text, value) = input;
    let known = Known { text: value.to_owned() };
    match Expression::parse(text) {
        Ok(expression) => evaluate(&expression, &known),
        Err(error) => inside(text, &error),
    }
    match Template::parse(text) {
        Ok(template) => render(&template, &known),
        Err(error) => inside(text, &error),
    }
    stays_data(&known);
});

fn evaluate(expression: &Expression, known: &Known) {
    if let Err(mistakes) = expression.check(known) {
        mistakes.iter().for_each(|mistake| inside(expression.text(), mistake));
    }
    // Evaluated even when it is refused: a resumed run must not depend on the check of its first start.
    expression.truth(known);
    let _ = expression.value(known);
}

fn render(template: &Template, known: &Known) {
    template.check(known).iter().for_each(|mistake| inside(template.text(), mistake));
    for encoding in [Encoding::Plain, Encoding::Url, Encoding::Promql, Encoding::JsonPath, Encoding::Regex] {
        let _ = template.render(known, encoding);
    }
}

/// What an error points at is a part of the text.
fn inside(text: &str, error: &LanguageError) {
    if let Some((start, length)) = error.at {
        assert!(text.get(start..start + length).is_some(), "{error:?} points outside of {text:?}");
    }
}

/// An inserted value is refused, or ends nothing around it.
fn stays_data(known: &Known) {
    if let Some(url) = inserted(known, Encoding::Url, "http://host/", "") {
        assert!(url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)), "{url:?}");
    }
    if let Some(quoted) = inserted(known, Encoding::Promql, "up{job=\"", "\"}") {
        assert!(!ends_quote(&quoted, '"'), "{quoted:?} ends its quotes");
    }
    if let Some(member) = inserted(known, Encoding::JsonPath, "$.", "") {
        let name = member.strip_prefix("['").and_then(|name| name.strip_suffix("']"));
        assert!(name.is_some_and(|name| !ends_quote(name, '\'')), "{member:?} ends its quotes");
    }
}

/// The text that stands between `before` and `after` for the value, if it may stand there.
fn inserted(known: &Known, encoding: Encoding, before: &str, after: &str) -> Option<String> {
    let text = encoding.prepare(&format!("{before}{{{{text}}}}{after}"));
    let filled = Template::parse(&text).expect("a template").render(known, encoding).ok()?;
    let around = before.strip_suffix('.').unwrap_or(before);
    Some(filled.strip_prefix(around)?.strip_suffix(after)?.to_owned())
}

/// Whether a quote stands in the text without a backslash before it, or the last backslash escapes what follows.
fn ends_quote(text: &str, quote: char) -> bool {
    let mut escaped = false;
    for letter in text.chars() {
        match (escaped, letter) {
            (true, _) => escaped = false,
            (false, '\\') => escaped = true,
            (false, letter) if letter == quote || letter == '\n' => return true,
            _ => {}
        }
    }
    escaped
}
