//! Every system call that durability rests on, failing or never returning. Numbers are those of the reliability
//! test plan.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Connection;
use serde_json::Value;

use crate::proofs::journal;
use crate::support::{Done, Runbook};
use crate::tracing::{each, is_possible, most_by_one_thread, tell, trace, traced, try_all};

/// Six steps, with each way in which a step in doubt can be treated: reading, idempotent, once with a check, and
/// once, for which a person is asked.
const PLAYBOOK: &str = "
runbook: 1
name: six
title: Six steps
recovery: {within: 0s}
detect: {any: {fault: {file: {path: fault}, holds: exists}}}
diagnose:
  look: {command: {argv: [sh, step.sh, look]}, effect: read}
remediate:
  again: {command: {argv: [sh, step.sh, again]}, effect: idempotent, risk: safe}
  checked:
    needs: [again]
    command: {argv: [sh, step.sh, checked]}
    effect: once
    risk: safe
    check: {file: {path: effects/checked}, expect: exists}
  once: {needs: [checked], command: {argv: [sh, step.sh, once]}, effect: once, risk: safe}
  mend: {needs: [once], command: {argv: [sh, step.sh, mend]}, effect: idempotent, risk: safe}
finally:
  tidy: {command: {argv: [sh, step.sh, tidy]}, effect: idempotent}
";

const STEP: &str = "
echo $1 >> effects/$1
[ $1 = mend ] && rm -f fault
exit 0
";

/// The steps, and whether one crash may make them run twice.
pub const STEPS: [(&str, bool); 6] = [
    ("diagnose.look", true),
    ("remediate.again", true),
    ("remediate.checked", false),
    ("remediate.once", false),
    ("remediate.mend", true),
    ("finally.tidy", true),
];

pub const RUN: [&str; 3] = ["run", "six.yaml", "--yes"];

pub fn place() -> Runbook {
    let place = Runbook::new().file("six.yaml", PLAYBOOK).file("step.sh", STEP).file("fault", "");
    std::fs::create_dir(place.path("effects")).expect("an empty place");
    place
}

/// How often the step had its effect in the world.
pub fn effects(place: &Runbook, step: &str) -> usize {
    let (_, name) = step.split_once('.').expect("a phase and a name");
    place.read(&format!("effects/{name}")).lines().count()
}

/// Every event of the journal, as it is stored.
pub fn events(place: &Runbook) -> Vec<Value> {
    if !journal(place).exists() {
        return Vec::new();
    }
    let database = Connection::open(journal(place)).expect("a database");
    // Killed before its first transaction the file has no tables.
    let Ok(mut query) = database.prepare("SELECT body FROM entries ORDER BY seq") else { return Vec::new() };
    let bodies = query.query_map([], |row| row.get::<_, String>(0)).expect("entries");
    bodies.map(|body| serde_json::from_str(&body.expect("a text")).expect("an event")).collect()
}

/// Whether this is the start of an attempt at the step itself.
fn starts(event: &Value, step: &str) -> bool {
    event["event"] == "attempt_started" && event["role"] == "main" && event["key"] == step
}

/// What must hold at every moment: no effect without an intent, and no start after an end.
pub fn judge(place: &Runbook, what: &str) {
    let events = events(place);
    for (step, _) in STEPS {
        let intents = events.iter().filter(|event| starts(event, step)).count();
        assert!(effects(place, step) <= intents, "{what}: {step} had an effect that the journal knows nothing of");
        let ended = events.iter().position(|event| event["event"] == "step_finished" && event["key"] == step);
        let later = ended.map_or(&[][..], |ended| &events[ended..]);
        assert!(!later.iter().any(|event| starts(event, step)), "{what}: {step} had ended and was started again");
    }
}

/// Goes on as a person would until the fault is gone, and counts what happened in the world.
pub fn go_on_to_the_end(place: &Runbook, what: &str) -> usize {
    let mut asked = 0;
    for _ in 0..4 {
        if !events(place).iter().any(|event| event["event"] == "run_started") {
            assert!(STEPS.iter().all(|(step, _)| effects(place, step) == 0), "{what}: an effect without a journal");
            drop(place.args(RUN).done().exits(0));
            break;
        }
        let run = place.newest();
        match run["outcome"].as_str() {
            None => drop(place.args(["resume", "--yes"]).done()),
            Some("parked") => {
                asked += 1;
                drop(settle(place, &run));
            }
            Some(_) => break,
        }
    }
    judge(place, what);
    asked
}

