//! How an inserted value is written so that it stays data in the place it goes to.

use serde::Deserialize;

/// The place a value goes to. A field names it with `x-encode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// The place holds data only: one argument, a file name, a JSON string.
    #[default]
    Plain,
    /// A component of a URL (RFC 3986 section 2.1). A value that begins the URL is the address itself.
    Url,
    /// Inside a double-quoted PromQL string.
    Promql,
    /// A member name inside a JSONPath query (RFC 9535 section 2.3.1.1).
    JsonPath,
    /// Literal text inside a regular expression.
    Regex,
}

impl Encoding {
    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }

    /// The encoded value; `first` when nothing stands before it.
    pub fn encode(self, value: &str, first: bool) -> String {
        match self {
            Encoding::Plain => value.to_owned(),
            Encoding::Url if first => value.trim_end_matches('/').to_owned(),
            Encoding::Url => percent(value),
            Encoding::Promql => escape(value, '"'),
            Encoding::JsonPath => escape(value, '\''),
            Encoding::Regex => regex::escape(value),
        }
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

fn escape(value: &str, quote: char) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            letter if letter == quote => text.extend(['\\', letter]),
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
        assert_eq!(Encoding::Url.encode("a/b?c=d e", false), "a%2Fb%3Fc%3Dd%20e");
        assert_eq!(Encoding::Promql.encode("x\"} or vector(1) #", false), "x\\\"} or vector(1) #");
        assert_eq!(
            Encoding::JsonPath.prepare("$.providers.{{inputs.provider}}.status"),
            "$.providers['{{inputs.provider}}'].status"
        );
        assert_eq!(Encoding::JsonPath.encode("a'b", false), "a\\'b");
        assert_eq!(Encoding::Regex.encode("a.*", false), "a\\.\\*");
    }

    #[test]
    fn a_url_may_begin_with_an_address() {
        assert_eq!(Encoding::Url.encode("http://127.0.0.1:8000/", true), "http://127.0.0.1:8000");
    }
}
