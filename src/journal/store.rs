//! The statements of the journal: adding a group of appends, and reading entries back.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::encoding::check_order;
use super::tree::{self, Tree};
use super::{JournalError, Stored, Visitor, schema};
use crate::audit::tree::Peaks;
use crate::audit::{Content, Entry, Hash, Head, KeyFile, SigningKey};

const LAST_ENTRY: &str = "SELECT max(seq) FROM entries";

const ADD_ENTRY: &str = "INSERT INTO entries (seq, run, run_seq, at, kind, body, previous, hash) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const LAST_OF_RUN: &str = "SELECT max(run_seq) FROM entries WHERE run = ?1";

/// Answered by the latest starts alone, however many runs there are.
const LATEST_RUNS: &str = "SELECT run FROM entries INDEXED BY starts \
    WHERE kind = 'run_started' AND instr(run, '/') = 0 AND ?1 = '' ORDER BY seq DESC LIMIT ?2";

/// Answered by the range of names; U+10FFFF sorts after everything that can follow the prefix.
const RUNS_BY_PREFIX: &str = "SELECT run FROM entries \
    WHERE run >= ?1 AND run < ?1 || char(1114111) AND run_seq = 1 AND (instr(run, '/') = 0 OR instr(?1, '/') > 0) \
    ORDER BY run = ?1 DESC, seq DESC LIMIT ?2";

/// Stands for a value that is no hash. No entry hashes to it, and no entry has it before itself.
pub(super) const NO_HASH: Hash = [0xff; 32];

/// The events of one append.
#[derive(Debug)]
pub(super) struct Batch {
    pub run: String,
    /// Nothing, when the trail is only to be signed as it is.
    pub contents: Vec<Content>,
    /// A signed checkpoint becomes durable together with it.
    pub seal: bool,
    /// Something is written although there is nothing to add.
    pub probe: bool,
}

/// What each append of a group came to.
pub(super) type Answers = Vec<Result<(), JournalError>>;

/// The connection that writes.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    path: PathBuf,
    /// Without one there are no checkpoints.
    key: Option<SigningKey>,
    tree: Tree,
}

impl Store {
    pub fn open(path: &Path, key: Option<&KeyFile>, patience: Duration) -> Result<Self, JournalError> {
        let connection = schema::open_to_write(path, patience)?;
        let key = key.map(KeyFile::load_or_create).transpose().map_err(JournalError::of_key)?;
        Ok(Store { connection, path: path.to_owned(), key, tree: Tree::default() })
    }

    /// Adds the batches in one transaction. A batch that does not continue its run is refused alone;
    /// any other failure is the answer to all.
    pub fn append(&mut self, batches: Vec<Batch>) -> Result<Answers, JournalError> {
        let failed = |error| JournalError::of_sqlite(&self.path, "write", error);
        // Immediate, because what is read here must still hold when it is written: other programs
        // write this journal too.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut head = head_to_continue(&transaction, &self.path)?;
        let before = head;
        let (seal, probe) = (batches.iter().any(|batch| batch.seal), batches.iter().any(|batch| batch.probe));
        let peaks = self.tree.at(&transaction, head).map_err(failed)?;
        let answers = batches.into_iter().map(|batch| append_batch(&transaction, &mut head, peaks, batch));
        let answers = answers.collect::<Result<Answers, rusqlite::Error>>().map_err(failed)?;
        // A transaction that changes nothing costs no sync.
        if head != before || probe {
            write_head(&transaction, head).map_err(failed)?;
        }
        if let Some(key) = self.key.as_ref().filter(|_| seal) {
            tree::seal(&transaction, peaks, key).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        self.tree.committed(head);
        Ok(answers)
    }
}

/// The stored head, from which the chain goes on. Were the last entries deleted, going on from the
/// head leaves their absence visible for ever; entries behind the head would be covered up, so they
/// stop the journal.
fn head_to_continue(transaction: &Transaction<'_>, path: &Path) -> Result<Head, JournalError> {
    let head = read_head(transaction, path)?;
    let last: Option<i64> = transaction
        .prepare_cached(LAST_ENTRY)
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(|error| JournalError::of_sqlite(path, "read", error))?;
    match last.map(|last| last as u64) {
        Some(last) if last > head.count => {
            let what = format!("entry {last} stands behind its end, which is entry {}", head.count);
            Err(JournalError::Corrupt { path: path.to_owned(), what })
        }
        _ => Ok(head),
    }
}

fn append_batch(
    transaction: &Transaction<'_>,
    head: &mut Head,
    peaks: &mut Peaks,
    batch: Batch,
) -> Result<Result<(), JournalError>, rusqlite::Error> {
    if batch.contents.is_empty() {
        return Ok(Ok(()));
    }
    let last: Option<i64> = transaction.prepare_cached(LAST_OF_RUN)?.query_row([&batch.run], |row| row.get(0))?;
    if let Err(conflict) = check_order(last.unwrap_or(0) as u64, &batch.contents) {
        return Ok(Err(conflict));
    }
    let mut insert = transaction.prepare_cached(ADD_ENTRY)?;
    for content in batch.contents {
        let Entry { seq, content, previous, hash } = head.chain(content);
        let Content { run, run_seq, at, kind, body } = content;
        insert.execute(params![seq as i64, run, run_seq as i64, at, kind, body, previous, hash])?;
        tree::keep(transaction, &peaks.push(hash))?;
        *head = Head { count: seq, hash };
    }
    Ok(Ok(()))
}

pub(super) fn write_head(connection: &Connection, head: Head) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO head (id, count, hash) VALUES (1, ?1, ?2)")?
        .execute(params![head.count as i64, head.hash])
        .map(drop)
}

