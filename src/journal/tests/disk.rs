//! What the journal on disk promises beyond the contract.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::audit::Head;
use crate::audit::Trust;
use crate::journal::{JournalError, RunFilter, verify};

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let (place, run) = (Place::new(), run("one"));
    add(&place.open(), &run, 1, [started("one"), phase()]);
    let journal = place.open();
    add(&journal, &run, 3, [phase()]);
    assert_eq!(journal.read(&run).unwrap().len(), 3);
    assert!(verify(&journal, &Trust::default()).unwrap().is_sound());
}

/// The files as a killed program leaves them: copied while they are open, without the shared memory.
#[test]
fn what_was_acknowledged_is_in_the_files_at_once() {
    let (place, copy, run) = (Place::new(), Place::new(), run("one"));
    let journal = place.open();
    fs::create_dir(copy.path().parent().unwrap()).unwrap();
    for seq in 1..=20 {
        add(&journal, &run, seq, [phase()]);
        for suffix in ["", "-wal"] {
            let name = |path: &Path| format!("{}{suffix}", path.display());
            fs::copy(name(&place.path()), name(&copy.path())).unwrap();
        }
        let _ = fs::remove_file(format!("{}-shm", copy.path().display()));
        assert_eq!(copy.open().read(&run).unwrap().len() as u64, seq);
    }
}

#[test]
fn nothing_is_created_before_the_first_append() {
    let place = Place::new();
    let journal = place.open();
    assert_eq!(journal.runs(&RunFilter::default()).unwrap(), []);
    assert_eq!(journal.head().unwrap(), Head::EMPTY);
    assert!(verify(&journal, &Trust::default()).unwrap().is_sound());
    drop(journal);
    assert!(!place.path().parent().unwrap().exists());
}

#[test]
fn a_journal_that_appears_later_is_seen() {
    let (place, run) = (Place::new(), run("one"));
    let early = place.open();
    assert_eq!(early.read(&run).unwrap(), []);
    add(&place.open(), &run, 1, [phase()]);
    assert_eq!(early.read(&run).unwrap().len(), 1);
}

#[test]
fn only_the_owner_may_read_it_and_one_file_is_left() {
    let place = Place::new();
    let journal = place.open();
    add(&journal, &run("one"), 1, [phase()]);
    assert_eq!(journal.read(&run("one")).unwrap().len(), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = place.path().parent().unwrap().to_owned();
    for file in fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    assert_eq!(mode(&folder), 0o700);
    drop(journal);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn sixteen_threads_make_one_chain() {
    let place = Place::new();
    let journal = place.open();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (journal, run) = (&journal, run(&format!("run-{thread}")));
            scope.spawn(move || (1..=25).for_each(|seq| add(journal, &run, seq, [phase()])));
        }
    });
    let report = verify(&journal, &Trust::default()).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.entries, report.runs), (400, 16));
}

#[test]
fn appends_that_nobody_awaits_are_written_in_order_before_the_journal_closes() {
    let (place, run) = (Place::new(), run("one"));
    let journal = place.open();
    for seq in 1..=300 {
        drop(journal.append(&run, records(&run, seq, [phase()])));
    }
    drop(journal);
    assert_eq!(place.open().read(&run).unwrap().len(), 300);
}

/// Two handles stand for two programs: they share nothing but the file.
#[test]
fn two_programs_make_one_chain() {
    let place = Place::new();
    let journals = [place.open(), place.open()];
    std::thread::scope(|scope| {
        for (number, journal) in journals.iter().enumerate() {
            let run = run(&format!("run-{number}"));
            scope.spawn(move || (1..=50).for_each(|seq| add(journal, &run, seq, [phase()])));
        }
    });
    for journal in &journals {
        let report = verify(journal, &Trust::default()).unwrap();
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!((report.entries, report.runs), (100, 2));
    }
}

/// Each finds no file, or one without tables, or one that is just getting them.
#[test]
fn programs_that_create_the_journal_at_the_same_time_share_it() {
    for _ in 0..4 {
        let (place, start) = (Place::new(), std::sync::Barrier::new(8));
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (place, start, run) = (&place, &start, run(&format!("run-{number}")));
                scope.spawn(move || {
                    start.wait();
                    add(&place.open(), &run, 1, [phase()]);
                });
            }
        });
        let report = verify(&place.open(), &Trust::default()).unwrap();
        assert!(report.is_sound() && report.entries == 8, "{:?}", report.findings);
    }
}

