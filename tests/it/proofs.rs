//! The audit trail proves itself: checkpoints, anchors, proofs, and what happens when it cannot be written.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{Done, Runbook};

const PLAYBOOK: &str = "
runbook: 1
name: touch
title: Touches a file
remediate: {touch: {command: {argv: [touch, touched]}, risk: safe}}
";

/// A playbook whose fault does not exist: it only looks.
const LOOKS: &str = "
runbook: 1
name: look
title: Looks at a file
detect: {any: {gone: {file: {path: look.yaml}, holds: '!exists'}}}
remediate: {touch: {command: {argv: [touch, touched]}, risk: safe}}
";

fn anchored(anchors: &str) -> Runbook {
    let site = format!("playbooks: [.]\naudit: {{anchors: [{anchors}]}}\n");
    Runbook::new().file("touch.yaml", PLAYBOOK).file("look.yaml", LOOKS).file("runbook.yaml", site)
}

pub fn with_file_anchor() -> Runbook {
    anchored("{file: {path: kept}}")
}

pub fn key(place: &Runbook) -> String {
    place.call("audit key").exits(0).stdout().trim().to_owned()
}

pub fn journal(place: &Runbook) -> PathBuf {
    place.state().join("journal.sqlite")
}

pub fn verify(place: &Runbook, more: &[&str]) -> (i32, Value) {
    let arguments = ["audit", "verify", "--format", "json"].into_iter().chain(more.iter().copied());
    let done = place.args(arguments).done();
    let report = done.json();
    let sound = report["findings"].as_array().expect("findings").is_empty();
    done.exits(i32::from(!sound));
    (i32::from(!sound), report)
}

/// Checks the file `proof` with the verifier of the examples, which shares nothing with the program.
pub fn check_proof(place: &Runbook, key: &str) -> Done {
    let verifier = Path::new(env!("CARGO_BIN_EXE_runbook")).with_file_name("examples").join("verify_proof");
    assert!(
        verifier.exists(),
        "built by `cargo test` together with the tests; else: cargo build --example verify_proof"
    );
    place.write("check.sh", format!("'{}' '{key}' proof", verifier.display()));
    place.shell("check.sh")
}

#[test]
fn t58_integrity_completeness_and_the_undetectable_window_are_told() {
    let place = with_file_anchor();
    place.call("run touch.yaml").exits(0);
    let key = key(&place);
    place.call("audit verify").exits(0).says("signatures were not checked").says("cannot be proven without an anchor");
    place
        .args(["audit", "verify", "--key", &key, "--anchor", "kept"])
        .done()
        .exits(0)
        .says("every entry fits")
        .says("signed with the key you gave")
        .says("proven up to entry")
        .says("nothing; no entry is newer");
    // What comes after the last anchored checkpoint is the window.
    let old = place.read("kept");
    place.call("run touch.yaml").exits(0);
    place.write("older", old);
    let (_, report) = verify(&place, &["--key", &key, "--anchor", "older"]);
    assert_eq!(report["completeness"], "proven_to_anchor");
    let (anchored, entries) = (report["anchored"].as_u64().unwrap(), report["entries"].as_u64().unwrap());
    assert_eq!(report["window"]["entries"].as_u64(), Some(entries - anchored));
    assert!(anchored < entries && report["window"]["seconds"].is_u64(), "{report}");
    place.args(["audit", "verify", "--anchor", "kept"]).done().exits(2).says("--key");
    place
        .args(["audit", "verify", "--key", &key, "--anchor", "touch.yaml"])
        .done()
        .exits(2)
        .says("holds no checkpoint");
    place.args(["audit", "verify", "--key", "nonsense"]).done().exits(2).says("audit key");
}

#[test]
fn t58_a_checkpoint_is_durable_before_the_remediation_starts() {
    let copy = "
runbook: 1
name: copy
title: Copies the journal while it is remediated
inputs: {state: {type: path}}
remediate: {copy: {command: {argv: [cp, -r, '{{inputs.state}}', during]}, risk: safe}}
";
    let place = with_file_anchor().file("copy.yaml", copy);
    place.args(["run", "copy.yaml", "--input", &format!("state={}", place.state().display())]).done().exits(0);
    let during = Connection::open(place.path("during").join("journal.sqlite")).expect("the copy");
    let count = |query: &str| during.query_row(query, [], |row| row.get::<_, i64>(0)).expect("a number");
    let intent = count("SELECT max(seq) FROM entries WHERE kind = 'attempt_started'");
    assert_eq!(count("SELECT max(size) FROM checkpoints"), intent);
}

#[test]
fn t58_an_entry_is_proven_by_a_program_that_knows_nothing_of_the_journal() {
    let place = with_file_anchor();
    place.call("run touch.yaml").exits(0);
    let key = key(&place);
    let total = verify(&place, &[]).1["entries"].as_u64().expect("a number");
    let check = |key: &str| check_proof(&place, key);
    for entry in 1..=total {
        place.args(["audit", "prove", &entry.to_string(), "--file", "proof"]).done().exits(0);
        check(&key).exits(0).says(&format!("PROVEN: entry {entry} of"));
        let whole = place.read("proof");
        for place_of_change in (0..whole.len()).step_by(37) {
            let mut bytes = whole.clone().into_bytes();
            bytes[place_of_change] ^= 1;
            place.write("proof", bytes);
            // Some bits are not part of what is proven, but never may another entry be.
            let said = check(&key).stdout();
            let same = said.starts_with(&format!("PROVEN: entry {entry} of"));
            assert!(same || said.starts_with("NOT PROVEN") || said.starts_with("cannot read"), "{said}");
        }
        place.write("proof", whole);
    }
    let other = anchored("");
    check(other.call("audit key").stdout().trim()).exits(1).says("not signed with this key");
    place.call("audit prove 0").exits(2);
    place.args(["audit", "prove", &(total + 1).to_string()]).done().exits(2).says("numbered from 1");
}

