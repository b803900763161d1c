//! The tamper-evident form of the journal: entries chained by their hashes.
//!
//! ```text
//! previous ─┐
//! fields ───┴─ canonical bytes ─ SHA-256(0x00 ‖ bytes) = hash ─ previous of the next entry
//! ```
//!
//! The hash covers the exact bytes of the body, so nobody ever has to write JSON the same way twice.
//! The leading zero byte makes every hash a leaf hash of RFC 6962, so that a Merkle tree can be built
//! over a journal that exists already. This room knows nothing of databases or events: whoever holds
//! an exported file can check it.
//!
//! What a chain proves: nothing before a [`Head`] changed since the head was written down. Who can
//! write the journal can also write a new chain, so only a head or a signed [`Checkpoint`] kept
//! elsewhere proves the tail.

mod book;
mod checkpoint;
mod explain;
pub mod export;
mod finding;
mod key;
mod key_file;
mod note;
pub mod proof;
pub mod tree;
mod tree_check;
mod trust;
mod verify;
mod wording;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use checkpoint::{Checkpoint, InvalidCheckpoint, notes_in, one_line};
pub use finding::{Completeness, Finding, LostEvents, Report, Tampering};
pub use key::{InvalidKey, PublicKey, Purpose, SigningKey, Verdict};
pub use key_file::{KeyFile, KeyFileError};
pub use note::{InvalidNote, Note, SignatureLine};
pub use trust::{NothingAnchored, Trust};
pub use verify::Verifier;

/// SHA-256 of an entry.
pub type Hash = [u8; 32];

/// What the first entry names as the hash before it.
pub const GENESIS: Hash = [0; 32];

/// Separates these hashes from every other use of SHA-256, and this framing from later ones.
const DOMAIN: &[u8] = b"runbook audit entry, version 1\n";

/// RFC 6962 hashes leaves with this byte in front and inner nodes with 0x01.
const LEAF: u8 = 0x00;

/// What an entry says, without its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub run: String,
    /// Counted from 1 within the run.
    pub run_seq: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub at: i64,
    /// The event's name, such as `step_finished`.
    pub kind: String,
    /// The event as JSON text; the text itself is hashed.
    pub body: String,
}

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 1 over all runs.
    pub seq: u64,
    pub content: Content,
    /// The hash of the entry before, [`GENESIS`] for the first.
    pub previous: Hash,
    pub hash: Hash,
}

impl Entry {
    /// Whether the entry is what its hash was made of.
    pub fn is_intact(&self) -> bool {
        self.hash == hash_of(self.seq, &self.content, &self.previous)
    }
}

/// How long the chain is and the hash it ends with; `17:5f0c…` in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub count: u64,
    pub hash: Hash,
}

impl Head {
    /// The head of a chain without entries.
    pub const EMPTY: Head = Head { count: 0, hash: GENESIS };

    /// Chains `content` on; the head of the chain is then the entry's [`Head::of`].
    pub fn chain(&self, content: Content) -> Entry {
        let seq = self.count + 1;
        let hash = hash_of(seq, &content, &self.hash);
        Entry { seq, content, previous: self.hash, hash }
    }

    /// The head of a chain that ends with `entry`.
    pub fn of(entry: &Entry) -> Self {
        Head { count: entry.seq, hash: entry.hash }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.count, hex::encode(self.hash))
    }
}

/// Text that is not a head.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a head; it is written as the number of entries, a colon and 64 hexadecimal digits")]
pub struct InvalidHead(String);

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once(':').and_then(|(count, digits)| {
            let mut hash = GENESIS;
            hex::decode_to_slice(digits, &mut hash).ok()?;
            Some(Head { count: count.parse().ok()?, hash })
        });
        parsed.ok_or_else(|| InvalidHead(text.to_owned()))
    }
}

impl Serialize for Head {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Entry {
    /// The bytes that the hash is made of, after the leading zero byte.
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_canonical(self.seq, &self.content, &self.previous, |part| bytes.extend_from_slice(part));
        bytes
    }
}

/// The hash of an entry with these parts.
fn hash_of(seq: u64, content: &Content, previous: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([LEAF]);
    write_canonical(seq, content, previous, |bytes| hasher.update(bytes));
    hasher.finalize().into()
}

