//! What a step can say beside its kind: retries, fan-out, sub-playbooks, conditions, references.

use serde_json::json;

use crate::support::Runbook;

fn run(steps: &str) -> Runbook {
    Runbook::new().file("it.yaml", format!("runbook: 1\nname: it\ntitle: It\n{steps}"))
}

#[test]
fn a_retry_repeats_until_it_passes_and_every_attempt_is_kept() {
    let place = run("remediate:\n  flaky:\n    command: {argv: [sh, flaky.sh]}\n    risk: safe\n    retry: {attempts: 5, backoff: 1ms, on: [failed]}\n")
        .file("flaky.sh", "echo x >> tries; [ $(wc -l < tries) -ge 3 ]");
    place.call("run it.yaml").exits(0);
    let step = &place.newest()["steps"]["remediate.flaky"];
    assert_eq!((&step["status"], &step["attempts"]), (&json!("passed"), &json!(3)));
    assert_eq!(place.read("tries").lines().count(), 3);
}

#[test]
fn a_retry_ends_and_the_step_has_its_last_reason() {
    let place = run("remediate:\n  never:\n    command: {argv: [sh, never.sh]}\n    risk: safe\n    retry: {attempts: 3, backoff: 1ms, on: [failed]}\n")
        .file("never.sh", "echo x >> tries; echo no luck >&2; exit 7");
    place.call("run it.yaml").exits(1).says("exit code 7: no luck");
    assert_eq!(place.read("tries").lines().count(), 3);
}

/// `on: [error]` is the default: what was checked and is not as expected is not checked again.
#[test]
fn a_failure_is_not_retried_unless_asked() {
    let place = run("remediate:\n  once:\n    command: {argv: [sh, once.sh]}\n    risk: safe\n    retry: {attempts: 3, backoff: 1ms}\n")
        .file("once.sh", "echo x >> tries; exit 1");
    place.call("run it.yaml").exits(1);
    assert_eq!(place.read("tries").lines().count(), 1);
}

const FAN: &str = "
inputs: {names: {type: list, default: [a, b, c]}}
remediate:
  each:
    for_each: {in: inputs.names, as: name, limit: 1}
    command: {argv: [sh, each.sh, '{{name}}']}
    risk: safe
    on_error: continue
  after:
    needs: [each]
    when: remediate.each.passed_count == 2 && remediate.each.failed_count == 1
    command: {argv: [touch, after]}
    risk: safe
";

#[test]
fn a_fan_runs_once_for_each_item_and_counts() {
    let place = run(FAN).file("each.sh", "echo $1 >> done; [ $1 != b ]");
    place.call("run it.yaml");
    assert_eq!(place.read("done"), "a\nb\nc\n", "one after the other, as the limit says");
    let step = &place.newest()["steps"]["remediate.each"]["output"];
    assert_eq!((&step["count"], &step["passed_count"], &step["failed_count"]), (&json!(3), &json!(2), &json!(1)));
    assert!(place.exists("after"), "counts can be used in conditions");
}

#[test]
fn a_fan_over_nothing_that_would_act_is_an_error() {
    let place = run(FAN).file("each.sh", "echo $1 >> done").file("inputs.yaml", "names: []\n");
    place.call("run it.yaml --inputs inputs.yaml").exits(1).says("the list inputs.names is empty");
    assert!(!place.exists("done"));
}

const CALLED: &str = "
runbook: 1
name: called
title: Called by another
inputs: {what: {type: string}}
diagnose: {look: {file: {path: '{{inputs.what}}'}}}
remediate: {make: {needs: [], when: '!diagnose.look.exists', command: {argv: [touch, '{{inputs.what}}']}, risk: safe}}
";

const CALLER: &str = "
remediate:
  call: {playbook: {name: called, inputs: {what: made}}, risk: safe}
  after: {needs: [call], when: 'remediate.call.outcome == \"resolved\"', command: {argv: [touch, after]}, risk: safe}
";

#[test]
fn a_called_playbook_is_a_run_of_its_own() {
    let place = run(CALLER).file("playbooks/called.yaml", CALLED);
    place.call("run it.yaml").exits(0);
    assert!(place.exists("made") && place.exists("after"), "its outcome can be used");
    assert_eq!(place.call("history --format json").json().as_array().map(Vec::len), Some(1));
    insta::assert_snapshot!(place.call("history --all").exits(0).shown());
    let child = format!("{}/remediate.call.1", place.newest_run());
    let shown = place.args(["show", &child, "--format", "json"]).done().exits(0).json();
    assert_eq!((&shown["playbook"], &shown["outcome"]), (&json!("called"), &json!("resolved")));
    place.call("audit verify").exits(0);
}

/// `effect: read` is the author's word; the called playbook is looked at all the same.
#[test]
fn a_step_that_observes_calls_no_playbook_that_remediates() {
    let place = run("diagnose:\n  call: {playbook: {name: called, inputs: {what: made}}, effect: read}\n")
        .file("playbooks/called.yaml", CALLED);
    place.call("run it.yaml --yes").says("'called' remediates, but this step only observes");
    assert!(!place.exists("made"));
}

#[test]
fn a_playbook_that_calls_itself_ends() {
    let place = run("remediate: {call: {playbook: {name: it}, risk: safe}}\n");
    let place = place.file(
        "playbooks/it.yaml",
        "runbook: 1\nname: it\ntitle: It\nremediate: {call: {playbook: {name: it}, risk: safe}}\n",
    );
    let done = place.call("run it --yes");
    done.says("deep");
    place.call("history --all").exits(0);
}

#[test]
fn a_step_after_a_failed_one_is_not_started() {
    let place = run(
        "remediate:\n  a: {command: {argv: ['false']}, risk: safe}\n  b: {needs: [a], command: {argv: [touch, b]}, risk: safe}\n",
    );
    place.call("run it.yaml").exits(1).says("remediate.a did not succeed");
    assert!(!place.exists("b"));
}

/// The order follows from what a step uses, without `needs`.
#[test]
fn references_are_edges() {
    let place = run("remediate:\n  b: {command: {argv: [sh, b.sh, '{{remediate.a.stdout}}']}, risk: safe}\n  a: {command: {argv: [echo, -n, hello]}, risk: safe}\n")
        .file("b.sh", "printf %s \"$1\" > b");
    place.call("run it.yaml").exits(0);
    assert_eq!(place.read("b"), "hello");
}

/// What the account has running counts as well, so the limit is higher than what was asked for, and lower than before.
#[test]
fn a_program_gets_a_limit_of_processes_from_the_kernel_too() {
    let text = "runbook: 1\nname: fork\ntitle: Few processes\nremediate:\n  \
                a: {command: {argv: [cat, /proc/self/limits], limits: {processes: 5}}, risk: safe, expect: \"true\"}\n";
    let place = Runbook::new().file("fork.yaml", text);
    place.call("run fork.yaml --yes").exits(0);
    let limits = place.newest()["steps"]["remediate.a"]["output"]["stdout"].as_str().unwrap_or_default().to_owned();
    let of = |text: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with("Max processes")).expect("a limit");
        line.split_whitespace().nth(2).and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)
    };
    let ours = std::fs::read_to_string("/proc/self/limits").expect("this process has limits");
    assert!(of(&limits) < of(&ours), "{limits}");
}
