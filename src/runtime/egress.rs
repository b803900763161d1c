//! Whether data has chosen the host of a request. The text of the playbook, what the person who started the run
//! gave as inputs, and the site file may name any host; what a step has found out or an event from outside says may
//! only name a listed one.

use std::collections::BTreeSet;

use reqwest::Url;
use serde_json::Value;

use crate::base::StepKey;
use crate::base::source::Part;
use crate::engine::event::Role;
use crate::engine::graph::{Graph, Step};
use crate::language::{Encoding, Request, Slot};
use crate::site::Egress;

/// The calls of other playbooks. What data chose stays so in the called run; an address is refused before the call.
const CALL: &str = "playbook";

/// Refuses, with message and help, a filled request with an address whose host data chose and that is not listed.
pub(super) fn check(
    graph: &Graph,
    key: &StepKey,
    role: Role,
    filled: &Value,
    egress: &Egress,
) -> Result<(), (String, Option<String>)> {
    let outside = &graph.header.from_outside;
    let Some((_, step)) = graph.step(&key.step) else { return Ok(()) };
    let Some((kind, request)) = request_of(step, role) else { return Ok(()) };
    let is_address = |slot: &&Slot| slot.encoding == Encoding::Url || kind == CALL;
    for slot in request.slots.iter().filter(is_address).filter(|slot| chosen_by_data(slot, step, outside)) {
        let Some(url) = text_at(filled, slot).and_then(|text| Url::parse(text).ok()) else { continue };
        let host = url.host_str().unwrap_or_default();
        if let Err(refused) = egress.check_chosen(host) {
            return Err((format!("{}: {refused}", slot.route), Some(refused.help())));
        }
    }
    Ok(())
}

fn request_of(step: &Step, role: Role) -> Option<(&str, &Request)> {
    let side = match role {
        Role::Main => return Some((&step.kind, &step.request)),
        Role::Precondition => &step.precondition,
        Role::Check => &step.check,
        Role::Undo => &step.undo,
    };
    side.as_ref().map(|side| (side.kind.as_str(), &side.request))
}

/// The inputs of a called playbook that data gave: a step of the caller, or an event from outside.
pub(super) fn passed_on(graph: &Graph, key: &StepKey) -> BTreeSet<String> {
    let outside = &graph.header.from_outside;
    let Some((_, step)) = graph.step(&key.step) else { return BTreeSet::new() };
    let roles = [Role::Main, Role::Precondition, Role::Check, Role::Undo];
    let calls = roles.iter().filter_map(|role| request_of(step, *role)).filter(|(kind, _)| *kind == CALL);
    let slots = calls.flat_map(|(_, request)| &request.slots);
    let given_by_data =
        slots.filter(|slot| slot.template.references().iter().any(|name| !is_trusted(name, step, outside)));
    let input = |slot: &Slot| match slot.route.parts() {
        [Part::Key(inputs), Part::Key(name), ..] if inputs == "inputs" => Some(name.clone()),
        _ => None,
    };
    given_by_data.filter_map(input).collect()
}

fn chosen_by_data(slot: &Slot, step: &Step, outside: &BTreeSet<String>) -> bool {
    slot.template.names_of_host().into_iter().any(|name| !is_trusted(name, step, outside))
}

/// An item is as trusted as the list that it is from.
fn is_trusted(name: &str, step: &Step, outside: &BTreeSet<String>) -> bool {
    let head = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    match &step.for_each {
        Some(items) if items.name == head(name) => items.list.references().iter().all(|name| is_given(name, outside)),
        _ => is_given(name, outside),
    }
}

/// Whether a person gave the value of a name, or the program made it up.
fn is_given(name: &str, outside: &BTreeSet<String>) -> bool {
    let mut parts = name.split('.');
    match (parts.next(), parts.next()) {
        (Some("run"), _) => true,
        (Some("inputs"), Some(input)) => !outside.contains(input),
        (Some("inputs"), None) => outside.is_empty(),
        _ => false,
    }
}

fn text_at<'a>(filled: &'a Value, slot: &Slot) -> Option<&'a str> {
    let place = slot.route.parts().iter().try_fold(filled, |place, part| match part {
        Part::Key(key) => place.get(key.as_str()),
        Part::Index(index) => place.get(*index),
    });
    place.and_then(Value::as_str)
}