#[test]
fn two_programs_cannot_both_continue_a_run() {
    let (place, run) = (Place::new(), run("one"));
    let (first, second) = (place.open(), place.open());
    add(&first, &run, 1, [started("one")]);
    add(&second, &run, 2, [phase()]);
    let late = first.append(&run, records(&run, 2, [phase()])).wait().unwrap_err();
    assert!(matches!(late, JournalError::Conflict { expected: 3, found: 2, .. }), "{late}");
    // One refused append takes nothing from the others.
    add(&first, &super::run("two"), 1, [started("two")]);
}

/// A file of a later version, one that keeps its log in another way.
fn of_a_later_version(place: &Place) -> Vec<u8> {
    add(&place.open(), &run("one"), 1, [phase()]);
    place.sql("PRAGMA user_version = 3; PRAGMA journal_mode = DELETE");
    fs::read(place.path()).unwrap()
}

#[test]
fn a_journal_of_a_later_version_is_refused_and_left_untouched() {
    let place = Place::new();
    let before = of_a_later_version(&place);
    let refused = SqliteJournal::open(place.path()).unwrap_err();
    assert!(matches!(refused, JournalError::NewerVersion { found: 3, supported: 2, .. }), "{refused}");
    assert_eq!(fs::read(place.path()).unwrap(), before);
}

/// The file appears while the journal is open, before this program first writes.
#[test]
fn the_version_is_looked_at_again_before_the_first_write() {
    let place = Place::new();
    let journal = place.open();
    let before = of_a_later_version(&place);
    let refused = journal.append(&run("one"), records(&run("one"), 2, [phase()])).wait().unwrap_err();
    assert!(matches!(refused, JournalError::NewerVersion { .. }), "{refused}");
    assert_eq!(fs::read(place.path()).unwrap(), before);
}

#[test]
fn a_run_of_a_later_version_is_refused_by_its_first_event() {
    let (place, run) = (Place::new(), run("one"));
    let journal = place.open();
    let Event::RunStarted(mut later) = started("one") else { panic!() };
    later.format = FORMAT + 1;
    add(&journal, &run, 1, [Event::RunStarted(later)]);
    let refused = journal.read(&run).unwrap_err();
    assert!(matches!(refused, JournalError::NewerVersion { .. }), "{refused}");
}

#[test]
fn other_files_are_not_taken_for_a_journal() {
    let place = Place::new();
    fs::create_dir(place.path().parent().unwrap()).unwrap();
    place.sql("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')");
    let before = fs::read(place.path()).unwrap();
    let refused = SqliteJournal::open(place.path()).unwrap_err();
    assert!(matches!(refused, JournalError::NotAJournal { .. }), "{refused}");
    assert_eq!(fs::read(place.path()).unwrap(), before);
    fs::write(place.path(), "a letter to my aunt, long enough to be taken for a database header and more".repeat(9))
        .unwrap();
    let refused = SqliteJournal::open(place.path()).unwrap_err();
    assert!(matches!(refused, JournalError::NotAJournal { .. }), "{refused}");
}

/// Nobody, not even the superuser, can make a folder in the kernel's own file system (or, where there
/// is none, in the root of a sealed system).
#[test]
fn a_place_that_cannot_be_written_says_so() {
    let journal = SqliteJournal::open("/sys/runbook-test/journal.db").unwrap();
    assert_eq!(journal.runs(&RunFilter::default()).unwrap(), []);
    let refused = journal.append(&run("one"), records(&run("one"), 1, [phase()])).wait().unwrap_err();
    assert!(matches!(refused, JournalError::ReadOnly { .. }), "{refused}");
    assert_eq!(refused.to_string(), "the journal /sys/runbook-test/journal.db cannot be written");
    assert!(refused.help().contains("who owns the state folder"), "{}", refused.help());
}

#[tokio::test]
async fn an_append_can_be_awaited() {
    let (place, run) = (Place::new(), run("one"));
    let journal = place.open();
    journal.append(&run, records(&run, 1, [phase()])).await.unwrap();
    journal.append(&run, records(&run, 1, [phase()])).await.unwrap_err();
}
