//! The engine that is built in: `rten`, pure Rust, nothing to install.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use rten::{LoadErrorKind, ModelOptions, NodeId, RunErrorKind, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::Layout;
use rten_tensor::prelude::*;

use super::preflight::{Inspection, Limits, ModelFile};
use super::{Engine, FaultKind, LoadOptions, Model, ModelFault, Tensor, TensorInfo};
use crate::base::suggestion;

/// See the module.
pub struct EmbeddedEngine;

impl EmbeddedEngine {
    pub const NAME: &str = "rten";
    /// The version that `Cargo.toml` pins; a test compares the two.
    pub const VERSION: &str = "0.27.0";
}

impl Engine for EmbeddedEngine {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> String {
        Self::VERSION.to_owned()
    }

    fn limits(&self) -> Limits {
        Limits::EMBEDDED
    }

    fn blind_spots(&self, file: &ModelFile) -> Vec<String> {
        blind_spots(file)
    }

    fn load_inspected(
        &self,
        path: &Path,
        inspection: Inspection,
        options: &LoadOptions,
    ) -> Result<Box<dyn Model>, ModelFault> {
        inspection.first_fault()?;
        let Inspection { file, bytes, .. } = inspection;
        let load = ModelOptions::with_all_ops();
        let loaded = guarded("loading the model", || {
            // External data is found relative to a path only; otherwise the engine gets the judged bytes.
            let result =
                if file.external_files.is_empty() { load.load(Vec::from(bytes)) } else { load.load_file(path) };
            result.map_err(|error| ModelFault::new(kind_of_load_error(&error.kind()), error.to_string()))
        })?;
        Ok(Box::new(EmbeddedModel::new(loaded, file.inputs, file.outputs, options.threads)?))
    }
}

/// What was measured to go wrong without a word from the engine.
fn blind_spots(file: &ModelFile) -> Vec<String> {
    let mut spots = Vec::new();
    // Softmax changed its meaning with opset 13, and the engine knows only the new one.
    if file.opsets.get("ai.onnx").is_some_and(|version| *version < 13) {
        spots.push("opset older than 13: the embedded engine may compute Softmax differently".to_owned());
    }
    if let Some(number) = file.widest_integer {
        spots.push(format!("the model holds the integer {number}: the embedded engine cuts it to 32 bits"));
    }
    for input in file.inputs.iter().filter(|input| !matches!(&*input.element, "float32" | "int32" | "int64")) {
        spots.push(format!("input '{}' is {}: the embedded engine cannot feed it", input.name, input.element));
    }
    spots
}

