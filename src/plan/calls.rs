//! Steps that call other playbooks: does the playbook exist, and does it take these inputs?

use super::step_route;
use crate::base::{Diagnostic, suggestion};
use crate::language::is_template;
use crate::playbook::{Action, Library, Playbook};

/// The kind that calls a playbook.
const CALL: &str = "playbook";

/// Mistakes that only show when the called playbooks are looked at.
pub fn check_calls(playbook: &Playbook, library: &Library) -> Vec<Diagnostic> {
    let calls = playbook.steps.iter().filter(|step| step.action.kind.name == CALL);
    calls.flat_map(|step| check_call(playbook, &step.action, library, &step_route(step, CALL))).collect()
}

fn check_call(playbook: &Playbook, action: &Action, library: &Library, route: &crate::base::Route) -> Vec<Diagnostic> {
    let raw = &action.request.raw;
    let problem = |route: &crate::base::Route, message: String, help: Option<String>| {
        let span = playbook.root.locate_key(route);
        Diagnostic::error("bad-call", message).at(&playbook.source, span).help(help)
    };
    let Some(name) = raw["name"].as_str().filter(|name| !is_template(name)) else { return Vec::new() };
    let called = match library.find(name) {
        Ok(called) => called,
        Err(problems) => {
            let first = &problems[0];
            let message = if first.code == "no-such-playbook" {
                first.message.clone()
            } else {
                format!("playbook '{name}' is not valid")
            };
            return vec![problem(&route.key("name"), message, first.help.clone())];
        }
    };
    let given = raw["inputs"].as_object().cloned().unwrap_or_default();
    let unknown = given.keys().filter(|input| !called.inputs.iter().any(|(known, _)| known == *input)).map(|input| {
        let help = suggestion::did_you_mean(input, called.inputs.iter().map(|(known, _)| known.as_str()));
        problem(&route.key("inputs").key(input), format!("'{name}' has no input '{input}'"), help)
    });
    let missing =
        called.inputs.iter().filter(|(input, declaration)| declaration.default.is_none() && !given.contains_key(input));
    let missing = missing.map(|(input, declaration)| {
        problem(route, format!("'{name}' needs the input '{input}'"), declaration.help.clone())
    });
    unknown.chain(missing).collect()
}
