//! Values as people read them: sizes and times with their unit, and the few fields of an output that
//! tell what was found.

use std::time::Duration;

use serde_json::Value;

use super::text;
use crate::base::units::{show_bytes, show_duration};

/// More than three facts no longer fit beside a step at 80 columns.
const TELLING_FIELDS: usize = 3;
/// Longer texts are bodies and messages, not facts.
const LONGEST_FACT: usize = 40;
/// Enough to recognise a value; the journal keeps the whole.
const LONGEST_VALUE: usize = 160;

/// A value as evidence: exact, and again with its unit where the name says that it has one.
/// `available = 327155712 (312.0 MiB)`.
pub fn exact(name: &str, value: &Value) -> String {
    // Four significant digits tell what a person needs; the journal keeps the exact number.
    let json = match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) => rounded(number),
        None => value.to_string(),
    };
    let shown = text::shorten(&json, LONGEST_VALUE);
    match with_unit(name, value) {
        Some(readable) => format!("{name} = {shown} ({readable})"),
        None => format!("{name} = {shown}"),
    }
}

/// A value as a person would say it, without its name.
pub fn pretty(name: &str, value: &Value) -> String {
    if let Some(readable) = with_unit(name, value) {
        return readable;
    }
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => rounded(float),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Up to three fields that tell most about an output: `model.onnx 34.1 KiB`.
pub fn summary(output: &Value) -> String {
    let Value::Object(fields) = output else { return summary_of_other(output) };
    let facts: Vec<Fact> = fields.iter().filter_map(|(name, value)| Fact::of(name, value)).collect();
    let file = facts.iter().find(|fact| fact.rank == Rank::File);
    // Of a thing that is not there no other field tells anything.
    if let Some(absent) = absent(output) {
        return file.map_or_else(|| absent.to_owned(), |file| format!("{} {absent}", file.text));
    }
    let mut telling: Vec<&Fact> = facts.iter().filter(|fact| matches!(fact.rank, Rank::Telling(_))).collect();
    telling.sort_by_key(|fact| fact.rank);
    let of_rank = |rank| facts.iter().filter(move |fact| fact.rank == rank);
    // What the kind says beside its telling fields is only asked when it has none: counts of things
    // that did not happen, versions, and last of all yes and no.
    let chosen: Vec<&Fact> = match file {
        // A named file needs no more than its size; how many files were looked at is then one.
        Some(file) => std::iter::once(file)
            .chain(telling.into_iter().filter(|fact| !fact.text.starts_with("count ")))
            .take(TELLING_FIELDS)
            .collect(),
        None => telling.into_iter().take(TELLING_FIELDS).collect(),
    };
    if !chosen.is_empty() {
        return join(&chosen);
    }
    join(&of_rank(Rank::Measure).chain(of_rank(Rank::Answer)).take(TELLING_FIELDS).collect::<Vec<_>>())
}

fn absent(output: &Value) -> Option<&'static str> {
    match (&output["exists"], &output["running"]) {
        (Value::Bool(false), _) => Some("does not exist"),
        (_, Value::Bool(false)) => Some("not running"),
        _ => None,
    }
}

fn summary_of_other(output: &Value) -> String {
    match output {
        Value::Null | Value::Object(_) => String::new(),
        Value::Array(items) => format!("{} items", items.len()),
        scalar => text::shorten(&pretty("", scalar), LONGEST_FACT).into_owned(),
    }
}

/// A file name and what was measured of it read as one: `model.onnx 34.1 KiB`; the rest is a list.
fn join(facts: &[&Fact]) -> String {
    let mut line = String::new();
    let mut previous: Option<&Fact> = None;
    for fact in facts {
        match previous.map(|fact| fact.rank) {
            None => {}
            Some(Rank::File) => line.push(' '),
            Some(_) => line.push_str(", "),
        }
        line.push_str(&fact.text);
        previous = Some(fact);
    }
    line
}

/// Names under which kinds report what a reader wants first, in the order they are told.
const TELLING: &[&str] = &[
    "status",
    "state",
    "verdict",
    "exit_code",
    "value",
    "available",
    "usable",
    "used_percent",
    "matched",
    "mismatched",
    "size",
    "latency_ms",
    "bytes",
    "count",
    "uptime",
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    File,
    /// With the place in `TELLING`.
    Telling(usize),
    Measure,
    Answer,
}

impl Rank {
    fn of(name: &str) -> Rank {
        TELLING.iter().position(|telling| *telling == name).map_or(Rank::Measure, Rank::Telling)
    }
}

struct Fact {
    rank: Rank,
    text: String,
}

