//! One run, killed in every one of its steps, and resumed each time.

use crate::support::Runbook;

/// Nothing here removes the fault, so that the fix is undone at the end.
const PLAYBOOK: &str = "
runbook: 1
name: fragile
title: Something that dies all the time
recovery: {within: 0s}
detect: {any: {fault: {file: {path: fault}, holds: exists}}}
remediate:
  harmless: {command: {argv: [sh, step.sh, harmless]}, effect: idempotent, risk: safe}
  checked:
    needs: [harmless]
    command: {argv: [sh, step.sh, checked]}
    risk: safe
    effect: once
    check: {file: {path: effects/checked}, expect: exists}
  changing:
    needs: [checked]
    command: {argv: [sh, step.sh, changing]}
    risk: safe
    effect: idempotent
    undo: {command: {argv: [sh, step.sh, undoing]}}
finally:
  tidy: {command: {argv: [sh, step.sh, tidy]}, effect: idempotent}
";

/// Has its effect, then waits until somebody writes to its pipe, unless it may go on at once.
const STEP: &str = "
echo $1 >> effects/$1
[ -e open/$1 ] && exit 0
mkfifo pipes/$1
echo $$ > waiting/$1
read line < pipes/$1
";

fn place() -> Runbook {
    let place = Runbook::new().file("fragile.yaml", PLAYBOOK).file("step.sh", STEP).file("fault", "");
    for folder in ["effects", "open", "pipes", "waiting"] {
        std::fs::create_dir(place.path(folder)).expect("an empty place");
    }
    place
}

fn effects(place: &Runbook, step: &str) -> usize {
    place.read(&format!("effects/{step}")).lines().count()
}

/// Kills the program and the shim of its step, as a power failure does, while the step waits; lets an orphan
/// without a shim end, and the next attempt pass.
fn crash_in(place: &Runbook, arguments: &[&str], step: &str) {
    let mut running = place.args(arguments.iter().copied()).start();
    running.until(step, || place.exists(&format!("waiting/{step}")));
    running.kill();
    drop(running);
    if !place.fail_shim_of(&format!("waiting/{step}")) {
        std::fs::write(place.path(&format!("pipes/{step}")), "done\n").expect("the orphan still waits");
    }
    place.write(&format!("open/{step}"), "");
}

#[test]
fn killed_in_every_step_a_run_comes_to_its_end_and_repeats_nothing_that_was_done() {
    let place = place();
    crash_in(&place, &["run", "fragile.yaml", "--yes"], "harmless");
    let run = place.newest_run();
    for step in ["checked", "changing"] {
        crash_in(&place, &["resume", &run, "--yes"], step);
    }
    // An undo by a command must not simply be repeated: it waits for a person.
    crash_in(&place, &["resume", &run, "--yes"], "undoing");
    place.args(["resume", &run, "--yes"]).done().exits(3);
    assert_eq!(effects(&place, "undoing"), 1);
    let resolve = ["resolve", &run, "remediate.changing", "--done", "--reason", "seen in the file"];
    crash_in(&place, &resolve, "tidy");
    place.args(["resume", &run, "--yes"]).done().exits(1);

    let counts = ["harmless", "checked", "changing", "undoing", "tidy"].map(|step| effects(&place, step));
    assert_eq!(counts, [2, 1, 2, 1, 2], "only harmless steps that were interrupted ran again");
    assert_eq!(place.newest()["outcome"], "unresolved");
    place.call("audit verify").exits(0);
}

#[test]
fn t21_a_step_whose_shim_died_alone_is_in_doubt_and_is_not_tried_again() {
    let place = place();
    let once = "effect: once\n    retry: {attempts: 3, backoff: 0s, on: [error]}";
    place.write("fragile.yaml", PLAYBOOK.replace("effect: idempotent\n    undo", &format!("{once}\n    undo")));
    for step in ["harmless", "checked"] {
        place.write(&format!("open/{step}"), "");
    }
    let mut running = place.args(["run", "fragile.yaml", "--yes"]).start();
    running.until("changing", || place.exists("waiting/changing"));
    assert!(place.fail_shim_of("waiting/changing"));
    running.done().exits(3).says("whether it took effect is not known");
    assert_eq!(effects(&place, "changing"), 1, "it may have been done");
    let run = place.newest_run();
    place.write("open/tidy", "");
    place.write("open/undoing", "");
    place.args(["resolve", &run, "remediate.changing", "--abort", "--reason", "seen"]).done().exits(1);
    assert_eq!(effects(&place, "changing"), 1);
}
