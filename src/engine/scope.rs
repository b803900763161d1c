//! The values that names in expressions and templates have at a point of a run.

use serde_json::{Value, json};

use super::event::{Answers, StepStatus};
use super::graph::{Graph, Step};
use super::state::{Item, RECHECK, RunState, StepState};
use crate::language::{Lookup, Scope, placeholder};

/// Words about a step that every step has, beside the fields of its output.
pub const STATUS_WORDS: [&str; 5] = ["passed", "failed", "errored", "skipped", "reason"];

/// Names of phases in expressions.
pub const PHASE_WORDS: [&str; 5] = ["detect", "diagnose", "remediate", "verify", "finally"];

pub struct RunScope<'a> {
    pub graph: &'a Graph,
    pub state: &'a RunState,
    /// The output that bare names read: a step's own, in its `expect` and `holds`.
    pub own: Option<&'a Value>,
    /// Name and value of the item of a step that fans out.
    pub item: Option<(&'a str, &'a Value)>,
    /// Further bare names, such as `unresolved` in an escalation.
    pub extra: &'a [(&'a str, Value)],
    /// Whether `detect.` means the detection that is evaluated again: a probe of it that reads another
    /// one wants what is so now, not what was so before the remediation.
    again: bool,
    answers: Said<'a>,
}

/// What `answers.` stands for in a step.
#[derive(Clone, Copy)]
enum Said<'a> {
    /// The step asks for nothing; the name is one like any other.
    Nothing,
    /// Nobody has answered yet: a placeholder stands for each answer.
    Open,
    Given(Option<&'a Answers>),
}

impl<'a> RunScope<'a> {
    pub fn new(graph: &'a Graph, state: &'a RunState) -> Self {
        RunScope { graph, state, own: None, item: None, extra: &[], again: false, answers: Said::Nothing }
    }

    /// What a step, or one item of it, sees.
    pub fn of_step(graph: &'a Graph, state: &'a RunState, step: &'a Step, item: Option<&'a Item>) -> Self {
        let name = step.for_each.as_ref().map_or("item", |for_each| for_each.name.as_str());
        let again = step.id.starts_with(RECHECK);
        let answers = match step.answers() {
            [] => Said::Nothing,
            _ if graph.open_answers => Said::Open,
            _ => Said::Given(item.map(|item| &item.answers)),
        };
        let item = item.and_then(|item| item.value.as_ref()).map(|value| (name, value));
        RunScope { item, again, answers, ..RunScope::new(graph, state) }
    }

    /// The same while a person is asked: placeholders stand for their answers.
    #[must_use]
    pub fn asking(mut self) -> Self {
        if !matches!(self.answers, Said::Nothing) {
            self.answers = Said::Open;
        }
        self
    }

    /// The same with these answers, whatever was said before.
    #[must_use]
    pub fn answered(mut self, answers: &'a Answers) -> Self {
        if !matches!(self.answers, Said::Nothing) {
            self.answers = Said::Given(Some(answers));
        }
        self
    }

    #[must_use]
    pub fn with_own(mut self, own: &'a Value) -> Self {
        self.own = Some(own);
        self
    }

    #[must_use]
    pub fn with_extra(mut self, extra: &'a [(&'a str, Value)]) -> Self {
        self.extra = extra;
        self
    }

    fn step_value(&self, id: &str, rest: &str) -> Lookup {
        let Some((index, step)) = self.graph.step(id) else {
            return Lookup::Missing(format!("there is no step {id}"));
        };
        let Some(state) = self.state.steps.get(index) else {
            return Lookup::Missing("the run has not started".into());
        };
        if let Some(value) = status_word(state, rest) {
            return value;
        }
        if let ("answers", name) = rest.split_once('.').unwrap_or((rest, ""))
            && !step.answers().is_empty()
        {
            return answer(state.items.first().map(|item| &item.answers), name);
        }
        match state.status {
            Some(StepStatus::Passed | StepStatus::Failed) => navigate(&state.output, rest),
            Some(StepStatus::Skipped) => Lookup::Missing(format!("{} was skipped", step.id)),
            Some(_) => Lookup::Missing(format!("{} could not be checked", step.id)),
            None => self.unfinished(state, &step.id, rest),
        }
    }

    /// An undo or a check reads the output of a step that is not settled as a whole.
    fn unfinished(&self, state: &StepState, id: &str, rest: &str) -> Lookup {
        match state.items.first() {
            Some(item) if item.status.is_some() => navigate(&item.output, rest),
            _ => Lookup::Missing(format!("{id} has not run")),
        }
    }
}

fn status_word(state: &StepState, word: &str) -> Option<Lookup> {
    let is = |wanted: StepStatus| Some(Lookup::Value((state.status == Some(wanted)).into()));
    match word {
        "passed" => is(StepStatus::Passed),
        "failed" => is(StepStatus::Failed),
        "errored" => is(StepStatus::Error),
        "skipped" => is(StepStatus::Skipped),
        "reason" => Some(Lookup::Value(state.reason.clone().unwrap_or_default().into())),
        _ => None,
    }
}

