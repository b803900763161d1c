//! The whole document: checks its form in one pass, then takes it apart.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::document;
use super::model::{CauseDeclaration, Detection, Header, Playbook};
use super::step::Step;
use super::step_decoder::StepDecoder;
use super::triggers;
use crate::base::{Diagnostic, Route, Source};
use crate::engine::event::{Phase, Severity};
use crate::language::{Declaration, Expression};
use crate::schema::{self, Decoded, Schema};
use crate::yaml::{Data, Entry, Node};

/// Phases whose steps stand under a key of their own.
const STEP_PHASES: [(&str, Phase); 4] = [
    ("diagnose", Phase::Diagnose),
    ("remediate", Phase::Remediate),
    ("verify", Phase::Verify),
    ("finally", Phase::Finally),
];

/// The playbook without what is wrong in it; `None` when too little is left.
pub(super) fn playbook(
    source: &Source,
    root: Node,
    digest: String,
    problems: &mut Vec<Diagnostic>,
) -> Option<Playbook> {
    let mut decoded = schema::decode(&root, Schema::whole(document::schema()), source, problems);
    let mut value = decoded.value.take();
    let (causes, severity) = (causes(&root, &mut decoded), severity(&root, &mut decoded));
    let mut decoder = StepDecoder::new(source, decoded, problems);
    let detection = root.get("detect").map(|node| detection(&mut decoder, node, &mut value["detect"]));
    let mut steps = std::mem::take(&mut decoder.steps);
    for (key, phase) in STEP_PHASES {
        let entries = root.get(key).map_or(&[][..], Node::entries);
        steps.reserve(entries.len());
        for entry in entries {
            let value = part(&mut value[key], &entry.key);
            steps.extend(decoder.step(entry, value, phase, Route::of([key, &entry.key])));
        }
    }
    let inputs = declarations("input", root.get("inputs"), &mut value["inputs"], source, problems);
    let header = decode_header(value, problems);
    sort(problems);
    let playbook = Playbook {
        source: source.clone(),
        digest,
        header: header?,
        inputs,
        detect: detection.flatten(),
        steps,
        causes,
        severity,
        root: Arc::new(root),
    };
    problems.extend(triggers::check(&playbook));
    Some(playbook)
}

/// Takes a part out of a decoded mapping; null where a mistake left nothing.
fn part(mapping: &mut Value, key: &str) -> Value {
    mapping.get_mut(key).map_or(Value::Null, Value::take)
}

/// In the order of the text, each mistake once.
fn sort(problems: &mut Vec<Diagnostic>) {
    let key = |problem: &Diagnostic| {
        (problem.place.as_ref().map(|(_, span)| (span.start, span.end)), problem.message.clone())
    };
    problems.sort_by_key(key);
    problems.dedup_by_key(|problem| key(problem));
}

fn decode_header(mut header: Value, problems: &mut Vec<Diagnostic>) -> Option<Header> {
    let parts = ["inputs", "detect", "diagnose", "causes", "severity", "remediate", "verify", "finally"];
    if let Some(entries) = header.as_object_mut() {
        parts.iter().for_each(|part| drop(entries.remove(*part)));
        if !problems.is_empty() {
            make_up(entries);
        }
    }
    match serde_json::from_value(header) {
        Ok(header) => Some(header),
        Err(_) if !problems.is_empty() => None,
        Err(error) => {
            problems.push(Diagnostic::error("bad-playbook", format!("the top of the playbook is not valid: {error}")));
            None
        }
    }
}

/// Stands in for what is missing or wrong, which has been reported, so that the rest can be looked at.
fn make_up(header: &mut Map<String, Value>) {
    header.retain(|_, value| !value.is_null());
    header.insert("runbook".into(), 1.into());
    for name in ["name", "title"] {
        header.entry(name).or_insert_with(|| name.into());
    }
}

/// The inputs of a playbook or the answers of a step, in the order of the text.
pub(super) fn declarations(
    noun: &str,
    node: Option<&Node>,
    values: &mut Value,
    source: &Source,
    problems: &mut Vec<Diagnostic>,
) -> Vec<(String, Declaration)> {
    let wrong = |message: String, entry: &Entry| match noun {
        "input" => Diagnostic::error("bad-input", message).at(source, entry.value.span),
        _ => Diagnostic::error("bad-answer", message).at(source, entry.value.span),
    };
    let mut declared = Vec::new();
    for entry in node.into_iter().flat_map(Node::entries) {
        match serde_json::from_value::<Declaration>(part(values, &entry.key)) {
            Ok(declaration) => {
                let found = declaration.problems(noun, &entry.key).into_iter();
                problems.extend(found.map(|message| wrong(message, entry)));
                declared.push((entry.key.clone(), declaration));
            }
            Err(error) if problems.is_empty() => {
                problems.push(wrong(error.to_string(), entry));
            }
            Err(_) => {}
        }
    }
    declared
}

fn detection(decoder: &mut StepDecoder<'_>, node: &Node, value: &mut Value) -> Option<Detection> {
    let groups: Vec<Detection> = node
        .entries()
        .iter()
        .filter_map(|entry| group(decoder, entry, part(value, &entry.key), &Route::of(["detect"])))
        .collect();
    decoder.some_probe(node);
    match groups.len() {
        0 => None,
        1 => groups.into_iter().next(),
        _ => Some(Detection::All(groups)),
    }
}

fn group(decoder: &mut StepDecoder<'_>, group: &Entry, mut value: Value, route: &Route) -> Option<Detection> {
    let route = route.key(&group.key);
    let members = group.value.entries().iter().filter_map(|entry| {
        let value = part(&mut value, &entry.key);
        match entry.key.as_str() {
            "any" | "all" | "not" => self::group(decoder, entry, value, &route),
            _ => decoder.step(entry, value, Phase::Detect, route.key(&entry.key)).map(|step: Step| {
                let name = step.name.clone();
                decoder.probe(entry, step);
                Detection::Probe(name)
            }),
        }
    });
    let members: Vec<Detection> = members.collect();
    match group.key.as_str() {
        "any" => Some(Detection::Any(members)),
        "all" => Some(Detection::All(members)),
        "not" => Some(Detection::Not(Box::new(Detection::Any(members)))),
        _ => None,
    }
}

fn causes(root: &Node, decoded: &mut Decoded) -> Vec<CauseDeclaration> {
    let cause = |entry: &Entry| {
        Some(CauseDeclaration {
            name: entry.key.clone(),
            title: entry.value.get("title")?.text()?,
            when: decoded.expression(entry.value.get("when")?)?,
            route: Route::of(["causes", &entry.key]),
        })
    };
    root.get("causes").into_iter().flat_map(Node::entries).filter_map(cause).collect()
}

fn severity(root: &Node, decoded: &mut Decoded) -> Vec<(Option<Expression>, Severity)> {
    let word = |node: &Node| serde_json::from_value::<Severity>(node.to_json()).ok();
    let rule = |node: &Node| {
        let when = node.get("when").and_then(|when| decoded.expression(when));
        Some((when, word(node.get("is")?)?))
    };
    match root.get("severity") {
        None => Vec::new(),
        Some(node) if matches!(node.data, Data::List(_)) => node.items().iter().filter_map(rule).collect(),
        Some(node) => word(node).map(|severity| (None, severity)).into_iter().collect(),
    }
}