/// A person looks whether the step in doubt was done, and says so.
fn settle(place: &Runbook, run: &Value) -> Done {
    let id = run["id"].as_str().expect("a name");
    let verdict = if effects(place, "remediate.once") > 0 { "--done" } else { "--retry" };
    place.args(["resolve", id, "remediate.once", verdict, "--reason", "looked at the file"]).done()
}

/// The steps of which standard output said that they passed.
pub fn acknowledged(stdout: &str) -> Vec<String> {
    let passed = stdout.lines().filter(|line| line.contains(" passed after "));
    let steps = passed.filter_map(|line| line.split_once("✓ ")?.1.split(' ').next());
    steps.filter(|step| STEPS.iter().any(|(known, _)| known == step)).map(str::to_owned).collect()
}

/// What was said to have passed must be known to have passed.
pub fn nothing_said_is_lost(place: &Runbook, said: &[String], what: &str) -> usize {
    let events = events(place);
    for step in said {
        let kept = |event: &Value| event["event"] == "step_finished" && event["key"] == **step;
        assert!(events.iter().any(kept), "{what}: {step} was said to have passed, and the journal does not know");
    }
    said.len()
}

/// A system call by its name and its number within one thread.
type Point = (&'static str, usize);

/// The key and the kept playbook of a run before: what the program itself need not write again, so that the first
/// calls of some kinds are those of the shims.
const KEPT: [&str; 2] = ["audit.key", "playbooks"];

fn with_what_is_kept(of: &Runbook) -> Runbook {
    let place = place();
    let copy = |name: &str| {
        let (from, to) = (of.state().join(name), place.state().join(name));
        std::process::Command::new("cp").arg("-a").args([from, to]).status().is_ok_and(|status| status.success())
    };
    assert!(KEPT.into_iter().all(copy), "the state of a run before");
    place
}

/// Every call of these names that one run makes, or each of so many.
fn points(calls: &[(&'static str, usize)]) -> Vec<Point> {
    let names: Vec<&str> = calls.iter().map(|(call, _)| *call).collect();
    let place = place();
    drop(traced(&place, &["-e", &format!("trace={}", names.join(","))], &RUN).done().exits(0));
    let most: BTreeMap<String, usize> = most_by_one_thread(&trace(&place));
    let of = |(call, every): &(&'static str, usize)| {
        let every = if try_all() { 1 } else { *every };
        let most = most.get(*call).copied().unwrap_or_default();
        assert!(most > 0, "{call} is not how the journal is written any more");
        (1..=most).step_by(every).map(|number| (*call, number)).collect::<Vec<_>>()
    };
    calls.iter().flat_map(of).collect()
}

fn inject(point: &Point, fault: &str, also: &str) -> [String; 4] {
    let (call, number) = point;
    ["-e".into(), format!("trace={call}{also}"), "-e".into(), format!("inject={call}:{fault}:when={number}")]
}

fn with_fault<'a>(place: &'a Runbook, point: &Point, fault: &str, also: &str) -> crate::support::Call<'a> {
    let options = inject(point, fault, also);
    traced(place, &options.each_ref().map(String::as_str), &RUN)
}

/// Kills whoever makes the call, be it the program or the shim of a step, right before it.
#[test]
fn t01_killed_at_every_sync_and_write_no_finished_step_runs_again() {
    if !is_possible("test 1 (kill at every sync and write)") {
        return;
    }
    let before = place();
    drop(before.args(RUN).done().exits(0));
    let fresh = points(&[("fdatasync", 1), ("fsync", 1), ("write", 6), ("pwrite64", 12)]);
    // Those of the shims, which make the same calls in the same order.
    let of_shims = [("linkat", 1), ("fsync", 3), ("fsync", 4), ("fsync", 5), ("fsync", 6), ("rename", 1)];
    let points: Vec<(Point, bool)> =
        fresh.into_iter().map(|point| (point, false)).chain(of_shims.into_iter().map(|point| (point, true))).collect();
    let asked = AtomicUsize::new(0);
    each(&points, |(point, shims)| {
        let what = format!("killed at {} {}, shims: {shims}", point.0, point.1);
        let place = if *shims { with_what_is_kept(&before) } else { place() };
        let done = with_fault(&place, point, "signal=KILL", "").done();
        assert!(trace(&place).contains("killed by SIGKILL"), "{what}: nobody was killed: {}", done.shown());
        let said = done.stdout();
        nothing_said_is_lost(&place, &acknowledged(&said), &what);
        judge(&place, &what);
        asked.fetch_add(go_on_to_the_end(&place, &what), Ordering::Relaxed);
        // A step whose shim dies each time ends as an error, or as a person says, and what needs it is not done.
        let whole = !shims || place.newest()["outcome"] == "resolved";
        assert!(whole || place.newest()["outcome"] == "unresolved", "{what}");
        for (step, twice) in STEPS {
            let count = effects(&place, step);
            assert!(count == 1 || (twice && count == 2) || !whole && count == 0, "{what}: {step} ran {count} times");
        }
        drop(place.call("audit verify").exits(0));
    });
    tell(&format!(
        "test 1: {} crash points, double runs = 0, a person was asked {} times",
        points.len(),
        asked.load(Ordering::Relaxed)
    ));
}

/// A sync that fails is the end of what may be promised, even though the next one would succeed.
#[test]
fn t07_after_a_failed_sync_nothing_is_claimed_or_remediated() {
    if !is_possible("test 7 (a sync that fails)") {
        return;
    }
    let points = points(&[("fdatasync", 1), ("fsync", 1)]);
    let acknowledgements = AtomicUsize::new(0);
    each(&points, |point| {
        let what = format!("{} {} fails", point.0, point.1);
        let place = place();
        let done = with_fault(&place, point, "error=EIO", ",openat").done();
        let said = acknowledged(&done.stdout());
        acknowledgements.fetch_add(nothing_said_is_lost(&place, &said, &what), Ordering::Relaxed);
        judge(&place, &what);
        // What fails once the end is on the disk only tidies up.
        if !done.stdout().contains("resolved after") {
            assert_ne!(done.status.code(), Some(0), "{what}: {}", done.shown());
            let trace = trace(&place);
            let (_, after) = trace.split_once("(INJECTED)").expect("the fault happened");
            let remediated = after.contains("effects/again") || after.contains("effects/once");
            assert!(!remediated, "{what}, and a remediation was started after it");
        }
        go_on_to_the_end(&place, &what);
        for (step, twice) in STEPS {
            assert!(twice || effects(&place, step) <= 1, "{what}: {step} ran twice");
        }
        drop(place.call("audit verify").exits(0));
    });
    let kept = acknowledgements.load(Ordering::Relaxed);
    tell(&format!("test 7: {} syncs failed, {kept} acknowledgements, lost = 0", points.len()));
}

/// From some write on the disk is full; then there is room again, and nothing has to be repaired.
#[test]
fn t06_a_disk_that_fills_up_at_any_write_is_told_of_and_recovered_from() {
    if !is_possible("test 6 (no space at every write)") {
        return;
    }
    let points = points(&[("pwrite64", 12)]);
    each(&points, |point| {
        let what = format!("no space from {} {} on", point.0, point.1);
        let place = place();
        let (call, number) = point;
        let fault = format!("inject={call}:error=ENOSPC:when={number}+");
        let done = traced(&place, &["-e", &format!("trace={call}"), "-e", &fault], &RUN).done();
        nothing_said_is_lost(&place, &acknowledged(&done.stdout()), &what);
        judge(&place, &what);
        let claimed = done.stdout().contains("resolved after");
        assert_eq!(claimed, done.status.success(), "{what}: {}", done.shown());
        go_on_to_the_end(&place, &what);
        assert_eq!(place.newest()["outcome"], "resolved", "{what}");
        drop(place.call("audit verify").exits(0));
    });
    tell(&format!("test 6: {} writes without space, 0 remediations without an intent", points.len()));
}

/// Slow is not broken: no time limit runs while the journal waits for the disk.
#[test]
fn t09_a_disk_that_takes_its_time_is_no_time_out() {
    if !is_possible("test 9 (a slow disk)") {
        return;
    }
    let place = place();
    place.write("six.yaml", PLAYBOOK.replace("risk: safe}", "risk: safe, timeout: 1s}"));
    let delay = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=200000"];
    let done = traced(&place, &delay, &RUN).done().exits(0).does_not_say("not done within");
    tell(&format!(
        "test 9: 200 ms more for each sync, false time-outs = 0, {:.0} runs/min",
        60.0 / done.took.as_secs_f64()
    ));
}