/// Follows a dotted path into a value. In a list a number is an index, and a name stands for that field
/// of every item.
pub fn navigate(value: &Value, path: &str) -> Lookup {
    let (part, rest) = path.split_once('.').unwrap_or((path, ""));
    if part.is_empty() {
        return Lookup::Value(value.clone());
    }
    let next = match value {
        Value::Array(items) => match part.parse::<usize>() {
            Ok(index) => items.get(index),
            Err(_) => return Lookup::Value(items.iter().filter_map(|item| field_of_item(item, path)).collect()),
        },
        other => other.get(part),
    };
    next.map_or_else(|| Lookup::Missing(format!("it has no '{part}'")), |found| navigate(found, rest))
}

/// Items without the field, such as those that could not be measured, are left out.
fn field_of_item(item: &Value, path: &str) -> Option<Value> {
    match navigate(item, path) {
        Lookup::Value(found) => Some(found),
        Lookup::Missing(_) => None,
    }
}

/// What somebody said to a question of a step.
fn answer(answers: Option<&Answers>, name: &str) -> Lookup {
    let (head, rest) = name.split_once('.').unwrap_or((name, ""));
    match answers.and_then(|answers| answers.get(head)) {
        Some(value) => navigate(value, rest),
        None => Lookup::Missing("nobody has answered it".into()),
    }
}

impl Scope for RunScope<'_> {
    fn lookup(&self, name: &str) -> Lookup {
        match (self.find(name), self.answers) {
            // Who reads the question must not take a value for a placeholder.
            (Lookup::Value(value), Said::Open) if value.to_string().contains("‹answers.") => Lookup::Missing(
                format!("its value looks like {}, which stands for an answer", placeholder("answers.…")),
            ),
            (found, _) => found,
        }
    }

    fn is_open(&self, name: &str) -> bool {
        matches!(self.answers, Said::Open) && name.starts_with("answers.")
    }
}

impl RunScope<'_> {
    fn find(&self, name: &str) -> Lookup {
        let (head, rest) = name.split_once('.').unwrap_or((name, ""));
        if let Some((item_name, value)) = self.item
            && head == item_name
        {
            return navigate(value, rest);
        }
        if PHASE_WORDS.contains(&head) && !rest.is_empty() {
            let (step, field) = rest.split_once('.').unwrap_or((rest, ""));
            return match (head, self.again) {
                ("detect", true) => self.step_value(&format!("{RECHECK}{step}"), field),
                _ => self.step_value(&format!("{head}.{step}"), field),
            };
        }
        match head {
            "inputs" => navigate(self.graph.inputs(), rest),
            "causes" => self.cause(rest),
            "run" => navigate(&self.run(), rest),
            "answers" if !matches!(self.answers, Said::Nothing) => match self.answers {
                Said::Given(answers) => answer(answers, rest),
                _ => Lookup::Missing("nobody has been asked yet".into()),
            },
            _ => self.bare(name),
        }
    }

    fn cause(&self, name: &str) -> Lookup {
        let causes = self.state.causes.iter().flatten();
        match causes.into_iter().find(|cause| cause.finding.name == name) {
            Some(cause) => match cause.finding.holds {
                Some(holds) => Lookup::Value(holds.into()),
                None => Lookup::Missing(format!("cause '{name}' could not be decided")),
            },
            None => Lookup::Missing("the diagnosis is not complete".into()),
        }
    }

    fn run(&self) -> Value {
        let header = &self.graph.header;
        json!({
            "id": self.state.run.as_ref().map_or("", |run| run.as_str()),
            "playbook": header.playbook,
            "by": header.by,
            "severity": self.state.severity.map(|severity| severity.label()),
            "started_at": self.state.started_at.to_rfc3339(),
        })
    }

    fn bare(&self, name: &str) -> Lookup {
        if let Some((_, value)) = self.extra.iter().find(|(extra, _)| *extra == name) {
            return Lookup::Value(value.clone());
        }
        match self.own {
            Some(own) => navigate(own, name),
            None => Lookup::Missing(format!("'{name}' is not known here")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_list_is_that_field_of_every_item() {
        let value = json!({"items": [{"verdict": "match"}, null, {"verdict": {"name": "differs"}}]});
        let found = |path: &str| navigate(&value, path);
        assert_eq!(found("items.0.verdict"), Lookup::Value(json!("match")));
        assert_eq!(found("items.verdict"), Lookup::Value(json!(["match", {"name": "differs"}])));
        assert_eq!(found("items.verdict.name"), Lookup::Value(json!(["differs"])));
        assert_eq!(found("items.3"), Lookup::Missing("it has no '3'".into()));
        assert_eq!(found("item"), Lookup::Missing("it has no 'item'".into()));
    }
}
