//! Events as the text of entries, and back.
//!
//! The body is the event alone: run, number and time are fields of the entry, and the hash covers them
//! there. The text is kept as it was first written, never made again from the event.

use serde::Deserialize;

use super::JournalError;
use crate::audit::{Content, Entry};
use crate::base::{RunId, Timestamp};
use crate::engine::Record;
use crate::engine::event::{Event, FORMAT};

/// A JSON text with fewer brackets than this cannot nest deeper than the decoder follows (128).
const HARMLESS_BRACKETS: usize = 100;

/// The contents of the entries that keep these events of `run`.
pub(super) fn contents(run: &RunId, records: &[Record]) -> Result<Vec<Content>, JournalError> {
    records.iter().map(|record| content(run, record)).collect()
}

fn content(run: &RunId, record: &Record) -> Result<Content, JournalError> {
    let unwritable = |what: String| JournalError::Unwritable { run: run.to_string(), what };
    if record.run != *run {
        return Err(unwritable(format!("it belongs to run {}", record.run)));
    }
    let body = serde_json::to_string(&record.event).map_err(|error| unwritable(error.to_string()))?;
    if body.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > HARMLESS_BRACKETS {
        // What could not be read again must not be written: the run could never be resumed.
        serde_json::from_str::<Event>(&body).map_err(|error| unwritable(error.to_string()))?;
    }
    let kind = kind_of(&body).ok_or_else(|| unwritable("bug: its name does not come first".into()))?.to_owned();
    Ok(Content { run: run.to_string(), run_seq: record.seq, at: record.at.0, kind, body })
}

/// The event's name. It is the tag of the enum, which is always written first.
fn kind_of(body: &str) -> Option<&str> {
    body.strip_prefix(r#"{"event":""#)?.split_once('"').map(|(kind, _)| kind)
}

/// Why an entry does not hold an event.
#[derive(Debug, PartialEq)]
pub(super) enum Undecodable {
    NewerVersion(u32),
    Damaged(String),
}

impl Undecodable {
    pub(super) fn at(self, path: &std::path::Path) -> JournalError {
        let path = path.to_owned();
        match self {
            Undecodable::NewerVersion(found) => JournalError::NewerVersion { path, found, supported: FORMAT },
            Undecodable::Damaged(what) => JournalError::Corrupt { path, what },
        }
    }
}

/// The events of entries. A run of a later format is refused at its first event, before an event
/// that this version does not know.
pub(super) fn records(entries: impl IntoIterator<Item = Entry>) -> Result<Vec<Record>, Undecodable> {
    entries.into_iter().map(record).collect()
}

fn record(entry: Entry) -> Result<Record, Undecodable> {
    let damaged = |what: String| Undecodable::Damaged(format!("entry {} {what}", entry.seq));
    if !entry.is_intact() {
        return Err(damaged("does not match its hash".into()));
    }
    check_format(&entry.content)?;
    let event = decode(&entry.content).map_err(|error| damaged(format!("cannot be read: {error}")))?;
    let Content { run, run_seq, at, .. } = entry.content;
    Ok(Record { run: RunId::from(run), seq: run_seq, at: Timestamp(at), event })
}

pub(super) fn decode(content: &Content) -> Result<Event, serde_json::Error> {
    serde_json::from_str(&content.body)
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

fn check_format(content: &Content) -> Result<(), Undecodable> {
    if content.kind != "run_started" {
        return Ok(());
    }
    match serde_json::from_str::<Format>(&content.body) {
        Ok(Format { format }) if format > FORMAT => Err(Undecodable::NewerVersion(format)),
        // Whatever else is wrong with the text is said where all of it is decoded.
        _ => Ok(()),
    }
}

/// The error of an append whose first event is not the next one of its run, or that leaves one out.
pub(super) fn check_order(last: u64, contents: &[Content]) -> Result<(), JournalError> {
    for (expected, content) in (last + 1..).zip(contents) {
        if content.run_seq != expected {
            let (run, found) = (content.run.clone(), content.run_seq);
            return Err(JournalError::Conflict { run, expected, found });
        }
    }
    Ok(())
}
