//! The last message of a ladder, when the server is killed while it is sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::json;

use super::escalations::{escalation, ladder};
use super::pager::Pager;
use super::{Served, start, token};
use crate::clock::other_time;
use crate::support::wait_until;

/// Longer than it takes to kill a server.
const PATIENCE: Duration = Duration::from_secs(50);

#[test]
fn the_last_level_is_told_again_when_the_server_was_killed_while_it_was_told() {
    let (go_on, held) = mpsc::channel::<()>();
    let (held, is_sent) = (Mutex::new(held), Arc::new(AtomicBool::new(false)));
    let sent = is_sent.clone();
    let pager = Pager::start_with(move |who| {
        if who == "boss" && !sent.swap(true, Ordering::SeqCst) {
            let held = held.lock().expect("no panic");
            held.recv_timeout(PATIENCE).expect("the server is killed");
        }
    });
    let Some(library) = other_time() else { return };
    let runbook = ladder(&pager, "30m").file("clock", "+0");
    let clock = runbook.path("clock").display().to_string();
    let runbook = runbook
        .variable("LD_PRELOAD", library.display().to_string())
        .variable("FAKETIME_TIMESTAMP_FILE", clock)
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    runbook.call("run down").exits(1);
    let run = runbook.newest_run();
    let Served { running, client } = start(&runbook);
    for who in ["lead", "boss"] {
        client.post(&format!("/api/v1/escalations/{run}/next"), Some(&token("operator")), &json!({})).is(200);
        wait_until("it is sent", || pager.count(&format!("{who} escalated")) == 1 || is_sent.load(Ordering::SeqCst));
    }
    running.kill();
    drop(running.done());
    go_on.send(()).expect("it is held");
    wait_until("the boss has it after all", || pager.count("boss escalated") == 1);
    assert!(!pager.to("boss")["text"].as_str().expect("text").contains("already"));

    runbook.write("clock", "+2m");
    let served = start(&runbook);
    wait_until("the boss is told again", || pager.count("boss escalated") == 2);
    let text = pager.to("boss")["text"].as_str().expect("text").to_owned();
    assert!(text.starts_with("You may have this message already"), "{text}");
    wait_until("it is written down", || {
        escalation(&served.client)["notices"][3]["to"]["webhook:boss"]["sent"] == "delivered"
    });
    let notices = escalation(&served.client)["notices"].clone();
    assert_eq!(notices[2]["to"]["webhook:boss"]["sent"], json!("doubtful"), "{notices}");
    assert_eq!((&notices[3]["repeats"], notices[4].is_null()), (&notices[2]["notice"], true), "{notices}");
    assert_eq!((pager.count("first escalated"), pager.count("lead escalated")), (1, 1));
    let shown = runbook.args(["show", &run]).done().exits(0);
    shown
        .says("level 3 (webhook:boss): webhook:boss in doubt")
        .says("level 3 (webhook:boss), again: webhook:boss told");
}
