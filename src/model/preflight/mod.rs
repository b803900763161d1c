//! Looks at a model file before any engine does.
//!
//! Engines differ in what they notice: the embedded one loads an empty file and runs a model of a future
//! version, and error codes of ONNX Runtime change between releases. So the kind of a fault is decided
//! here, from the file alone, and the engine's words stay a detail.

mod file;
mod graph;
mod weights;

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;
use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::protobuf::{self, ModelProto, ValueInfo};
use super::{FaultKind, ModelFault, TensorInfo};

/// What an engine understands.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub ir_version: i64,
    /// Of the standard operators.
    pub opset: i64,
    pub domains: &'static [&'static str],
}

impl Limits {
    /// The embedded engine runs whatever version a file claims, so the limit is ours: IR 13 with opset 27
    /// is the newest pair of ONNX 1.22, which is also the most that ONNX Runtime 1.31 accepts. What
    /// a later opset means by an operator, this engine cannot know.
    pub const EMBEDDED: Limits = Limits { ir_version: 13, opset: 27, domains: &["", "ai.onnx", "com.microsoft"] };
}

/// What a model file says about itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelFile {
    /// Bytes of the file, without external data.
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    pub ir_version: i64,
    /// Operator set versions by domain; the standard domain is `ai.onnx`.
    pub opsets: BTreeMap<String, i64>,
    /// Program and version that wrote the file.
    pub producer: String,
    pub model_version: i64,
    pub inputs: Vec<TensorInfo>,
    pub outputs: Vec<TensorInfo>,
    /// Nodes, those of nested graphs included.
    pub node_count: usize,
    /// How often each operator occurs.
    pub operators: BTreeMap<String, usize>,
    /// Bytes of all weights, in this file or outside of it.
    pub weight_bytes: u64,
    pub metadata: BTreeMap<String, String>,
    /// Of the integers among the weights that 32 bits cannot hold, the one farthest from zero.
    pub widest_integer: Option<i64>,
    /// Files that hold weights, relative to the folder of the model.
    pub external_files: Vec<String>,
}

/// What a model file is by its release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// The length of the file, where the release tells it.
    pub bytes: Option<u64>,
}

/// A model file, what is wrong with it, and what one should know about it.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// As much as could be read.
    pub file: ModelFile,
    /// The most telling one first.
    pub faults: Vec<ModelFault>,
    /// Nothing wrong, but the result of a run needs care.
    pub warnings: Vec<String>,
    /// The bytes that were judged, so that an engine loads these and not what was put there since.
    pub bytes: Bytes,
}

impl Inspection {
    /// Adds a fault when the file is not the released one. Last of all: what the bytes are tells more than that
    /// they differ, and their number more than their digest. A file that could not be read has neither to compare.
    pub fn compare_release(&mut self, released: &Released) {
        let (ModelFile { size, sha256: actual, .. }, expected) = (&self.file, &released.sha256);
        if actual.is_empty() || actual.eq_ignore_ascii_case(expected) {
            return;
        }
        let altered = format!("the file has the SHA-256 {actual}; {expected} was released");
        if let Some(bytes) = released.bytes.filter(|bytes| bytes != size) {
            let detail = format!("the file is {size} bytes long; {bytes} were released");
            self.faults.push(ModelFault::new(FaultKind::WrongSize, detail));
        }
        self.faults.push(ModelFault::new(FaultKind::Altered, altered));
    }

    /// An error for a file that no engine should see.
    pub fn first_fault(&self) -> Result<(), ModelFault> {
        self.faults.first().map_or(Ok(()), |fault| Err(fault.clone()))
    }
}

/// Reads and judges the file at `path`. Blocking.
pub fn inspect(path: &Path, limits: &Limits) -> Inspection {
    let bytes = match file::read(path) {
        Ok(bytes) => bytes,
        Err(fault) => return Inspection { faults: vec![fault], ..Inspection::default() },
    };
    let mut inspection = Inspection { bytes: bytes.clone(), ..Inspection::default() };
    inspection.file.size = bytes.len() as u64;
    inspection.file.sha256 = hex::encode(Sha256::digest(&bytes));
    match decode(&bytes) {
        Ok(model) => judge(&mut inspection, &model, path, limits),
        Err(fault) => inspection.faults.push(fault),
    }
    inspection
}

