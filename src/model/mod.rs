//! Model engines behind one trait, and a reader that looks at a model file before any engine does.

use std::path::Path;
use std::sync::Arc;

use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

/// Something that loads ONNX models and runs them.
pub trait Engine: Send + Sync {
    /// `rten` or `onnxruntime`.
    fn name(&self) -> &'static str;
    fn version(&self) -> String;
    /// Loads a model. Blocking; call it from a thread that may block.
    fn load(&self, path: &Path) -> Result<Box<dyn Model>, ModelFault>;
}

/// A loaded model.
pub trait Model: Send + Sync {
    fn inputs(&self) -> &[TensorInfo];
    fn outputs(&self) -> &[TensorInfo];
    /// Runs the model once. Inputs are named; outputs come in the model's order. Blocking.
    fn run(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, ModelFault>;
}

/// Name, element type and shape of an input or output; a symbolic dimension is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TensorInfo {
    pub name: String,
    pub element: String,
    pub shape: Vec<Option<usize>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Tensor {
    F32(ArrayD<f32>),
    I32(ArrayD<i32>),
    I64(ArrayD<i64>),
}

/// What is wrong with a model, by its kind of fault; `detail` keeps the engine's own words.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{detail}")]
pub struct ModelFault {
    pub kind: FaultKind,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    Missing,
    Unreadable,
    Empty,
    LfsPointer,
    Malformed,
    UnsupportedVersion,
    UnsupportedOperator,
    InvalidGraph,
    ExternalData,
    WrongInput,
    RunFailed,
}

/// The engine of this process.
pub fn default_engine() -> Arc<dyn Engine> {
    unimplemented!("joined by the embedded engine")
}
