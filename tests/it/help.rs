//! `--help` of every command.

use crate::support::Runbook;

const COMMANDS: [&str; 43] = [
    "",
    "run",
    "serve",
    "schedule",
    "alert",
    "plan",
    "validate",
    "list",
    "history",
    "show",
    "report",
    "resume",
    "rerun",
    "ack",
    "escalate",
    "approve",
    "reject",
    "resolve",
    "freeze",
    "unfreeze",
    "breaker",
    "breaker close",
    "holds",
    "silence",
    "silence add",
    "silence list",
    "silence end",
    "audit",
    "audit verify",
    "audit export",
    "audit key",
    "audit prove",
    "model",
    "model inspect",
    "notify",
    "notify preview",
    "notify route",
    "notify log",
    "notify test",
    "doctor",
    "kinds",
    "explain",
    "schema",
];

#[test]
fn every_command_explains_itself() {
    let runbook = Runbook::new();
    for command in COMMANDS {
        let done = runbook.args(command.split_whitespace().chain(["--help"])).done().exits(0);
        insta::assert_snapshot!(format!("help {command}").trim().replace(' ', "_"), done.stdout());
    }
}

/// A command added to the program must be added to the list above.
#[test]
fn the_list_of_commands_is_complete() {
    let runbook = Runbook::new();
    for group in ["", "audit", "breaker", "model", "notify"] {
        let help = runbook.args(group.split_whitespace().chain(["--help"])).done().exits(0).stdout();
        let named = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let missing: Vec<String> = named
            .filter_map(|line| line.split_whitespace().next())
            .map(|name| format!("{group} {name}").trim().to_owned())
            .filter(|name| !name.ends_with("help") && !COMMANDS.contains(&name.as_str()))
            .collect();
        assert!(missing.is_empty(), "not tested: {missing:?}");
    }
}

#[test]
fn no_command_is_answered_with_the_help() {
    Runbook::new().args::<[&str; 0], _>([]).done().exits(2).says("Usage: runbook");
}

#[test]
fn a_misspelt_command_names_the_near_one() {
    Runbook::new().args(["validat"]).done().exits(2).says("validate");
}

#[test]
fn the_version_is_one_line() {
    let done = Runbook::new().args(["--version"]).done().exits(0);
    assert_eq!(done.stdout(), format!("runbook {}\n", env!("CARGO_PKG_VERSION")));
}
