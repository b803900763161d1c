//! Steps that only named people may approve: who counts, what an answer is bound to, and what an
//! emergency needs.

use std::cell::Cell;

use serde_json::Value;

use crate::support::{Done, Runbook};

const PLAYBOOK: &str = "
runbook: 1
name: restart
title: The service hangs
owner: ml-platform
recovery: {within: 0s}
detect: {any: {hangs: {file: {path: hangs}, holds: exists}}}
causes: {stuck: {title: It is stuck, when: 'true'}}
remediate:
  restart: {fixes: [stuck], command: {argv: [rm, hangs]}, approve: {by: [ml-platform], quorum: 2, timeout: 15m}}
";

const SITE: &str = "
contacts:
  ml-platform: {title: ML platform, channel: console, members: [ada, grace, on-call]}
  on-call: {members: [edsger]}
  ada: {}
  grace: {}
  edsger: {logins: [ewd]}
";

/// A place with a run that ada started and that waits for two others.
pub struct Waiting {
    pub place: Runbook,
    pub run: String,
}

impl Waiting {
    pub fn of(playbook: &str) -> Self {
        Waiting::ended(playbook, 3)
    }

    pub fn ended(playbook: &str, exit: i32) -> Self {
        Waiting::of_files(&[("restart.yaml", playbook)], exit)
    }

    pub fn of_files(playbooks: &[(&str, &str)], exit: i32) -> Self {
        let place = Runbook::new().file("runbook.yaml", SITE).file("hangs", "").variable("USER", "ada");
        playbooks.iter().for_each(|(name, text)| place.write(name, text));
        place.call("run restart.yaml").exits(exit);
        let run = place.newest_run();
        Waiting { place, run }
    }

    pub fn call(&mut self, user: &str, arguments: &[&str]) -> Done {
        self.place.set_variable("USER", user);
        let run = self.run.clone();
        let arguments =
            arguments.iter().map(|argument| if *argument == "RUN" { run.clone() } else { (*argument).into() });
        self.place.args(arguments.collect::<Vec<String>>()).done()
    }

    pub fn approve(&mut self, user: &str, more: &[&str]) -> Done {
        self.call(user, &[&["approve", "RUN", "remediate.restart"], more].concat())
    }

    /// The events of this name in the journal.
    pub fn events(&self, name: &str) -> Vec<Value> {
        let export = self.place.call("audit export").exits(0).stdout();
        let entries = export.lines().map(|line| serde_json::from_str::<Value>(line).expect("an entry"));
        let named = entries.filter(|entry| entry["kind"] == name);
        named.map(|entry| serde_json::from_str(entry["body"].as_str().expect("a body")).expect("an event")).collect()
    }
}

#[test]
fn two_others_have_to_agree() {
    let mut waiting = Waiting::of(PLAYBOOK);
    waiting.approve("grace", &[]).exits(3).says("1 of 2 approved: grace");
    assert!(waiting.place.exists("hangs"));
    waiting.place.call("show").exits(0).says("1 of 2 approved: grace");
    waiting.approve("ewd", &[]).exits(0).says("approved by ewd");
    assert!(!waiting.place.exists("hangs"));
}

/// Everybody who may not approve, and every answer that is about something else, is refused and recorded.
#[test]
#[expect(clippy::print_stderr, reason = "the figures are told")]
fn t54_answers_that_must_not_count_do_not() {
    let tried = Cell::new(0);
    let refuse = |waiting: &mut Waiting, user: &str, more: &[&str], why: &str| {
        tried.set(tried.get() + 1);
        waiting.approve(user, more).exits(2).says(why);
        assert!(waiting.place.exists("hangs"), "{user} {more:?}");
    };
    let mut waiting = Waiting::of(PLAYBOOK);
    refuse(&mut waiting, "ada", &[], "started the run");
    refuse(&mut waiting, "mallory", &[], "none of those who may answer");
    refuse(&mut waiting, "edsger", &[], "none of those who may answer");
    refuse(&mut waiting, "ml-platform", &[], "none of those who may answer");
    refuse(&mut waiting, "mallory", &["--break-glass", "let me"], "none of those who may answer");
    refuse(&mut waiting, "grace", &["--digest", "0123456789abcdef"], "what is asked is");
    refuse(&mut waiting, "ada", &["--break-glass", " "], "needs a reason");
    // The yes of the one who starts the run is no second pair of eyes.
    waiting.call("ada", &["resume", "RUN", "--yes"]).exits(3).says("started the run");
    waiting.approve("grace", &[]).exits(3);
    refuse(&mut waiting, "grace", &[], "has approved it already");
    assert_eq!(waiting.events("approval_refused").len(), tried.get() + 1, "each is recorded");
    assert_eq!(waiting.events("attempt_started").iter().filter(|event| event["key"] == "remediate.restart").count(), 0);

    // An answer to the question of one run, or of another text, says nothing about another.
    let asked = waiting.events("approval_asked");
    let digest = asked[0]["digest"].as_str().expect("a digest").to_owned();
    let mut changed = Waiting::of(&PLAYBOOK.replace("The service hangs", "The service hangs again"));
    refuse(&mut changed, "grace", &["--digest", &digest], "what is asked is");

    // Its time is over as soon as an answer that could not count anyway says so.
    let mut late = Waiting::of(&PLAYBOOK.replace("15m", "1s"));
    let over = (0..2_000).any(|_| {
        let said = late.approve("grace", &["--digest", "0123456789abcdef"]).exits(2);
        said.shown().contains("the time to answer was over")
    });
    assert!(over, "the question never ended");
    refuse(&mut late, "grace", &[], "the time to answer was over");
    late.call("grace", &["resume", "RUN"]).exits(4).says("nobody answered in time");
    assert!(late.place.exists("hangs"));
    eprintln!("t54: {} answers that must not count tried, 0 accepted", tried.get() + 1);
}

