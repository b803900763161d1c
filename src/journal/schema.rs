//! The file of the journal: how it is created, opened and recognised.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::{JournalError, tree};
use crate::audit::Head;

/// "RBJ1", so that no other program's database is taken for a journal.
const APPLICATION_ID: i64 = 0x5242_4a31;

/// The version of the tables, kept as `user_version`. Format 1 has no tree and no checkpoints; it is
/// read as it is, and brought to format 2 by the first program that writes.
const FORMAT: u32 = 2;
const OLDEST_FORMAT: u32 = 1;

/// Before 3.51.3 two connections could corrupt the write-ahead log while it was reset.
const OLDEST_SQLITE: i32 = 3_051_003;

/// How long to wait for another program that writes.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// `UNIQUE (run, run_seq)` keeps two programs from both writing the same event of a run. The partial
/// indexes cost nothing for the many events between a run's start and its end.
const TABLES: &str = "
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY,
        run TEXT NOT NULL,
        run_seq INTEGER NOT NULL,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        previous BLOB NOT NULL,
        hash BLOB NOT NULL,
        UNIQUE (run, run_seq)
    ) STRICT;
    CREATE INDEX starts ON entries (seq) WHERE kind = 'run_started';
    CREATE INDEX turns ON entries (run, seq) WHERE kind IN ('run_finished', 'resumed');
    CREATE TABLE head (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        count INTEGER NOT NULL,
        hash BLOB NOT NULL
    ) STRICT;
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Empty,
    /// With its format.
    Journal(u32),
}

/// A connection that cannot write, or `None` when there is no journal yet.
pub(super) fn open_to_read(path: &Path) -> Result<Option<Connection>, JournalError> {
    if !path.try_exists().map_err(|error| JournalError::of_io(path, "open", error))? {
        return Ok(None);
    }
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, PATIENCE)?;
    Ok((recognise(path, &mut connection)? != State::Empty).then_some(connection))
}

/// A connection that writes durably; creates the folder, the file and the tables when they are missing.
pub(super) fn open_to_write(path: &Path, patience: Duration) -> Result<Connection, JournalError> {
    // Looked at without the right to write first: a journal of a later version stays untouched.
    let exists = open_to_read(path)?.is_some();
    // Held until the tables are there: SQLite does not wait for another program that is changing the
    // journal mode at the same time, it fails.
    let _alone = if exists { None } else { Some(create_file(path)?) };
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, patience)?;
    make_durable(path, &connection)?;
    create_tables(path, &mut connection)?;
    Ok(connection)
}

fn connect(path: &Path, access: OpenFlags, patience: Duration) -> Result<Connection, JournalError> {
    refuse_old_sqlite(path, rusqlite::version_number(), rusqlite::version())?;
    let failed = |error| JournalError::of_sqlite(path, "open", error);
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    connection.busy_timeout(patience).map_err(failed)?;
    // Without this a partial index makes SQLite plan a statement anew whenever it gets other values,
    // which takes longer than adding an entry.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed)?;
    Ok(connection)
}

fn refuse_old_sqlite(path: &Path, number: i32, version: &str) -> Result<(), JournalError> {
    if number < OLDEST_SQLITE {
        let what = format!("SQLite {version} can corrupt it, 3.51.3 is needed");
        return Err(JournalError::Unsupported { path: path.to_owned(), what });
    }
    Ok(())
}

/// What the file is, judged by one moment of it: another program may be creating the tables just now.
fn recognise(path: &Path, connection: &mut Connection) -> Result<State, JournalError> {
    let moment = connection.transaction().map_err(|error| JournalError::of_sqlite(path, "open", error))?;
    state(path, &moment)
}

fn state(path: &Path, moment: &Transaction<'_>) -> Result<State, JournalError> {
    let failed = |error| JournalError::of_sqlite(path, "open", error);
    let number = |query| moment.query_row(query, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    if application == 0 && version == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(State::Empty);
    }
    if application != APPLICATION_ID {
        return Err(JournalError::NotAJournal { path: path.to_owned() });
    }
    match u32::try_from(version) {
        Ok(found @ OLDEST_FORMAT..=FORMAT) => Ok(State::Journal(found)),
        Ok(found) if found > FORMAT => {
            Err(JournalError::NewerVersion { path: path.to_owned(), found, supported: FORMAT })
        }
        _ => Err(JournalError::Corrupt { path: path.to_owned(), what: format!("its format is {version}") }),
    }
}

/// Creates the file unless it is there, and returns its folder locked against other programs that do
/// the same. The folder is locked and not the file, because closing a second handle of the file would
/// release the locks that SQLite holds on it.
///
/// Only the owner may read the journal: it quotes requests and outputs of production systems.
fn create_file(path: &Path) -> Result<File, JournalError> {
    let failed = |error| JournalError::of_io(path, "create", error);
    let name = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(name).map_err(failed)?;
    let folder = File::open(name).map_err(failed)?;
    folder.lock().map_err(failed)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // The names of the file and of its folder must survive a power failure as the content does.
        // SQLite sees to that for the files it creates itself.
        Ok(_) => folder.sync_all().and_then(|()| File::open(name.join(".."))?.sync_all()).map_err(failed)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    Ok(folder)
}

/// Sets what durability rests on, and reads it back: SQLite ignores what it cannot do.
fn make_durable(path: &Path, connection: &Connection) -> Result<(), JournalError> {
    let failed = |error| JournalError::of_sqlite(path, "open", error);
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", "ON").map_err(failed)?;
    // On macOS a plain fsync leaves the data in the drive's cache; elsewhere this changes nothing.
    connection.pragma_update(None, "fullfsync", "ON").map_err(failed)?;
    let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).map_err(failed)?;
    // 2 is FULL.
    if mode != "wal" || synchronous != 2 {
        let what = format!("SQLite uses journal mode {mode} and synchronous {synchronous}, not wal and 2");
        return Err(JournalError::Unsupported { path: path.to_owned(), what });
    }
    Ok(())
}

fn create_tables(path: &Path, connection: &mut Connection) -> Result<(), JournalError> {
    if recognise(path, connection)? == State::Journal(FORMAT) {
        return Ok(());
    }
    let failed = |error| JournalError::of_sqlite(path, "create", error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    // Another program may have created them since.
    let found = state(path, &transaction)?;
    if found == State::Empty {
        transaction.execute_batch(TABLES).map_err(failed)?;
        super::store::write_head(&transaction, Head::EMPTY).map_err(failed)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    }
    if found != State::Journal(FORMAT) {
        let head = super::store::read_head(&transaction, path)?;
        transaction.execute_batch(tree::TABLES).and_then(|()| tree::grow(&transaction, head)).map_err(failed)?;
        transaction.pragma_update(None, "user_version", FORMAT).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database in memory has no log that could be synced.
    #[test]
    fn a_sqlite_that_can_corrupt_the_journal_is_refused() {
        let path = Path::new("journal.db");
        assert!(refuse_old_sqlite(path, 3_051_002, "3.51.2").is_err_and(|error| error.to_string().contains("3.51.2")));
        assert!(refuse_old_sqlite(path, OLDEST_SQLITE, "3.51.3").is_ok());
    }

    #[test]
    fn a_place_where_nothing_is_durable_is_refused() {
        let refused = make_durable(Path::new("journal.sqlite"), &Connection::open_in_memory().unwrap()).unwrap_err();
        assert!(matches!(refused, JournalError::Unsupported { .. }), "{refused}");
    }
}
