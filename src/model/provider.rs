//! Execution providers: the parts of an engine that compute on one kind of hardware.
//!
//! ONNX Runtime gives each node to the first provider that takes it, and what none takes to its CPU, without a word.
//! A model that is meant for a GPU then answers right and slowly. So each provider is asked for by itself, and
//! the engine tells afterwards which one ran each node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::preflight::ModelFile;
use super::{LoadOptions, ModelFault, Tensor};

/// An execution provider by the name that playbooks use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    Cpu,
    Cuda,
    Tensorrt,
    TensorrtRtx,
    Rocm,
    Migraphx,
    Openvino,
    Onednn,
    Xnnpack,
    Qnn,
    Coreml,
    Webgpu,
    Cann,
    Azure,
}

impl Provider {
    /// Each provider, its name here, and the name that ONNX Runtime gives it.
    const NAMES: [(Provider, &str, &str); 14] = [
        (Provider::Cpu, "cpu", "CPUExecutionProvider"),
        (Provider::Cuda, "cuda", "CUDAExecutionProvider"),
        (Provider::Tensorrt, "tensorrt", "TensorrtExecutionProvider"),
        (Provider::TensorrtRtx, "tensorrt_rtx", "NvTensorRTRTXExecutionProvider"),
        (Provider::Rocm, "rocm", "ROCMExecutionProvider"),
        (Provider::Migraphx, "migraphx", "MIGraphXExecutionProvider"),
        (Provider::Openvino, "openvino", "OpenVINOExecutionProvider"),
        (Provider::Onednn, "onednn", "DnnlExecutionProvider"),
        (Provider::Xnnpack, "xnnpack", "XnnpackExecutionProvider"),
        (Provider::Qnn, "qnn", "QNNExecutionProvider"),
        (Provider::Coreml, "coreml", "CoreMLExecutionProvider"),
        (Provider::Webgpu, "webgpu", "WebGpuExecutionProvider"),
        (Provider::Cann, "cann", "CANNExecutionProvider"),
        (Provider::Azure, "azure", "AzureExecutionProvider"),
    ];

    /// The name that playbooks and outputs use, such as `cuda`.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }

    /// The name here of what ONNX Runtime calls `CUDAExecutionProvider`; one that is not known keeps its own.
    pub fn short_name(engine_name: &str) -> &str {
        Self::NAMES.iter().find(|(_, _, long)| *long == engine_name).map_or(engine_name, |(_, short, _)| short)
    }
}

/// A node as the engine ran it. Engines fuse nodes before they run them, so that one may stand for several of the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlacedNode {
    pub node: String,
    /// Such as `Gemm`.
    pub operator: String,
    /// By the name of [`Provider::name`].
    pub provider: String,
}

/// Why a provider did not run a model.
#[derive(Debug, thiserror::Error)]
pub enum PlacingError {
    /// The library cannot use the provider: it was built without it, or its driver or device is missing.
    #[error("{0}")]
    NotRegistered(String),
    #[error("{0}")]
    Load(ModelFault),
    #[error("{0}")]
    Run(ModelFault),
    /// It may have run, but where cannot be told.
    #[error("cannot tell which provider ran each node")]
    Trace(#[source] std::io::Error),
}

/// An engine that has execution providers.
pub trait Placing {
    /// Loads a model that preflight found sound for `provider`, runs it once on `inputs`, and tells which provider ran
    /// each node: what this one does not take, the engine gives to its CPU. Blocking.
    fn run_on(
        &self,
        provider: Provider,
        model: Sound<'_>,
        inputs: &[(String, Tensor)],
        options: &LoadOptions,
    ) -> Result<Vec<PlacedNode>, PlacingError>;
}

/// A model in whose file preflight found no fault.
#[derive(Debug, Clone, Copy)]
pub struct Sound<'a> {
    pub path: &'a std::path::Path,
    pub file: &'a ModelFile,
    /// The bytes that were judged.
    pub bytes: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_playbooks_are_read_with() {
        for (position, (provider, name, engine_name)) in Provider::NAMES.into_iter().enumerate() {
            assert_eq!(provider as usize, position);
            assert_eq!(serde_json::to_value(provider).unwrap(), provider.name());
            assert_eq!(Provider::short_name(engine_name), name);
        }
        assert_eq!(Provider::short_name("FutureExecutionProvider"), "FutureExecutionProvider");
    }
}
