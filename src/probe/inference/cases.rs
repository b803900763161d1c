//! What is asked: golden cases from a file, or one that the playbook holds.

use std::collections::BTreeMap;

use serde_json::Value;

use super::config::Config;
use super::tensor::{Datatypes, written};
use crate::kind::{Context, StepError};
use crate::model::golden::{Case, Tolerance, Values};
use crate::probe::blocking::run_blocking;
use crate::probe::onnx::read_cases;

/// The cases with the tolerance of their answers.
pub(super) struct Cases {
    pub cases: Vec<Case>,
    pub tolerance: Tolerance,
}

impl Cases {
    pub(super) async fn of(config: &Config, context: &Context) -> Result<Self, StepError> {
        let mut cases = match &config.cases {
            Some(path) => read(path.clone(), context).await?,
            None => Cases { cases: vec![inline(config)?], tolerance: Tolerance::default() },
        };
        if let Some(requests) = config.requests {
            // A case that is never sent cannot be judged.
            cases.cases.truncate(requests);
        }
        cases.tolerance.absolute = config.absolute.unwrap_or(cases.tolerance.absolute);
        cases.tolerance.relative = config.relative.unwrap_or(cases.tolerance.relative);
        cases.tolerance.check().map_err(|what| StepError::new(what).help("write for example `absolute: 0.001`"))?;
        Ok(cases)
    }

    /// Whether the element type of every input is known already.
    pub(super) fn are_typed(&self, datatypes: &Datatypes) -> bool {
        self.cases.iter().flat_map(|case| case.inputs.keys()).all(|name| datatypes.contains_key(name))
    }
}

async fn read(path: std::path::PathBuf, context: &Context) -> Result<Cases, StepError> {
    run_blocking(context, move |_| {
        let golden = read_cases(&path)?;
        Ok(Cases { cases: golden.cases, tolerance: golden.tolerance })
    })
    .await
}

fn inline(config: &Config) -> Result<Case, StepError> {
    let tensors = |values: &BTreeMap<String, Value>| -> Result<BTreeMap<String, Values>, StepError> {
        values.iter().map(|(name, value)| Ok((name.clone(), written(name, value)?))).collect()
    };
    let inputs = config.input.as_ref().map(tensors).transpose()?.unwrap_or_default();
    Ok(Case { name: "input".into(), inputs, outputs: tensors(&config.expect)? })
}
