//! Which names exist at a place of a playbook, and their types.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::{Field, Type, suggestion};
use crate::engine::event::Phase;
use crate::engine::scope::{PHASE_WORDS, STATUS_WORDS};
use crate::language::{Declaration, LanguageError, Names};
use crate::playbook::{Action, Playbook, Step};
use crate::yaml::Node;

/// Names that every run has under `run.`.
const RUN_FIELDS: [&str; 5] = ["id", "playbook", "by", "severity", "started_at"];

/// Output fields, shared by the steps that have the same ones.
pub(super) type Fields = Arc<[Field]>;

/// What all places of a playbook share: the outputs of each step, computed once.
pub(super) struct Catalogue<'a> {
    playbook: &'a Playbook,
    /// By the phase's word and the step's name.
    steps: HashMap<(&'static str, &'a str), Facts<'a>>,
    kinds: Outputs,
}

impl<'a> Catalogue<'a> {
    pub(super) fn new(playbook: &'a Playbook) -> Self {
        let mut kinds = Outputs::default();
        playbook.steps.iter().for_each(|step| kinds.add(step));
        let fields = |step: &'a Step| {
            let facts = Facts { phase: step.phase, fields: outputs(step, &kinds), answers: answers_for_others(step) };
            ((step.phase.label(), step.name.as_str()), facts)
        };
        let steps = playbook.steps.iter().map(fields).collect();
        Catalogue { playbook, steps, kinds }
    }

    /// The output of an action, before a step makes more of it.
    pub(super) fn outputs_of(&self, action: &Action) -> Fields {
        self.kinds.of(action)
    }
}

/// What others may read of a step.
struct Facts<'a> {
    phase: Phase,
    fields: Fields,
    answers: &'a [(String, Declaration)],
}

/// The output fields of each kind that a playbook uses. Deriving them takes as long as checking a
/// hundred steps.
#[derive(Default)]
struct Outputs(HashMap<&'static str, Fields>);

impl Outputs {
    fn add(&mut self, step: &Step) {
        let looks = [&step.precondition, &step.check].into_iter().flatten().map(|(action, _)| action);
        for action in looks.chain([&step.action]) {
            self.0.entry(action.kind.name).or_insert_with(|| action.kind.own_outputs().into());
        }
    }

    fn of(&self, action: &Action) -> Fields {
        match self.0.get(action.kind.name) {
            Some(own) if (action.kind.extra_outputs)(&action.request.raw).is_empty() => own.clone(),
            _ => action.kind.outputs(&action.request.raw).into(),
        }
    }
}

/// The output fields of a step; a step that fans out has the outputs of its items in a list.
fn outputs(step: &Step, kinds: &Outputs) -> Fields {
    let own = kinds.of(&step.action);
    let fans_out = step.for_each.is_some();
    if !fans_out && step.phase != Phase::Detect {
        return own;
    }
    let mut fields = if fans_out { fan_fields(own.to_vec()) } else { own.to_vec() };
    if step.phase == Phase::Detect {
        fields.push(Field::new("holds", Type::Bool, "whether the condition of the probe holds"));
    }
    fields.into()
}

fn fan_fields(own: Vec<Field>) -> Vec<Field> {
    let count = |name: &str, help: &str| Field::new(name, Type::Int, help);
    let those = |name: &str, help: &str| Field::new(name, Type::List(Box::new(Type::Any)), help);
    vec![
        count("count", "number of items"),
        count("passed_count", "items that passed"),
        count("failed_count", "items that failed"),
        count("error_count", "items that could not be done"),
        those("passed_items", "the items that passed"),
        those("failed_items", "the items that failed"),
        those("error_items", "the items that could not be done"),
        Field::new("items", Type::List(Box::new(Type::Object(own))), "the output of each item"),
    ]
}

/// The names known at one place.
pub(super) struct Place<'a> {
    pub catalogue: &'a Catalogue<'a>,
    /// The phase whose step this is; later phases have no outputs yet.
    pub phase: Phase,
    /// Bare names: the step's own output.
    pub own: Fields,
    /// The name of the item of a step that fans out.
    pub item: Option<&'a str>,
    /// The step itself, whose output does not exist yet (unless it is being undone or checked).
    pub not_yet: Option<&'a Step>,
    pub causes: bool,
    /// What whoever approves the step has said, at a place that is only reached afterwards.
    pub answers: &'a [(String, Declaration)],
    /// A condition that a kind judges by itself sees nothing but its own names.
    pub only_own: bool,
}

