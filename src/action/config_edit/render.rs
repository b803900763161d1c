//! Values as text of a format.

use serde_json::Value;

/// How text was quoted before; an edit keeps the hand of the author where it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Quote {
    #[default]
    None,
    Single,
    Double,
}

impl Quote {
    pub fn of(text: &str) -> Self {
        match text.as_bytes().first() {
            Some(b'\'') => Quote::Single,
            Some(b'"') => Quote::Double,
            _ => Quote::None,
        }
    }
}

/// A value on one line of YAML.
pub(super) fn yaml(value: &Value, quote: Quote) -> String {
    match value {
        Value::String(text) => yaml_text(text, quote),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| yaml(item, Quote::None)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let pair = |(key, value): (&String, &Value)| format!("{}: {}", yaml_key(key), yaml(value, Quote::None));
            let entries: Vec<String> = entries.iter().map(pair).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

pub(super) fn yaml_key(key: &str) -> String {
    yaml_text(key, Quote::None)
}

fn yaml_text(text: &str, quote: Quote) -> String {
    let printable =
        !text.chars().any(|letter| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}'));
    match quote {
        Quote::None if is_plain(text) => text.to_owned(),
        Quote::Single if printable => format!("'{}'", text.replace('\'', "''")),
        _ => double_quoted(text),
    }
}

/// Whether every reader takes the bare text for text. YAML 1.1 readers, which are still the common
/// ones, also read `yes`, `off`, `1_000` and `12:30` as something else.
fn is_plain(text: &str) -> bool {
    let reserved = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    text.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '/' | '_'))
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "/_.- @%+".contains(letter))
        && !text.ends_with(' ')
        && !reserved.contains(&text.to_ascii_lowercase().as_str())
}

/// A JSON string, which is YAML too once the characters that YAML forbids are escaped.
fn double_quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    let forbidden = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}');
    json.chars().fold(String::with_capacity(json.len()), |mut all, letter| {
        match letter {
            letter if forbidden(letter) => all.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => all.push(letter),
        }
        all
    })
}

/// A value on one line of JSON, with blanks between its parts unless `compact`.
pub(super) fn json(value: &Value, compact: bool) -> String {
    let (colon, comma) = if compact { (":", ",") } else { (": ", ", ") };
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| json(item, compact)).collect();
            format!("[{}]", items.join(comma))
        }
        Value::Object(entries) => {
            let pair = |(key, value): (&String, &Value)| format!("{}{colon}{}", json_key(key), json(value, compact));
            let entries: Vec<String> = entries.iter().map(pair).collect();
            format!("{{{}}}", entries.join(comma))
        }
        other => other.to_string(),
    }
}

pub(super) fn json_key(key: &str) -> String {
    Value::from(key).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_that_looks_like_something_else_is_quoted() {
        for text in [
            "yes", "Off", "n", "12", "1_000", "12:30", "~", "", "a: b", "a #b", " a", "a ", "-", "é", "{x", "null",
            "0x1F", ".inf", "1e3",
        ] {
            assert!(yaml(&json!(text), Quote::None).starts_with('"'), "{text}");
        }
        for text in ["warn", "/var/lib/models", "hello world", "v1.2-rc"] {
            assert_eq!(yaml(&json!(text), Quote::None), text);
        }
    }

    #[test]
    fn the_authors_quotes_are_kept() {
        assert_eq!(yaml(&json!("it's"), Quote::Single), "'it''s'");
        assert_eq!(yaml(&json!("a\nb"), Quote::Single), "\"a\\nb\"");
        assert_eq!(yaml(&json!("plain"), Quote::Double), "\"plain\"");
        assert_eq!(yaml(&json!("\u{7f}"), Quote::None), "\"\\u007f\"");
    }

    #[test]
    fn collections_are_one_line() {
        assert_eq!(yaml(&json!({"a": [1, "x", null], "b c": true}), Quote::None), "{a: [1, x, null], b c: true}");
        assert_eq!(json(&json!({"a": [1, 2]}), true), r#"{"a":[1,2]}"#);
        assert_eq!(json(&json!({"a": [1, 2]}), false), r#"{"a": [1, 2]}"#);
    }
}
