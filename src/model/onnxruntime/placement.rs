//! Which execution provider of ONNX Runtime runs each node of a model.
//!
//! The engine tells it in the profile of a run, in every version; the newer call that tells it without a run
//! has no safe binding.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::{self, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::ep::{self, ExecutionProvider};
use ort::session::builder::SessionBuilder;
use serde::Deserialize;

use super::{LoadedModel, OnnxRuntime, commit};
use crate::base::{entropy, environment};
use crate::model::guard::guarded;
use crate::model::provider::{PlacedNode, Placing, PlacingError, Provider, Sound};
use crate::model::{FaultKind, LoadOptions, Model, ModelFault, Tensor};

impl Placing for OnnxRuntime {
    fn run_on(
        &self,
        provider: Provider,
        model: Sound<'_>,
        inputs: &[(String, Tensor)],
        options: &LoadOptions,
    ) -> Result<Vec<PlacedNode>, PlacingError> {
        let scratch = Scratch::new().map_err(PlacingError::Trace)?;
        let mut builder = self.builder(options).map_err(PlacingError::Load)?;
        register(provider, &mut builder)?;
        let builder = builder.with_profiling(scratch.0.join("profile")).map_err(|error| cannot_trace(&error))?;
        let session = guarded("loading the model", || commit(builder, model.path, model.file, model.bytes));
        let session = Mutex::new(session.map_err(PlacingError::Load)?);
        let loaded = LoadedModel { session, inputs: model.file.inputs.clone(), outputs: model.file.outputs.clone() };
        loaded.compute(inputs).map_err(PlacingError::Run)?;
        let mut session = loaded.session.into_inner().unwrap_or_else(PoisonError::into_inner);
        let profile = session.end_profiling().map_err(|error| cannot_trace(&error))?;
        placed_nodes(Path::new(&profile)).map_err(PlacingError::Trace)
    }
}

fn cannot_trace<T>(error: &ort::Error<T>) -> PlacingError {
    PlacingError::Trace(io::Error::other(error.to_string()))
}

/// Asks for the provider in a way that tells when the library cannot have it; by default the engine goes on without.
fn register(provider: Provider, builder: &mut SessionBuilder) -> Result<(), PlacingError> {
    let asked = guarded("registering the provider", || {
        ask(provider, builder).map_err(|error| ModelFault::new(FaultKind::EngineCrashed, error.to_string()))
    });
    asked.map_err(|fault| PlacingError::NotRegistered(reason(&fault.detail)))
}

fn ask(provider: Provider, builder: &mut SessionBuilder) -> ort::Result<()> {
    match provider {
        // Always there, as the last one; registering it would only change its allocator.
        Provider::Cpu => Ok(()),
        Provider::Cuda => ep::CUDA::default().register(builder),
        Provider::Tensorrt => ep::TensorRT::default().register(builder),
        Provider::TensorrtRtx => ep::NVRTX::default().register(builder),
        Provider::Rocm => ep::ROCm::default().register(builder),
        Provider::Migraphx => ep::MIGraphX::default().register(builder),
        Provider::Openvino => ep::OpenVINO::default().register(builder),
        Provider::Onednn => ep::OneDNN::default().register(builder),
        Provider::Xnnpack => ep::XNNPACK::default().register(builder),
        Provider::Qnn => ep::QNN::default().register(builder),
        Provider::Coreml => ep::CoreML::default().register(builder),
        Provider::Webgpu => ep::WebGPU::default().register(builder),
        Provider::Cann => ep::CANN::default().register(builder),
        Provider::Azure => ep::Azure::default().register(builder),
    }
}

/// What the engine says, without the places in its sources where it noticed, which it puts before and after:
/// `FILE:LINE FUNCTION [ONNXRuntimeError] : CODE : NAME : reason`.
fn reason(text: &str) -> String {
    let told = text.split_once("[ONNXRuntimeError] : ").and_then(|(_, told)| told.splitn(3, " : ").nth(2));
    let line = told.unwrap_or(text).lines().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("no reason is told").to_owned()
}

/// A folder of this process alone, because the engine takes no stream to write its profile to.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let path = environment::temporary_folder().join(format!("runbook-profile-{:016x}", entropy::random()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is for those who clean the folder of temporary files.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// One entry of a profile.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    name: String,
    #[serde(default)]
    args: Arguments,
}

#[derive(Deserialize, Default)]
struct Arguments {
    #[serde(default)]
    op_name: String,
    #[serde(default)]
    node_index: String,
    #[serde(default)]
    provider: Option<String>,
}

/// Every node that ran, once, however often a loop ran it.
fn placed_nodes(profile: &Path) -> io::Result<Vec<PlacedNode>> {
    let events: Vec<Event> = serde_json::from_reader(BufReader::new(File::open(profile)?))?;
    let ran: BTreeSet<(String, PlacedNode)> = events.into_iter().filter_map(placed_node).collect();
    Ok(ran.into_iter().map(|(_, node)| node).collect())
}

/// Only the time that a node's kernel took is told with a provider.
fn placed_node(Event { name, args }: Event) -> Option<(String, PlacedNode)> {
    let node = name.strip_suffix("_kernel_time")?.to_owned();
    let provider = Provider::short_name(args.provider.as_deref()?).to_owned();
    Some((args.node_index, PlacedNode { node, operator: args.op_name, provider }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_of_a_profile_counts_once() {
        let scratch = Scratch::new().unwrap();
        let profile = scratch.0.join("profile.json");
        let kernel = |name: &str, index: usize, provider: &str| {
            format!(
                r#"{{"cat":"Node","name":"{name}_kernel_time","dur":3,
                    "args":{{"op_name":"Gemm","provider":"{provider}","node_index":"{index}"}}}}"#
            )
        };
        let events = [
            r#"{"cat":"Session","name":"model_run","dur":9,"args":{}}"#.to_owned(),
            r#"{"cat":"Node","name":"a_fence_before","args":{"op_name":"Gemm"}}"#.to_owned(),
            kernel("a", 0, "CUDAExecutionProvider"),
            kernel("b", 1, "CPUExecutionProvider"),
            // Once more, in a loop; and another node that has the same name.
            kernel("b", 1, "CPUExecutionProvider"),
            kernel("b", 2, "NewExecutionProvider"),
        ];
        std::fs::write(&profile, format!("[{}]", events.join(","))).unwrap();
        let nodes = placed_nodes(&profile).unwrap();
        let told: Vec<_> = nodes.iter().map(|node| (&*node.node, &*node.provider)).collect();
        assert_eq!(told, [("a", "cuda"), ("b", "cpu"), ("b", "NewExecutionProvider")]);
        assert_eq!(nodes[0].operator, "Gemm");
    }

    #[test]
    fn a_reason_is_told_without_its_place_in_the_sources() {
        let text = "/src/bridge.cc:2043 Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library a : b\n\nat: x";
        assert_eq!(reason(text), "Failed to load library a : b");
        assert_eq!(
            reason("CUDA execution provider is not enabled in this build. "),
            "CUDA execution provider is not enabled in this build."
        );
        assert_eq!(reason(" \n"), "no reason is told");
    }

    #[test]
    fn a_profile_that_was_cut_off_is_an_error_and_the_folder_goes() {
        let scratch = Scratch::new().unwrap();
        let (folder, profile) = (scratch.0.clone(), scratch.0.join("profile.json"));
        std::fs::write(&profile, r#"[{"cat":"Node","name":"a_kern"#).unwrap();
        assert!(placed_nodes(&profile).is_err());
        drop(scratch);
        assert!(!folder.exists());
    }
}
