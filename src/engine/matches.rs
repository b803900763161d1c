//! What a silence is about: playbooks, and labels by the matchers that people know from Alertmanager.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// As many as people write; each may hold a pattern.
const MOST_MATCHERS: usize = 32;
/// What a compiled pattern may take, as elsewhere in expressions.
const PATTERN_BYTES: usize = 1 << 20;

/// What a silence is about; whatever is named here has to fit. One that names nothing is about nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Matches {
    /// Playbooks, one of which it has to be.
    #[serde(default)]
    pub playbooks: BTreeSet<String>,
    /// Labels of the alert, each with its whole value.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Matchers of labels as in Alertmanager: `team!=a`, `team=~"web|db"`, `team!~"test.*"`. A pattern is one for the
    /// whole value, and a label that is missing counts as an empty one.
    // Not written when there is none: an earlier version reads what it knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub matchers: Vec<Matcher>,
}

/// Why nothing is silenced by these.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unfit {
    #[error("a silence of nothing")]
    Nothing,
    #[error("a silence of everything but a few: {0} fits whatever has no such label")]
    Everything(Matcher),
    #[error("more than {MOST_MATCHERS} matchers")]
    TooMany,
    #[error("the pattern of {0} cannot be used: {1}")]
    Pattern(Matcher, String),
}

impl Matches {
    /// Whether a silence of these can be given.
    pub fn check(&self) -> Result<(), Unfit> {
        if self.matchers.len() > MOST_MATCHERS {
            return Err(Unfit::TooMany);
        }
        for matcher in &self.matchers {
            matcher.compile().map_err(|why| Unfit::Pattern(matcher.clone(), why))?;
        }
        match self.matchers.first() {
            _ if self.is_positive() => Ok(()),
            Some(matcher) => Err(Unfit::Everything(matcher.clone())),
            None => Err(Unfit::Nothing),
        }
    }

    /// Whether something in it says what it is about. Without that it would be taken for a silence of everything, which
    /// a freeze is for: `team!=a` alone fits every schedule, and every alert of whoever has not heard of teams.
    fn is_positive(&self) -> bool {
        !self.playbooks.is_empty() || !self.labels.is_empty() || self.matchers.iter().any(|one| !one.fits(""))
    }

    pub(super) fn fits(&self, playbook: &str, labels: &BTreeMap<String, String>) -> bool {
        let named = self.playbooks.is_empty() || self.playbooks.contains(playbook);
        let labelled = self.labels.iter().all(|(name, value)| labels.get(name) == Some(value));
        let value = |name| labels.get(name).map_or("", String::as_str);
        self.is_positive() && named && labelled && self.matchers.iter().all(|one| one.fits(value(&one.label)))
    }
}

impl fmt::Display for Matches {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.labels.iter().map(|(name, value)| format!("{name}={value}"));
        let about = self.playbooks.iter().cloned().chain(labels).chain(self.matchers.iter().map(Matcher::to_string));
        formatter.write_str(&about.collect::<Vec<_>>().join(" "))
    }
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Is,
    IsNot,
    Fits,
    FitsNot,
}

impl Comparison {
    // The longer ones first: `=~` begins as `=` does.
    const ALL: [(&'static str, Comparison); 4] =
        [("=~", Comparison::Fits), ("!~", Comparison::FitsNot), ("!=", Comparison::IsNot), ("=", Comparison::Is)];

    fn sign(self) -> &'static str {
        Comparison::ALL.iter().find(|(_, one)| *one == self).map_or("", |(sign, _)| sign)
    }

    fn is_of_patterns(self) -> bool {
        matches!(self, Comparison::Fits | Comparison::FitsNot)
    }
}

/// One matcher of a label, in the notation of Alertmanager (<https://prometheus.io/docs/alerting/latest/configuration/#matcher>).
/// Reading one never looks at its pattern, so that what was once written down can always be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Matcher {
    /// The name of the label.
    pub label: String,
    pub comparison: Comparison,
    /// The value, or the pattern for the whole value.
    pub value: String,
    /// The pattern, once it was needed; `None` in it when it cannot be used.
    pattern: OnceLock<Option<Regex>>,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.label, self.comparison, &self.value) == (&other.label, other.comparison, &other.value)
    }
}

