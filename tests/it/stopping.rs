//! Ctrl-C, a crash, and going on afterwards.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Done, Runbook};

/// The fix runs until it is told to end, and says so in files.
const PLAYBOOK: &str = "
runbook: 1
name: slow
title: Something slow
recovery: {within: 0s}
detect: {any: {fault: {file: {path: fault}, holds: exists}}}
remediate:
  first: {command: {argv: [sh, -c, 'echo first >> effects']}, risk: safe, effect: once}
  slow: {needs: [first], command: {argv: [sh, slow.sh]}, risk: safe, effect: EFFECT, timeout: 30s}
  last: {needs: [slow], command: {argv: [rm, fault]}, risk: safe, effect: idempotent}
finally:
  note: {command: {argv: [sh, -c, 'echo noted >> effects']}, effect: idempotent}
";

/// Waits for `go` unless it is there; `read` of a pipe that nobody writes to waits without a clock.
const SLOW: &str = "
echo slow >> effects
trap 'echo told >> effects; exit 1' TERM
[ -e go ] && exit 0
echo $$ > waiting
mkfifo pipe 2>/dev/null
read line < pipe &
wait $!
";

fn place(effect: &str) -> Runbook {
    Runbook::new().file("slow.yaml", PLAYBOOK.replace("EFFECT", effect)).file("slow.sh", SLOW).file("fault", "")
}

/// Whether the slow step waits, and has said under which number; the file is there a moment before.
fn waits(place: &Runbook) -> bool {
    place.exists("waiting") && place.read("waiting").ends_with('\n')
}

fn effects(place: &Runbook) -> Vec<String> {
    place.read("effects").lines().map(str::to_owned).collect()
}

fn is_gone(place: &Runbook, name: &str) -> bool {
    let id = place.read(name);
    let state = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    state.is_empty() || state.contains(") Z ")
}

#[test]
fn interrupted_once_it_cleans_up() {
    insta::assert_snapshot!(told_once(Signal::INT).shown());
}

/// A supervisor that ends the program, such as systemd, gets the same as a person at the keyboard.
#[test]
fn t12_told_to_end_no_further_step_begins_and_it_cleans_up() {
    told_once(Signal::TERM);
}

fn told_once(signal: Signal) -> Done {
    let place = place("once");
    let mut running = place.args(["run", "slow.yaml", "--yes"]).start();
    running.until("the slow step", || waits(&place));
    running.signal(signal);
    running.until_it_says("cancel asked");
    // Asked softly, the run lets what is running end.
    std::fs::write(place.path("pipe"), "done\n").expect("the step still waits");
    let done = running.done().exits(4);
    assert_eq!(effects(&place), ["first", "slow", "noted"], "what ran has ended, and finally ran");
    assert!(place.exists("fault"), "nothing new was started");
    assert_eq!(place.newest()["outcome"], "cancelled");
    done
}

#[test]
fn interrupted_twice_it_ends_at_once_and_says_what_it_left() {
    let place = place("once");
    let mut running = place.args(["run", "slow.yaml", "--yes"]).start();
    running.until("the slow step", || waits(&place));
    running.interrupt();
    running.until_it_says("cancel asked");
    running.interrupt();
    let done = running.done().exits(4);
    assert!(!effects(&place).contains(&"noted".to_owned()), "finally is skipped");
    assert!(is_gone(&place, "waiting"), "the step's processes have ended");
    insta::assert_snapshot!(done.shown());
}

/// Ends the program and the shim of its step, as a power failure does, while the slow step runs; ends an
/// orphan without a shim too, and lets the next attempt through.
fn crashed(effect: &str) -> (Runbook, String) {
    let place = place(effect);
    let mut running = place.args(["run", "slow.yaml", "--yes"]).start();
    running.until("the slow step", || waits(&place));
    running.kill();
    drop(running);
    place.fail_shim_of("waiting");
    // Who waits is a child of the step, which outlives even that.
    std::fs::write(place.path("pipe"), "done\n").expect("the orphan still waits");
    place.write("go", "");
    let run = place.newest_run();
    (place, run)
}

