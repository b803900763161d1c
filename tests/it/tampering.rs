//! A matrix of tampering with the journal and its export, with and without an anchor.

use std::fs;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::proofs::{journal, key, verify, with_file_anchor};
use crate::support::Runbook;

/// Counts what was tried and what was noticed.
#[derive(Default)]
struct Tally {
    tried: [u32; 2],
    detected: [u32; 2],
    missed: Vec<String>,
}

/// A finished journal of three runs, what an anchor has of it, and an older copy of all state.
struct Scene {
    place: Runbook,
    key: String,
    pristine: Vec<u8>,
    early: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let place = with_file_anchor();
        place.call("run touch.yaml").exits(0);
        let early = fs::read(journal(&place)).expect("the journal");
        for _ in 0..8 {
            place.call("run touch.yaml").exits(0);
        }
        let pristine = fs::read(journal(&place)).expect("the journal");
        let key = key(&place);
        Scene { place, key, pristine, early }
    }

    /// Puts the journal into this state, and checks it without and with the anchor.
    fn judge(&self, tally: &mut Tally, what: &str, journal: &[u8], tamper: impl FnOnce(&Connection)) {
        fs::write(self::journal(&self.place), journal).expect("a writable journal");
        let connection = Connection::open(self::journal(&self.place)).expect("a database");
        tamper(&connection);
        drop(connection);
        for (column, more) in
            [vec!["--key", &self.key], vec!["--key", &self.key, "--anchor", "kept"]].iter().enumerate()
        {
            tally.tried[column] += 1;
            let (noticed, _) = verify(&self.place, more);
            tally.detected[column] += noticed as u32;
            if column == 1 && noticed == 0 {
                tally.missed.push(what.to_owned());
            }
        }
    }
}