/// A text that is no matcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no matcher of a label: {why}")]
pub struct NoMatcher {
    text: String,
    why: &'static str,
}

impl Matcher {
    fn fits(&self, value: &str) -> bool {
        match self.comparison {
            Comparison::Is => value == self.value,
            Comparison::IsNot => value != self.value,
            // A pattern that cannot be used is about nothing, whichever way round it is asked.
            Comparison::Fits => self.pattern().is_some_and(|pattern| pattern.is_match(value)),
            Comparison::FitsNot => self.pattern().is_some_and(|pattern| !pattern.is_match(value)),
        }
    }

    fn pattern(&self) -> Option<&Regex> {
        self.pattern.get_or_init(|| self.compile().ok().flatten()).as_ref()
    }

    /// The pattern for the whole value, where it is one.
    fn compile(&self) -> Result<Option<Regex>, String> {
        if !self.comparison.is_of_patterns() {
            return Ok(None);
        }
        let build = |pattern: &str| {
            let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build();
            built.map_err(|error| error.to_string())
        };
        // By itself first: `a)|(b` is none, and would get out of the parentheses.
        build(&self.value)?;
        build(&format!("^(?:{})$", self.value)).map(Some)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        write!(formatter, "{}{}\"{value}\"", self.label, self.comparison.sign())
    }
}

impl std::str::FromStr for Matcher {
    type Err = NoMatcher;

    fn from_str(text: &str) -> Result<Self, NoMatcher> {
        let bad = |why| NoMatcher { text: text.to_owned(), why };
        let sign_at = |at: usize| Comparison::ALL.iter().find(|(sign, _)| text[at..].starts_with(sign));
        let found = text.char_indices().find_map(|(at, _)| Some((at, sign_at(at)?)));
        let (at, (sign, comparison)) = found.ok_or_else(|| bad("it has none of = != =~ !~"))?;
        let label = text[..at].trim();
        if label.is_empty() {
            return Err(bad("the name is missing"));
        }
        if label.contains(['"', '{', '}', ',']) {
            return Err(bad("one matcher stands alone, without braces"));
        }
        let value = unquoted(text[at + sign.len()..].trim()).map_err(bad)?;
        Ok(Matcher { label: label.to_owned(), comparison: *comparison, value, pattern: OnceLock::new() })
    }
}

impl TryFrom<String> for Matcher {
    type Error = NoMatcher;

    fn try_from(text: String) -> Result<Self, NoMatcher> {
        text.parse()
    }
}

impl From<Matcher> for String {
    fn from(matcher: Matcher) -> String {
        matcher.to_string()
    }
}