impl Names for Place<'_> {
    fn type_of(&self, name: &str) -> Result<Type, LanguageError> {
        let (head, rest) = name.split_once('.').unwrap_or((name, ""));
        if self.only_own {
            return self.bare(name, head, rest);
        }
        if self.item == Some(head) {
            return Ok(Type::Any);
        }
        match head {
            "inputs" => self.input(rest),
            "causes" if self.causes => self.cause(rest),
            "run" => self.run(rest),
            "answers" if !self.answers.is_empty() => answer(self.answers, rest),
            _ if PHASE_WORDS.contains(&head) && !rest.is_empty() => self.step(head, rest),
            _ => self.bare(name, head, rest),
        }
    }
}

impl Place<'_> {
    fn input(&self, rest: &str) -> Result<Type, LanguageError> {
        let inputs = &self.catalogue.playbook.inputs;
        let name = rest.split('.').next().unwrap_or(rest);
        match inputs.iter().find(|(known, _)| known == name) {
            Some((_, declaration)) => field_type("inputs", &[Field::new(name, declaration.value_type(), "")], rest),
            None if self.catalogue.playbook.is_written("inputs", name) => Ok(Type::Any),
            None => {
                let written = self.catalogue.playbook.root.get("inputs").map(Node::entries).unwrap_or_default();
                let help = suggestion::did_you_mean(name, written.iter().map(|entry| entry.key.as_str()));
                Err(LanguageError::new(format!("there is no input '{name}'"))
                    .help(help.or(Some("declare it under `inputs:`".into()))))
            }
        }
    }

    fn cause(&self, name: &str) -> Result<Type, LanguageError> {
        let causes = &self.catalogue.playbook.causes;
        if causes.iter().any(|cause| cause.name == name) || self.catalogue.playbook.is_written("causes", name) {
            return Ok(Type::Bool);
        }
        Err(LanguageError::new(format!("there is no cause '{name}'"))
            .help(suggestion::did_you_mean(name, causes.iter().map(|cause| cause.name.as_str()))))
    }

    fn run(&self, field: &str) -> Result<Type, LanguageError> {
        if RUN_FIELDS.contains(&field) {
            return Ok(Type::String);
        }
        Err(LanguageError::new(format!("a run has no '{field}'")).help(suggestion::did_you_mean(field, RUN_FIELDS)))
    }

    fn step(&self, phase: &str, rest: &str) -> Result<Type, LanguageError> {
        let (name, field) = rest.split_once('.').unwrap_or((rest, ""));
        let Some(Facts { phase: step_phase, fields, answers: step_answers }) = self.catalogue.steps.get(&(phase, name))
        else {
            if self.catalogue.playbook.is_written(phase, name) {
                return Ok(Type::Any);
            }
            let known: Vec<&str> =
                self.catalogue.steps.keys().filter(|(other, _)| *other == phase).map(|(_, name)| *name).collect();
            return Err(LanguageError::new(format!("there is no step '{phase}.{name}'"))
                .help(suggestion::did_you_mean(name, known)));
        };
        if *step_phase > self.phase {
            return Err(LanguageError::new(format!("{phase}.{name} runs later than this"))
                .help("a step can only use what ran before it".to_owned()));
        }
        if self.not_yet.is_some_and(|step| step.phase == *step_phase && step.name == name) {
            let help = field.strip_prefix("answers.").map(|answer| format!("its answers are written answers.{answer}"));
            return Err(LanguageError::new(format!("{phase}.{name} cannot use its own output here")).help(help));
        }
        if field.is_empty() {
            return Err(LanguageError::new(format!("which part of {phase}.{name}?"))
                .help(suggestion::did_you_mean("", fields.iter().map(|field| field.name.as_str()))));
        }
        if let Some(answers) = field.strip_prefix("answers.").filter(|_| !step_answers.is_empty()) {
            return answer(step_answers, answers);
        }
        if STATUS_WORDS.contains(&field) {
            return Ok(if field == "reason" { Type::String } else { Type::Bool });
        }
        field_type(&format!("{phase}.{name}"), fields, field)
    }

    fn bare(&self, name: &str, head: &str, rest: &str) -> Result<Type, LanguageError> {
        if self.own.iter().any(|field| field.name == head) {
            return field_type("this step", &self.own, name);
        }
        let own = self.own.iter().map(|field| field.name.as_str());
        let known: Vec<&str> = own.chain(["inputs", "run"]).chain(PHASE_WORDS).chain(self.item).collect();
        let mut help = suggestion::did_you_mean(head, known);
        if rest.is_empty() && self.catalogue.playbook.inputs.iter().any(|(input, _)| input == head) {
            help = Some(format!("inputs are written inputs.{head}"));
        }
        if head == "answers" {
            help = Some(match self.not_yet {
                Some(step) if !step.answers.is_empty() => "this is decided before anybody is asked".into(),
                _ => "declare answers under `approve: {answers: …}` of the step, and name another step's as \
                      remediate.STEP.answers.NAME"
                    .into(),
            });
        }
        if matches!(head, "secret" | "secrets") {
            help =
                Some("a secret is no value: write {secret: NAME} under `env`, `stdin`, `headers` or `bearer`".into());
        }
        Err(LanguageError::new(format!("'{name}' is not known here")).help(help))
    }
}

