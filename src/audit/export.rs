//! The exported journal: a header line, then one entry a line, as JSON.
//!
//! ```text
//! {"format":"runbook-audit","version":1,"head":"2:5f0c…"}
//! {"seq":1,"run":"1122-170012-k3f9","run_seq":1,"at":1763831692000,"kind":"run_started","body":"{…}","previous":"00…","hash":"9a…"}
//! ```
//!
//! The body is a JSON *string* that holds JSON: the hash covers its exact text, and programs that
//! rewrite a file (sorted keys, other spacing, `1.0` for `1`) leave the inside of a string alone.
//! Fields that the hash does not cover are refused, so that nothing unproven can be slipped in.

use std::borrow::Cow;
use std::io::{BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use super::{Content, Entry, Hash, Head, Report, Trust, Verifier};

const FORMAT: &str = "runbook-audit";
const VERSION: u32 = 1;

/// No entry is as long; a longer line is a file that was never an export and must not fill the memory.
const LONGEST_LINE: u64 = 256 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("the file is not an export of a journal: {0}")]
    NotAnExport(String),
    #[error("the export has version {found}, this program reads version {VERSION}")]
    NewerVersion { found: u32 },
    #[error("cannot read or write the export")]
    Io(#[from] std::io::Error),
}

impl ExportError {
    /// What the reader can do next.
    pub fn help(&self) -> &'static str {
        match self {
            ExportError::NotAnExport(_) => "give the file that `runbook audit export` wrote, whole and uncompressed",
            ExportError::NewerVersion { .. } => "check it with the version of runbook that wrote it, or a later one",
            ExportError::Io(_) => "check the path, the permissions and the free space",
        }
    }
}

/// Keys are not closed here as they are in a line: nothing in the header is proof of anything.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
    head: Head,
}

/// Borrows its texts when written and owns them when read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    seq: u64,
    run: Cow<'a, str>,
    run_seq: u64,
    at: i64,
    kind: Cow<'a, str>,
    body: Cow<'a, str>,
    #[serde(with = "digits")]
    previous: Hash,
    #[serde(with = "digits")]
    hash: Hash,
}

impl<'a> From<&'a Entry> for Line<'a> {
    fn from(entry: &'a Entry) -> Self {
        let Entry { seq, content: Content { run, run_seq, at, kind, body }, previous, hash } = entry;
        Line {
            seq: *seq,
            run: Cow::from(run),
            run_seq: *run_seq,
            at: *at,
            kind: Cow::from(kind),
            body: Cow::from(body),
            previous: *previous,
            hash: *hash,
        }
    }
}

impl From<Line<'_>> for Entry {
    fn from(line: Line<'_>) -> Self {
        let content = Content {
            run: line.run.into_owned(),
            run_seq: line.run_seq,
            at: line.at,
            kind: line.kind.into_owned(),
            body: line.body.into_owned(),
        };
        Entry { seq: line.seq, content, previous: line.previous, hash: line.hash }
    }
}

/// A hash as 64 lower-case hexadecimal digits.
mod digits {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::audit::{GENESIS, Hash};

    pub fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(hash))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut hash = GENESIS;
        hex::decode_to_slice(text, &mut hash).map_err(|error| D::Error::custom(format!("not a hash: {error}")))?;
        Ok(hash)
    }
}

/// Writes an export: `begin` once, then the entries.
#[derive(Debug)]
pub struct ExportWriter<W: Write> {
    sink: W,
}

impl<W: Write> ExportWriter<W> {
    pub fn new(sink: W) -> Self {
        ExportWriter { sink }
    }

    /// Writes the header. The head is the one that stands beside the entries in the journal.
    pub fn begin(&mut self, head: Head) -> Result<(), ExportError> {
        write_line(&mut self.sink, &Header { format: FORMAT.into(), version: VERSION, head })
    }

    pub fn write(&mut self, entry: &Entry) -> Result<(), ExportError> {
        write_line(&mut self.sink, &Line::from(entry))
    }

    /// Flushes and gives the sink back.
    pub fn finish(mut self) -> Result<W, ExportError> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

fn write_line(sink: &mut impl Write, line: &impl Serialize) -> Result<(), ExportError> {
    serde_json::to_writer(&mut *sink, line).map_err(std::io::Error::from)?;
    Ok(sink.write_all(b"\n")?)
}

/// One line of an export.
#[derive(Debug, PartialEq)]
pub enum ExportedLine {
    Entry(Entry),
    /// Not an entry: the number of the line, counted from 1, and why.
    Unreadable {
        line: u64,
        why: String,
    },
}

/// Reads an export line by line.
#[derive(Debug)]
pub struct ExportReader<R: BufRead> {
    source: R,
    /// What the header claims.
    pub head: Head,
    line: u64,
}

impl<R: BufRead> ExportReader<R> {
    pub fn new(mut source: R) -> Result<Self, ExportError> {
        let text = read_line(&mut source)?.ok_or_else(|| ExportError::NotAnExport("it is empty".into()))?;
        let value: serde_json::Value = decode(&text).map_err(ExportError::NotAnExport)?;
        if value["format"] != FORMAT {
            return Err(ExportError::NotAnExport("its first line does not say so".into()));
        }
        // The version is judged first: a later header may be one that this version cannot decode.
        let found = value["version"].as_u64().and_then(|version| u32::try_from(version).ok()).unwrap_or(0);
        if found > VERSION {
            return Err(ExportError::NewerVersion { found });
        }
        let header: Header =
            serde_json::from_value(value).map_err(|error| ExportError::NotAnExport(error.to_string()))?;
        Ok(ExportReader { source, head: header.head, line: 1 })
    }