/// A value as it is meant: without its quotes, if it has some.
fn unquoted(text: &str) -> Result<String, &'static str> {
    let Some(quoted) = text.strip_prefix('"') else { return Ok(text.to_owned()) };
    let mut value = String::new();
    let mut rest = quoted.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '"' if rest.as_str().is_empty() => return Ok(value),
            '"' => return Err("something stands after the quotes"),
            '\\' => match rest.next() {
                Some('n') => value.push('\n'),
                Some(escaped @ ('"' | '\\')) => value.push(escaped),
                // Of a pattern: `\d` needs no second backslash.
                Some(other) => value.extend(['\\', other]),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err("the quotes do not end")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matcher(text: &str) -> Matcher {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn about(matchers: &[&str]) -> Matches {
        Matches { matchers: matchers.iter().map(|text| matcher(text)).collect(), ..Matches::default() }
    }

    fn fits(matches: &Matches, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        matches.fits("p", &labels)
    }

    #[test]
    fn each_comparison_does_what_it_does_in_alertmanager() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("team=a", &["a"], &["ab", "b", ""]),
            (r#"team = "a b""#, &["a b"], &["a", ""]),
            ("team!=a", &["ab", "b", ""], &["a"]),
            (r#"team=~"web|db""#, &["web", "db"], &["web2", "mydb", "web|db", ""]),
            (r"team=~web-\d+", &["web-1"], &["web-", "xweb-1", "web-1\n"]),
            (r#"team!~"web|db""#, &["web2", "mydb", ""], &["web", "db"]),
            ("team=", &[""], &["a"]),
            ("team=~(?m)a$", &["a"], &["a\nb"]),
        ];
        for (text, fitting, others) in cases {
            fitting.iter().for_each(|value| assert!(matcher(text).fits(value), "{text} {value:?}"));
            others.iter().for_each(|value| assert!(!matcher(text).fits(value), "{text} {value:?}"));
        }
    }

    #[test]
    fn a_label_that_is_missing_is_an_empty_one_and_all_matchers_count() {
        let both = about(&["team=~web.*", "stage!=test"]);
        assert!(fits(&both, &[("team", "web-1")]));
        assert!(fits(&both, &[("team", "web-1"), ("stage", "live")]));
        assert!(!fits(&both, &[("team", "web-1"), ("stage", "test")]));
        assert!(!fits(&both, &[("stage", "live")]));
    }

    #[test]
    fn what_nothing_positive_is_said_of_is_no_silence_of_everything() {
        for text in ["team!=a", "team!~a", "team=~.*", "team=~a|", "team="] {
            let alone = about(&[text]);
            assert!(matches!(alone.check(), Err(Unfit::Everything(_))), "{text}");
            assert!(!fits(&alone, &[]) && !fits(&alone, &[("other", "x")]), "{text}");
            let playbooks = BTreeSet::from(["p".to_owned()]);
            let of_playbook = Matches { playbooks, ..alone };
            assert_eq!(of_playbook.check(), Ok(()), "{text}");
            assert!(fits(&of_playbook, &[]), "{text}");
        }
        assert_eq!(Matches::default().check(), Err(Unfit::Nothing));
        assert_eq!(about(&["team!=a", "host=x"]).check(), Ok(()));
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_refused_and_is_about_nothing() {
        for text in ["a=~(", "a=~x)|(y", r"a=~(?:\w{100}){20}", "a!~(", "a!~x)|(y"] {
            assert!(matches!(about(&["h=1", text]).check(), Err(Unfit::Pattern(..))), "{text}");
            assert!(!fits(&about(&["h=1", text]), &[("h", "1"), ("a", "x")]), "{text}");
        }
        assert_eq!(about(&["a=b"; MOST_MATCHERS + 1]).check(), Err(Unfit::TooMany));
    }

    #[test]
    fn what_is_no_matcher_says_why() {
        for (text, why) in [
            ("host", "none of = != =~ !~"),
            ("=a", "the name is missing"),
            (r#"{team="a"}"#, "without braces"),
            (r#"team="a"#, "do not end"),
            (r#"team="a\"#, "do not end"),
            (r#"team="a"b"#, "after the quotes"),
        ] {
            let told = text.parse::<Matcher>().expect_err(text).to_string();
            assert!(told.contains(text) && told.contains(why), "{told}");
        }
    }

    #[test]
    fn orders_from_before_there_were_matchers_are_read_and_written_as_they_were() {
        let before = r#"{"playbooks":["p"],"labels":{"host":"=~a"}}"#;
        let read: Matches = serde_json::from_str(before).unwrap();
        assert!(fits(&read, &[("host", "=~a")]) && !fits(&read, &[("host", "a")]));
        assert_eq!(serde_json::to_string(&read).unwrap(), before);
    }

    proptest! {
        #[test]
        fn what_is_written_down_is_read_as_the_same(
            label in "[a-z][a-z_.:/-]{0,6}", sign in "=~|!~|!=|=", value in r#"[a-z"\\\n =~!{},|()*.]{0,12}"#
        ) {
            let comparison = Comparison::ALL.iter().find(|(one, _)| *one == sign).unwrap().1;
            let written = Matcher { label, comparison, value, pattern: OnceLock::new() };
            let text = serde_json::to_string(&written).unwrap();
            prop_assert_eq!(serde_json::from_str::<Matcher>(&text).unwrap(), written);
        }
    }
}
