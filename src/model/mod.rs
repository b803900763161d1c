//! Model engines behind one trait, and a reader that looks at a model file before any engine does.
//!
//! ```text
//! file ─ preflight ─ Engine::load ─ Model::run ─ golden::compare
//!        own reader   rten           tensors       verdict
//! ```
//!
//! A broken model can end the process that runs it, so a check is done by a child of this program:
//!
//! ```text
//! Runner::run ─ Request ─► child::serve ─ work with a Workbench (engine, phases)
//!             ◄─ Phase… Answer ─┘
//! ```
//!
//! What the work is, this room does not know: `kind` has a whole step done there.

mod binding;
pub mod child;
pub mod detached;
pub mod embedded;
mod engine_choice;
pub mod fault;
pub mod golden;
mod guard;
pub mod library;
pub mod onnxruntime;
pub mod preflight;
mod protobuf;
pub mod provider;
mod runner;
pub mod selection;
mod wire;
pub mod workbench;

use std::path::Path;

use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

pub use engine_choice::{EngineChoice, EngineIdentity, Library};
pub use fault::{FaultKind, ModelFault};
use preflight::{Inspection, Limits, ModelFile};
use provider::Placing;
pub use runner::{CheckError, Runner, SUBCOMMAND};
pub use workbench::{Phase, Workbench};

/// Something that loads ONNX models and runs them.
pub trait Engine: Send + Sync {
    /// `rten` or `onnxruntime`.
    fn name(&self) -> &'static str;
    fn version(&self) -> String;
    /// What a file may ask of this engine.
    fn limits(&self) -> Limits;
    /// What this engine may judge wrongly about a file, in words.
    fn blind_spots(&self, file: &ModelFile) -> Vec<String>;
    /// Loads a model that preflight has read already. Refuses one with a fault. Blocking; call it from a
    /// thread that may block.
    fn load_inspected(
        &self,
        path: &Path,
        inspection: Inspection,
        options: &LoadOptions,
    ) -> Result<Box<dyn Model>, ModelFault>;

    /// Its execution providers; `None` of an engine that computes everything itself.
    fn placing(&self) -> Option<&dyn Placing> {
        None
    }

    /// Reads, judges and loads a model. Blocking.
    fn load(&self, path: &Path) -> Result<Box<dyn Model>, ModelFault> {
        self.load_inspected(path, preflight::inspect(path, &self.limits()), &LoadOptions::default())
    }
}

/// How a model is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadOptions {
    /// Threads that compute one run. One by default: answers and latencies are then comparable, and
    /// a check does not take the cores of the services beside it.
    pub threads: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions { threads: 1 }
    }
}

/// A loaded model.
pub trait Model: Send + Sync {
    fn inputs(&self) -> &[TensorInfo];
    fn outputs(&self) -> &[TensorInfo];
    /// Runs the model once. Inputs are named; outputs come in the model's order. Blocking.
    fn answer(&self, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, ModelFault>;

    /// Runs the model once and lets the answer go: what a latency is measured of. Blocking.
    fn compute(&self, inputs: &[(String, Tensor)]) -> Result<(), ModelFault> {
        self.answer(inputs).map(drop)
    }

    /// Like `answer`, for inputs that are not used again. Blocking.
    fn run(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, ModelFault> {
        self.answer(&inputs)
    }
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

impl TensorInfo {
    /// The declared shape, such as `[*, 376]`.
    pub fn show_shape(&self) -> String {
        let size = |size: &Option<usize>| size.map_or_else(|| "*".to_owned(), |size| size.to_string());
        format!("[{}]", self.shape.iter().map(size).collect::<Vec<_>>().join(", "))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Tensor {
    F32(ArrayD<f32>),
    I32(ArrayD<i32>),
    I64(ArrayD<i64>),
    F64(ArrayD<f64>),
}

impl Tensor {
    pub fn shape(&self) -> &[usize] {
        match self {
            Tensor::F32(array) => array.shape(),
            Tensor::I32(array) => array.shape(),
            Tensor::I64(array) => array.shape(),
            Tensor::F64(array) => array.shape(),
        }
    }

    /// The element type by the name that [`TensorInfo`] uses.
    pub fn element(&self) -> &'static str {
        match self {
            Tensor::F32(_) => "float32",
            Tensor::I32(_) => "int32",
            Tensor::I64(_) => "int64",
            Tensor::F64(_) => "float64",
        }
    }
}