#[test]
fn t06_without_an_anchor_that_is_required_nothing_is_remediated_and_looking_goes_on() {
    let place = anchored("{file: {path: missing/kept}, required: true}");
    place.call("run touch.yaml").exits(1).says("not started: the file anchor, which is required");
    assert!(!place.exists("touched"));
    place.call("run look.yaml").exits(0);
    fs::create_dir(place.path("missing")).expect("mounted again");
    place.call("run touch.yaml").exits(0);
    assert!(place.exists("touched"));
    let key = key(&place);
    assert_eq!(verify(&place, &["--key", &key, "--anchor", "missing/kept"]).0, 0);
}

#[test]
fn t06_an_anchor_that_is_not_required_is_told_about_and_stops_nothing() {
    let place = anchored("{file: {path: missing/kept}}");
    place.call("run touch.yaml").exits(0).says("the file anchor did not take a checkpoint");
    assert!(place.exists("touched"));
}

/// The kernel refuses to let files grow, as a full disk does.
#[test]
fn t06_a_full_disk_lets_nothing_be_remediated_and_recovers() {
    let place = with_file_anchor();
    place.call("run look.yaml").exits(0);
    let program = env!("CARGO_BIN_EXE_runbook");
    let mut refused = 0;
    for blocks in [0, 1, 4, 16, 32, 48] {
        // Ignored, the signal of the limit becomes an error of the write.
        place.write("limited.sh", format!("trap '' XFSZ; ulimit -f {blocks}; exec '{program}' run touch.yaml"));
        drop(place.shell("limited.sh"));
        let started = Connection::open(journal(&place)).expect("a database").query_row(
            "SELECT count(*) FROM entries WHERE kind = 'attempt_started' AND body LIKE '%remediate.touch%'",
            [],
            |row| row.get::<_, i64>(0),
        );
        if place.exists("touched") {
            assert!(started.expect("a number") > 0, "{blocks}: it was done without an intent in the journal");
            fs::remove_file(place.path("touched")).expect("the file");
        } else {
            refused += 1;
        }
    }
    assert!(refused >= 2, "{refused}");
    place.call("run touch.yaml").exits(0);
    let key = key(&place);
    assert_eq!(verify(&place, &["--key", &key, "--anchor", "kept"]).0, 0);
}

#[test]
fn t06_a_key_that_cannot_be_used_lets_nothing_be_remediated() {
    let place = with_file_anchor();
    key(&place);
    fs::write(place.state().join("audit.key"), "nonsense").expect("the key");
    place.call("run touch.yaml").exits(5).says("audit.key").says("restore it from a backup");
    assert!(!place.exists("touched"));
}

/// Longer than SQLite is told to wait.
#[test]
fn t08_a_journal_that_stays_locked_lets_nothing_be_remediated() {
    let place = with_file_anchor();
    place.call("run look.yaml").exits(0);
    let other = Connection::open(journal(&place)).expect("a database");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    place.call("run touch.yaml").exits(5).says("is locked by another program");
    assert!(!place.exists("touched"));
    other.execute_batch("ROLLBACK").expect("the end of the lock");
    place.call("run touch.yaml").exits(0);
    assert_eq!(verify(&place, &[]).0, 0);
}

/// Two programs may work on one state folder: they share one trail, and no entry is lost or doubled.
#[test]
fn t14_two_engines_on_one_state_folder_make_one_trail() {
    let place = with_file_anchor();
    let runs: Vec<_> = (0..6).map(|_| place.args(["run", "touch.yaml"]).start()).collect();
    runs.into_iter().for_each(|run| drop(run.done().exits(0)));
    let key = key(&place);
    let (alarm, report) = verify(&place, &["--key", &key]);
    assert_eq!((alarm, &report["runs"]), (0, &6.into()), "{report}");
}

/// A journal that version 0.1 wrote before there were checkpoints.
#[test]
fn t15_a_journal_of_the_previous_format_is_read_and_brought_up_to_date() {
    let place = with_file_anchor();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journals/format-1.sqlite");
    fs::copy(old, journal(&place)).expect("the fixture");
    place.call("history").exits(0).says("touch");
    let (alarm, before) = verify(&place, &[]);
    assert_eq!((alarm, &before["runs"]), (0, &1.into()));
    place.call("run touch.yaml").exits(0);
    let key = key(&place);
    let (alarm, after) = verify(&place, &["--key", &key, "--anchor", "kept"]);
    assert_eq!((alarm, &after["runs"], &after["completeness"]), (0, &2.into(), &"proven_to_anchor".into()));
    assert_eq!(after["anchored"], after["entries"], "the old entries are covered too");
}

#[test]
fn t15_a_journal_of_a_future_format_is_refused_with_words() {
    let place = with_file_anchor();
    place.call("run touch.yaml").exits(0);
    let version = |version: u32| {
        Connection::open(journal(&place))
            .expect("a database")
            .pragma_update(None, "user_version", version)
            .expect("a version");
    };
    version(3);
    fs::remove_file(place.path("touched")).expect("the file");
    for command in ["run touch.yaml", "audit verify", "audit prove 1", "history"] {
        place.call(command).exits(5).says("has format 3").says("install the version of runbook that wrote it");
    }
    assert!(!place.exists("touched"));
}

#[test]
fn an_anchor_that_does_not_exist_is_a_mistake_in_the_site_file() {
    anchored("{fiel: {path: kept}}").call("history").exits(2).says("fiel");
    anchored("{file: {path: kept}, required: perhaps}").call("history").exits(2).says("required");
}
