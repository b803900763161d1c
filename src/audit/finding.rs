//! What a check of the chain found, in words that name the entry, its run and its event.

use std::fmt;

use serde::Serialize;

use super::Head;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How many entries were read.
    pub entries: u64,
    /// How many runs they belong to.
    pub runs: u64,
    /// The number and hash of the last entry read. Written down elsewhere, it proves every entry up to it.
    pub head: Head,
    /// Whether the end was compared with a head; if not, entries missing at the end go unnoticed.
    pub end_checked: bool,
    /// The number of the last entry that a head kept elsewhere vouches for; zero without one. What
    /// comes after can have been rewritten by whoever can write the journal.
    pub anchored: u64,
    /// When that entry was written, in milliseconds since 1970-01-01T00:00:00Z.
    pub anchored_at: Option<i64>,
    /// How many checkpoints beside the entries have a valid signature; zero without a key.
    pub signed: u64,
    /// Whether the end can be relied on.
    pub completeness: Completeness,
    /// Everything that is not as it was written, in the order of the entries.
    pub findings: Vec<Finding>,
}

/// Whether entries at the end are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// Something kept elsewhere vouches for every entry up to `anchored`; what came later can have been
    /// rewritten.
    ProvenToAnchor,
    /// Entries that were there are gone.
    Incomplete,
    /// Nothing kept elsewhere was given, so entries can have been taken from the end unnoticed.
    Unprovable,
}

impl Report {
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether every entry that is there is as it was written, in its place.
    pub fn is_intact(&self) -> bool {
        self.findings.iter().all(|finding| finding.is_about_the_end(self.head.count))
    }
}

/// One thing that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The number of the entry, of the first one when several are concerned.
    pub seq: u64,
    /// The entry's run as it is stored, when there is an entry.
    pub run: Option<String>,
    /// The entry's event as it is stored, when there is an entry.
    pub event: Option<String>,
    #[serde(flatten)]
    pub what: Tampering,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Tampering {
    /// The entry does not match its own hash.
    Edited,
    /// The entry matches its own hash, but the entry after it was chained to another one.
    Replaced,
    /// Entries up to `last` are not there; `events` says what runs lack because of it.
    Missing { last: u64, events: Vec<LostEvents> },
    /// The entry was never part of the chain.
    Inserted,
    /// Two entries stand in each other's place.
    Swapped { with: u64 },
    /// The entry stands after the entry `after`, where it does not belong; zero is the beginning.
    Moved { after: u64 },
    /// The entries up to `last` carry other numbers, starting with `stored`.
    Renumbered { last: u64, stored: u64 },
    /// Every entry fits, but a run lacks events: the chain was rewritten without them.
    Incomplete { events: LostEvents },
    /// The entry is not the one that a head names.
    HeadDiffers,
    /// The first `size` entries are not those that a signed checkpoint names.
    CheckpointDiffers { size: u64, place: String },
    /// A checkpoint of this log is not signed with a key that the reader trusts.
    ForeignCheckpoint { place: String },
    /// The kept nodes of the Merkle tree are not those of the entries.
    TreeDiffers,
    /// A line of an exported file is not an entry.
    Unreadable { line: u64, why: String },
    /// The chain does not hold here, in a way that fits no other word.
    Broken,
}

/// Events of a run, counted within it, that are not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostEvents {
    pub run: String,
    pub first: u64,
    pub last: u64,
}

impl Finding {
    /// Whether it says only that entries after number `last` are gone.
    pub(super) fn is_about_the_end(&self, last: u64) -> bool {
        self.seq > last && matches!(self.what, Tampering::Missing { .. })
    }
}

impl fmt::Display for LostEvents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(formatter, "event {}", self.first)?,
            false => write!(formatter, "events {} to {}", self.first, self.last)?,
        }
        write!(formatter, " of run {}", self.run.escape_debug())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = Subject(self);
        match &self.what {
            Tampering::Edited => write!(formatter, "{entry} was edited: it does not match its own hash"),
            Tampering::Replaced => {
                write!(formatter, "{entry} was replaced: the entry after it was chained to another one")
            }
            Tampering::Missing { last, events } => write_missing(formatter, self.seq, *last, events),
            Tampering::Inserted => write!(formatter, "{entry} was inserted: it was never part of the chain"),
            Tampering::Swapped { with } => {
                write!(formatter, "entries {} and {with} were swapped{}", self.seq, Origin(self))
            }
            Tampering::Moved { after: 0 } => write!(formatter, "{entry} was moved to the beginning"),
            Tampering::Moved { after } => write!(formatter, "{entry} was moved: it stands after entry {after}"),
            Tampering::Renumbered { last, stored } => {
                let entries = range("entry", "entries", self.seq, *last);
                write!(formatter, "{entries} renumbered, starting with {stored}")
            }
            Tampering::Incomplete { events } => {
                write!(formatter, "the chain lacks {events} before {entry}, although it fits: it was written anew")
            }
            Tampering::HeadDiffers => write!(
                formatter,
                "{entry} is not the one that the head names: it, or one before it with every hash since, was replaced"
            ),
            Tampering::CheckpointDiffers { size, place } => write!(
                formatter,
                "the first {size} entries are not those of the signed checkpoint in {}: at least one was replaced, \
                 with every hash since",
                place.escape_debug()
            ),
            Tampering::ForeignCheckpoint { place } => {
                write!(formatter, "a checkpoint in {} is not signed with the key you gave", place.escape_debug())
            }
            Tampering::TreeDiffers => {
                write!(formatter, "the kept nodes of the Merkle tree are not those of the entries")
            }
            Tampering::Unreadable { line, why } => {
                write!(formatter, "line {line} is not an entry: {}", why.escape_debug())
            }
            Tampering::Broken => write!(formatter, "the chain does not hold at {entry}"),
        }
    }
}

fn write_missing(formatter: &mut fmt::Formatter<'_>, first: u64, last: u64, events: &[LostEvents]) -> fmt::Result {
    write!(formatter, "{} missing", range("entry", "entries", first, last))?;
    for (position, lost) in events.iter().enumerate() {
        let joint = match (position, first == last) {
            (0, true) => ": ",
            (0, false) => ", among them ",
            _ => ", ",
        };
        write!(formatter, "{joint}{lost}")?;
    }
    Ok(())
}

/// `entry 17 is`, `entries 18 to 20 are`.
fn range(one: &str, many: &str, first: u64, last: u64) -> String {
    if first == last { format!("{one} {first} is") } else { format!("{many} {first} to {last} are") }
}

/// `entry 17 (run 1122-170012-k3f9, step_finished)`.
struct Subject<'a>(&'a Finding);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "entry {}{}", self.0.seq, Origin(self.0))
    }
}

/// Escaped, because whoever edited the entry also chose these texts, and they go to a terminal.
struct Origin<'a>(&'a Finding);

impl fmt::Display for Origin<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.run, &self.0.event) {
            (Some(run), Some(event)) => write!(formatter, " (run {}, {})", run.escape_debug(), event.escape_debug()),
            _ => Ok(()),
        }
    }
}
