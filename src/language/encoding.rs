//! How an inserted value is written so that it stays data in the place it goes to.

use serde::Deserialize;

use super::{LanguageError, promql};

/// The place a value goes to. A field names it with `x-encode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// The place holds data only: one argument, a file name, a JSON string.
    #[default]
    Plain,
    /// A component of a URL (RFC 3986 section 2.1). A value that begins the URL is the address itself.
    Url,
    /// Part of a PromQL query: any text inside its strings, one word outside of them.
    Promql,
    /// A member name inside a JSONPath query (RFC 9535 section 2.3.1.1).
    JsonPath,
    /// Literal text inside a regular expression.
    Regex,
    /// One argument of a program, which must not begin as an option unless the playbook's text begins it.
    Argument,
    /// Part of the path of a file, which must not lead out of its folder.
    Path,
}

impl Encoding {
    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }

    /// The encoded text; `before` is what stands before it in its place, `None` when nothing does.
    pub(super) fn encode_text(self, value: &str, before: Option<&str>) -> Result<String, LanguageError> {
        let first = before.is_none();
        Ok(match self {
            Encoding::Plain | Encoding::Argument => value.to_owned(),
            Encoding::Path => return confined(value, first),
            Encoding::Url => return component(value, before),
            Encoding::Promql => return promql::encode(value, before.unwrap_or_default()),
            Encoding::JsonPath => escape(value, '\'').replace("\\'", "\\u0027"),
            Encoding::Regex => regex::escape(value),
        })
    }

    /// Refuses a filled place as a whole, when what it says only shows there. `data_first` when nothing of the
    /// playbook's own text stands before the first inserted value.
    pub(super) fn check_whole(self, text: &str, data_first: bool) -> Result<(), LanguageError> {
        // `@file` makes many programs (curl, gcc, java) read further arguments or data from that file.
        if self == Encoding::Argument && data_first && text.starts_with(['-', '@']) {
            return Err(LanguageError::new(format!("the inserted value '{text}' begins like an option")).help(
                "put '--' before it in `argv`, or begin the argument with constant text such as './' or '--name='"
                    .to_owned(),
            ));
        }
        // `{{folder}}{{name}}` may put together from two values what neither of them is.
        if self == Encoding::Path && data_first && leads_up(text) {
            return Err(leading_up(text));
        }
        Ok(())
    }

    /// The template's text as it has to be before values are inserted.
    pub fn prepare(self, text: &str) -> String {
        match self {
            // `$.providers.{{name}}` becomes `$.providers['{{name}}']`: only a quoted member name can
            // hold any value.
            Encoding::JsonPath => quote_members(text),
            _ => text.to_owned(),
        }
    }
}

/// Part of a path as it is, if it does not lead up or begin the path somewhere else.
fn confined(value: &str, first: bool) -> Result<String, LanguageError> {
    if leads_up(value) {
        return Err(leading_up(value));
    }
    // `{{folder}}/etc` with an empty folder would be `/etc`.
    if first && value.is_empty() {
        return Err(LanguageError::new("the path would begin with an empty value")
            .help("give the value, or begin the path with constant text".to_owned()));
    }
    Ok(value.to_owned())
}

fn leads_up(path: &str) -> bool {
    path.split('/').any(|component| component == "..")
}

fn leading_up(value: &str) -> LanguageError {
    LanguageError::new(format!("the inserted value '{value}' leads out of its folder with '..'"))
        .help("give the path without '..', such as an absolute one".to_owned())
}

/// A component of an address, or its beginning. Dots are not encoded, and would not help if they were: `%2e%2e` is
/// taken for `..` too, which leads to the path above.
fn component(value: &str, before: Option<&str>) -> Result<String, LanguageError> {
    let Some(before) = before else { return Ok(value.trim_end_matches('/').to_owned()) };
    let in_path = !before.contains(['?', '#']);
    let segment = format!("{}{value}", before.rsplit('/').next().unwrap_or_default());
    if in_path && (segment == "." || segment == "..") {
        return Err(LanguageError::new(format!("the inserted value '{value}' would lead to another path"))
            .help("an address takes no part of its path that is only dots".to_owned()));
    }
    Ok(percent(value))
}

/// Unreserved characters of RFC 3986 stay; every other byte becomes `%XX`.
fn percent(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte as char);
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

pub(super) fn escape(value: &str, quote: char) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            letter if letter == quote => text.extend(['\\', letter]),
            // The author may have chosen the other quotes; this form is valid in both.
            '"' | '\'' => text.push_str(&format!("\\u{:04x}", letter as u32)),
            letter if letter.is_control() => text.push_str(&format!("\\u{:04x}", letter as u32)),
            letter => text.push(letter),
        }
    }
    text
}

fn quote_members(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(".{{") {
        let Some(length) = rest[start..].find("}}") else { break };
        let end = start + length + 2;
        result.push_str(&rest[..start]);
        result.push_str(&format!("['{}']", &rest[start + 1..end]));
        rest = &rest[end..];
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_data() {
        assert_eq!(Encoding::Url.encode_text("a/b?c=d e", Some("x")).unwrap(), "a%2Fb%3Fc%3Dd%20e");
        assert_eq!(
            Encoding::Promql.encode_text("x\"} or vector(1) #", Some("up{a=\"")).unwrap(),
            "x\\\"} or vector(1) #"
        );
        assert_eq!(
            Encoding::JsonPath.prepare("$.providers.{{inputs.provider}}.status"),
            "$.providers['{{inputs.provider}}'].status"
        );
        assert_eq!(Encoding::JsonPath.encode_text("a'b", Some("x")).unwrap(), "a\\u0027b");
        assert_eq!(Encoding::JsonPath.encode_text("a\"b", Some("x")).unwrap(), "a\\u0022b");
        assert_eq!(Encoding::Promql.encode_text("a'b", Some("up{a=\"")).unwrap(), "a\\u0027b");
        assert_eq!(Encoding::Regex.encode_text("a.*", Some("x")).unwrap(), "a\\.\\*");
    }

    #[test]
    fn a_url_may_begin_with_an_address() {
        assert_eq!(Encoding::Url.encode_text("http://127.0.0.1:8000/", None).unwrap(), "http://127.0.0.1:8000");
    }

    /// Plan 31: options are not injected.
    #[test]
    fn t31_data_does_not_begin_an_argument_as_an_option() {
        for text in ["-rf", "--upload-pack=touch x", "-", "--", "@/etc/passwd"] {
            assert!(Encoding::Argument.check_whole(text, true).is_err(), "{text}");
            assert!(Encoding::Argument.check_whole(text, false).is_ok(), "{text} after constant text");
            assert!(Encoding::Plain.check_whole(text, true).is_ok(), "{text} in another place");
        }
        assert!(Encoding::Argument.check_whole("a-b@c", true).is_ok());
    }

    /// Plan 36: no path leads out of its folder.
    #[test]
    fn t36_data_in_a_path_does_not_lead_up() {
        for text in ["..", "../x", "a/../b", "a/..", "/a/../../etc"] {
            assert!(Encoding::Path.encode_text(text, Some("x")).is_err(), "{text}");
            assert!(Encoding::Path.check_whole(text, true).is_err(), "{text}");
        }
        assert!(Encoding::Path.encode_text("", None).is_err());
        for text in ["a..b", "/srv/models", "...", ".hidden"] {
            assert_eq!(Encoding::Path.encode_text(text, None).unwrap(), text);
        }
    }
}