/// Rewrites everything that follows from the entries, as somebody who read this program's source would.
fn rehash(connection: &Connection) {
    use runbook::audit::{Content, Head};
    let read = |row: &rusqlite::Row<'_>| {
        let content = Content {
            run: row.get(0)?,
            run_seq: row.get::<_, i64>(1)? as u64,
            at: row.get(2)?,
            kind: row.get(3)?,
            body: row.get(4)?,
        };
        Ok(content)
    };
    let contents: Vec<Content> = connection
        .prepare("SELECT run, run_seq, at, kind, body FROM entries ORDER BY seq")
        .and_then(|mut query| query.query_map([], read)?.collect())
        .expect("entries");
    connection.execute_batch("DELETE FROM entries; DELETE FROM nodes; DELETE FROM checkpoints;").expect("empty tables");
    let mut head = Head::EMPTY;
    let mut peaks = runbook::audit::tree::Peaks::default();
    let mut runs = std::collections::BTreeMap::new();
    for mut content in contents {
        let number = runs.entry(content.run.clone()).or_insert(0_u64);
        *number += 1;
        content.run_seq = *number;
        let entry = head.chain(content);
        head = Head::of(&entry);
        let (content, seq) = (&entry.content, entry.seq as i64);
        let values = rusqlite::params![
            seq,
            content.run,
            content.run_seq as i64,
            content.at,
            content.kind,
            content.body,
            entry.previous,
            entry.hash
        ];
        connection.execute("INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", values).expect("an entry");
        for node in peaks.push(entry.hash) {
            connection
                .execute(
                    "INSERT INTO nodes VALUES (?1, ?2, ?3)",
                    rusqlite::params![node.level, node.index as i64, node.hash],
                )
                .expect("a node");
        }
    }
    connection
        .execute("UPDATE head SET count = ?1, hash = ?2", rusqlite::params![head.count as i64, head.hash])
        .expect("a head");
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures of the matrix are told")]
fn t58_the_tamper_matrix_of_the_database() {
    let scene = Scene::new();
    let total = verify(&scene.place, &[]).1["entries"].as_u64().expect("a number");
    let (mut plain, mut clever) = (Tally::default(), Tally::default());
    let run =
        |connection: &Connection, statement: &str| connection.execute_batch(statement).expect("the edit is possible");
    for seq in (1..=total).step_by(5) {
        let edit = format!("UPDATE entries SET body = replace(body, 'e', 'a') WHERE seq = {seq}");
        let delete = format!("DELETE FROM entries WHERE seq = {seq}");
        let insert = format!("UPDATE entries SET seq = -seq - 1 WHERE seq >= {seq}; UPDATE entries SET seq = -seq WHERE seq < 0;
            INSERT INTO entries SELECT {seq}, 'forged', 1, at, kind, body, previous, hash FROM entries WHERE seq = {seq} + 1");
        let other = seq % total + 1;
        let swap = format!(
            "UPDATE entries SET seq = -1 WHERE seq = {seq}; UPDATE entries SET seq = {seq} WHERE seq = {other};
            UPDATE entries SET seq = {other} WHERE seq = -1"
        );
        for (what, statement) in [("edit", edit), ("delete", delete), ("insert", insert), ("swap", swap)] {
            let what = format!("{what} {seq}");
            scene.judge(&mut plain, &what, &scene.pristine, |connection| run(connection, &statement));
            scene.judge(&mut clever, &format!("{what}, rehashed"), &scene.pristine, |connection| {
                run(connection, &statement);
                rehash(connection);
            });
        }
    }
    for last in 1..=total.min(100) {
        let cut = format!("DELETE FROM entries WHERE seq > {total} - {last}");
        scene.judge(&mut plain, &format!("truncate {last}"), &scene.pristine, |connection| run(connection, &cut));
        scene.judge(&mut clever, &format!("truncate {last}, rehashed"), &scene.pristine, |connection| {
            run(connection, &cut);
            rehash(connection);
        });
    }
    scene.judge(&mut clever, "rollback", &scene.early, |_| ());
    // A fork: the older state goes on with other runs, signed with the genuine key.
    fs::write(journal(&scene.place), &scene.early).expect("a writable journal");
    let kept = scene.place.read("kept");
    for _ in 0..10 {
        scene.place.call("run touch.yaml").exits(0).says("refuses the audit trail");
    }
    assert_eq!(scene.place.read("kept"), kept, "the anchor keeps nothing of a fork");
    let fork = fs::read(journal(&scene.place)).expect("the journal");
    scene.judge(&mut clever, "fork", &fork, |_| ());
    // A key swap: everything is signed again with a key of the attacker.
    fs::remove_file(scene.place.state().join("audit.key")).expect("a key");
    fs::write(journal(&scene.place), &scene.pristine).expect("a writable journal");
    Connection::open(journal(&scene.place))
        .expect("a database")
        .execute_batch("DELETE FROM checkpoints")
        .expect("gone");
    scene.place.call("run touch.yaml").exits(0);
    scene.place.write("kept", kept);
    let swapped = fs::read(journal(&scene.place)).expect("the journal");
    scene.judge(&mut clever, "key swap", &swapped, |_| ());
    for (name, tally) in
        [("edits as by a database tool", &plain), ("edits by somebody who rewrites every hash", &clever)]
    {
        eprintln!(
            "t58 {name}: without an anchor {} of {} detected, with an anchor {} of {}",
            tally.detected[0], tally.tried[0], tally.detected[1], tally.tried[1]
        );
        assert_eq!(tally.missed, Vec::<String>::new(), "{name}");
    }
    assert_eq!(plain.detected[0], plain.tried[0], "a database tool is noticed without an anchor");
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures of the matrix are told")]
fn t58_the_tamper_matrix_of_the_export() {
    let scene = Scene::new();
    let export = scene.place.call("audit export").exits(0).stdout();
    let lines: Vec<&str> = export.lines().collect();
    let mut damaged: Vec<(String, Vec<String>)> = Vec::new();
    let owned = || lines.iter().map(|line| (*line).to_owned()).collect::<Vec<String>>();
    for line in (1..lines.len()).step_by(3) {
        let (mut edited, mut deleted, mut inserted, mut swapped) = (owned(), owned(), owned(), owned());
        edited[line] = edited[line].replacen("run", "rum", 1);
        deleted.remove(line);
        inserted.insert(line, lines[line].to_owned());
        swapped.swap(line, if line == 1 { 2 } else { line - 1 });
        damaged.extend(
            [("edit", edited), ("delete", deleted), ("insert", inserted), ("swap", swapped)]
                .map(|(what, lines)| (format!("{what} {line}"), lines)),
        );
    }
    for last in 1..lines.len().min(101) {
        // With a header that fits what is left, as by somebody who knows the format.
        let mut cut = owned();
        cut.truncate(lines.len() - last);
        if let Some(end) = cut.get(1..).and_then(<[String]>::last) {
            let end: Value = serde_json::from_str(end).expect("a line of JSON");
            cut[0] = format!(
                r#"{{"format":"runbook-audit","version":1,"head":"{}:{}"}}"#,
                end["seq"],
                end["hash"].as_str().expect("a hash")
            );
        }
        damaged.push((format!("truncate {last}"), cut));
    }
    let mut detected = 0;
    for (what, lines) in &damaged {
        scene.place.write("export", lines.join("\n") + "\n");
        let (noticed, report) = verify(&scene.place, &["--file", "export", "--key", &scene.key, "--anchor", "kept"]);
        assert_eq!(noticed, 1, "{what}: {report}");
        detected += noticed;
    }
    eprintln!("t58 export, with an anchor: {detected} of {} detected", damaged.len());
    scene.place.write("export", &export);
    assert_eq!(verify(&scene.place, &["--file", "export", "--key", &scene.key, "--anchor", "kept"]).0, 0);
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are told")]
fn t58_no_false_alarm_on_a_hundred_untouched_journals() {
    let place = with_file_anchor();
    let key = key(&place);
    for number in 1..=100 {
        place.call(if number % 2 == 0 { "run touch.yaml" } else { "run look.yaml" }).exits(0);
        let (alarm, report) = verify(&place, &["--key", &key, "--anchor", "kept"]);
        assert_eq!((alarm, &report["window"]["entries"]), (0, &0.into()), "{number}: {report}");
    }
    eprintln!("t58 untouched: 0 false alarms in 100");
}

/// SQLite cannot see that the end of its own log is lost; an anchor can.
#[test]
#[expect(clippy::print_stderr, reason = "the figures are told")]
fn t05_a_lost_end_of_the_write_ahead_log_is_noticed_with_an_anchor() {
    let place = with_file_anchor();
    place.call("run touch.yaml").exits(0);
    // A reader that stays keeps the log from being folded into the database.
    let stays = Connection::open_with_flags(journal(&place), OpenFlags::SQLITE_OPEN_READ_WRITE).expect("a database");
    stays.query_row("SELECT count(*) FROM entries", [], |row| row.get::<_, i64>(0)).expect("a number");
    place.call("run touch.yaml").exits(0);
    let files = |name: &str| fs::read(place.state().join(name)).expect("a file");
    let (database, log) = (files("journal.sqlite"), files("journal.sqlite-wal"));
    let key = key(&place);
    drop(stays);
    // A frame is a header of 24 bytes and a page; the last one ends the last transaction.
    let page = 4096 + 24;
    let last = log.len() - page;
    let (mut tried, mut lost, mut silent) = (0, 0, 0);
    let cuts = (last..log.len()).step_by(211).map(|at| log[..at].to_vec());
    let flips = (last..log.len()).step_by(97).map(|at| {
        let mut flipped = log.clone();
        flipped[at] ^= 1;
        flipped
    });
    for damaged in cuts.chain(flips) {
        drop(fs::remove_file(place.state().join("journal.sqlite-shm")));
        fs::write(place.state().join("journal.sqlite"), &database).expect("the journal");
        fs::write(place.state().join("journal.sqlite-wal"), &damaged).expect("its log");
        let entries = verify(&place, &[]).1["entries"].as_u64().expect("it opens");
        let (noticed, report) = verify(&place, &["--key", &key, "--anchor", "kept"]);
        tried += 1;
        lost += u32::from(report["completeness"] == "incomplete");
        silent += u32::from(noticed == 0 && entries < report["anchored"].as_u64().unwrap_or(u64::MAX));
        assert!(noticed == 1 || report["window"]["entries"] == 0, "{report}");
    }
    assert!(lost > 0 && silent == 0, "{lost} {silent}");
    eprintln!("t05: {tried} damaged logs opened, {lost} lost entries, {silent} silently");
}
