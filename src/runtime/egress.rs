//! Whether data has chosen the host of a request. The text of the playbook, what the person who started the run
//! gave as inputs, and the site file may name any host; what a step has found out may only name a listed one.

use reqwest::Url;
use serde_json::Value;

use crate::base::source::Part;
use crate::engine::event::Role;
use crate::engine::graph::Step;
use crate::language::{Encoding, Request, Slot};
use crate::site::Egress;

/// Names whose values a person gave or the program made up.
const TRUSTED: [&str; 3] = ["inputs", "run", "answers"];
/// Its inputs become inputs of the called playbook, which believes them.
const CALL: &str = "playbook";

/// Refuses, with message and help, a filled request with an address whose host came from a step and is not listed.
pub(super) fn check(step: &Step, role: Role, filled: &Value, egress: &Egress) -> Result<(), (String, Option<String>)> {
    let Some((kind, request)) = request_of(step, role) else { return Ok(()) };
    let is_address = |slot: &&Slot| slot.encoding == Encoding::Url || kind == CALL;
    for slot in request.slots.iter().filter(is_address).filter(|slot| chosen_by_data(slot, step)) {
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

fn chosen_by_data(slot: &Slot, step: &Step) -> bool {
    slot.template.names_of_host().into_iter().any(|name| !is_trusted(name, step))
}

/// An item is as trusted as the list that it is from.
fn is_trusted(name: &str, step: &Step) -> bool {
    let head = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let given = |name: &str| TRUSTED.contains(&head(name).as_str());
    match &step.for_each {
        Some(items) if items.name == head(name) => items.list.references().iter().all(|name| given(name)),
        _ => given(name),
    }
}

fn text_at<'a>(filled: &'a Value, slot: &Slot) -> Option<&'a str> {
    let place = slot.route.parts().iter().try_fold(filled, |place, part| match part {
        Part::Key(key) => place.get(key.as_str()),
        Part::Index(index) => place.get(*index),
    });
    place.and_then(Value::as_str)
}
