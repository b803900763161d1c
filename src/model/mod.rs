//! Model engines behind one trait, and a reader that looks at a model file before any engine does.
//!
//! ```text
//! file ─ preflight ─ Engine::load ─ Model::run ─ golden::compare
//!        own reader   rten           tensors       verdict
//! ```

pub mod detached;
pub mod embedded;
pub mod fault;
pub mod golden;
pub mod preflight;
mod protobuf;

use std::path::Path;
use std::sync::Arc;

use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

pub use fault::{FaultKind, ModelFault};
use preflight::Inspection;

/// Something that loads ONNX models and runs them.
pub trait Engine: Send + Sync {
    /// `rten` or `onnxruntime`.
    fn name(&self) -> &'static str;
    fn version(&self) -> String;
    /// Loads a model. Blocking; call it from a thread that may block.
    fn load(&self, path: &Path) -> Result<Box<dyn Model>, ModelFault>;

    /// Loads a model that preflight has read already. Refuses one with a fault.
    fn load_inspected(&self, path: &Path, inspection: Inspection) -> Result<Box<dyn Model>, ModelFault> {
        inspection.first_fault()?;
        self.load(path)
    }
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
    /// The name by which the value is given or answered.
    pub name: String,
    /// The element type, such as `float32` or `int64`.
    pub element: String,
    /// The size of each dimension; `null` is a size that may vary, such as the batch.
    pub shape: Vec<Option<usize>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Tensor {
    F32(ArrayD<f32>),
    I32(ArrayD<i32>),
    I64(ArrayD<i64>),
}

impl Tensor {
    pub fn shape(&self) -> &[usize] {
        match self {
            Tensor::F32(array) => array.shape(),
            Tensor::I32(array) => array.shape(),
            Tensor::I64(array) => array.shape(),
        }
    }

    /// The element type by the name that [`TensorInfo`] uses.
    pub fn element(&self) -> &'static str {
        match self {
            Tensor::F32(_) => "float32",
            Tensor::I32(_) => "int32",
            Tensor::I64(_) => "int64",
        }
    }
}

/// The engine of this process.
pub fn default_engine() -> Arc<dyn Engine> {
    Arc::new(embedded::EmbeddedEngine)
}
