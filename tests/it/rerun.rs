//! Runs that are done anew, runs that are left behind, and random kills. Numbers in names are those of the
//! reliability test plan.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use runbook::base::{entropy, environment};

use crate::support::Runbook;

/// `fix` counts itself; the fault goes when `mended` is there.
const PLAYBOOK: &str = "
runbook: 1
name: twice
title: Something that is done twice
recovery: {within: 0s}
detect: {any: {fault: {file: {path: mended}, holds: exists == false}}}
remediate:
  before: {command: {argv: [sh, step.sh, before]}, risk: safe}
  fix: {needs: [before], command: {argv: [sh, step.sh, fix]}, risk: safe}
  after: {needs: [fix], command: {argv: [sh, step.sh, after]}, risk: safe}
";

const STEP: &str = "
echo $1 >> effects/$1
[ $1 = fix ] && [ -e works ] && touch mended
exit 0
";

fn place() -> Runbook {
    let place = Runbook::new().file("twice.yaml", PLAYBOOK).file("step.sh", STEP);
    std::fs::create_dir(place.path("effects")).expect("an empty place");
    place
}

fn counts(place: &Runbook) -> [usize; 3] {
    ["before", "fix", "after"].map(|step| place.read(&format!("effects/{step}")).lines().count())
}

/// A run that ended without a fix, and its name.
fn ended() -> (Runbook, String) {
    let place = place();
    place.call("run twice.yaml --yes").exits(1);
    let run = place.newest_run();
    assert_eq!(counts(&place), [1, 1, 1]);
    place.write("works", "");
    (place, run)
}

#[test]
fn from_a_step_what_stands_before_it_is_taken_over_and_the_rest_is_done_anew() {
    let (place, run) = ended();
    let said = place.args(["rerun", &run, "--from", "remediate.fix", "--yes"]).done().exits(0);
    said.says("taken over").says(&format!("from run {run}"));
    assert_eq!(counts(&place), [1, 2, 2]);
    place.call("audit verify").exits(0);
}

#[test]
fn only_one_step_is_done_anew_and_the_fault_is_measured_all_the_same() {
    let (place, run) = ended();
    place.args(["rerun", &run, "--from", "remediate.fix", "--only", "--yes"]).done().exits(0);
    assert_eq!(counts(&place), [1, 2, 1]);
    assert_eq!(place.newest()["outcome"], "resolved");
}

/// What did not help is undone; `fix` stands on it, `apart` does not.
const UNDONE: &str = "
runbook: 1
name: undone
title: Something that is undone
recovery: {within: 0s}
detect: {any: {fault: {file: {path: mended}, holds: exists == false}}}
remediate:
  before: {command: {argv: [sh, step.sh, before]}, risk: safe, undo: {command: {argv: [sh, step.sh, undo]}}}
  fix: {needs: [before], command: {argv: [sh, step.sh, fix]}, risk: safe}
  apart: {command: {argv: [sh, step.sh, apart]}, risk: safe}
";

#[test]
fn what_was_undone_does_not_stand() {
    let place = place().file("undone.yaml", UNDONE);
    place.call("run undone.yaml --yes").exits(1);
    let run = place.newest_run();
    let counts =
        || ["before", "undo", "fix", "apart"].map(|step| place.read(&format!("effects/{step}")).lines().count());
    assert_eq!(counts(), [1, 1, 1, 1]);
    let refused = place.args(["rerun", &run, "--from", "remediate.fix", "--yes"]).done().exits(2);
    refused.says("needs remediate.before, which that run undid").says("--from remediate.before");
    assert_eq!(counts(), [1, 1, 1, 1]);
    place.args(["rerun", &run, "--from", "remediate.apart", "--yes"]).done().exits(1);
    assert_eq!(counts(), [2, 2, 1, 2], "its result is not taken over");
}

#[test]
fn a_freeze_holds_for_a_run_that_is_done_anew() {
    let (place, run) = ended();
    place.args(["freeze", "--reason", "an audit"]).done().exits(0);
    place.args(["rerun", &run, "--from", "remediate.fix", "--yes"]).done().exits(1).says("an audit");
    assert_eq!(counts(&place), [1, 1, 1]);
}

#[test]
fn a_step_that_cannot_be_the_first_is_refused_with_what_can() {
    let (place, run) = ended();
    let refused = |from: &str| place.args(["rerun", &run, "--from", from]).done().exits(2);
    refused("remediate.fox").says("its steps:").says("remediate.fix");
    refused("remediate.fix/diagnose.x").says("called no playbook").says("--from remediate.fix");
    refused("remediate.fix[0]").says("as a whole");
    assert_eq!(counts(&place), [1, 1, 1]);
}