/// Of a step that fans out each item has answers of its own, which others do not read.
fn answers_for_others(step: &Step) -> &[(String, Declaration)] {
    if step.for_each.is_some() { &[] } else { &step.answers }
}

fn answer(answers: &[(String, Declaration)], rest: &str) -> Result<Type, LanguageError> {
    let name = rest.split('.').next().unwrap_or(rest);
    match answers.iter().find(|(known, _)| known == name) {
        Some((_, declaration)) => field_type("answers", &[Field::new(name, declaration.value_type(), "")], rest),
        None => {
            let help = suggestion::did_you_mean(name, answers.iter().map(|(known, _)| known.as_str()));
            let help = help.unwrap_or_else(|| "declare it under `approve: {answers: …}`".to_owned());
            Err(LanguageError::new(format!("the step asks for no answer '{name}'")).help(help))
        }
    }
}

fn field_type(owner: &str, fields: &[Field], path: &str) -> Result<Type, LanguageError> {
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    let Some(field) = fields.iter().find(|field| field.name == head) else {
        let help = suggestion::did_you_mean(head, fields.iter().map(|field| field.name.as_str()));
        return Err(LanguageError::new(format!("{owner} has no '{head}'")).help(help));
    };
    match (&field.kind, rest) {
        (kind, "") => Ok(kind.clone()),
        (Type::Object(inner), rest) => field_type(&format!("{owner}.{head}"), inner, rest),
        (Type::List(item), rest) => inside_list(owner, head, item, rest),
        (Type::Any, _) => Ok(Type::Any),
        (kind, _) => Err(LanguageError::new(format!("'{head}' of {owner} is {kind} and has no parts"))),
    }
}

/// `items.0` is one item, `items.verdict` the list of that field of every item.
fn inside_list(owner: &str, head: &str, item: &Type, rest: &str) -> Result<Type, LanguageError> {
    let (index, inner) = rest.split_once('.').unwrap_or((rest, ""));
    let is_index = index.parse::<usize>().is_ok();
    match item {
        Type::Object(fields) if !is_index => {
            field_type(&format!("each of {owner}.{head}"), fields, rest).map(|kind| Type::List(Box::new(kind)))
        }
        Type::Any if !is_index => Ok(Type::List(Box::new(Type::Any))),
        _ if !is_index => Err(LanguageError::new(format!("'{head}' of {owner} is a list of {item}"))
            .help(format!("write {head}.0 for its first item"))),
        Type::Object(fields) if !inner.is_empty() => field_type(&format!("{owner}.{head}.{index}"), fields, inner),
        kind if inner.is_empty() => Ok(kind.clone()),
        _ => Ok(Type::Any),
    }
}
