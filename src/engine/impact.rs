//! What a fault means for those who use the system, said once when the diagnosis is complete.

use serde_json::Value;

use super::event::Impact;
use super::graph::Graph;
use super::scope::RunScope;
use super::state::RunState;
use crate::base::value::show;
use crate::language::{Encoding, Lookup, Scope, Template};

/// What can be said now; nothing without a fault. A text that inserts something without a value is left out: half a
/// sentence would tell people outside of operations more wrong than right.
pub(super) fn stated(graph: &Graph, known: &RunState) -> Option<Impact> {
    if !is_a_fault(graph, known) {
        return None;
    }
    let scope = RunScope::new(graph, known);
    let say = |text: &Option<Template>| {
        let text = text.as_ref()?;
        // A block goes through a list itself.
        let said = match text.has_blocks() {
            true => text.render(&scope, Encoding::Plain),
            false => text.render(&Spoken(&scope), Encoding::Plain),
        };
        let said = said.ok()?;
        Some(said.trim().to_owned()).filter(|said| !said.is_empty())
    };
    let impact = Impact { affected: say(&graph.impact.affected), summary: say(&graph.impact.summary) };
    (impact.affected.is_some() || impact.summary.is_some()).then_some(impact)
}

/// A playbook without a detection also looks where nothing is wrong.
fn is_a_fault(graph: &Graph, known: &RunState) -> bool {
    graph.detection.is_some() || known.causes.iter().flatten().any(|cause| cause.finding.holds == Some(true))
}

/// Values as they are said: a list as its items with commas between them.
struct Spoken<'a>(&'a RunScope<'a>);

impl Scope for Spoken<'_> {
    fn lookup(&self, name: &str) -> Lookup {
        match self.0.lookup(name) {
            Lookup::Value(Value::Array(items)) => {
                Lookup::Value(items.iter().map(show).collect::<Vec<_>>().join(", ").into())
            }
            other => other,
        }
    }
}
