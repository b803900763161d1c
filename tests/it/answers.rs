//! Steps that ask whoever approves them for values: who gives what, what does not count, what it is bound to, and
//! that an answer stays data.

use serde_json::{Value, json};

use crate::approvers::Waiting;
use crate::support::Runbook;

const PLAYBOOK: &str = "
runbook: 1
name: restart
title: The service hangs
recovery: {within: 0s}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
causes: {stuck: {title: It is stuck, when: 'true'}}
remediate:
  restart:
    fixes: [stuck]
    command: {argv: [mv, hangs, 'made {{answers.replicas}} for {{answers.ticket}}']}
    expect: answers.replicas < 10
    approve:
      by: [ml-platform]
      quorum: 1
      answers:
        replicas: {type: int, min: 1, max: 10, title: How many replicas, default: 2}
        ticket: {type: string, pattern: '[^\\n]*', title: The ticket of the incident}
  note: {needs: [restart], command: {argv: [touch, 'noted {{remediate.restart.answers.replicas}}']}, risk: safe}
";

/// The same without a name of who may answer, and with a default for everything.
fn open_to_all() -> String {
    PLAYBOOK.replace("      by: [ml-platform]\n      quorum: 1\n", "").replace("incident}", "incident, default: none}")
}

#[test]
fn what_is_said_is_shown_used_and_kept() {
    let mut waiting = Waiting::of(PLAYBOOK);
    let asked = waiting.place.call("show").exits(0);
    insta::assert_snapshot!(asked.shown());
    let plan = waiting.place.call("plan restart.yaml").exits(0);
    plan.says("made ‹answers.replicas› for ‹answers.ticket›");
    let done = waiting.approve("grace", &["--answer", "replicas=3", "--answer", "ticket=OPS-7"]).exits(0);
    done.says("approved by grace with replicas = 3, ticket = OPS-7");
    assert!(waiting.place.exists("made 3 for OPS-7") && waiting.place.exists("noted 3"));
    waiting.place.call("show").exits(0).says("with replicas = 3, ticket = OPS-7");
    waiting.call("ada", &["report", "RUN"]).exits(0).says("replicas = 3, ticket = OPS-7");
    waiting.call("ada", &["report", "RUN", "--format", "html"]).exits(0).says("replicas = 3, ticket = OPS-7");
    let said = json!({"replicas": 3, "ticket": "OPS-7"});
    let approval = &waiting.place.newest()["approvals"][0];
    assert_eq!((&approval["by"], &approval["answers"]), (&json!("grace"), &said));
    assert_eq!(waiting.events("approval_settled").last().expect("settled")["answers"], said);
    waiting.place.call("audit verify").exits(0);
}

#[test]
fn what_is_left_out_takes_its_default() {
    let mut waiting = Waiting::of(PLAYBOOK);
    waiting.approve("grace", &["--answer", "ticket=OPS-7"]).exits(0).says("with replicas = 2");
    assert!(waiting.place.exists("made 2 for OPS-7"));
}

#[test]
fn an_answer_that_does_not_fit_is_no_approval() {
    let mut waiting = Waiting::of(&PLAYBOOK.replace("[^\\n]*", "[A-Z]+-[0-9]+"));
    let ticket = ["--answer", "ticket=OPS-7"];
    for (more, why) in [
        (&[][..], "answer 'ticket' is missing; it is text, matching [A-Z]+-[0-9]+"),
        (&["--answer", "ticket=ops"], "answer 'ticket': 'ops' does not match [A-Z]+-[0-9]+"),
        (&["--answer", "replicas=11"], "it is more than 10; expected: a whole number, from 1 to 10"),
        (&["--answer", "replicas=many"], "'many' is not a whole number"),
        (&["--answer", "replica=3"], "has no answer 'replica'; did you mean 'replicas'?"),
        (&["--answer", "replicas"], "'replicas' is not an answer"),
    ] {
        let more = if why.contains("ticket") { more.to_vec() } else { [&ticket, more].concat() };
        waiting.approve("grace", &more).exits(2).says(why);
        assert!(waiting.place.exists("hangs"), "{more:?}");
    }
    assert_eq!(
        waiting.events("approval_refused").len(),
        5,
        "what counts as an answer is kept, and what does not is not"
    );
    // An answer is about one step.
    waiting.call("grace", &["approve", "RUN", "--answer", "replicas=3"]).exits(2).says("<STEP>");
    // Nothing of it has closed the question.
    waiting.approve("grace", &ticket).exits(0);
}

