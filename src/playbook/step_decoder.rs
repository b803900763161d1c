//! Steps: exactly one kind, any common keys.

use serde_json::Value;

use super::step::{Action, FanOut, Look, Step, StepKeys};
use super::{decode, document, registry};
use crate::base::{Diagnostic, Route, Source};
use crate::engine::event::Phase;
use crate::engine::scope::PHASE_WORDS;
use crate::kind::{Effect, KindEntry};
use crate::language::{Declaration, Expression};
use crate::schema::Decoded;
use crate::yaml::{Data, Entry, Node};

/// The groups of a detection.
const GROUPS: [&str; 3] = ["any", "all", "not"];
/// More than this nobody answers with care in the middle of an incident.
const MOST_ANSWERS: usize = 20;

pub(super) struct StepDecoder<'a> {
    source: &'a Source,
    decoded: Decoded,
    problems: &'a mut Vec<Diagnostic>,
    /// Steps found while something else is decoded (the probes of a detection).
    pub(super) steps: Vec<Step>,
}

impl<'a> StepDecoder<'a> {
    pub(super) fn new(source: &'a Source, decoded: Decoded, problems: &'a mut Vec<Diagnostic>) -> Self {
        StepDecoder { source, decoded, problems, steps: Vec::new() }
    }

    /// Keeps a probe; its name is its own in all groups of the detection.
    pub(super) fn probe(&mut self, entry: &Entry, step: Step) {
        if self.steps.iter().any(|other| other.name == step.name) {
            let help = Some("give each probe a name of its own, in whatever group it stands".to_owned());
            self.problem("duplicate-key", format!("'{}' is given twice in detect", entry.key), entry, help);
        }
        self.steps.push(step);
    }

    /// A detection that asks nothing would take every fault as given.
    pub(super) fn some_probe(&mut self, node: &Node) {
        fn empty(node: &Node) -> bool {
            node.entries().iter().all(|entry| GROUPS.contains(&entry.key.as_str()) && empty(&entry.value))
        }
        if empty(node) {
            let problem = Diagnostic::error("no-probes", "'detect' has no probe").at(self.source, node.span);
            let help = "write `any:` with a probe below it, or leave 'detect' out if the fault is known";
            self.problems.push(problem.help(help.to_owned()));
        }
    }

    /// The step, or `None` when its form is wrong; the mistakes have then been reported.
    /// `value` is what the check of the whole document made of the step.
    pub(super) fn step(&mut self, entry: &Entry, value: Value, phase: Phase, route: Route) -> Option<Step> {
        let action = self.action(&entry.value, entry, &route)?;
        let keys = self.keys(entry, value, action.kind)?;
        let precondition = self.look("precondition", entry, &route)?;
        let check = self.look("check", entry, &route)?;
        let undo = match entry.value.get("undo") {
            Some(node) => Some(self.action(node, entry, &route.key("undo"))?),
            None => None,
        };
        let judged_by = if phase == Phase::Detect { "holds" } else { "expect" };
        let step = Step {
            name: entry.key.clone(),
            phase,
            when: self.expression(&entry.value, "when"),
            expect: self.expression(&entry.value, judged_by),
            for_each: self.for_each(&entry.value, &keys),
            answers: self.answers(entry, &keys),
            action,
            keys,
            precondition,
            check,
            undo,
            route,
        };
        self.meaning(entry, &step);
        Some(step)
    }

    /// A second action that only looks, if the step has one; the outer `None` when its form is wrong.
    fn look(&mut self, key: &str, entry: &Entry, route: &Route) -> Option<Option<Look>> {
        match entry.value.get(key) {
            Some(node) => {
                let action = self.action(node, entry, &route.key(key))?;
                Some(Some((action, self.expression(node, "expect"))))
            }
            None => Some(None),
        }
    }

