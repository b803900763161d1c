//! Looking into an answer.

use std::collections::BTreeMap;

use reqwest::{Response, StatusCode};
use serde_json::{Map, Value};
use serde_json_path::JsonPath;

use crate::http::{Body, shown};
use crate::kind::StepError;
use crate::probe::json_path::JsonPathText;

/// What goes into the journal of a body; enough for a status page, too little to fill a disk.
const SHOWN_BYTES: usize = 64 << 10;
/// More matches than this are a table, not a value to reason about.
const MAX_MATCHES: usize = 1000;
/// In an error, where a reader wants the first sentence of what the service says.
const EXCERPT_LETTERS: usize = 200;

/// Everything of an answer but its body.
pub(super) struct Head {
    pub status: StatusCode,
    pub headers: BTreeMap<String, String>,
    pub url: String,
}

impl Head {
    pub(super) fn of(response: &Response) -> Self {
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            // A header may come several times, which means the same as one with commas.
            headers
                .entry(name.as_str().to_owned())
                .and_modify(|all| *all = format!("{all}, {value}"))
                .or_insert_with(|| value.into_owned());
        }
        Head { status: response.status(), headers, url: shown(response.url()) }
    }

    /// The error of an answer that cannot be judged. An overloaded or broken peer explains it, so its
    /// status becomes the code by which a retry can be asked for.
    fn cannot_judge(&self, why: String) -> StepError {
        let error = StepError::new(why);
        if self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS {
            error.code(self.status.as_u16())
        } else {
            error
        }
    }
}

/// Reads the paths before anything is sent, so that a slip in one of them changes nothing.
pub(super) fn parse_paths(extract: &BTreeMap<String, JsonPathText>) -> Result<Vec<(&str, JsonPath)>, StepError> {
    extract.iter().map(|(name, path)| Ok((name.as_str(), path.parse(name)?))).collect()
}

/// Why the body is not as expected: it lacks a text.
pub(super) fn lacks(text: Option<&str>, body: &Body, head: &Head) -> Result<Option<String>, StepError> {
    let Some(text) = text else { return Ok(None) };
    if String::from_utf8_lossy(&body.bytes).contains(text) {
        return Ok(None);
    }
    if body.truncated {
        return Err(head
            .cannot_judge(format!("the text '{text}' is not in the first {} bytes of the body", body.bytes.len()))
            .help("raise `body_limit` to look further"));
    }
    Ok(Some(format!("the body does not contain '{text}'")))
}

/// The named values. When the step has `failed` anyway, a body that is not JSON (an error page, mostly)
/// has none; otherwise nobody knows what they are, and that is an error.
pub(super) fn extract(
    paths: &[(&str, JsonPath)],
    headers: &BTreeMap<String, String>,
    body: &Body,
    head: &Head,
    failed: bool,
) -> Result<Map<String, Value>, StepError> {
    let document = match document_for(paths, body, head) {
        Err(_) if failed => Value::Null,
        document => document?,
    };
    let from_body = paths.iter().map(|(name, path)| ((*name).to_owned(), matched(path, &document)));
    let from_headers = headers.iter().map(|(name, header)| {
        let value = head.headers.get(&header.to_lowercase());
        (name.clone(), value.map_or(Value::Null, |value| Value::String(value.clone())))
    });
    Ok(from_body.chain(from_headers).collect())
}

fn document_for(paths: &[(&str, JsonPath)], body: &Body, head: &Head) -> Result<Value, StepError> {
    if paths.is_empty() {
        return Ok(Value::Null);
    }
    if body.truncated {
        return Err(head
            .cannot_judge(format!("the body is longer than {} bytes, so `extract` cannot read it", body.bytes.len()))
            .help("raise `body_limit`"));
    }
    serde_json::from_slice(&body.bytes).map_err(|error| {
        let media = head.headers.get("content-type").map_or("no content type", String::as_str);
        let why = format!("the answer {} ({media}) is not JSON: {error}{}", head.status, excerpt(body));
        head.cannot_judge(why).help("`extract` needs a JSON body; check the address, or expect a `status` first")
    })
}

fn matched(path: &JsonPath, document: &Value) -> Value {
    let mut found = path.query(document).all().into_iter().cloned();
    match (found.next(), found.next()) {
        (None, _) => Value::Null,
        (Some(only), None) => only,
        (Some(first), Some(second)) => [first, second].into_iter().chain(found).take(MAX_MATCHES).collect(),
    }
}

/// The body as text and, when it is JSON, as a value.
pub(super) fn show(body: &Body) -> (String, Value) {
    let text = String::from_utf8_lossy(&body.bytes);
    let whole = !body.truncated && body.bytes.len() <= SHOWN_BYTES;
    let json = if whole { serde_json::from_slice(&body.bytes).unwrap_or_default() } else { Value::Null };
    (text[..text.floor_char_boundary(SHOWN_BYTES)].to_owned(), json)
}

/// The beginning of a body, for an error; empty when there is nothing to show.
pub(super) fn excerpt(body: &Body) -> String {
    let text = String::from_utf8_lossy(&body.bytes);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let start: String = words.chars().take(EXCERPT_LETTERS).collect();
    match start.len() {
        0 => String::new(),
        length if length < words.len() => format!(": {start}…"),
        _ => format!(": {start}"),
    }
}
