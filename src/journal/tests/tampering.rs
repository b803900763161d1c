//! What somebody with a database tool does to the file is found and named.

use super::*;
use crate::audit::Trust;
use crate::audit::{Content, Entry, Finding, Head, Tampering};
use crate::journal::{JournalError, RunFilter, verify};

const RUNS: [&str; 2] = ["1122-170012-k3f9", "1122-180012-b2c3"];

/// Twelve entries: 1 to 6 of the first run, 7 to 12 of the second.
fn journal() -> Place {
    let place = Place::new();
    let journal = place.open();
    for name in RUNS {
        let events = [started("one"), phase(), phase(), phase(), phase(), finished(Outcome::Resolved)];
        add(&journal, &run(name), 1, events);
    }
    place
}

fn findings_after(statements: &str) -> Vec<Finding> {
    let place = journal();
    place.sql(statements);
    verify(&place.open(), &Trust::default()).unwrap().findings
}

fn said(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

#[test]
fn every_column_of_every_entry_is_protected() {
    let edits = [
        "run = 'other'",
        "at = at + 1",
        "kind = 'phase_started '",
        "body = body || ' '",
        "previous = zeroblob(31)",
        "hash = x'00'",
        "run_seq = run_seq + 100",
    ];
    for edit in edits {
        for seq in 1..=12 {
            let findings = findings_after(&format!("UPDATE entries SET {edit} WHERE seq = {seq}"));
            assert_eq!(findings.len(), 1, "{edit} {seq}: {:?}", said(&findings));
            assert_eq!((findings[0].seq, &findings[0].what), (seq, &Tampering::Edited), "{edit}");
        }
    }
}

#[test]
fn an_edited_entry_is_named_with_run_and_event() {
    let findings =
        findings_after(r#"UPDATE entries SET body = '{"event":"phase_started","phase":"finally"}' WHERE seq = 9"#);
    assert_eq!(
        said(&findings),
        ["entry 9 (run 1122-180012-b2c3, phase_started) was edited: it does not match its own hash"]
    );
}

#[test]
fn a_deleted_entry_is_named_with_the_event_its_run_lacks() {
    assert_eq!(
        said(&findings_after("DELETE FROM entries WHERE seq = 8")),
        ["entry 8 is missing: event 2 of run 1122-180012-b2c3"]
    );
    assert_eq!(
        said(&findings_after("DELETE FROM entries WHERE seq BETWEEN 5 AND 8")),
        ["entries 5 to 8 are missing, among them events 1 to 2 of run 1122-180012-b2c3"]
    );
}

#[test]
fn a_truncated_tail_is_noticed_by_the_stored_head() {
    assert_eq!(said(&findings_after("DELETE FROM entries WHERE seq > 10")), ["entries 11 to 12 are missing"]);
    assert_eq!(said(&findings_after("DELETE FROM entries")), ["entries 1 to 12 are missing"]);
}

#[test]
fn a_tail_truncated_with_its_head_is_noticed_by_an_anchor_only() {
    let place = journal();
    let anchor = place.open().head().unwrap();
    place.sql(
        "DELETE FROM entries WHERE seq > 10;
         UPDATE head SET count = 10, hash = (SELECT hash FROM entries WHERE seq = 10)",
    );
    let journal = place.open();
    let unanchored = verify(&journal, &Trust::default()).unwrap();
    assert!(unanchored.is_sound() && unanchored.anchored == 0);
    assert_eq!(
        said(&verify(&journal, &Trust::default().heads([anchor])).unwrap().findings),
        ["entries 11 to 12 are missing"]
    );
}

#[test]
fn an_inserted_entry_is_named() {
    let shift = "UPDATE entries SET seq = -seq - 1 WHERE seq >= 8; UPDATE entries SET seq = -seq WHERE seq < 0;";
    let insert =
        "INSERT INTO entries SELECT 8, 'forged', 1, at, kind, body, previous, hash FROM entries WHERE seq = 9;";
    let findings = findings_after(&format!("{shift}{insert}"));
    let inserted = "entry 8 (run forged, phase_started) was inserted: it was never part of the chain";
    assert_eq!(said(&findings), [inserted, "entries 8 to 12 are renumbered, starting with 9"]);
    let behind =
        "INSERT INTO entries SELECT 13, 'forged', 1, at, kind, body, previous, hash FROM entries WHERE seq = 12;";
    assert_eq!(
        said(&findings_after(behind)),
        ["entry 13 (run forged, run_finished) was inserted: it was never part of the chain"]
    );
}

#[test]
fn swapped_entries_are_named() {
    let swap = "UPDATE entries SET seq = -3 WHERE seq = 3; UPDATE entries SET seq = 3 WHERE seq = 9;
                UPDATE entries SET seq = 9 WHERE seq = -3;";
    let findings = findings_after(swap);
    assert_eq!(findings.len(), 1, "{:?}", said(&findings));
    assert_eq!((findings[0].seq, &findings[0].what), (3, &Tampering::Swapped { with: 9 }));
}

/// The entry is changed together with its hash, as by somebody who read how the hash is made.
#[test]
fn an_entry_with_a_new_hash_breaks_the_link_after_it() {
    let place = journal();
    let forged = replace(&place, 9);
    let findings = verify(&place.open(), &Trust::default()).unwrap().findings;
    assert!(forged.is_intact());
    assert_eq!(
        said(&findings),
        ["entry 9 (run 1122-180012-b2c3, phase_started) was replaced: the entry after it was chained to another one"]
    );
}

#[test]
fn the_last_entry_with_a_new_hash_differs_from_the_head() {
    let place = journal();
    replace(&place, 12);
    let findings = verify(&place.open(), &Trust::default()).unwrap().findings;
    assert_eq!((findings.len(), findings[0].seq, &findings[0].what), (1, 12, &Tampering::HeadDiffers));
}

fn replace(place: &Place, seq: u64) -> Entry {
    let connection = rusqlite::Connection::open(place.path()).unwrap();
    let columns = "run, run_seq, at, kind, previous";
    let query = format!("SELECT {columns} FROM entries WHERE seq = {seq}");
    let (content, previous) = connection
        .query_row(&query, [], |row| {
            let content = Content {
                run: row.get(0)?,
                run_seq: row.get::<_, i64>(1)? as u64,
                at: row.get(2)?,
                kind: row.get(3)?,
                body: "{}".into(),
            };
            Ok((content, row.get(4)?))
        })
        .unwrap();
    let entry = Head { count: seq - 1, hash: previous }.chain(content);
    let update = "UPDATE entries SET body = '{}', hash = ?1 WHERE seq = ?2";
    connection.execute(update, rusqlite::params![entry.hash, seq as i64]).unwrap();
    entry
}

#[test]
fn a_run_is_not_read_from_edited_facts() {
    let place = journal();
    place.sql(r#"UPDATE entries SET body = '{"event":"phase_started","phase":"finally"}' WHERE seq = 3"#);
    let journal = place.open();
    let refused = journal.read(&run(RUNS[0])).unwrap_err();
    assert!(refused.to_string().ends_with("is damaged: entry 3 does not match its hash"), "{refused}");
    assert!(refused.help().contains("runbook audit verify"));
    assert_eq!(journal.read(&run(RUNS[1])).unwrap().len(), 6);
}

#[test]
fn a_damaged_run_is_listed_all_the_same() {
    let place = journal();
    place.sql("UPDATE entries SET body = '{' WHERE seq IN (1, 12)");
    let runs = place.open().runs(&RunFilter::default()).unwrap();
    assert_eq!(runs.len(), 2);
    assert!(runs[0].damage.as_ref().unwrap().starts_with("its end cannot be read"), "{runs:?}");
    assert!(runs[1].damage.as_ref().unwrap().starts_with("its start cannot be read"), "{runs:?}");
    assert_eq!(runs[1].outcome, Some(Outcome::Resolved));
}

#[test]
fn going_on_after_a_truncation_does_not_cover_it_up() {
    let place = journal();
    place.sql("DELETE FROM entries WHERE seq > 10");
    let journal = place.open();
    add(&journal, &run("later"), 1, [started("two"), phase()]);
    let lost = verify(&journal, &Trust::default()).unwrap().findings;
    assert_eq!(said(&lost), ["entries 11 to 12 are missing"]);
    // The run that lost its end is not continued as if nothing had happened.
    let conflict = journal.append(&run(RUNS[1]), records(&run(RUNS[1]), 7, [phase()])).wait().unwrap_err();
    assert!(matches!(conflict, JournalError::Conflict { expected: 5, found: 7, .. }), "{conflict}");
}

#[test]
fn entries_behind_the_head_stop_the_journal() {
    let place = journal();
    place
        .sql("INSERT INTO entries SELECT 13, 'forged', 1, at, kind, body, previous, hash FROM entries WHERE seq = 12;");
    let journal = place.open();
    let append = |journal: &SqliteJournal| journal.append(&run("later"), records(&run("later"), 1, [phase()])).wait();
    let refused = append(&journal).unwrap_err();
    assert!(refused.to_string().ends_with("entry 13 stands behind its end, which is entry 12"), "{refused}");
    assert!(matches!(append(&journal), Err(JournalError::Stopped { .. })));
}

#[test]
fn a_journal_whose_head_or_table_is_gone_is_damaged() {
    for statements in ["DELETE FROM head", "DROP TABLE entries"] {
        let place = journal();
        place.sql(statements);
        let refused = verify(&place.open(), &Trust::default()).unwrap_err();
        assert!(matches!(refused, JournalError::Corrupt { .. }), "{refused}");
    }
}