fn count(place: &Runbook, word: &str) -> usize {
    effects(place).iter().filter(|line| *line == word).count()
}

#[test]
fn after_a_crash_a_harmless_step_is_repeated_and_a_finished_one_is_not() {
    let (place, run) = crashed("idempotent");
    assert_eq!(place.newest()["outcome"], Value::Null, "it has not ended");
    place.args(["resume", &run, "--yes"]).done().exits(0);
    assert_eq!((count(&place, "first"), count(&place, "slow"), count(&place, "noted")), (1, 2, 1));
    assert_eq!(place.newest()["outcome"], "resolved");
    place.call("audit verify").exits(0);
}

#[test]
fn after_a_crash_a_step_in_doubt_waits_for_a_person() {
    let (place, run) = crashed("once");
    insta::assert_snapshot!(place.args(["resume", &run, "--yes"]).done().exits(3).shown());
    assert_eq!(count(&place, "slow"), 1, "not repeated on a guess");
    let step = "remediate.slow";
    let done = place.args(["resolve", &run, step, "--done", "--reason", "seen in the log"]).done().exits(0);
    assert_eq!((count(&place, "first"), count(&place, "slow")), (1, 1));
    insta::assert_snapshot!("resolved_by_a_person", done.shown());
}

/// A run goes on with the very text it was started with, or not at all.
#[test]
fn t16_a_kept_playbook_that_was_edited_is_not_gone_on_with() {
    let (place, run) = crashed("idempotent");
    let folder = std::fs::read_dir(place.state().join("playbooks")).expect("a folder");
    let kept = folder.map(|entry| entry.expect("an entry").path()).next().expect("the kept playbook");
    let text = std::fs::read_to_string(&kept).expect("a text");
    std::fs::write(&kept, text.replace("echo noted", "echo other")).expect("room");
    place.args(["resume", &run, "--yes"]).done().says("is not the one it was started with");
    assert_eq!((count(&place, "slow"), place.exists("fault")), (1, true), "nothing was done");
    std::fs::write(&kept, text).expect("room");
    place.args(["resume", &run, "--yes"]).done().exits(0);
}

#[test]
fn a_step_in_doubt_is_repeated_when_a_person_says_so() {
    let (place, run) = crashed("once");
    place.args(["resolve", &run, "remediate.slow", "--retry", "--reason", "it did nothing"]).done().exits(0);
    assert_eq!((count(&place, "first"), count(&place, "slow")), (1, 2));
}

#[test]
fn a_step_in_doubt_that_must_not_be_done_ends_the_run() {
    let (place, run) = crashed("once");
    let done = place.args(["resolve", &run, "remediate.slow", "--abort", "--reason", "too late"]).done();
    assert_eq!((count(&place, "slow"), place.exists("fault")), (1, true));
    assert_ne!(place.newest()["outcome"], json!("resolved"));
    insta::assert_snapshot!(done.shown());
}

/// A step that is out of time takes its whole family with it.
#[test]
fn a_time_limit_ends_the_whole_process_group() {
    let playbook = "runbook: 1\nname: limit\ntitle: A limit\n\
                    remediate: {slow: {command: {argv: [sh, family.sh]}, risk: safe, timeout: 1s}}\n";
    let family = "sh -c 'echo $$ > child; mkfifo a; read x < a' & echo $$ > parent; mkfifo b; read x < b";
    let place = Runbook::new().file("limit.yaml", playbook).file("family.sh", family);
    let mut running = place.args(["run", "limit.yaml", "--yes"]).start();
    running.until("the family", || place.exists("child") && place.exists("parent"));
    running.done().exits(1).says("not done within 1.0 s");
    assert!(is_gone(&place, "child") && is_gone(&place, "parent"), "nobody is left");
}