pub(super) fn read_head(connection: &Connection, path: &Path) -> Result<Head, JournalError> {
    let head = connection.prepare_cached("SELECT count, hash FROM head WHERE id = 1").and_then(|mut statement| {
        statement.query_row([], |row| Ok(Head { count: whole(row, 0)?, hash: hash(row, 1)? })).optional()
    });
    let head = head.map_err(|error| JournalError::of_sqlite(path, "read", error))?;
    head.ok_or_else(|| JournalError::Corrupt { path: path.to_owned(), what: "the record of its end is gone".into() })
}

/// The entries of a run in order.
pub(super) fn entries_of(connection: &Connection, run: &str) -> Result<Vec<Entry>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, run, run_seq, at, kind, body, previous, hash FROM entries WHERE run = ?1 ORDER BY run_seq",
    )?;
    statement.query_map([run], entry)?.collect()
}

/// What is kept beside the entries.
fn stored(moment: &Transaction<'_>, path: &Path) -> Result<Stored, JournalError> {
    let failed = |error| JournalError::of_sqlite(path, "read", error);
    let head = read_head(moment, path)?;
    let root = match tree::is_kept(moment).map_err(failed)? {
        true => Some(tree::root(moment, head.count).map_err(failed)?),
        false => None,
    };
    Ok(Stored { head, root, checkpoints: tree::checkpoints(moment).map_err(failed)? })
}

/// The entry with this number.
pub(super) fn entry_at(connection: &Connection, seq: u64) -> Result<Option<Entry>, rusqlite::Error> {
    let mut statement = connection
        .prepare_cached("SELECT seq, run, run_seq, at, kind, body, previous, hash FROM entries WHERE seq = ?1")?;
    statement.query_row([seq as i64], entry).optional()
}

/// Every entry of one moment, with the head of that moment.
pub(super) fn visit(connection: &mut Connection, path: &Path, visitor: &mut dyn Visitor) -> Result<(), JournalError> {
    let failed = |error| JournalError::of_sqlite(path, "read", error);
    let transaction = connection.transaction().map_err(failed)?;
    if visitor.begin(stored(&transaction, path)?).is_break() {
        return Ok(());
    }
    let mut statement = transaction
        .prepare("SELECT seq, run, run_seq, at, kind, body, previous, hash FROM entries ORDER BY seq")
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        if let ControlFlow::Break(()) = visitor.entry(entry(row).map_err(failed)?) {
            break;
        }
    }
    Ok(())
}

/// Identifiers of runs, see `Journal::run_ids`.
pub(super) fn run_ids(connection: &Connection, prefix: &str, limit: usize) -> Result<Vec<String>, rusqlite::Error> {
    let query = if prefix.is_empty() { LATEST_RUNS } else { RUNS_BY_PREFIX };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection.prepare_cached(query)?.query_map(params![prefix, limit], |row| text(row, 0))?.collect()
}

/// Shows the first entry of each run, newest first, until `take` has enough; with `before`, of those that started
/// before that run.
pub(super) fn visit_starts(
    connection: &Connection,
    children: bool,
    before: Option<&str>,
    mut take: impl FnMut(Content) -> Result<ControlFlow<()>, rusqlite::Error>,
) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, run, run_seq, at, kind, body, previous, hash FROM entries INDEXED BY starts \
         WHERE kind = 'run_started' AND (?1 OR instr(run, '/') = 0) AND seq < ?2 ORDER BY seq DESC",
    )?;
    let before = match before {
        Some(run) => start_of(connection, run)?.unwrap_or(0),
        None => i64::MAX,
    };
    let mut rows = statement.query(params![children, before])?;
    while let Some(row) = rows.next()? {
        if take(entry(row)?.content)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// The number of the entry that a run began with.
fn start_of(connection: &Connection, run: &str) -> Result<Option<i64>, rusqlite::Error> {
    let mut statement =
        connection.prepare_cached("SELECT min(seq) FROM entries WHERE run = ?1 AND kind = 'run_started'")?;
    statement.query_row([run], |row| row.get(0))
}

/// The last end or resumption of a run.
pub(super) fn last_turn(connection: &Connection, run: &str) -> Result<Option<Content>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, run, run_seq, at, kind, body, previous, hash FROM entries INDEXED BY turns \
         WHERE run = ?1 AND kind IN ('run_finished', 'resumed') ORDER BY seq DESC LIMIT 1",
    )?;
    let turn = statement.query_row([run], entry).optional()?;
    Ok(turn.map(|entry| entry.content))
}

