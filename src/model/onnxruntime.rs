//! ONNX Runtime, from a shared library that is found when the program runs.
//!
//! A process holds one library and one environment for its whole life, so an engine of another library
//! needs another process. The library is always named by its path: left to itself, the binding would read
//! a variable and panic when that names something else.

mod placement;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ndarray::{ArrayD, ArrayViewD};
use ort::environment::Environment;
use ort::session::builder::SessionBuilder;
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType, TensorRef, ValueType};

use super::guard::guarded;
use super::preflight::{Inspection, Limits, ModelFile};
use super::provider::Placing;
use super::{Engine, FaultKind, Library, LoadOptions, Model, ModelFault, Tensor, TensorInfo, binding};

/// The oldest library that the binding accepts: it speaks version 17 of the interface.
pub const OLDEST: &str = "1.17";

/// What this process has opened.
static OPENED: OnceLock<(PathBuf, Environment)> = OnceLock::new();

/// Why a library cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Load(String),
    #[error("it is older than {OLDEST}")]
    TooOld,
    #[error("it is no ONNX Runtime: it has no function OrtGetApiBase")]
    Other,
    #[error("it does not start: {0}")]
    Environment(String),
    #[error("this process has opened {} already", .0.display())]
    Second(PathBuf),
}

/// Opens the library for this process. Loading a library runs its code: a broken one can end the process.
pub fn open(path: &Path) -> Result<&'static Environment, OpenError> {
    static OPENING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    if OPENED.get().is_none() {
        let builder = ort::init_from(path).map_err(load_error)?;
        let built = builder.with_name("runbook").with_telemetry(false).build();
        let environment = built.map_err(|error| OpenError::Environment(error.to_string()))?;
        // Nobody else sets it while the lock is held.
        let _ = OPENED.set((path.to_owned(), environment));
    }
    match OPENED.get() {
        Some((opened, environment)) if opened == path => Ok(environment),
        Some((opened, _)) => Err(OpenError::Second(opened.clone())),
        None => Err(OpenError::Environment("bug: the environment was not kept".into())),
    }
}

fn load_error(error: ort::LoadDynamicError) -> OpenError {
    use ort::LoadDynamicError;
    match error {
        // The linker's own words are the cause of the cause.
        LoadDynamicError::Dlopen { error, .. } => {
            let deepest = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source()).last();
            OpenError::Load(deepest.map(ToString::to_string).unwrap_or_default())
        }
        LoadDynamicError::MissingApi { .. } => OpenError::Other,
        LoadDynamicError::BadVersion { .. } => OpenError::TooOld,
        LoadDynamicError::InvalidVersionString => OpenError::Load(error.to_string()),
    }
}

/// See the module.
pub struct OnnxRuntime {
    environment: &'static Environment,
    library: Library,
}

impl OnnxRuntime {
    pub const NAME: &str = "onnxruntime";

    pub fn open(library: &Library) -> Result<Self, OpenError> {
        Ok(OnnxRuntime { environment: open(&library.path)?, library: library.clone() })
    }

    fn builder(&self, options: &LoadOptions) -> Result<SessionBuilder, ModelFault> {
        let builder = Session::builder(self.environment).map_err(refused)?;
        builder.with_intra_threads(options.threads.max(1)).map_err(|error| {
            ModelFault::new(FaultKind::EngineCrashed, format!("the number of threads was refused: {error}"))
        })
    }
}

/// External data is found relative to a path only; otherwise the engine gets the judged bytes.
fn commit(mut builder: SessionBuilder, path: &Path, file: &ModelFile, bytes: &[u8]) -> Result<Session, ModelFault> {
    let session =
        if file.external_files.is_empty() { builder.commit_from_memory(bytes) } else { builder.commit_from_file(path) };
    session.map_err(refused)
}

fn refused(error: ort::Error) -> ModelFault {
    ModelFault::new(kind_of_load_error(error.message()), error.to_string())
}

