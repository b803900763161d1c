//! Loads a provider's model the way the platform does: it must load, and one warm-up inference must
//! give finite numbers of the right shape. Checksums are not looked at; that is what makes some faults
//! invisible here.

use std::path::Path;
use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use runbook::model::embedded::EmbeddedEngine;
use runbook::model::preflight::{self, Limits};
use runbook::model::{Engine, LoadOptions, Model, ModelFault, Tensor};

use crate::profile::ProviderSpec;

/// A model in memory.
#[derive(Clone)]
pub struct Loaded {
    pub model: Arc<dyn Model>,
    /// Of the file it was loaded from.
    pub sha256: String,
    pub bytes: u64,
    /// The execution provider that runs it.
    pub executed_by: &'static str,
}

/// Why a model is not served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("none of the execution providers {} is available, only {}", .0.join(", "), AVAILABLE.join(", "))]
    Provider(Vec<String>),
    #[error("Model initialization failed: {0}")]
    Panicked(String),
    #[error("Failed to load model: {} ({})", .0.detail, .0.kind.name())]
    Load(ModelFault),
    #[error("Model initialization failed: warm-up inference failed: {0}")]
    WarmUp(ModelFault),
    #[error("Model initialization failed: {0}")]
    Output(BadOutput),
}

/// An answer that must not be given away.
#[derive(Debug, thiserror::Error)]
pub enum BadOutput {
    #[error("the output '{0}' is missing or not float32")]
    Missing(&'static str),
    #[error("the output '{name}' has the shape {found:?}; expected {expected:?}")]
    Shape { name: &'static str, found: Vec<usize>, expected: Vec<usize> },
    #[error("the output '{name}' holds {count} numbers that are not finite (NaN or infinity)")]
    NotFinite { name: &'static str, count: usize },
}

/// What can execute a model here.
const AVAILABLE: [&str; 1] = ["cpu"];

impl BadOutput {
    pub fn is_shape(&self) -> bool {
        matches!(self, BadOutput::Shape { .. })
    }
}

/// Loads and warms up. `wanted` are execution providers, the best first. Blocking.
pub fn load(spec: &ProviderSpec, path: &Path, wanted: &[String]) -> Result<Loaded, LoadError> {
    let executed_by = AVAILABLE.into_iter().find(|available| wanted.iter().any(|name| name == available));
    let executed_by = executed_by.ok_or_else(|| LoadError::Provider(wanted.to_vec()))?;
    let inspection = preflight::inspect(path, &Limits::EMBEDDED);
    let (sha256, bytes) = (inspection.file.sha256.clone(), inspection.file.size);
    let model = EmbeddedEngine.load_inspected(path, inspection, &LoadOptions::default()).map_err(LoadError::Load)?;
    let answers = model.run(vec![sample(spec)]).map_err(LoadError::WarmUp)?;
    check_output(spec, 1, &answers).map_err(LoadError::Output)?;
    Ok(Loaded { model: Arc::from(model), sha256, bytes, executed_by })
}

/// One row of input in the range that the models were trained on.
pub fn sample(spec: &ProviderSpec) -> (String, Tensor) {
    (spec.input.to_owned(), Tensor::F32(ArrayD::from_elem(IxDyn(&[1, spec.features]), 0.5)))
}

/// Whether the answer to `rows` rows is of the right shape and finite.
pub fn check_output(spec: &ProviderSpec, rows: usize, answers: &[(String, Tensor)]) -> Result<(), BadOutput> {
    let name = spec.output;
    let answer = answers.iter().find(|(found, _)| found == name);
    let Some((_, Tensor::F32(numbers))) = answer else { return Err(BadOutput::Missing(name)) };
    let expected = vec![rows, spec.classes];
    if numbers.shape() != expected {
        return Err(BadOutput::Shape { name, found: numbers.shape().to_vec(), expected });
    }
    match numbers.iter().filter(|number| !number.is_finite()).count() {
        0 => Ok(()),
        count => Err(BadOutput::NotFinite { name, count }),
    }
}
