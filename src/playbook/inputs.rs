//! Values for a playbook's inputs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::model::Playbook;
pub use crate::language::declaration::Given;
use crate::language::declaration::{self, GivenProblem, Wording};

/// Inputs of a trigger or a request, as a playbook takes them.
pub fn given<'v>(inputs: impl IntoIterator<Item = (&'v String, &'v Value)>) -> BTreeMap<String, Given> {
    let form = |value: &Value| match value {
        Value::String(text) => Given::Text(text.clone()),
        other => Given::Value(other.clone()),
    };
    inputs.into_iter().map(|(name, value)| (name.clone(), form(value))).collect()
}

/// The values of a run: what was given, else defaults. Sizes become bytes, durations seconds.
pub fn resolve(playbook: &Playbook, given: &BTreeMap<String, Given>) -> Result<Value, Vec<GivenProblem>> {
    declaration::resolve(&playbook.inputs, given, Wording::inputs(&playbook.header.name)).map(Value::Object)
}
