//! Output of a program in bounded memory: its beginning and its end are kept, the middle is counted.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::base::live::Tail;
use crate::base::redaction::Stream;

/// What is kept of each end. Errors stand at the beginning of some logs and at the end of others;
/// two pipes of two ends make 2 MiB a running step.
const KEPT: usize = 512 * 1024;
/// The size of a Linux pipe: one read empties it.
const CHUNK: usize = 64 * 1024;
/// Most programs write less than this. Giving each of them room for a whole pipe, twice, costs more
/// than everything else that is done with their output.
const FIRST_CHUNK: usize = 4 * 1024;

/// The kept part of an output.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Capture {
    #[serde(with = "encoded")]
    head: Vec<u8>,
    #[serde(with = "encoded")]
    tail: VecDeque<u8>,
    total: u64,
    /// How many bytes came out of the redactor, kept or not.
    masked: u64,
    /// Takes secrets out before the middle is thrown away: half a secret at a cut would not be found later.
    #[serde(skip)]
    redactor: Stream,
    /// Where whoever looks on sees it.
    #[serde(skip)]
    window: Option<Tail>,
}

impl Capture {
    /// One that others see as it grows.
    pub fn seen_by(window: Option<Tail>) -> Self {
        Capture { window, ..Capture::default() }
    }

    /// Reads to the end. An error ends the output just as its end does: what came before it counts.
    pub async fn fill(&mut self, reader: &mut (impl AsyncRead + Unpin)) {
        let mut chunk = vec![0; FIRST_CHUNK];
        while let Ok(count @ 1..) = reader.read(&mut chunk).await {
            self.read(&chunk[..count]);
            if count == chunk.len() {
                chunk.resize(CHUNK, 0);
            }
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let masked = self.redactor.push(bytes);
        self.keep(&masked);
    }

    /// Takes what the redactor still holds; called when nothing more is read.
    pub fn finish(&mut self) {
        let rest = self.redactor.finish();
        self.keep(&rest);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(window) = &self.window {
            window.push(bytes);
        }
        self.masked += bytes.len() as u64;
        let (first, rest) = bytes.split_at(bytes.len().min(KEPT - self.head.len()));
        self.head.extend_from_slice(first);
        let rest = &rest[rest.len().saturating_sub(KEPT)..];
        let surplus = (self.tail.len() + rest.len()).saturating_sub(KEPT);
        self.tail.drain(..surplus);
        self.tail.extend(rest);
    }

    /// How many bytes the program wrote, kept or not.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether bytes are missing between the kept ends.
    pub fn is_cut(&self) -> bool {
        self.discarded() > 0
    }

    fn discarded(&self) -> u64 {
        self.masked - (self.head.len() + self.tail.len()) as u64
    }

    /// All kept bytes, the two ends joined.
    pub fn bytes(&self) -> Vec<u8> {
        let (older, newer) = self.tail.as_slices();
        [self.head.as_slice(), older, newer].concat()
    }

    /// At most `limit` bytes as text, half from each end; what is not UTF-8 becomes U+FFFD. The middle
    /// gives way to a line that says how much is missing.
    pub fn text(&self, limit: usize) -> String {
        let bytes = self.bytes();
        if bytes.len() <= limit && !self.is_cut() {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        let half = (limit / 2).min(bytes.len() / 2);
        let (first, last) = (&bytes[..half], &bytes[bytes.len() - half..]);
        let missing = self.masked - 2 * half as u64;
        format!("{}\n[{missing} bytes left out]\n{}", String::from_utf8_lossy(first), String::from_utf8_lossy(last))
    }

    /// The last line that is not blank, at most `limit` characters of it.
    pub fn last_line(&self, limit: usize) -> Option<String> {
        let text = self.text(4 * limit.max(1024));
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
        Some(line.chars().take(limit).collect())
    }
}

/// Bytes in a file of JSON: base64, since output need not be text.
mod encoded {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S, B>(bytes: &B, serializer: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        B: Clone + Into<Vec<u8>>,
    {
        serializer.serialize_str(&STANDARD.encode(bytes.clone().into()))
    }

    pub(super) fn deserialize<'de, D, B>(deserializer: D) -> Result<B, D::Error>
    where
        D: Deserializer<'de>,
        B: From<Vec<u8>>,
    {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(B::from).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[&[u8]]) -> Capture {
        let mut capture = Capture::default();
        parts.iter().for_each(|part| capture.read(part));
        capture.finish();
        capture
    }

    #[test]
    fn both_ends_survive_and_the_middle_is_counted() {
        let middle = vec![b'm'; 3 * KEPT];
        let capture = of(&[b"first ", &middle, b" last"]);
        let bytes = capture.bytes();
        assert_eq!(bytes.len(), 2 * KEPT);
        assert!(bytes.starts_with(b"first m") && bytes.ends_with(b"m last"));
        assert_eq!(capture.discarded(), KEPT as u64 + 11);
        assert!(capture.text(100).contains("bytes left out"));
        assert!(capture.text(100).len() < 200);
    }

    #[test]
    fn a_secret_at_a_cut_leaves_no_half() {
        let secret = "kept-apart-from-every-other-test";
        crate::base::redaction::learn(secret).unwrap();
        for before in [KEPT - 20, KEPT - 3] {
            let (filler, after) = (vec![b'm'; before], vec![b'n'; 2 * KEPT - 12]);
            let capture = of(&[&filler, &secret.as_bytes()[..9], &secret.as_bytes()[9..], &after]);
            let shown = String::from_utf8(capture.bytes()).unwrap();
            assert!(!shown.contains("kept-ap") && !shown.contains("er-test") && capture.is_cut(), "{before}");
        }
    }

    #[test]
    fn what_was_kept_survives_a_file() {
        let capture = of(&[b"\xff\0\x1b", &vec![b'm'; 3 * KEPT], b"end"]);
        let read: Capture = serde_json::from_str(&serde_json::to_string(&capture).unwrap()).unwrap();
        assert_eq!((read.bytes(), read.total()), (capture.bytes(), capture.total()));
    }

    #[test]
    fn many_small_writes_equal_one_large_one() {
        let bytes: Vec<u8> = (0..3 * KEPT + 77).map(|index| (index % 251) as u8).collect();
        let parts: Vec<&[u8]> = bytes.chunks(997).collect();
        assert_eq!(of(&parts).bytes(), of(&[&bytes]).bytes());
    }

    #[test]
    fn the_last_line_is_the_last_with_text_in_it() {
        assert_eq!(of(&[b"one\ntwo \n\n"]).last_line(10).as_deref(), Some("two"));
        assert_eq!(of(&[b" \n"]).last_line(10), None);
        assert_eq!(of(&[b"\xff\x1b[31mred"]).last_line(80).as_deref(), Some("\u{fffd}\u{1b}[31mred"));
    }
}