/// `alone` and `base` fail; `fix` needs one of them, and the failure of the other keeps it from starting.
const FAILED: &str = "
runbook: 1
name: failed
title: Steps that fail
remediate:
  alone: {command: {argv: [sh, step.sh, alone]}, risk: safe}
  fix: {needs: [alone], command: {argv: [sh, step.sh, fix]}, risk: safe}
  base: {command: {argv: [sh, step.sh, base]}, risk: safe}
  late: {needs: [base], command: {argv: [sh, step.sh, late]}, risk: safe}
";

#[test]
fn a_failure_elsewhere_does_not_keep_the_first_step_from_starting_and_one_it_needs_is_told() {
    let step = "echo $1 >> effects/$1\n[ -e works ] || [ $1 != base ]\n";
    let place = place().file("failed.yaml", FAILED).file("step.sh", step);
    place.call("run failed.yaml --yes").exits(1);
    let run = place.newest_run();
    let counts = || ["alone", "fix", "base", "late"].map(|step| place.read(&format!("effects/{step}")).lines().count());
    let before = counts();
    let refused = place.args(["rerun", &run, "--from", "remediate.late", "--yes"]).done().exits(2);
    refused.says("needs remediate.base, which did not succeed").says("--from remediate.base");
    place.args(["rerun", &run, "--from", "remediate.alone", "--only", "--yes"]).done().exits(0);
    assert_eq!(counts(), [before[0] + 1, before[1], before[2], before[3]], "only that one");
    place.write("works", "");
    place.args(["rerun", &run, "--from", "remediate.alone", "--yes"]).done().exits(0);
    let all = [before[0] + 2, before[1] + 1, before[2] + 1, before[3] + 1];
    assert_eq!(counts(), all, "what had failed beside it is done anew");
}

/// Calls `middle`, which calls the playbook with the steps.
fn nested() -> (Runbook, String) {
    let caller = |name: &str, called: &str| {
        format!(
            "runbook: 1\nname: {name}\ntitle: Calls another\nremediate:\n  \
             ready: {{command: {{argv: [sh, step.sh, {name}-ready]}}, risk: safe}}\n  \
             recover: {{needs: [ready], playbook: {{name: {called}}}, risk: safe}}\n"
        )
    };
    let place = Runbook::new().file("step.sh", STEP).file("runbook.yaml", "playbooks: [books]\n");
    for folder in ["effects", "books"] {
        std::fs::create_dir(place.path(folder)).expect("an empty place");
    }
    place.write("books/twice.yaml", PLAYBOOK);
    place.write("books/middle.yaml", caller("middle", "twice"));
    place.write("books/outer.yaml", caller("outer", "middle"));
    place.call("run outer --yes").exits(1);
    let run = place.newest_run();
    place.write("works", "");
    (place, run)
}

fn counts_of_callers(place: &Runbook) -> [usize; 2] {
    ["outer-ready", "middle-ready"].map(|step| place.read(&format!("effects/{step}")).lines().count())
}

#[test]
fn from_a_step_inside_of_called_playbooks_each_run_takes_over_what_stands_before_it() {
    let (place, run) = nested();
    assert_eq!((counts(&place), counts_of_callers(&place)), ([1, 1, 1], [1, 1]));
    place.write("books/twice.yaml", PLAYBOOK.replace("step.sh", "edited.sh"));
    let from = "remediate.recover/remediate.recover/remediate.fix";
    place.args(["rerun", &run, "--from", from, "--yes"]).done().exits(0);
    assert_eq!((counts(&place), counts_of_callers(&place)), ([1, 2, 2], [1, 1]), "by the text of the earlier run");
    place.call("audit verify").exits(0);

    place.args(["rerun", &run, "--from", "remediate.recover/remediate.ready", "--yes", "--only"]).done().exits(0);
    assert_eq!(
        (counts(&place), counts_of_callers(&place)),
        ([1, 2, 2], [1, 2]),
        "only that step, and nothing after it"
    );
}

#[test]
fn a_step_inside_of_a_called_playbook_that_cannot_be_the_first_is_refused_before_anything_is_done() {
    let (place, run) = nested();
    let runs = place.call("history --all").shown();
    for (from, why) in [
        ("remediate.recover/remediate.fox", "its steps: remediate.ready, remediate.recover"),
        ("remediate.recover/remediate.recover/remediate.fox", "remediate.fix"),
        ("remediate.ready/remediate.x", "called no playbook"),
    ] {
        place.args(["rerun", &run, "--from", from, "--yes"]).done().exits(2).says(why);
    }
    let child = format!("{run}/remediate.recover.1");
    place.args(["rerun", &child, "--from", "remediate.ready"]).done().exits(2).says("--from STEP/STEP");
    assert_eq!(place.call("history --all").shown(), runs, "nothing was started");
}