/// The entry of a row, whatever somebody wrote into it: values of another type or length make an
/// entry that does not match its hash, and that is how they are reported.
fn entry(row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
    let content = Content {
        run: text(row, 1)?,
        run_seq: whole(row, 2)?,
        at: whole(row, 3)? as i64,
        kind: text(row, 4)?,
        body: text(row, 5)?,
    };
    Ok(Entry { seq: whole(row, 0)?, content, previous: hash(row, 6)?, hash: hash(row, 7)? })
}

fn text(row: &Row<'_>, column: usize) -> Result<String, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    })
}

fn whole(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Integer(number) => number as u64,
        _ => 0,
    })
}

pub(super) fn hash(row: &Row<'_>, column: usize) -> Result<Hash, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Blob(bytes) => bytes.try_into().unwrap_or(NO_HASH),
        _ => NO_HASH,
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::super::tests::{Place, phase, record, run};
    use super::*;
    use crate::journal::encoding::contents;

    const IMPATIENT: Duration = Duration::from_millis(20);

    fn batch(name: &str, seq: u64) -> Batch {
        let run = run(name);
        Batch {
            run: name.into(),
            contents: contents(&run, &[record(&run, seq, phase())]).unwrap(),
            seal: false,
            probe: false,
        }
    }

    fn length(store: &Store) -> u64 {
        read_head(&store.connection, &store.path).unwrap().count
    }

    #[test]
    fn a_full_disk_is_named_and_nothing_of_the_group_is_kept() {
        let place = Place::new();
        let mut store = Store::open(&place.path(), None, IMPATIENT).unwrap();
        let pages = |store: &Store, pages: u32| store.connection.pragma_update(None, "max_page_count", pages).unwrap();
        pages(&store, 1);
        let full = (1..=200).find_map(|seq| store.append(vec![batch("one", seq)]).err().map(|error| (seq, error)));
        let (seq, full) = full.unwrap();
        assert!(matches!(full, JournalError::DiskFull { .. }) && !full.leaves_doubt(), "{full}");
        assert_eq!(length(&store), seq - 1);
        // There is room again, and no restart was needed.
        pages(&store, 1_000_000);
        assert!(store.append(vec![batch("one", seq)]).unwrap()[0].is_ok());
    }

    #[test]
    fn a_locked_journal_is_named_and_can_be_written_later() {
        let place = Place::new();
        let mut store = Store::open(&place.path(), None, IMPATIENT).unwrap();
        let other = Connection::open(place.path()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let locked = store.append(vec![batch("one", 1)]).unwrap_err();
        assert!(matches!(locked, JournalError::Locked { .. }) && !locked.leaves_doubt(), "{locked}");
        other.execute_batch("ROLLBACK").unwrap();
        assert!(store.append(vec![batch("one", 1)]).unwrap()[0].is_ok());
    }

    #[test]
    fn a_batch_in_conflict_is_refused_alone() {
        let place = Place::new();
        let mut store = Store::open(&place.path(), None, IMPATIENT).unwrap();
        let answers = store.append(vec![batch("one", 1), batch("two", 7), batch("one", 2)]).unwrap();
        let refused: Vec<bool> = answers.iter().map(Result::is_err).collect();
        assert_eq!(refused, [false, true, false]);
        assert_eq!(length(&store), 2);
    }

    #[test]
    fn durability_is_what_sqlite_says_it_is() {
        let place = Place::new();
        let store = Store::open(&place.path(), None, IMPATIENT).unwrap();
        let ask = |pragma: &str| store.connection.query_row(pragma, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((ask("PRAGMA synchronous"), ask("PRAGMA foreign_keys")), (2, 1));
    }

    #[test]
    fn statements_are_planned_once() {
        let place = Place::new();
        let mut store = Store::open(&place.path(), None, IMPATIENT).unwrap();
        for seq in 1..=3 {
            assert!(store.append(vec![batch("one", seq)]).unwrap()[0].is_ok());
        }
        for query in [LAST_ENTRY, LAST_OF_RUN, ADD_ENTRY] {
            let statement = store.connection.prepare_cached(query).unwrap();
            assert!(statement.get_status(StatementStatus::Run) >= 3, "{query}");
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{query}");
        }
    }

    /// Lists are answered by the indexes made for them, however many entries there are.
    #[test]
    fn no_question_walks_through_all_entries() {
        let place = Place::new();
        let store = Store::open(&place.path(), None, IMPATIENT).unwrap();
        let plan = |query: &str| {
            let mut statement = store.connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
            let unbound = vec![rusqlite::types::Null; statement.parameter_count()];
            let rows = statement.query_map(rusqlite::params_from_iter(unbound), |row| row.get::<_, String>(3));
            let lines = rows.unwrap();
            lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
        };
        for query in [LAST_ENTRY, LAST_OF_RUN, RUNS_BY_PREFIX] {
            let plan = plan(query);
            assert!(plan.contains("SEARCH"), "{plan}");
        }
    }
}
