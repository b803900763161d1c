//! Values for a playbook's inputs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::model::Playbook;
use crate::language::declaration::{self, Given, GivenProblem, Wording};

/// The values of a run: what was given, else defaults. Sizes become bytes, durations seconds.
pub fn resolve(playbook: &Playbook, given: &BTreeMap<String, Given>) -> Result<Value, Vec<GivenProblem>> {
    declaration::resolve(&playbook.inputs, given, Wording::inputs(&playbook.header.name)).map(Value::Object)
}
