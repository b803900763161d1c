//! What people read, without what differs from call to call.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

/// What differs from call to call, and what stands in its place. Widths differ too: the space between
/// columns becomes as narrow as it can be.
static CHANGING: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let changing = [
        (r"\b\d{4}-\d{6}-[2-9b-z]{4}\b", "[run]"),
        (r"\b[0-9a-f]{64}\b", "[hash]"),
        // The digest of a question covers paths and ports of the test.
        (r"\b(digest:?\s+)[0-9a-f]{16}\b", "$1[digest]"),
        (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?", "[time]"),
        (r"\b\d\d:\d\d:\d\dZ?", "[time]"),
        (r#""(duration_ms|at|due|started_at|finished_at|since|took_ms)":( ?)\d+"#, r#""$1":$2[number]"#),
        (r#""(duration|modified_at|age|newest_age|oldest_age)":( ?)\d+(\.\d+)?"#, r#""$1":$2[number]"#),
        (r"( +)(\d+ h )?(\d+ min )?\d+(\.\d)? (ms|s|min)\b( +)", " [duration] "),
        (r"\b(\d+ h )?(\d+ min )?\d+(\.\d)? (ms|s|min)\b", "[duration]"),
        (r"(\S) {2,}", "$1  "),
        (r"(127\.0\.0\.1|localhost):\d+", "$1:[port]"),
    ];
    changing.into_iter().map(|(pattern, word)| (Regex::new(pattern).expect("a pattern"), word)).collect()
});

/// Replaces run names, hashes, times, durations, ports and the temporary folder.
pub fn redact(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "[place]");
    CHANGING.iter().fold(text, |text, (pattern, word)| pattern.replace_all(&text, *word).into_owned())
}
