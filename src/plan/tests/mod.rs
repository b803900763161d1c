//! Tests of the way from a text to a graph.

mod compiled;
mod mistakes;
mod robust;

use serde_json::json;

use super::{Settings, check};
use crate::base::{Diagnostic, Source};
use crate::engine::Graph;
use crate::engine::event::Risk;
use crate::playbook::{self, Playbook};

/// The top of every playbook here; three lines.
const TOP: &str = "runbook: 1\nname: test\ntitle: A test\n";

fn source(text: &str) -> Source {
    Source::new("test.yaml", format!("{TOP}{text}"))
}

/// Every mistake of a text, as `validate` shows them, and the playbook as far as it can be read.
fn examine(source: &Source) -> (Option<Playbook>, Vec<Diagnostic>) {
    let (playbook, mut problems) = playbook::examine(source);
    problems.extend(playbook.iter().flat_map(check));
    problems.sort_by_key(|problem| problem.place.as_ref().map(|(_, span)| span.start));
    (playbook, problems)
}

fn problems(text: &str) -> Vec<Diagnostic> {
    examine(&source(text)).1
}

/// The graph of a playbook without mistakes.
fn graph(text: &str) -> Graph {
    let (playbook, problems) = examine(&source(text));
    let told: Vec<String> = problems.iter().map(|problem| problem.render(false)).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    let settings = Settings {
        inputs: json!({}),
        by: "ada".into(),
        trigger: "hand".into(),
        parallel: 8,
        ask_from: Risk::Disruptive,
    };
    super::compile(&playbook.expect("a playbook"), settings)
}