#[test]
fn t16_a_run_that_is_done_anew_is_pinned_to_the_text_it_was_started_with() {
    let (place, run) = ended();
    place.write("twice.yaml", PLAYBOOK.replace("step.sh", "edited.sh"));
    place.args(["rerun", &run, "--from", "remediate.fix", "--yes"]).done().exits(0);
    assert_eq!(counts(&place), [1, 2, 2]);
}

#[test]
fn a_run_with_an_input_that_has_become_a_secret_since_is_not_done_anew() {
    let playbook = "runbook: 1\nname: clear\ntitle: Clear\ninputs: {x: {type: string}}\nremediate:\n  a: {command: {argv: [echo, '{{inputs.x}}']}, risk: safe}\n";
    let place = Runbook::new().file("clear.yaml", playbook);
    place.call("run clear.yaml --input x=hunter22-hunter22").exits(0);
    place.write("runbook.yaml", "secrets: {key: {file: key}}\n");
    place.write("key", "hunter22-hunter22");
    std::fs::set_permissions(place.path("key"), Permissions::from_mode(0o600)).expect("ours");
    let (runs, run) = (place.call("history").shown(), place.newest_run());
    let refused = place.args(["rerun", &run, "--from", "remediate.a"]).done().exits(2);
    refused.says("the input 'x' has a secret").does_not_say("hunter22");
    assert_eq!(place.call("history").shown(), runs, "nothing was started");
}

/// Waits until somebody writes to its pipe.
const WAITING: &str = "
echo $1 >> effects/$1
[ -e open ] && exit 0
mkfifo pipe
echo $$ > waiting
read line < pipe
";

#[test]
fn a_run_is_refused_while_another_process_runs_it_and_told_of_when_nobody_does() {
    let place = place().file("step.sh", WAITING);
    let mut running = place.args(["run", "twice.yaml", "--yes"]).start();
    running.until("the first step", || place.exists("waiting"));
    let run = place.newest_run();
    place.args(["resume", &run]).done().exits(2).says("another process");
    place.call("history").exits(0).does_not_say("nobody runs it");
    running.kill();
    drop(running);
    for command in ["history", "validate twice.yaml", "list", "plan twice.yaml", "holds", "show", "doctor"] {
        place.call(command).says(&format!("`runbook resume {run}` goes on with it"));
    }
    place.args(["rerun", &run, "--from", "remediate.fix"]).done().exits(2).says("has not ended");
    place.write("open", "");
    std::fs::write(place.path("pipe"), "done\n").expect("the step still waits");
    place.args(["resume", &run, "--yes"]).done().exits(1);
    place.call("history").exits(0).does_not_say("nobody runs it");
    assert_eq!(counts(&place), [1, 1, 1]);
}

/// So many kills in plain `cargo test`; `RUNBOOK_TEST_KILLS` asks for more.
const KILLS: u64 = 10;

#[test]
#[expect(clippy::print_stderr, reason = "the figures are told")]
fn t02_killed_at_random_no_step_that_must_not_be_repeated_runs_twice() {
    let asked = environment::variable("RUNBOOK_TEST_KILLS").and_then(|count| count.parse().ok());
    let (kills, mut unfinished, mut in_doubt) = (asked.unwrap_or(KILLS), 0, 0);
    // Later than the run takes would only kill runs that have ended.
    let latest = place().file("works", "").args(["run", "twice.yaml", "--yes"]).done().exits(0).took.as_micros() as u64;
    for _ in 0..kills {
        let place = place().file("works", "");
        let running = place.args(["run", "twice.yaml", "--yes"]).start();
        let moment = std::time::Duration::from_micros(entropy::random() % latest);
        std::thread::park_timeout(moment);
        running.kill();
        drop(running);
        let resumed = place.call("resume --yes");
        unfinished += usize::from(resumed.status.code() != Some(2));
        in_doubt += usize::from(resumed.status.code() == Some(3));
        assert!(matches!(resumed.status.code(), Some(0 | 2 | 3)), "{}", resumed.shown());
        let counts = counts(&place);
        assert!(counts.iter().all(|count| *count <= 1), "a step ran twice: {counts:?}");
        place.call("audit verify").exits(0);
    }
    eprintln!("{kills} kills: {unfinished} runs left unfinished, {in_doubt} with a step in doubt, 0 double runs");
}