impl Fact {
    fn of(name: &str, value: &Value) -> Option<Fact> {
        match value {
            // How long the step took stands beside it already.
            Value::Number(_) if name.starts_with("elapsed") || name.starts_with("duration") => None,
            Value::Number(_) => Some(Fact { rank: Rank::of(name), text: labelled(name, value) }),
            Value::Bool(true) => Some(Fact { rank: Rank::Answer, text: spoken(name) }),
            Value::Bool(false) => Some(Fact { rank: Rank::Answer, text: format!("not {}", spoken(name)) }),
            Value::String(text) => Fact::of_text(name, text),
            // A query with one series answers with a list of one number.
            Value::Array(items) if items.len() == 1 && items[0].is_number() => Fact::of(name, &items[0]),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn of_text(name: &str, text: &str) -> Option<Fact> {
        if is_path(name, text) {
            let file = text.trim_end_matches('/').rsplit('/').next().unwrap_or(text);
            return Some(Fact { rank: Rank::File, text: text::shorten(file, LONGEST_FACT).into_owned() });
        }
        let telling = !text.is_empty() && text.len() <= LONGEST_FACT && !is_digest(text) && !text.contains('\n');
        telling.then(|| Fact { rank: Rank::of(name), text: format!("{} {text}", spoken(name)) })
    }
}

/// `34.1 KiB` for a size needs no label; `status 200` does.
fn labelled(name: &str, value: &Value) -> String {
    if let Some(name) = name.strip_suffix("_percent") {
        return format!("{} {} %", spoken(name), pretty("", value));
    }
    match with_unit(name, value) {
        Some(readable) if matches!(name, "size" | "bytes") => readable,
        Some(readable) => {
            let bare = name.trim_end_matches("_bytes").trim_end_matches("_ms").trim_end_matches("_seconds");
            format!("{} {readable}", spoken(bare))
        }
        None => format!("{} {}", spoken(name), pretty(name, value)),
    }
}

fn spoken(name: &str) -> String {
    name.replace('_', " ")
}

fn is_path(name: &str, text: &str) -> bool {
    let named = matches!(name, "path" | "file" | "to" | "model" | "target");
    named && text.contains('/') && !text.contains("://")
}

fn is_digest(text: &str) -> bool {
    text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The value with the unit that its name implies. Small numbers stay bare: a `size` of 5 may well
/// count something else than bytes, and a large one hardly does.
fn with_unit(name: &str, value: &Value) -> Option<String> {
    let name = name.rsplit('.').next().unwrap_or(name);
    let number = value.as_f64()?;
    let is_bytes = name.ends_with("_bytes") || matches!(name, "size" | "total_size" | "bytes");
    let may_be_memory = matches!(name, "available" | "usable" | "free" | "rss") || name.contains("memory");
    if (is_bytes && number >= 1024.0) || (may_be_memory && number >= 1_048_576.0) {
        return value.as_u64().map(show_bytes);
    }
    if name.ends_with("_ms") && number >= 0.0 {
        return Some(show_duration(Duration::from_micros((number * 1000.0) as u64)));
    }
    let seconds = matches!(name, "seconds" | "uptime" | "age") || name.ends_with("_seconds");
    Duration::try_from_secs_f64(number).ok().filter(|_| seconds).map(show_duration)
}

/// Four significant digits, without trailing zeros.
pub(super) fn rounded(number: f64) -> String {
    if number == 0.0 || !number.is_finite() || number.abs() >= 1e15 || number.abs() < 1e-6 {
        return number.to_string();
    }
    let whole_digits = number.abs().log10().floor() as i32 + 1;
    let decimals = usize::try_from(4 - whole_digits).unwrap_or(0);
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_is_told_by_name_and_size() {
        let output = json!({"exists": true, "path": "models/cad/ocr/model.onnx", "size": 34_918,
                            "sha256": "ab".repeat(32)});
        assert_eq!(summary(&output), "model.onnx 34.1 KiB");
    }

    #[test]
    fn measures_are_labelled_and_answers_come_last() {
        assert_eq!(summary(&json!({"status": 200, "latency_ms": 12.4, "ready": true})), "status 200, latency 12 ms");
        assert_eq!(summary(&json!({"exists": false, "path": "/a/b.onnx", "size": 0})), "b.onnx does not exist");
        assert_eq!(summary(&json!({"running": false, "count": 0})), "not running");
        assert_eq!(summary(&json!({"ready": false, "rows": []})), "not ready");
        assert_eq!(summary(&json!({"total": 3, "matched": 2, "mismatched": 1})), "matched 2, mismatched 1");
        assert_eq!(summary(&json!({"value": [4.0], "count": 1})), "value 4, count 1");
        assert_eq!(
            summary(&json!({"available": 5 << 20, "used_percent": 33.333_33})),
            "available 5.0 MiB, used 33.33 %"
        );
        assert_eq!(summary(&json!({})), "");
        assert_eq!(summary(&json!(["a", "b"])), "2 items");
    }

    #[test]
    fn evidence_is_exact() {
        assert_eq!(exact("status", &json!("down")), r#"status = "down""#);
        assert_eq!(exact("memory.available", &json!(327_155_712)), "memory.available = 327155712 (312.0 MiB)");
        assert_eq!(exact("size", &json!(5)), "size = 5");
    }

    #[test]
    fn numbers_are_rounded_for_reading_only() {
        assert_eq!(pretty("ratio", &json!(0.300_000_000_000_000_04)), "0.3");
        assert_eq!(pretty("value", &json!(1234.5678)), "1235");
        assert_eq!(pretty("value", &json!(0.000_123_456)), "0.0001235");
        assert_eq!(pretty("count", &json!(12)), "12");
    }
}