    /// The next line, or `None` after the last one.
    pub fn read(&mut self) -> Result<Option<ExportedLine>, ExportError> {
        let Some(text) = read_line(&mut self.source)? else { return Ok(None) };
        self.line += 1;
        Ok(Some(match decode::<Line>(&text) {
            Ok(line) => ExportedLine::Entry(line.into()),
            Err(why) => ExportedLine::Unreadable { line: self.line, why },
        }))
    }
}

fn decode<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn read_line(source: &mut impl BufRead) -> Result<Option<Vec<u8>>, ExportError> {
    let mut text = Vec::new();
    let length = source.take(LONGEST_LINE).read_until(b'\n', &mut text)?;
    if length as u64 == LONGEST_LINE {
        return Err(ExportError::NotAnExport("a line is longer than any entry".into()));
    }
    Ok((length > 0).then_some(text))
}

/// Checks an exported file without the journal it came from. `trust` are keys, heads
/// and checkpoints that were kept where nobody who can write the journal could change them; without one the end of the file proves nothing,
/// because the header can be rewritten together with the entries.
pub fn verify_export(source: impl BufRead, trust: &Trust) -> Result<Report, ExportError> {
    let mut reader = ExportReader::new(source)?;
    let mut verifier = Verifier::new().trusting(trust, &[]);
    verifier.end_at(reader.head);
    while let Some(line) = reader.read()? {
        match line {
            ExportedLine::Entry(entry) => verifier.feed(entry),
            ExportedLine::Unreadable { line, why } => verifier.feed_unreadable(line, why),
        }
    }
    Ok(verifier.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{any_entry, chain};
    use super::*;
    use crate::audit::Tampering;

    fn export(entries: &[Entry], head: Head) -> Vec<u8> {
        let mut writer = ExportWriter::new(Vec::new());
        writer.begin(head).unwrap();
        entries.iter().for_each(|entry| writer.write(entry).unwrap());
        writer.finish().unwrap()
    }

    fn sound_export() -> String {
        let entries = chain(5);
        String::from_utf8(export(&entries, Head::of(&entries[4]))).unwrap()
    }

    proptest! {
        #[test]
        fn entries_survive_the_round_trip(entries in prop::collection::vec(any_entry(), 0..5)) {
            let file = export(&entries, Head::EMPTY);
            let mut reader = ExportReader::new(file.as_slice()).unwrap();
            for entry in entries {
                prop_assert_eq!(reader.read().unwrap(), Some(ExportedLine::Entry(entry)));
            }
            prop_assert_eq!(reader.read().unwrap(), None);
        }
    }

    #[test]
    fn an_export_is_checked_without_its_journal() {
        let report = verify_export(sound_export().as_bytes(), &Trust::default()).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!((report.entries, report.end_checked), (5, true));
    }

    #[test]
    fn every_changed_byte_of_an_export_is_noticed() {
        let file = sound_export().into_bytes();
        let first_entry = file.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for place in first_entry..file.len() {
            let mut changed = file.clone();
            // A letter for a letter and a digit for a digit, so that the line often stays JSON.
            changed[place] ^= 0x01;
            let report = verify_export(changed.as_slice(), &Trust::default()).unwrap();
            assert!(!report.is_sound(), "byte {place}: {:?}", String::from_utf8_lossy(&changed[place - 5..place + 5]));
        }
    }

    #[test]
    fn a_truncated_export_lacks_its_end() {
        let file = sound_export();
        let shorter = file.lines().take(4).collect::<Vec<_>>().join("\n");
        let report = verify_export(shorter.as_bytes(), &Trust::default()).unwrap();
        assert_eq!(report.findings[0].to_string(), "entries 4 to 5 are missing");
    }

    #[test]
    fn a_field_that_no_hash_covers_is_refused() {
        let file = sound_export().replacen(r#"{"seq":3,"#, r#"{"approved_by":"root","seq":3,"#, 1);
        let report = verify_export(file.as_bytes(), &Trust::default()).unwrap();
        let Tampering::Unreadable { line: 4, why } = &report.findings[0].what else { panic!("{report:?}") };
        assert!(why.contains("approved_by"), "{why}");
    }

    #[test]
    fn what_is_not_an_export_says_so() {
        for text in ["", "hello\n", "{}\n", "[1]\n", "{\"format\":\"runbook-audit\",\"version\":1}\n"] {
            let error = verify_export(text.as_bytes(), &Trust::default()).unwrap_err();
            assert!(matches!(error, ExportError::NotAnExport(_)), "{text}: {error}");
        }
        let newer =
            verify_export("{\"format\":\"runbook-audit\",\"version\":2}\n".as_bytes(), &Trust::default()).unwrap_err();
        assert!(matches!(newer, ExportError::NewerVersion { found: 2 }), "{newer}");
    }
}