#[test]
fn those_after_the_first_say_the_same_or_nothing() {
    let mut waiting = Waiting::of(&PLAYBOOK.replace("quorum: 1", "quorum: 2"));
    let digest =
        |waiting: &Waiting| waiting.place.newest()["approvals"][0]["digest"].as_str().unwrap_or_default().to_owned();
    let before = digest(&waiting);
    let said = ["--answer", "replicas=3", "--answer", "ticket=OPS-7"];
    waiting.approve("grace", &said).exits(3).says("1 of 2 approved: grace (replicas = 3, ticket = OPS-7)");
    waiting.place.call("show").exits(0).says("said OPS-7");
    let other = waiting.approve("ewd", &["--answer", "replicas=4"]).exits(2);
    other.says("grace said replicas = 3, and ewd says 4; all have to say the same");
    // Who read the question before anybody had answered has not agreed to what was said.
    waiting.approve("ewd", &["--digest", &before]).exits(2).says("what is asked is");
    assert!(waiting.place.exists("hangs"));
    let after = digest(&waiting);
    waiting.approve("ewd", &["--digest", &after, "--answer", "replicas=3"]).exits(0);
    assert!(waiting.place.exists("made 3 for OPS-7"));
}

#[test]
fn a_yes_takes_the_defaults_and_parks_without_one() {
    let place = |playbook: &str| Runbook::new().file("restart.yaml", playbook).file("hangs", "");
    let whole = place(&open_to_all());
    whole.call("run restart.yaml --yes").exits(0).says("with replicas = 2, ticket = none");
    assert!(whole.exists("made 2 for none"));
    let lacking = place(&open_to_all().replace(", default: none", ""));
    let parked = lacking.call("run restart.yaml --yes").exits(3);
    parked.says("answer 'ticket' is missing").says("--answer ticket=");
    assert!(lacking.exists("hangs"));
}

/// Whatever is said is one argument, and never text that is run.
#[test]
fn t31_an_answer_stays_data() {
    for evil in
        ["; touch canary", "$(touch canary)", "`touch canary`", "' && touch canary '", "{{run.id}}", "a\u{202e}b"]
    {
        let mut waiting = Waiting::of(PLAYBOOK);
        waiting.approve("grace", &["--answer", &format!("ticket={evil}")]).exits(0);
        assert!(waiting.place.exists(&format!("made 2 for {evil}")), "{evil}");
        assert!(!waiting.place.exists("canary"), "{evil}");
    }
    let place = Runbook::new();
    let shell = PLAYBOOK.replace(
        "argv: [mv, hangs, 'made {{answers.replicas}} for {{answers.ticket}}']",
        "shell: 'echo {{answers.ticket}}'",
    );
    place.write("shell.yaml", shell);
    place.call("validate shell.yaml").exits(2).says("template-in-code");
    // An answer that the place would refuse is refused while somebody can still give another.
    let option = PLAYBOOK.replace("'made {{answers.replicas}} for {{answers.ticket}}'", "'{{answers.ticket}}'");
    let mut waiting = Waiting::of(&option);
    waiting.approve("grace", &["--answer", "ticket=--help"]).exits(2).says("begins like an option");
    waiting.approve("grace", &["--answer", "ticket=fine"]).exits(0);
    assert!(waiting.place.exists("fine"));
}

#[test]
fn an_undo_reads_what_was_said() {
    let playbook =
        PLAYBOOK.replace("[mv, hangs, 'made {{answers.replicas}} for {{answers.ticket}}']", "[touch, tried]");
    let playbook = playbook
        .replace("    approve:", "    undo: {command: {argv: [touch, 'undone {{answers.replicas}}']}}\n    approve:");
    let mut waiting = Waiting::of(&playbook);
    waiting.approve("grace", &["--answer", "ticket=x", "--answer", "replicas=5"]);
    assert!(waiting.place.exists("tried") && waiting.place.exists("undone 5"));
}

/// A run that is done anew from a later step takes over what was said.
#[test]
fn a_run_that_is_done_anew_keeps_the_answers_before() {
    let mut waiting = Waiting::of(PLAYBOOK);
    waiting.approve("grace", &["--answer", "ticket=x", "--answer", "replicas=5"]).exits(0);
    std::fs::remove_file(waiting.place.path("noted 5")).expect("it was noted");
    waiting.place.write("hangs", "");
    waiting.call("ada", &["rerun", "RUN", "--from", "remediate.note", "--only"]);
    assert!(waiting.place.exists("noted 5"));
}

#[test]
fn an_answer_with_a_secret_in_it_is_refused_and_not_kept() {
    let playbook = open_to_all();
    let place =
        Runbook::new().file("restart.yaml", playbook).file("hangs", "").variable("RUNBOOK_KEY", "hunter2hunter2");
    place.write("runbook.yaml", "secrets: {key: {env: RUNBOOK_KEY}}\n");
    place.call("run restart.yaml").exits(3);
    let run = place.newest_run();
    let done = place.args(["approve", &run, "remediate.restart", "--answer", "ticket=hunter2hunter2"]).done();
    done.exits(2).says("the answer 'ticket' has a secret of the site file in it").does_not_say("hunter2");
    let kept: Value = place.newest();
    assert!(place.exists("hangs") && !kept.to_string().contains("hunter2"));
    place.args(["approve", &run, "remediate.restart"]).done().exits(0);
}