/// Of an emergency hears the owner, although the playbook notifies nobody.
#[test]
fn broken_glass_needs_a_reason_stands_in_the_report_and_is_told() {
    let mut waiting = Waiting::of(PLAYBOOK);
    waiting.approve("ada", &["--break-glass", ""]).exits(2);
    waiting.approve("ada", &["--break-glass", " "]).exits(2).says("needs a reason");
    assert!(waiting.place.exists("hangs"));
    let done = waiting.approve("ada", &["--break-glass", "the team sleeps"]).exits(0);
    done.says("glass broken by ada").says("ada broke the glass and approved remediate.restart alone: the team sleeps");
    assert!(!waiting.place.exists("hangs"));
    let broken = waiting.events("glass_broken");
    assert_eq!((broken.len(), &broken[0]["reason"]), (1, &Value::from("the team sleeps")));
    assert_eq!(waiting.events("notification_sent").len(), 1);
    waiting.call("ada", &["report", "RUN"]).exits(0).says("glass broken by ada: the team sleeps");
}

/// Rejected, not answered in time, and waiting are three different ends, in words and in the journal.
#[test]
fn the_ends_of_a_question_are_told_apart() {
    let mut rejected = Waiting::of(PLAYBOOK);
    rejected.call("grace", &["reject", "RUN", "--reason", "not today"]).exits(4).says("rejected by grace");
    let mut late = Waiting::ended(&PLAYBOOK.replace("15m", "1ms"), 4);
    late.call("ada", &["show", "RUN"]).exits(0).says("nobody answered in time");
    let mut waits = Waiting::of(PLAYBOOK);
    waits.call("ada", &["resume", "RUN"]).exits(3).says("waits for approval");
    let verdicts = |waiting: &Waiting| {
        let settled = waiting.events("approval_settled");
        settled.last().map(|event| event["verdict"].as_str().expect("a verdict").to_owned())
    };
    let told = [&rejected, &late, &waits].map(|waiting| verdicts(waiting).expect("settled"));
    assert_eq!(told, ["rejected", "timed_out", "parked"]);
    assert!([&rejected, &late, &waits].iter().all(|waiting| waiting.place.exists("hangs")));
}

#[test]
fn what_waits_is_shown_as_it_was_asked() {
    let waiting = Waiting::of(PLAYBOOK);
    let shown = waiting.place.call("show").exits(0).shown();
    insta::assert_snapshot!(shown);
}

#[test]
fn who_is_asked_has_to_be_known_and_enough() {
    for (site, why) in [
        (SITE.replace("on-call: {members", "others: {members"), "on-call is not among"),
        (SITE.replace("[edsger]", "[ml-platform]"), "member of itself"),
        (SITE.replace("[ada, grace, on-call]", "[ada, grace]"), "2 have to agree, and only 1"),
    ] {
        let place = Runbook::new().file("runbook.yaml", site).file("restart.yaml", PLAYBOOK).file("hangs", "");
        place.variable("USER", "ada").call("run restart.yaml").exits(2).says(why).says("site file");
    }
}

/// Whoever goes on with a run has not started it, and what it calls belongs to the one who did: they may not approve
/// there what they may not approve in their own.
#[test]
fn t54_a_called_run_belongs_to_who_started_its_caller() {
    let one = PLAYBOOK.replace("quorum: 2", "quorum: 1");
    let called = one.replace("name: restart", "name: called");
    let caller = one.replace("[rm, hangs]", "[touch, first]")
        + "  call: {fixes: [stuck], needs: [restart], playbook: {name: called}, risk: safe}\n";
    let mut waiting = Waiting::of_files(&[("restart.yaml", &caller), ("playbooks/called.yaml", &called)], 3);
    waiting.approve("grace", &[]);
    let started = waiting.events("run_started");
    assert_eq!(started.iter().map(|event| event["by"].as_str()).collect::<Vec<_>>(), [Some("ada"), Some("ada")]);
    assert!(waiting.place.exists("first") && waiting.place.exists("hangs"));
}

/// What waits for a person holds nothing: the program has ended, and others can write to the same journal.
#[test]
fn a_run_that_waits_holds_nothing() {
    let waiting = Waiting::of(PLAYBOOK);
    let other = PLAYBOOK
        .replace("name: restart", "name: other")
        .replace(", approve: {by: [ml-platform], quorum: 2, timeout: 15m}", ", risk: safe");
    waiting.place.write("other.yaml", other);
    waiting.place.call("run other.yaml").exits(0);
    waiting.place.call("audit verify").exits(0);
    let lock = waiting.place.state().join("running").join(format!("{}.lock", waiting.run));
    std::fs::File::open(lock).expect("the file of its lock").try_lock().expect("nobody runs it");
}

/// An answer that does not count is written down by whoever runs the run, and by nobody beside them.
#[test]
fn nobody_adds_to_a_run_that_another_process_runs() {
    let mut waiting = Waiting::of(PLAYBOOK);
    let lock = waiting.place.state().join("running").join(format!("{}.lock", waiting.run));
    let held = std::fs::File::open(lock).expect("the file of its lock");
    held.try_lock().expect("nobody runs it");
    let before = waiting.events("approval_refused").len();
    let refused = waiting.approve("mallory", &[]);
    assert_eq!(waiting.events("approval_refused").len(), before);
    refused.exits(2).says("another process");
    drop(held);
    waiting.approve("mallory", &[]).exits(2);
    assert_eq!(waiting.events("approval_refused").len(), before + 1);
}
