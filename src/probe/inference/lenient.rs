//! JSON with NaN and Infinity in it, as Python and TensorFlow Serving write it.

use serde_json::Value;

/// Longest first, so that `-Infinity` is not taken for a minus and a word.
const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// Reads JSON; words for numbers that JSON lacks become text.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(bytes).or_else(|error| match quote_words(bytes) {
        Some(quoted) => serde_json::from_slice(&quoted),
        None => Err(error),
    })
}

/// The text with those words in quotes, or nothing when there are none.
fn quote_words(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut quoted = Vec::with_capacity(bytes.len() + 64);
    let mut found = false;
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        let word = WORDS.into_iter().find(|word| rest.starts_with(word));
        let length = match (first, word) {
            (b'"', _) => {
                let length = length_of_text(rest);
                quoted.extend_from_slice(&rest[..length]);
                length
            }
            (_, Some(word)) => {
                found = true;
                quoted.push(b'"');
                quoted.extend_from_slice(word);
                quoted.push(b'"');
                word.len()
            }
            (byte, None) => {
                quoted.push(*byte);
                1
            }
        };
        rest = &rest[length..];
    }
    found.then_some(quoted)
}

/// How long the text is that begins here, with its quotes.
fn length_of_text(bytes: &[u8]) -> usize {
    let mut index = 1;
    while let Some(byte) = bytes.get(index) {
        match byte {
            b'"' => return index + 1,
            b'\\' => index += 2,
            _ => index += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_become_text_and_text_stays() {
        let parsed = parse(br#"{"a": [NaN, -Infinity, Infinity, 1], "NaN \" NaN": "NaN"}"#).unwrap();
        assert_eq!(parsed, json!({"a": ["NaN", "-Infinity", "Infinity", 1], "NaN \" NaN": "NaN"}));
    }

    #[test]
    fn what_is_not_json_stays_an_error() {
        for text in ["", "<html>", "{\"a\": NaN", "\"\\", "[1e999]", "NaNNaN"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
