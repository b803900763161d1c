//! Which statuses are expected.

use reqwest::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

/// A status, a class, a range, or a list of these.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum StatusExpectation {
    One(StatusPattern),
    AnyOf(Vec<StatusPattern>),
}

/// A status such as 200, a class such as `2xx`, or a range such as `200-299`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "WrittenPattern")]
#[schemars(with = "WrittenPattern")]
pub(super) struct StatusPattern {
    first: u16,
    last: u16,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum WrittenPattern {
    Status(u16),
    Text(String),
}

impl TryFrom<WrittenPattern> for StatusPattern {
    type Error = String;

    fn try_from(written: WrittenPattern) -> Result<Self, String> {
        let text = match written {
            WrittenPattern::Status(status) => status.to_string(),
            WrittenPattern::Text(text) => text.trim().to_owned(),
        };
        let (first, last) = bounds(&text)
            .filter(|(first, last)| (100..=599).contains(first) && first <= last && *last <= 599)
            .ok_or_else(|| format!("'{text}' is not a status; write for example 200, 2xx or 200-299"))?;
        Ok(StatusPattern { first, last })
    }
}

fn bounds(text: &str) -> Option<(u16, u16)> {
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok()?;
        return Some((class.checked_mul(100)?, class.checked_mul(100)?.checked_add(99)?));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

impl StatusExpectation {
    /// Any 2xx.
    pub(super) fn success() -> Self {
        StatusExpectation::One(StatusPattern { first: 200, last: 299 })
    }

    /// Why this status is not as expected; `None` when it is.
    pub(super) fn failure(&self, status: StatusCode) -> Option<String> {
        let patterns = self.patterns();
        let expected = patterns.iter().any(|pattern| (pattern.first..=pattern.last).contains(&status.as_u16()));
        let shown = || patterns.iter().map(StatusPattern::show).collect::<Vec<_>>().join(", ");
        (!expected).then(|| format!("the answer is {status}, expected {}", shown()))
    }

    fn patterns(&self) -> &[StatusPattern] {
        match self {
            StatusExpectation::One(pattern) => std::slice::from_ref(pattern),
            StatusExpectation::AnyOf(patterns) => patterns,
        }
    }
}

impl StatusPattern {
    fn show(&self) -> String {
        match (self.first, self.last) {
            (first, last) if first == last => first.to_string(),
            (first, last) if first % 100 == 0 && last == first + 99 => format!("{}xx", first / 100),
            (first, last) => format!("{first}-{last}"),
        }
    }
}

/// Statuses by which a service or a gateway says that the request was not carried out, or that nobody knows.
pub(super) fn means_not_done(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502..=504)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn expects(written: Value, status: u16) -> bool {
        let expectation: StatusExpectation = serde_json::from_value(written).unwrap();
        expectation.failure(StatusCode::from_u16(status).unwrap()).is_none()
    }

    #[test]
    fn written_forms() {
        assert!(expects(json!(200), 200) && !expects(json!(200), 201));
        assert!(expects(json!("200"), 200));
        assert!(expects(json!("2xx"), 299) && !expects(json!("2xx"), 300));
        assert!(expects(json!("200-204"), 204) && !expects(json!("200-204"), 205));
        assert!(expects(json!([200, "4xx"]), 404) && !expects(json!([200, "4xx"]), 500));
        for wrong in [json!("xx"), json!("9xx"), json!(99), json!("204-200"), json!("ok"), json!([70000])] {
            assert!(serde_json::from_value::<StatusExpectation>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_failure_reads_well() {
        let expectation: StatusExpectation = serde_json::from_value(json!(["2xx", 304, "400-404"])).unwrap();
        let failure = expectation.failure(StatusCode::BAD_GATEWAY).unwrap();
        assert_eq!(failure, "the answer is 502 Bad Gateway, expected 2xx, 304, 400-404");
    }
}
