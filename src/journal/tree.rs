//! The Merkle tree and the signed checkpoints in the file of the journal.
//!
//! The hashes of the entries are the leaves; only complete subtrees above them are stored, each once.
//! An append reads at most log n of them, and nothing when this program wrote the last entry.

use rusqlite::{Connection, OptionalExtension, params};

use super::store::{NO_HASH, hash};
use crate::audit::tree::{Node, Peaks};
use crate::audit::{Checkpoint, Hash, Head, Note, SigningKey, proof};

/// What format 2 adds to format 1. The size of a checkpoint is unique, so that no size is ever signed
/// with two roots.
pub(super) const TABLES: &str = "
    CREATE TABLE nodes (
        level INTEGER NOT NULL,
        position INTEGER NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (level, position)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE checkpoints (
        size INTEGER PRIMARY KEY,
        note TEXT NOT NULL
    ) STRICT;
";

/// The tree at the end of the journal, remembered between transactions of this program.
#[derive(Debug, Default)]
pub(super) struct Tree {
    head: Option<Head>,
    peaks: Peaks,
}

impl Tree {
    /// The tree that ends with `head`; read again when another program has added entries since.
    pub fn at(&mut self, connection: &Connection, head: Head) -> Result<&mut Peaks, rusqlite::Error> {
        if self.head != Some(head) {
            self.peaks = Peaks::load(head.count, |level, index| node(connection, level, index))?;
        }
        // Until the transaction is committed, nothing is known to be there.
        self.head = None;
        Ok(&mut self.peaks)
    }

    /// The transaction that ended with `head` was committed.
    pub fn committed(&mut self, head: Head) {
        self.head = Some(head);
    }
}

/// The hash of a complete subtree. One that is gone stays visibly wrong in every root over it, as
/// deleted entries do in the chain.
fn node(connection: &Connection, level: u8, index: u64) -> Result<Hash, rusqlite::Error> {
    let found = if level == 0 {
        let mut leaf = connection.prepare_cached("SELECT hash FROM entries WHERE seq = ?1")?;
        leaf.query_row([index as i64 + 1], |row| hash(row, 0)).optional()?
    } else {
        let mut inner = connection.prepare_cached("SELECT hash FROM nodes WHERE level = ?1 AND position = ?2")?;
        inner.query_row([i64::from(level), index as i64], |row| hash(row, 0)).optional()?
    };
    Ok(found.unwrap_or(NO_HASH))
}

pub(super) fn keep(connection: &Connection, nodes: &[Node]) -> Result<(), rusqlite::Error> {
    let mut insert =
        connection.prepare_cached("INSERT OR REPLACE INTO nodes (level, position, hash) VALUES (?1, ?2, ?3)")?;
    for Node { level, index, hash } in nodes {
        insert.execute(params![level, *index as i64, hash])?;
    }
    Ok(())
}

/// Makes the nodes of a journal of format 1.
pub(super) fn grow(connection: &Connection, head: Head) -> Result<(), rusqlite::Error> {
    let mut peaks = Peaks::default();
    for index in 0..head.count {
        let completed = peaks.push(node(connection, 0, index)?);
        keep(connection, &completed)?;
    }
    Ok(())
}

/// Signs the tree as it is, unless this very size was signed before.
pub(super) fn seal(connection: &Connection, peaks: &Peaks, key: &SigningKey) -> Result<(), rusqlite::Error> {
    let mut known = connection.prepare_cached("SELECT 1 FROM checkpoints WHERE size = ?1")?;
    if peaks.size() == 0 || known.exists([peaks.size() as i64])? {
        return Ok(());
    }
    let checkpoint = Checkpoint { origin: key.name().to_owned(), size: peaks.size(), root: peaks.root() };
    connection
        .prepare_cached("INSERT INTO checkpoints (size, note) VALUES (?1, ?2)")?
        .execute(params![peaks.size() as i64, checkpoint.sign(key).to_string()])
        .map(drop)
}

/// A journal of format 1 has neither nodes nor checkpoints.
pub(super) fn is_kept(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = 'checkpoints'")?.exists([])
}

/// The root that the stored nodes give for the first `size` entries.
pub(super) fn root(connection: &Connection, size: u64) -> Result<Hash, rusqlite::Error> {
    Ok(Peaks::load(size, |level, index| node(connection, level, index))?.root())
}

/// The checkpoints as they are stored, the smallest first.
pub(super) fn checkpoints(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    if !is_kept(connection)? {
        return Ok(Vec::new());
    }
    connection.prepare("SELECT note FROM checkpoints ORDER BY size")?.query_map([], |row| row.get(0))?.collect()
}

/// The newest checkpoint, if there is one that can be read.
pub(super) fn newest_checkpoint(connection: &Connection) -> Result<Option<Note>, rusqlite::Error> {
    if !is_kept(connection)? {
        return Ok(None);
    }
    let mut newest = connection.prepare_cached("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")?;
    let note = newest.query_row([], |row| row.get::<_, String>(0)).optional()?;
    Ok(note.and_then(|note| Note::parse(&note).ok()))
}

/// See `audit::proof::inclusion`.
pub(super) fn inclusion(connection: &Connection, index: u64, size: u64) -> Result<Vec<Hash>, rusqlite::Error> {
    proof::inclusion(index, size, |level, index| node(connection, level, index))
}

/// See `audit::proof::consistency`.
pub(super) fn consistency(connection: &Connection, old: u64, new: u64) -> Result<Vec<Hash>, rusqlite::Error> {
    proof::consistency(old, new, |level, index| node(connection, level, index))
}