/// Runs `work` and turns a panic of the engine into a fault.
fn guarded<T>(doing: &str, work: impl FnOnce() -> Result<T, ModelFault>) -> Result<T, ModelFault> {
    // The engine's state is dropped or read-only after a panic: `run` borrows the model immutably.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let detail = format!("the engine broke down while {doing}: {}", panic_message(&*panic));
        Err(ModelFault::new(FaultKind::EngineCrashed, detail))
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

fn kind_of_load_error(kind: &LoadErrorKind) -> FaultKind {
    match kind {
        LoadErrorKind::IoError => FaultKind::Unreadable,
        LoadErrorKind::OperatorInvalid => FaultKind::UnsupportedOperator,
        LoadErrorKind::ExternalDataError => FaultKind::ExternalData,
        LoadErrorKind::ParseError | LoadErrorKind::UnknownFileType => FaultKind::Malformed,
        _ => FaultKind::InvalidGraph,
    }
}

/// A model that the embedded engine has loaded.
pub struct EmbeddedModel {
    model: rten::Model,
    /// As the file declares them: the engine itself shows int64 as int32 and float64 as float32.
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    input_nodes: Vec<NodeId>,
    output_nodes: Vec<NodeId>,
    run_options: RunOptions,
}

impl EmbeddedModel {
    fn new(
        model: rten::Model,
        inputs: Vec<TensorInfo>,
        outputs: Vec<TensorInfo>,
        threads: usize,
    ) -> Result<Self, ModelFault> {
        let nodes = |infos: &[TensorInfo]| -> Result<Vec<NodeId>, ModelFault> {
            let node = |info: &TensorInfo| model.node_id(&info.name);
            let found: Result<_, _> = infos.iter().map(node).collect();
            found.map_err(|error| ModelFault::new(FaultKind::InvalidGraph, error.to_string()))
        };
        let (input_nodes, output_nodes) = (nodes(&inputs)?, nodes(&outputs)?);
        let mut run_options = RunOptions::default();
        run_options.thread_pool = Some(Arc::new(ThreadPool::with_num_threads(threads.max(1))));
        Ok(EmbeddedModel { model, inputs, outputs, input_nodes, output_nodes, run_options })
    }

    /// The engine's inputs in the model's order; every declared input exactly once, nothing else.
    fn bind(&self, mut given: Vec<(String, Tensor)>) -> Result<Vec<(NodeId, ValueOrView<'static>)>, ModelFault> {
        let mut bound = Vec::with_capacity(self.inputs.len());
        for (info, node) in self.inputs.iter().zip(&self.input_nodes) {
            let place = given.iter().position(|(name, _)| *name == info.name);
            let (_, tensor) = given.swap_remove(place.ok_or_else(|| self.missing(&info.name, &given))?);
            bound.push((*node, ValueOrView::Value(to_engine(info, tensor)?)));
        }
        match given.first() {
            None => Ok(bound),
            Some((name, _)) => Err(self.unknown(name)),
        }
    }

    fn missing(&self, name: &str, given: &[(String, Tensor)]) -> ModelFault {
        let names: Vec<String> = given.iter().map(|(name, _)| format!("'{name}'")).collect();
        let given = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        ModelFault::new(FaultKind::WrongInput, format!("the input '{name}' is not given; given: {given}"))
    }

    fn unknown(&self, name: &str) -> ModelFault {
        let hint = suggestion::did_you_mean(name, self.inputs.iter().map(|info| &*info.name));
        let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        ModelFault::new(FaultKind::WrongInput, format!("the model has no input '{name}', or it is given twice{hint}"))
    }
}

impl Model for EmbeddedModel {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn run(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, ModelFault> {
        let bound = self.bind(inputs)?;
        let values = guarded("running the model", || {
            self.model.run(bound, &self.output_nodes, Some(self.run_options.clone())).map_err(|error| {
                let kind = match error.kind() {
                    RunErrorKind::NodeNotFound | RunErrorKind::InvalidInput => FaultKind::WrongInput,
                    _ => FaultKind::RunFailed,
                };
                ModelFault::new(kind, error.to_string())
            })
        })?;
        let outputs = self.outputs.iter().zip(values);
        outputs.map(|(info, value)| Ok((info.name.clone(), from_engine(info, value)?))).collect()
    }
}

fn to_engine(info: &TensorInfo, tensor: Tensor) -> Result<Value, ModelFault> {
    // The engine takes float32 where float64 is due without a word, so the types are compared here.
    if tensor.element() != info.element {
        let detail = format!("the input '{}' is {}, but {} is given", info.name, info.element, tensor.element());
        return Err(ModelFault::new(FaultKind::WrongInput, detail));
    }
    match tensor {
        Tensor::F32(array) => value(info, array),
        Tensor::I32(array) => value(info, array),
        Tensor::I64(array) => value(info, narrowed(info, array)?),
    }
}

/// The engine computes with 32-bit integers; a larger one would silently become another number.
fn narrowed(info: &TensorInfo, array: ArrayD<i64>) -> Result<ArrayD<i32>, ModelFault> {
    let too_large = array.iter().find(|number| i32::try_from(**number).is_err());
    if let Some(number) = too_large {
        let detail = format!("the input '{}' holds {number}; the embedded engine has 32-bit integers only", info.name);
        return Err(ModelFault::new(FaultKind::WrongInput, detail));
    }
    Ok(array.mapv(|number| number as i32))
}

fn value<T: Clone>(info: &TensorInfo, array: ArrayD<T>) -> Result<Value, ModelFault>
where
    Value: From<rten_tensor::Tensor<T>>,
{
    let shape = array.shape().to_vec();
    // Iteration is in logical order, whatever the layout in memory.
    Value::from_shape(&shape, array.into_iter().collect::<Vec<T>>()).map_err(|error| {
        ModelFault::new(FaultKind::WrongInput, format!("the input '{}' has no valid shape: {error}", info.name))
    })
}

fn from_engine(info: &TensorInfo, value: Value) -> Result<Tensor, ModelFault> {
    let integers = |array: ArrayD<i32>| {
        if info.element == "int64" { Tensor::I64(array.mapv(i64::from)) } else { Tensor::I32(array) }
    };
    let broken = |what: String| ModelFault::new(FaultKind::RunFailed, format!("the output '{}' {what}", info.name));
    let tensor = match value {
        Value::FloatTensor(tensor) => array(tensor).map(Tensor::F32),
        Value::Int32Tensor(tensor) => array(tensor).map(integers),
        Value::Int8Tensor(tensor) => array(tensor).map(|array| integers(array.mapv(i32::from))),
        Value::UInt8Tensor(tensor) => array(tensor).map(|array| integers(array.mapv(i32::from))),
        _ => return Err(broken("is not a tensor".into())),
    };
    tensor.map_err(|error| broken(format!("has no valid shape: {error}")))
}

fn array<T: Clone>(tensor: rten_tensor::Tensor<T>) -> Result<ArrayD<T>, ndarray::ShapeError> {
    ArrayD::from_shape_vec(IxDyn(tensor.shape()), tensor.to_vec())
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::model::golden::{Golden, Verdict, judge};

    fn path(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    fn features(rows: usize, width: usize) -> Vec<(String, Tensor)> {
        vec![("features".into(), Tensor::F32(ArrayD::from_elem(IxDyn(&[rows, width]), 0.5)))]
    }

    fn ocr() -> Box<dyn Model> {
        EmbeddedEngine.load(&path("models/ocr-text/model.onnx")).unwrap()
    }

    #[test]
    fn the_version_is_the_one_that_is_pinned() {
        let manifest = std::fs::read_to_string(path("Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("rten = {{ version = \"={}\"", EmbeddedEngine::VERSION)));
    }

    #[test]
    fn every_shipped_model_answers_its_golden_cases() {
        for name in ["column-classifier", "ocr-text", "ocr-layout"] {
            let model = EmbeddedEngine.load(&path(&format!("models/{name}/model.onnx"))).unwrap();
            let golden = Golden::read(&path(&format!("models/{name}/golden.json"))).unwrap();
            let comparison = judge(&*model, &golden.cases, golden.tolerance, &|| false);
            assert_eq!(comparison.verdict, Verdict::Match, "{name}: {comparison:?}");
            assert!(comparison.max_absolute_error < 2e-6, "{name}: {comparison:?}");
        }
    }

    #[test]
    fn the_twins_of_a_shipped_model_fail_each_in_its_way() {
        let golden = Golden::read(&path("models/ocr-text/golden.json")).unwrap();
        let verdict = |name: &str| {
            let model = EmbeddedEngine.load(&path(&format!("models/faults/ocr-text/{name}")))?;
            Ok::<_, ModelFault>(judge(&*model, &golden.cases, golden.tolerance, &|| false).verdict)
        };
        assert_eq!(verdict("nan.onnx").unwrap(), Verdict::NotFinite);
        assert_eq!(verdict("wrong-shape.onnx").unwrap(), Verdict::WrongShape);
        assert_eq!(verdict("future-opset.onnx").unwrap_err().kind, FaultKind::UnsupportedVersion);
    }

    #[test]
    fn what_the_model_declares_is_shown() {
        let model = ocr();
        let expected = TensorInfo { name: "features".into(), element: "float32".into(), shape: vec![None, Some(64)] };
        assert_eq!(model.inputs(), [expected]);
        assert_eq!(model.outputs()[0].shape, [None, Some(10)]);
    }

    #[test]
    fn wrong_inputs_are_named() {
        let model = ocr();
        let detail = |inputs| {
            let fault = model.run(inputs).unwrap_err();
            assert_eq!(fault.kind, FaultKind::WrongInput, "{fault}");
            fault.detail
        };
        let with_name = |name: &str, tensor| vec![(name.to_owned(), tensor)];
        assert!(detail(vec![]).contains("'features' is not given; given: nothing"));
        assert!(detail(with_name("feature", Tensor::F32(array![[1.0]].into_dyn()))).contains("given: 'feature'"));
        assert!(
            detail(with_name("features", Tensor::I64(array![[1_i64]].into_dyn()))).contains("is float32, but int64")
        );
        assert!(!detail(features(1, 63)).is_empty());
        let mut extra = features(1, 64);
        extra.push(("feature".into(), Tensor::F32(array![1.0].into_dyn())));
        assert!(detail(extra).contains("did you mean 'features'?"));
    }

    #[test]
    fn a_batch_of_no_rows_is_a_batch() {
        let answers = ocr().run(features(0, 64)).unwrap();
        assert_eq!(answers[0].1.shape(), [0, 10]);
    }

    #[test]
    fn a_large_integer_is_refused_not_cut() {
        let info = TensorInfo { name: "ids".into(), element: "int64".into(), shape: vec![None] };
        let kept = to_engine(&info, Tensor::I64(array![7_i64, -1].into_dyn())).unwrap();
        assert_eq!(from_engine(&info, kept).unwrap(), Tensor::I64(array![7_i64, -1].into_dyn()));
        let fault = to_engine(&info, Tensor::I64(array![1_i64 << 42].into_dyn())).unwrap_err();
        assert!(fault.detail.contains("4398046511104"), "{fault}");
    }

    #[test]
    fn transposed_memory_is_read_in_logical_order() {
        let info = TensorInfo { name: "x".into(), element: "int32".into(), shape: vec![] };
        let transposed = array![[1, 2], [3, 4]].reversed_axes().into_dyn();
        let Value::Int32Tensor(tensor) = to_engine(&info, Tensor::I32(transposed)).unwrap() else { panic!() };
        assert_eq!(tensor.to_vec(), [1, 3, 2, 4]);
    }

    #[test]
    fn a_panic_of_the_engine_is_a_fault() {
        let fault = guarded("running the model", || -> Result<(), _> { panic!("index {}", 7) }).unwrap_err();
        assert_eq!(fault.kind, FaultKind::EngineCrashed);
        assert!(fault.detail.ends_with("index 7"));
    }
}
