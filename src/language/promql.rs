//! Where in a PromQL query a value stands, and what it may be there so that the query keeps its shape.

use std::sync::LazyLock;

use regex::Regex;

use super::LanguageError;

/// Words of the language; as a value, each would be an operator, a modifier or a function.
const KEYWORDS: [&str; 30] = [
    "and",
    "or",
    "unless",
    "atan2",
    "bool",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "start",
    "end",
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "count_values",
    "quantile",
    "limitk",
    "limit_ratio",
    "inf",
    "nan",
];

/// A number or a duration such as `1h30m`, or a name of a metric or of a label.
static WORD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|(?:[0-9]+(?:ms|[smhdwy]))+|[A-Za-z_:][A-Za-z0-9_:]*)$")
        .expect("a constant expression")
});

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Outside of strings: names, numbers, operators.
    Code,
    /// Inside a string with this quote, which knows escapes.
    Quoted(char),
    /// Inside backticks, which know none.
    Raw,
    /// After `#`, up to the end of the line.
    Comment,
}

/// The value as it is written after `before`, the beginning of the query.
pub(super) fn encode(value: &str, before: &str) -> Result<String, LanguageError> {
    match place_after(before) {
        Place::Quoted(quote) => Ok(super::encoding::escape(value, quote)),
        Place::Raw if value.contains('`') => Err(refused(value, "would end the backticks it stands in")
            .help("write the text of the query in \" instead, where everything can be inserted".to_owned())),
        Place::Raw => Ok(value.to_owned()),
        Place::Comment if value.contains(['\n', '\r']) => Err(refused(value, "would end the comment it stands in")),
        Place::Comment => Ok(value.to_owned()),
        Place::Code => word(value, before),
    }
}

/// A value that is one word of the query; a negative number in parentheses, or `{{x}}^2` would be another term.
fn word(value: &str, before: &str) -> Result<String, LanguageError> {
    if let Some(number) = value.strip_prefix('-')
        && number.parse::<f64>().is_ok_and(f64::is_finite)
        && WORD.is_match(number)
    {
        return Ok(format!("({value})"));
    }
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_:".contains(letter);
    let start = before.trim_end_matches(is_part).len();
    let whole = format!("{}{value}", &before[start..]).to_ascii_lowercase();
    if WORD.is_match(value) && !KEYWORDS.contains(&whole.as_str()) {
        return Ok(value.to_owned());
    }
    Err(refused(value, "would be part of the query itself").help(
        "outside of quotes only a number, a duration or a name can be inserted; put it in quotes, such as {job=\"…\"}"
            .to_owned(),
    ))
}

fn refused(value: &str, why: &str) -> LanguageError {
    LanguageError::new(format!("the inserted value '{value}' {why}"))
}

/// What the lexer of Prometheus is in after this text.
fn place_after(text: &str) -> Place {
    let mut place = Place::Code;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        place = match (place, letter) {
            (Place::Quoted(_), '\\') => {
                letters.next();
                place
            }
            (Place::Quoted(quote), letter) if letter == quote => Place::Code,
            (Place::Raw, '`') | (Place::Comment, '\n' | '\r') => Place::Code,
            (Place::Code, '"' | '\'') => Place::Quoted(letter),
            (Place::Code, '`') => Place::Raw,
            (Place::Code, '#') => Place::Comment,
            _ => place,
        };
    }
    place
}