/// Hands the canonical bytes to `sink` in pieces, so that hashing a large body copies nothing.
///
/// Numbers are eight bytes, big end first; texts carry their length in front. So no two different
/// entries have the same bytes, whatever their texts contain.
fn write_canonical(seq: u64, content: &Content, previous: &Hash, mut sink: impl FnMut(&[u8])) {
    sink(DOMAIN);
    sink(&seq.to_be_bytes());
    for text in [&content.run, &content.kind, &content.body] {
        sink(&(text.len() as u64).to_be_bytes());
        sink(text.as_bytes());
    }
    sink(&content.run_seq.to_be_bytes());
    sink(&content.at.to_be_bytes());
    sink(previous);
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn content(run: &str, run_seq: u64, body: &str) -> Content {
        Content { run: run.into(), run_seq, at: 1_700_000_000_000, kind: "step_finished".into(), body: body.into() }
    }

    /// A sound chain of `length` entries of one run.
    pub(crate) fn chain(length: u64) -> Vec<Entry> {
        let mut head = Head::EMPTY;
        let next = |number| {
            let entry = head.chain(content("1122-170012-k3f9", number, &format!(r#"{{"number":{number}}}"#)));
            head = Head::of(&entry);
            entry
        };
        (1..=length).map(next).collect()
    }

    pub(crate) fn any_entry() -> impl Strategy<Value = Entry> {
        let content = (".{0,8}", any::<u64>(), any::<i64>(), "[a-z_]{0,8}", ".{0,40}")
            .prop_map(|(run, run_seq, at, kind, body)| Content { run, run_seq, at, kind, body });
        (1..u64::MAX, content, any::<Hash>())
            .prop_map(|(seq, content, hash)| Head { count: seq - 1, hash }.chain(content))
    }

    proptest! {
        /// Reading the canonical bytes back gives the entry they were made of: so they are made of one only.
        #[test]
        fn canonical_bytes_belong_to_one_entry(entry in any_entry()) {
            let bytes = entry.canonical();
            let mut rest = bytes.strip_prefix(DOMAIN).unwrap();
            let mut take = |length: usize| { let (head, tail) = rest.split_at(length); rest = tail; head };
            prop_assert_eq!(u64::from_be_bytes(take(8).try_into().unwrap()), entry.seq);
            for text in [&entry.content.run, &entry.content.kind, &entry.content.body] {
                let length = u64::from_be_bytes(take(8).try_into().unwrap()) as usize;
                prop_assert_eq!(take(length), text.as_bytes());
            }
            prop_assert_eq!(u64::from_be_bytes(take(8).try_into().unwrap()), entry.content.run_seq);
            prop_assert_eq!(i64::from_be_bytes(take(8).try_into().unwrap()), entry.content.at);
            prop_assert_eq!(take(32), &entry.previous[..]);
            prop_assert!(rest.is_empty());
        }

        /// Text moved from one field to its neighbour is another entry.
        #[test]
        fn a_moved_boundary_is_another_hash(text in "[a-z]{2,20}", first in 0_usize..20, second in 0_usize..20) {
            let (first, second) = (first % text.len(), second % text.len());
            prop_assume!(first != second);
            let split = |at: usize| Head::EMPTY.chain(Content {
                run: text[..at].into(), run_seq: 1, at: 0, kind: text[at..].into(), body: String::new(),
            });
            prop_assert_ne!(split(first).hash, split(second).hash);
        }

        #[test]
        fn a_head_survives_its_text(count in any::<u64>(), hash in any::<Hash>()) {
            let head = Head { count, hash };
            prop_assert_eq!(head.to_string().parse::<Head>().unwrap(), head);
        }
    }

    /// The hash of a known entry never changes: journals written today must verify for ever.
    #[test]
    fn the_format_is_frozen() {
        let entry = Head::EMPTY.chain(content("1122-170012-k3f9", 1, r#"{"event":"step_finished"}"#));
        let mut leaf = vec![0x00];
        leaf.extend(entry.canonical());
        assert_eq!(entry.hash, <Hash>::from(Sha256::digest(&leaf)));
        assert_eq!(hex::encode(entry.hash), "a84fea77a914ee31113f955bc09c2d6f8208202982d3e40fae3a560f42995db8");
    }

    #[test]
    fn nonsense_is_not_a_head() {
        for text in ["", "17", "17:", "x:00", "17:00", ":00"] {
            assert!(text.parse::<Head>().is_err(), "{text}");
        }
    }
}