impl Engine for OnnxRuntime {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> String {
        self.library.version.clone()
    }

    fn limits(&self) -> Limits {
        limits(&self.library.version)
    }

    fn blind_spots(&self, _file: &ModelFile) -> Vec<String> {
        Vec::new()
    }

    fn placing(&self) -> Option<&dyn Placing> {
        Some(self)
    }

    fn load_inspected(
        &self,
        path: &Path,
        inspection: Inspection,
        options: &LoadOptions,
    ) -> Result<Box<dyn Model>, ModelFault> {
        inspection.first_fault()?;
        let Inspection { file, bytes, .. } = inspection;
        let session = guarded("loading the model", || commit(self.builder(options)?, path, &file, &bytes))?;
        Ok(Box::new(LoadedModel { session: Mutex::new(session), inputs: file.inputs, outputs: file.outputs }))
    }
}

/// What a release understands. Measured at 1.20, 1.24, 1.31 and 1.32; releases between those may refuse
/// an operator set that is let through here, and say so themselves.
pub fn limits(version: &str) -> Limits {
    let minor: u32 = version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0);
    let (ir_version, opset) = match minor {
        ..=20 => (10, 27),
        21..=31 => (13, 27),
        _ => (14, 28),
    };
    Limits { ir_version, opset, domains: DOMAINS }
}

const DOMAINS: &[&str] = &[
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.training",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "com.microsoft",
    "com.microsoft.experimental",
    "com.microsoft.nchwc",
];

/// Preflight has named what it can before; this is for what only the engine sees. Its texts are steadier
/// than its codes, which changed between releases.
fn kind_of_load_error(text: &str) -> FaultKind {
    let said = |part: &str| text.contains(part);
    if is_lack_of_memory(text) {
        FaultKind::OutOfMemory
    } else if said("Unsupported model IR version") || said("*guarantees* support for models") {
        FaultKind::UnsupportedVersion
    } else if said("is not a registered function/op")
        || said("NOT_IMPLEMENTED")
        || said("Could not find an implementation")
    {
        FaultKind::UnsupportedOperator
    } else if said("Protobuf parsing failed") {
        FaultKind::Malformed
    } else {
        FaultKind::InvalidGraph
    }
}

fn kind_of_run_error(text: &str) -> FaultKind {
    if is_lack_of_memory(text) { FaultKind::OutOfMemory } else { FaultKind::RunFailed }
}

fn is_lack_of_memory(text: &str) -> bool {
    text.contains("Failed to allocate memory") || text.contains("bad_alloc")
}

/// A model that ONNX Runtime has loaded.
struct LoadedModel {
    /// The engine's own statistics and allocators are not safe to share.
    session: Mutex<Session>,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
}

impl LoadedModel {
    fn run_with<T>(
        &self,
        inputs: &[(String, Tensor)],
        read: impl FnOnce(SessionOutputs<'_>) -> Result<T, ModelFault>,
    ) -> Result<T, ModelFault> {
        let tensors = binding::in_order(&self.inputs, inputs)?;
        let mut bound: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(tensors.len());
        for (info, tensor) in self.inputs.iter().zip(tensors) {
            bound.push((&info.name, to_engine(info, tensor)?));
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        guarded("running the model", || {
            let failed = |error: ort::Error| ModelFault::new(kind_of_run_error(error.message()), error.to_string());
            read(session.run(bound).map_err(failed)?)
        })
    }
}

impl Model for LoadedModel {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn answer(&self, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, ModelFault> {
        self.run_with(inputs, |outputs| {
            outputs.into_iter().map(|(name, value)| Ok((name.to_owned(), from_engine(name, &value)?))).collect()
        })
    }

    fn compute(&self, inputs: &[(String, Tensor)]) -> Result<(), ModelFault> {
        self.run_with(inputs, |_| Ok(()))
    }
}

fn to_engine<'a>(info: &TensorInfo, tensor: &'a Tensor) -> Result<SessionInputValue<'a>, ModelFault> {
    match tensor {
        Tensor::F32(array) => view(info, array),
        Tensor::I32(array) => view(info, array),
        Tensor::I64(array) => view(info, array),
        Tensor::F64(array) => view(info, array),
    }
}

fn view<'a, T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static>(
    info: &TensorInfo,
    array: &'a ArrayD<T>,
) -> Result<SessionInputValue<'a>, ModelFault> {
    let wrong = |error: ort::Error| {
        ModelFault::new(FaultKind::WrongInput, format!("the input '{}' is refused: {error}", info.name))
    };
    if array.is_standard_layout() {
        return TensorRef::from_array_view(array.view()).map(Into::into).map_err(wrong);
    }
    // The engine reads memory in order.
    let ordered = array.as_standard_layout().into_owned();
    ort::value::Tensor::from_array(ordered).map(Into::into).map_err(wrong)
}

