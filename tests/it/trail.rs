//! The journal as an audit trail: verified, exported, and edited by someone with a database tool.

use rusqlite::Connection;
use serde_json::json;

use crate::support::{Done, Runbook};

const PLAYBOOK: &str = "
runbook: 1
name: touch
title: Touches a file
remediate: {touch: {command: {argv: [touch, touched]}, risk: safe}}
";

fn place() -> Runbook {
    let place = Runbook::new().file("touch.yaml", PLAYBOOK);
    place.call("run touch.yaml").exits(0);
    place.call("run touch.yaml").exits(0);
    place
}

fn database(place: &Runbook) -> Connection {
    Connection::open(place.state().join("journal.sqlite")).expect("the journal is a database")
}

/// Edits the journal as its owner could, past what protects it from slips.
fn tampered(statement: &str) -> Done {
    let place = place();
    let connection = database(&place);
    let triggers: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect())
        .expect("the names of the triggers");
    triggers.iter().for_each(|name| connection.execute_batch(&format!("DROP TRIGGER {name}")).expect("a trigger"));
    connection.execute_batch(statement).expect("the edit is possible");
    drop(connection);
    place.call("audit verify").exits(1)
}

#[test]
fn a_trail_that_holds() {
    insta::assert_snapshot!(place().call("audit verify").exits(0).shown());
}

#[test]
fn an_edited_entry_is_named() {
    insta::assert_snapshot!(
        tampered("UPDATE entries SET body = replace(body, 'tester', 'nobody') WHERE seq = 1").shown()
    );
}

#[test]
fn a_deleted_entry_is_named() {
    insta::assert_snapshot!(tampered("DELETE FROM entries WHERE seq = 4").shown());
}

#[test]
fn a_deleted_end_is_named() {
    insta::assert_snapshot!(tampered("DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)").shown());
}

#[test]
fn an_inserted_entry_is_named() {
    let copy = "CREATE TEMP TABLE copy AS SELECT * FROM entries WHERE seq = 3;
                UPDATE copy SET seq = (SELECT max(seq) + 1 FROM entries), run_seq = 99;
                INSERT INTO entries SELECT * FROM copy;";
    insta::assert_snapshot!(tampered(copy).shown());
}

#[test]
fn exchanged_entries_are_named() {
    let swap = "UPDATE entries SET seq = -3 WHERE seq = 3;
                UPDATE entries SET seq = 3 WHERE seq = 4;
                UPDATE entries SET seq = 4 WHERE seq = -3;";
    insta::assert_snapshot!(tampered(swap).shown());
}

#[test]
fn findings_as_json() {
    let place = place();
    let report = place.call("audit verify --format json").exits(0).json();
    assert_eq!((&report["runs"], &report["findings"]), (&json!(2), &json!([])));
}

#[test]
fn an_export_is_checked_without_the_database() {
    let place = place();
    let export = place.call("audit export").exits(0).stdout();
    let head = place.call("audit verify --format json").json()["head"].as_str().expect("a last entry").to_owned();
    let elsewhere = Runbook::new().file("trail.jsonl", &export);
    insta::assert_snapshot!(elsewhere.call("audit verify --file trail.jsonl").exits(0).shown());
    assert!(!elsewhere.state().join("journal.sqlite").exists(), "nothing was opened or made");
    elsewhere.args(["audit", "verify", "--file", "trail.jsonl", "--head", &head]).done().exits(0);

    elsewhere.write("trail.jsonl", export.replacen("tester", "nobody", 1));
    insta::assert_snapshot!("an_edited_export", elsewhere.call("audit verify --file trail.jsonl").exits(1).shown());
    let shorter: Vec<&str> = export.lines().take(5).collect();
    elsewhere.write("trail.jsonl", shorter.join("\n"));
    elsewhere.args(["audit", "verify", "--file", "trail.jsonl", "--head", &head]).done().exits(1);
}

/// Someone who rewrites the whole trail has another last entry than the one that was written down.
#[test]
fn a_head_kept_elsewhere_proves_that_nothing_was_rewritten() {
    let place = place();
    let head = place.call("audit verify --format json").json()["head"].as_str().expect("a last entry").to_owned();
    place.args(["audit", "verify", "--head", &head]).done().exits(0);
    let (count, hash) = head.split_once(':').expect("a number and a hash");
    let other = format!("{count}:{}", hash.chars().rev().collect::<String>());
    place.args(["audit", "verify", "--head", &other]).done().exits(1);
    place.call("audit verify --head nonsense").exits(2);
}

#[test]
fn a_journal_of_a_newer_version_is_refused_and_stays_as_it_is() {
    let place = place();
    database(&place).pragma_update(None, "user_version", 99).expect("a version");
    let before = std::fs::read(place.state().join("journal.sqlite")).expect("the journal");
    for command in ["run touch.yaml --yes", "history", "show", "resume", "audit verify"] {
        place.call(command).exits(5).says("has format 99").says("install the version of runbook that wrote it");
    }
    let after = std::fs::read(place.state().join("journal.sqlite")).expect("the journal");
    assert!(before == after, "not a byte was changed");
}

#[test]
fn a_file_that_is_no_journal_is_refused() {
    let place = Runbook::new().file("touch.yaml", PLAYBOOK);
    std::fs::write(place.state().join("journal.sqlite"), "not a database at all, but long enough to look at")
        .expect("a file");
    place.call("run touch.yaml").exits(5).says("is not a journal of runbook");
    assert!(!place.exists("touched"), "nothing was started");
}

/// A folder below a file cannot be written to, whoever asks.
#[test]
fn without_a_journal_nothing_is_remediated() {
    let place = Runbook::new().file("touch.yaml", PLAYBOOK).file("plain", "");
    let state = place.path("plain").join("state").display().to_string();
    let place = place.variable("RUNBOOK_STATE", state);
    insta::assert_snapshot!(place.call("run touch.yaml --yes").exits(5).shown());
    assert!(!place.exists("touched"));
}

/// The kernel's own full disk: what is written to it is refused.
#[test]
fn on_a_full_disk_nothing_is_remediated() {
    let place = Runbook::new().file("touch.yaml", PLAYBOOK);
    std::os::unix::fs::symlink("/dev/full", place.state().join("journal.sqlite")).expect("a link");
    place.call("run touch.yaml --yes").exits(5);
    assert!(!place.exists("touched"));
}
