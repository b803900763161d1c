//! Checkpoints and proofs of the audit trail, fetched by the API and checked without the server.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use runbook::audit::proof::is_consistent;
use runbook::audit::{Checkpoint, Hash, Note, PublicKey, Verdict};
use rusqlite::Connection;
use serde_json::Value;

use super::visitor::{Browser, text_of};
use super::{Served, place, start, token};
use crate::proofs;

fn get(served: &Served, path: &str) -> String {
    served.client.get(path, Some(&token("viewer"))).is(200).body
}

/// What a checkpoint says, if the key has signed it.
fn signed(key: &PublicKey, text: &str) -> Checkpoint {
    let note = Note::parse(text).expect("a signed note");
    assert!(key.verify(&note) == Verdict::Signed, "{text}");
    Checkpoint::parse(&note.text).expect("a checkpoint")
}

fn hash(text: &Value) -> Hash {
    let bytes = BASE64_STANDARD.decode(text.as_str().expect("text")).expect("base64");
    bytes.try_into().expect("32 bytes")
}

#[test]
fn t58_checkpoints_and_proofs_of_the_api_are_checked_without_the_server() {
    let runbook = place("");
    let mut served = start(&runbook);
    served.client.get("/api/v1/audit/checkpoint", Some(&token("viewer"))).is(404);
    served.alert(&["a"]).is(202);
    served.running.until_it_says("healthy");
    let first = get(&served, "/api/v1/audit/proofs/inclusion?entry=1");
    let text = proofs::key(&runbook);
    let key: PublicKey = text.parse().expect("a key");
    let early = get(&served, "/api/v1/audit/checkpoint");
    served.alert(&["b"]).is(202);
    served.running.until("the second run has ended", || {
        served.client.tickets()["closed"].as_array().is_some_and(|closed| closed.len() == 2)
    });
    // The proof of an entry that nothing signed covers makes a new checkpoint.
    let old = signed(&key, &early);
    let number = old.size + 1;
    let late_proof = get(&served, &format!("/api/v1/audit/proofs/inclusion?entry={number}"));
    let late = get(&served, "/api/v1/audit/checkpoint");
    let new = signed(&key, &late);
    assert!(new.size > old.size);

    for proof in [&first, &late_proof] {
        runbook.write("proof", proof);
        proofs::check_proof(&runbook, &text).exits(0);
    }
    runbook.write("proof", late_proof.replacen(&format!("index {}", number - 1), "index 0", 1));
    proofs::check_proof(&runbook, &text).exits(1);

    let proof: Value =
        serde_json::from_str(&get(&served, &format!("/api/v1/audit/proofs/consistency?from={}", old.size)))
            .expect("JSON");
    assert_eq!((proof["from"].as_u64(), proof["to"].as_u64()), (Some(old.size), Some(new.size)));
    let hashes: Vec<Hash> = proof["hashes"].as_array().expect("hashes").iter().map(hash).collect();
    assert!(is_consistent(old.size, &old.root, new.size, &new.root, &hashes));
    assert!(!is_consistent(old.size, &new.root, new.size, &new.root, &hashes), "another trail does not fit");

    // A checkpoint that somebody kept is an anchor for `audit verify`.
    runbook.write("kept", late);
    runbook.args(["audit", "verify", "--key", &text, "--anchor", "kept"]).done().exits(0).says("proven up to entry");
}

/// What somebody who is signed in reads after they let the page verify, without runs of spaces.
fn verified(browser: &Browser, fields: &[(&str, &str)], status: u16) -> String {
    text_of(&browser.post("/audit/verify", fields).is(status).body)
}

fn without_spaces(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn the_page_verifies_as_the_command_line_does_in_the_same_words() {
    let runbook = place("");
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.running.until("the run has ended", || served.client.tickets()["open"] == Value::Array(Vec::new()));
    served.client.get("/api/v1/audit/proofs/inclusion?entry=1", Some(&token("viewer"))).is(200);
    let kept = get(&served, "/api/v1/audit/checkpoint");
    let key = proofs::key(&runbook);
    runbook.write("kept", &kept);
    let viewer = Browser::sign_in(&served.client, &token("viewer"));
    let said = runbook.call("audit verify").exits(0).stdout();
    let head = said.lines().last().and_then(|line| line.split_whitespace().last()).expect("the last entry").to_owned();
    assert!(said.contains("The audit trail holds: "), "{said}");
    for (fields, arguments) in [
        (vec![], vec![]),
        (vec![("head", &*head)], vec!["--head", &*head]),
        (vec![("key", &*key), ("anchor", &*kept)], vec!["--key", &*key, "--anchor", "kept"]),
    ] {
        let said = runbook.args(["audit", "verify"].iter().chain(&arguments).copied()).done().exits(0).stdout();
        let shown = verified(&viewer, &fields, 200);
        // The time that has passed since is not the same.
        for line in without_spaces(&said).iter().filter(|line| !line.starts_with("Undetectable")) {
            assert!(shown.contains(line.as_str()), "{line} in {shown}");
        }
    }
    for (fields, why) in [
        (vec![("head", "7")], "7"),
        (vec![("key", "nonsense")], "not a public key"),
        (vec![("anchor", &*kept)], "without the public key"),
        (vec![("key", &*key), ("anchor", "nothing")], "holds no checkpoint"),
    ] {
        assert!(verified(&viewer, &fields, 422).contains(why), "{fields:?}");
    }
    let narrow = Browser::sign_in(&served.client, &token("narrow"));
    assert!(verified(&narrow, &[], 403).contains("for some playbooks only"));
    assert!(!narrow.get("/audit").is(200).body.contains("action=\"/audit/verify\""));

    // Somebody edits an entry while the server runs.
    let database = Connection::open(proofs::journal(&runbook)).expect("a database");
    database.execute("UPDATE entries SET body = replace(body, 'e', 'a') WHERE seq = 2", []).expect("it is edited");
    let said = runbook.call("audit verify").exits(1).stdout();
    let shown = verified(&viewer, &[], 200);
    assert!(said.contains("does not hold") && said.contains("entry 2"), "{said}");
    without_spaces(&said).iter().for_each(|line| assert!(shown.contains(line.as_str()), "{line} in {shown}"));
    assert!(viewer.post("/audit/verify", &[]).body.contains("role=\"alert\""));
}
