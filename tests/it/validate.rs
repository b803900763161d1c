//! `validate`: every mistake at once, each with its place and a hint.

use serde_json::Value;

use crate::support::Runbook;

/// One mistake a line, more or less.
const MISTAKES: &str = "\
runbook: 1
name: many-mistakes
title: Many mistakes
colour: red
inputs:
  provider: {type: strin}
  limit: {type: bytes, default: lots}
  mode: {type: enum}
detect:
  any:
    missing: {file: {path: models}, holds: '!exist'}
    slow: {file: {path: models}, holds: size >}
diagnose:
  look: {file: {paht: models}}
  both: {file: {path: models}, disk: {path: models}}
  none: {timeout: 5s}
  late: {file: {path: '{{remediate.fix.stdout}}'}}
  unknown: {file: {path: '{{inputs.provder}}'}}
  self: {file: {path: '{{diagnose.self.path}}'}}
  wait: {file: {path: models}, timeout: soon}
  change: {command: {argv: [rm, models]}}
causes:
  gone: {title: It is gone, when: diagnose.wait.size == \"yes\"}
  typed: {title: Not a condition, when: diagnose.wait.size}
  quoted: {title: Single quotes, when: \"diagnose.wait.kind == 'file'\"}
remediate:
  a: {command: {argv: ['true']}, needs: [b]}
  b: {command: {argv: ['true']}, needs: [a]}
  fix: {fixes: [gnoe], command: {shell: 'rm {{inputs.provider}}'}}
  risky: {command: {argv: ['true']}, risk: risky}
  risky: {command: {argv: ['true']}}
";

#[test]
fn every_mistake_is_reported_at_once() {
    let place = Runbook::new().file("mistakes.yaml", MISTAKES);
    insta::assert_snapshot!(place.call("validate mistakes.yaml").exits(2).shown());
}

#[test]
fn the_same_as_json() {
    let place = Runbook::new().file("mistakes.yaml", MISTAKES);
    let problems = place.call("validate mistakes.yaml --format json").exits(2).json();
    let problems = problems.as_array().expect("a list");
    for problem in problems {
        for key in ["file", "line", "column", "code", "message", "help"] {
            assert!(problem.get(key).is_some(), "{key} is missing: {problem}");
        }
    }
    let line = |problem: &Value| {
        let part = |key: &str| problem[key].to_string().trim_matches('"').to_owned();
        format!("{}:{} {}", part("line"), part("column"), part("code"))
    };
    insta::assert_snapshot!(problems.iter().map(line).collect::<Vec<_>>().join("\n"));
}

#[test]
fn no_mistake_is_an_empty_list() {
    let place = Runbook::new().file("sound.yaml", "runbook: 1\nname: sound\ntitle: Sound\n");
    assert_eq!(place.call("validate sound.yaml --format json").exits(0).json(), serde_json::json!([]));
    place.call("validate sound.yaml").exits(0).says("1 playbook: no problems");
}

#[test]
fn a_folder_is_searched_and_every_file_judged() {
    let place = Runbook::new()
        .file("playbooks/a.yaml", "runbook: 1\nname: a\ntitle: A\n")
        .file("playbooks/deep/b.yaml", "runbook: 1\nname: b\ntitel: B\n")
        .file("playbooks/c.txt", "no playbook");
    let done = place.call("validate playbooks").exits(2);
    assert!(done.stdout().contains("2 playbooks"), "{}", done.stdout());
    place.call("validate").exits(2).says("b.yaml:3:1").says("did you mean 'title'");
    place.call("validate a").exits(0);
}

#[test]
fn nothing_to_validate_is_a_mistake() {
    insta::assert_snapshot!(Runbook::new().call("validate").exits(2).shown());
}

/// The call of another playbook is checked against that playbook.
#[test]
fn calls_are_checked() {
    let called = "runbook: 1\nname: called\ntitle: Called\ninputs: {what: {type: string}}\n";
    let caller = "runbook: 1\nname: caller\ntitle: Caller\nremediate:\n  \
                  a: {playbook: {name: caled}}\n  b: {playbook: {name: called, inputs: {waht: x}}}\n";
    let place = Runbook::new().file("playbooks/called.yaml", called).file("playbooks/caller.yaml", caller);
    insta::assert_snapshot!(place.call("validate caller").exits(2).shown());
}

/// Who would be told nothing at night because of a slip is found when the playbook is written.
#[test]
fn whom_a_playbook_tells_is_checked() {
    let site = "playbooks: [playbooks]\nchannels: {slack: {ml-alerts: {webhook: {env: SLACK}}}}\n";
    let notify = "notify: {on: [started], to: [console, 'slack:ml-alert'], template: startet, \
                  status: {every: 30m, to: ['email:people'], template: status-updat}}\n";
    let text = format!("runbook: 1\nname: told\ntitle: Told\n{notify}");
    let place = Runbook::new().file("runbook.yaml", site).file("playbooks/told.yaml", &text);
    insta::assert_snapshot!(place.call("validate told").exits(2).shown());
    // Without any channels nothing is known of them, as for one who writes playbooks for others.
    let right = text.replace("startet", "started").replace("status-updat}", "status-update}");
    let place = Runbook::new().file("runbook.yaml", "playbooks: [playbooks]\n").file("playbooks/told.yaml", right);
    place.call("validate told").exits(0);
    place.write("runbook.yaml", "notify: {status: {every: 30m, to: [console], template: status-updat}}\n");
    place.call("validate playbooks").exits(2).says("did you mean 'status-update'");
}

#[test]
fn carets_stand_under_the_mistake_whatever_the_letters() {
    let text = "runbook: 1\nname: letters\ntitle: 'Größe 模型 🦀'\ndiagnose:\n  look: {file: {path: 'Größe 模型 🦀'}, timout: 5s}\n";
    insta::assert_snapshot!(Runbook::new().file("letters.yaml", text).call("validate letters.yaml").exits(2).shown());
}