    fn action(&mut self, node: &Node, entry: &Entry, route: &Route) -> Option<Action> {
        let named: Vec<(&Entry, &'static KindEntry)> =
            node.entries().iter().filter_map(|part| registry::find(&part.key).map(|kind| (part, kind))).collect();
        match named.as_slice() {
            [(part, kind)] => {
                let request = self.decoded.request(&part.value)?;
                Some(Action { kind, request, route: route.key(kind.name) })
            }
            // An unknown key is reported with the nearest known ones, kinds among them.
            [] if node.entries().iter().any(|part| !is_step_key(&part.key)) => None,
            [] => {
                let stranger = node.entries().iter().find(|part| matches!(part.value.data, Data::Map(_)));
                let help = stranger.and_then(|part| registry::suggest(&part.key));
                let help = help.or_else(|| Some("`runbook kinds` lists what a step can do".to_owned()));
                self.problem("no-kind", format!("'{}' says nothing to do", entry.key), entry, help);
                None
            }
            [(first, _), (second, _), ..] => {
                let message = format!("'{}' has two kinds, '{}' and '{}'", entry.key, first.key, second.key);
                self.problem("two-kinds", message, entry, Some("make two steps of it".to_owned()));
                None
            }
        }
    }

    fn problem(&mut self, code: &'static str, message: String, entry: &Entry, help: Option<String>) {
        self.problems.push(Diagnostic::error(code, message).at(self.source, entry.key_span).help(help));
    }

    fn keys(&mut self, entry: &Entry, value: Value, kind: &KindEntry) -> Option<StepKeys> {
        let Value::Object(mut keys) = value else { return None };
        if keys.len() < entry.value.entries().len() {
            // An unknown key, which was reported with the whole document.
            return None;
        }
        keys.remove(kind.name);
        match serde_json::from_value(Value::Object(keys)) {
            Ok(keys) => Some(keys),
            Err(error) => {
                // A step must not vanish without a word, even if the schema and the type disagree.
                if self.problems.is_empty() {
                    self.problem("bad-playbook", format!("'{}' is not valid: {error}", entry.key), entry, None);
                }
                None
            }
        }
    }

    /// The expression under a key; mistakes in it were reported with the whole document.
    fn expression(&mut self, node: &Node, key: &str) -> Option<Expression> {
        self.decoded.expression(node.get(key)?)
    }

    fn for_each(&mut self, node: &Node, keys: &StepKeys) -> Option<FanOut> {
        let (keys, node) = (keys.for_each.clone()?, node.get("for_each")?);
        Some(FanOut { list: self.expression(node, "in")?, of: self.expression(node, "of"), keys })
    }

    /// What whoever approves the step is asked.
    fn answers(&mut self, entry: &Entry, keys: &StepKeys) -> Vec<(String, Declaration)> {
        let node = entry.value.get("approve").and_then(|approve| approve.get("answers"));
        let mut values = keys.approve.as_ref().and_then(|approve| approve.answers.clone()).unwrap_or_default();
        let declared = decode::declarations("answer", node, &mut values, self.source, self.problems);
        if declared.len() > MOST_ANSWERS {
            let message =
                format!("'{}' asks for {} answers; at most {MOST_ANSWERS} are allowed", entry.key, declared.len());
            let help = "make the others inputs of the playbook, or ask at a step of their own".to_owned();
            self.problem("bad-answer", message, entry, Some(help));
        }
        declared
    }

    /// Mistakes of a single step that a schema cannot express.
    fn meaning(&mut self, entry: &Entry, step: &Step) {
        let observes = matches!(step.phase, Phase::Detect | Phase::Diagnose | Phase::Verify);
        if observes && step.effect() != Effect::Read {
            let help = format!(
                "move it to remediate, or, if it only reads, say `effect: read` beside '{}'",
                step.action.kind.name
            );
            self.problem(
                "changes-while-observing",
                format!("'{}' may change something, but {} only observes", entry.key, step.phase),
                entry,
                Some(help),
            );
        }
        if step.phase == Phase::Detect && step.keys.holds.is_none() {
            self.problem(
                "no-holds",
                format!("'{}' does not say when the fault exists", entry.key),
                entry,
                Some("add `holds:` with a condition over its output".to_owned()),
            );
        }
        if let Some(for_each) = step.keys.for_each.as_ref().filter(|for_each| is_taken(&for_each.name)) {
            self.problem(
                "bad-name",
                format!("an item of '{}' cannot be called '{}'", entry.key, for_each.name),
                entry,
                Some("it would hide the values of that name; choose another one under `as:`".to_owned()),
            );
        }
        if step.phase != Phase::Remediate && step.precondition.is_some() {
            self.problem(
                "precondition-outside-remediate",
                format!("'{}' changes nothing that a precondition could keep it from", entry.key),
                entry,
                Some("use `when:` here, or move the step to remediate".to_owned()),
            );
        }
        if step.phase != Phase::Remediate && !step.keys.fixes.is_empty() {
            self.problem(
                "fixes-outside-remediate",
                format!("'{}' fixes nothing in {}", entry.key, step.phase),
                entry,
                Some("move it to remediate".to_owned()),
            );
        }
    }
}

/// Whether expressions and templates already mean something by this name.
fn is_taken(name: &str) -> bool {
    PHASE_WORDS.contains(&name) || matches!(name, "inputs" | "causes" | "run" | "answers")
}

/// Whether some step may have this key.
fn is_step_key(key: &str) -> bool {
    let definitions = &document::schema()["$defs"];
    ["step", "probe"].iter().any(|name| definitions[*name]["properties"].get(key).is_some())
}