fn from_engine(name: &str, value: &DynValue) -> Result<Tensor, ModelFault> {
    let unreadable = |what: String| ModelFault::new(FaultKind::RunFailed, format!("the output '{name}' {what}"));
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err(unreadable(format!("is not a tensor but {}", value.dtype())));
    };
    let read = match ty {
        TensorElementType::Float32 => array::<f32>(value).map(|array| Tensor::F32(array.to_owned())),
        TensorElementType::Float64 => array::<f64>(value).map(|array| Tensor::F64(array.to_owned())),
        TensorElementType::Int64 => array::<i64>(value).map(|array| Tensor::I64(array.to_owned())),
        TensorElementType::Uint32 => array::<u32>(value).map(|array| Tensor::I64(array.mapv(i64::from))),
        TensorElementType::Int32 => array::<i32>(value).map(|array| Tensor::I32(array.to_owned())),
        TensorElementType::Int16 => array::<i16>(value).map(|array| Tensor::I32(array.mapv(i32::from))),
        TensorElementType::Uint16 => array::<u16>(value).map(|array| Tensor::I32(array.mapv(i32::from))),
        TensorElementType::Int8 => array::<i8>(value).map(|array| Tensor::I32(array.mapv(i32::from))),
        TensorElementType::Uint8 => array::<u8>(value).map(|array| Tensor::I32(array.mapv(i32::from))),
        TensorElementType::Bool => array::<bool>(value).map(|array| Tensor::I32(array.mapv(i32::from))),
        other => return Err(unreadable(format!("is {other}, which cannot be compared"))),
    };
    read.map_err(|error| unreadable(format!("cannot be read: {error}")))
}

fn array<T: PrimitiveTensorElementType>(value: &DynValue) -> Result<ArrayViewD<'_, T>, ort::Error> {
    value.try_extract_array::<T>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_has_its_limits() {
        assert_eq!(limits("1.20.1").ir_version, 10);
        assert_eq!(limits("1.31.1").ir_version, 13);
        assert_eq!((limits("1.32.0").ir_version, limits("1.32.0").opset), (14, 28));
        assert_eq!(limits("unknown").ir_version, 10);
    }

    #[test]
    fn what_only_the_engine_sees_is_named_by_its_words() {
        let kind = |text| kind_of_load_error(text);
        let ir = "Unsupported model IR version: 99, max supported IR version: 14";
        assert_eq!(kind(ir), FaultKind::UnsupportedVersion);
        let operator = "Fatal error: acme.ops:Frobnicate(-1) is not a registered function/op";
        assert_eq!(kind(operator), FaultKind::UnsupportedOperator);
        assert_eq!(kind("std::bad_alloc"), FaultKind::OutOfMemory);
        assert_eq!(kind("Type Error: Type parameter (T) of Optype (Add) bound"), FaultKind::InvalidGraph);
    }
}
