//! From what a sender says to what the intake is asked: which playbooks, with which inputs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Shared;
use crate::engine::intake::{Demand, What};
use crate::playbook::{Playbook, inputs};
use crate::trigger::{Delivery, Hook, Rule, Signal};

/// Everything that a delivery asks of the intake; nothing when no trigger is for it.
pub(super) fn asked(shared: &Shared, hook: &Hook, delivery: &Delivery) -> Vec<What> {
    let rules = shared.shelf.rules();
    let mut asked = Vec::new();
    for signal in &delivery.signals {
        let mut takers = rules.iter().filter(|rule| rule.takes(hook, signal)).peekable();
        if !signal.firing && takers.peek().is_some() {
            let since = Some(signal.since.clone()).filter(|since| !since.is_empty());
            asked.push(What::Resolved { identity: identity(hook, signal), since });
        } else {
            asked.extend(takers.map(|rule| offer(shared, hook, delivery, signal, rule)));
        }
    }
    asked
}

/// Two senders may use the same names for different things.
fn identity(hook: &Hook, signal: &Signal) -> String {
    format!("{}/{}", hook.name, signal.identity)
}

fn offer(shared: &Shared, hook: &Hook, delivery: &Delivery, signal: &Signal, rule: &Rule) -> What {
    let (inputs, wrong) = filled(&shared.shelf.playbooks(), rule, signal);
    let target = serde_json::to_string(&inputs).unwrap_or_default();
    let from_outside = inputs.keys().cloned().collect();
    let all = rule.fixed().iter().chain(&inputs).map(|(name, value)| (name.clone(), value.clone())).collect();
    let demand = Box::new(Demand {
        source: hook.name.clone(),
        delivery: delivery.id.clone(),
        identity: identity(hook, signal),
        since: signal.since.clone(),
        playbook: rule.playbook.clone(),
        target,
        inputs: all,
        from_outside,
        labels: signal.labels.clone(),
        policy: rule.policy.clone(),
        withheld: delivery.incomplete.clone(),
        tick: None,
        by_hand: false,
    });
    match wrong {
        None => What::Offered(demand),
        Some(why) => What::Refused { demand, why },
    }
}

/// The inputs that an event gives, or why they are none for the playbook. What an alert says is data from outside: it
/// must fit the types and patterns of the playbook before anything else looks at it.
pub(super) fn filled(
    playbooks: &BTreeMap<String, Playbook>,
    rule: &Rule,
    signal: &Signal,
) -> (BTreeMap<String, Value>, Option<String>) {
    match rule.from_event(signal) {
        Ok(inputs) => {
            let wrong = unfit(playbooks, rule, &inputs);
            (inputs, wrong)
        }
        Err(why) => (BTreeMap::new(), Some(why.to_string())),
    }
}

fn unfit(playbooks: &BTreeMap<String, Playbook>, rule: &Rule, inputs: &BTreeMap<String, Value>) -> Option<String> {
    let Some(playbook) = playbooks.get(&rule.playbook) else { return Some("its playbook is gone".into()) };
    let problems = inputs::resolve(playbook, &inputs::given(rule.fixed().iter().chain(inputs))).err()?;
    Some(problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; "))
}