fn decode(bytes: &Bytes) -> Result<ModelProto, ModelFault> {
    file::refuse_other_content(bytes)?;
    let model = ModelProto::decode(bytes.clone()).map_err(|error| {
        ModelFault::new(FaultKind::Malformed, format!("the file is cut off or is not an ONNX model ({error})"))
    })?;
    if model.graph.is_none() || model.ir_version == 0 {
        let detail = "the file holds no model: no graph or no format version in it";
        return Err(ModelFault::new(FaultKind::Malformed, detail));
    }
    Ok(model)
}

fn judge(inspection: &mut Inspection, model: &ModelProto, path: &Path, limits: &Limits) {
    let Some(top) = &model.graph else { return };
    describe(&mut inspection.file, model, top);
    let faults = &mut inspection.faults;
    check_versions(faults, model, limits);
    graph::check(faults, model, top, limits);
    inspection.file.external_files = weights::check(faults, top, path);
    inspection.warnings = warnings(&inspection.file);
}

fn describe(file: &mut ModelFile, model: &ModelProto, top: &protobuf::GraphProto) {
    file.ir_version = model.ir_version;
    file.opsets = model.opset_import.iter().map(|set| (domain_name(&set.domain), set.version)).collect();
    file.producer = format!("{} {}", model.producer_name, model.producer_version).trim().to_owned();
    file.model_version = model.model_version;
    file.metadata = model.metadata_props.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
    // Files of IR 3 and older list their weights among the inputs.
    let is_weight = |name: &str| top.initializer.iter().any(|weight| weight.name == name);
    file.inputs = top.input.iter().filter(|value| !is_weight(&value.name)).map(tensor_info).collect();
    file.outputs = top.output.iter().map(tensor_info).collect();
    graph::walk(top, &mut |graph| {
        file.node_count += graph.node.len();
        for node in &graph.node {
            *file.operators.entry(node.op_type.clone()).or_default() += 1;
        }
    });
    file.weight_bytes = weights::total_bytes(top);
    file.widest_integer = weights::widest_integer(top);
}

fn domain_name(domain: &str) -> String {
    if domain.is_empty() { "ai.onnx".to_owned() } else { domain.to_owned() }
}

fn tensor_info(value: &ValueInfo) -> TensorInfo {
    let tensor = value.value_type.as_ref().and_then(|value_type| value_type.tensor_type.as_ref());
    let element = tensor.map_or("not a tensor", |tensor| protobuf::element_type(tensor.elem_type).0);
    let dimensions = tensor.and_then(|tensor| tensor.shape.as_ref()).map_or(&[][..], |shape| &shape.dim);
    TensorInfo {
        name: value.name.clone(),
        element: element.to_owned(),
        shape: dimensions.iter().map(|dim| dim.dim_value.and_then(|size| usize::try_from(size).ok())).collect(),
    }
}

fn check_versions(faults: &mut Vec<ModelFault>, model: &ModelProto, limits: &Limits) {
    let mut too_new = |what: &str, version: i64, most: i64| {
        if version > most {
            let detail = format!("the model needs {what} {version}; the newest known here is {most}");
            faults.push(ModelFault::new(FaultKind::UnsupportedVersion, detail));
        }
    };
    too_new("format version (IR)", model.ir_version, limits.ir_version);
    for set in model.opset_import.iter().filter(|set| domain_name(&set.domain) == "ai.onnx") {
        too_new("operator set (opset)", set.version, limits.opset);
    }
    if model.opset_import.is_empty() {
        let detail = "the model does not say which operator set it was written for";
        faults.push(ModelFault::new(FaultKind::InvalidGraph, detail));
    }
}

fn warnings(file: &ModelFile) -> Vec<String> {
    const RANDOM: [&str; 6] =
        ["RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"];
    let mut warnings = Vec::new();
    for operator in RANDOM.iter().filter(|operator| file.operators.contains_key(**operator)) {
        warnings.push(format!(
            "operator {operator} gives another answer on each run: golden cases cannot hold; export the model for inference"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests;
