//! The engine that is built in: `rten`, pure Rust, nothing to install.

use std::path::Path;
use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use rten::{LoadErrorKind, ModelOptions, NodeId, RunErrorKind, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::Layout;
use rten_tensor::TensorView;
use rten_tensor::prelude::*;

use super::guard::guarded;
use super::preflight::{Inspection, Limits, ModelFile};
use super::{Engine, FaultKind, LoadOptions, Model, ModelFault, Tensor, TensorInfo, binding};

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
    for name in file.external_files.iter().filter(|name| !is_readable_data(name)) {
        spots.push(format!("weights lie in '{name}': the embedded engine reads only data files of other names"));
    }
    for input in file.inputs.iter().filter(|input| !matches!(&*input.element, "float32" | "int32" | "int64")) {
        spots.push(format!("input '{}' is {}: the embedded engine cannot feed it", input.name, input.element));
    }
    spots
}

/// Whether the engine would read weights from a file of this name: one beside the model with an ending that is usual.
fn is_readable_data(name: &str) -> bool {
    let path = Path::new(name);
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    path.components().count() == 1 && (ending.starts_with("data") || ending.starts_with("onnx_data"))
}

fn kind_of_load_error(kind: &LoadErrorKind) -> FaultKind {
    match kind {
        LoadErrorKind::IoError => FaultKind::Unreadable,
        LoadErrorKind::OperatorInvalid => FaultKind::UnsupportedOperator,
        // Preflight found the data where the model says. What the engine refuses is where and how it is named.
        LoadErrorKind::ExternalDataError => FaultKind::BeyondEngine,
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
}

impl Model for EmbeddedModel {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn answer(&self, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, ModelFault> {
        let tensors = binding::in_order(&self.inputs, inputs)?;
        let mut bound = Vec::with_capacity(tensors.len());
        for ((info, node), tensor) in self.inputs.iter().zip(&self.input_nodes).zip(tensors) {
            bound.push((*node, to_engine(info, tensor)?));
        }
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

fn to_engine<'a>(info: &TensorInfo, tensor: &'a Tensor) -> Result<ValueOrView<'a>, ModelFault> {
    match tensor {
        Tensor::F32(array) => view(info, array),
        Tensor::I32(array) => view(info, array),
        Tensor::I64(array) => value(info, narrowed(info, array)?).map(ValueOrView::Value),
        Tensor::F64(_) => {
            let detail = format!("the input '{}' is float64; the embedded engine computes with float32", info.name);
            Err(ModelFault::new(FaultKind::WrongInput, detail))
        }
    }
}

/// The engine computes with 32-bit integers; a larger one would silently become another number.
fn narrowed(info: &TensorInfo, array: &ArrayD<i64>) -> Result<ArrayD<i32>, ModelFault> {
    let too_large = array.iter().find(|number| i32::try_from(**number).is_err());
    if let Some(number) = too_large {
        let detail = format!("the input '{}' holds {number}; the embedded engine has 32-bit integers only", info.name);
        return Err(ModelFault::new(FaultKind::WrongInput, detail));
    }
    Ok(array.mapv(|number| number as i32))
}

fn view<'a, T: Clone>(info: &TensorInfo, array: &'a ArrayD<T>) -> Result<ValueOrView<'a>, ModelFault>
where
    Value: From<rten_tensor::Tensor<T>>,
    ValueOrView<'a>: From<TensorView<'a, T>>,
{
    match array.as_slice() {
        Some(slice) => Ok(TensorView::from_data(array.shape(), slice).into()),
        // Not in order in memory.
        None => value(info, array.clone()).map(ValueOrView::Value),
    }
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
    fn a_batch_of_no_rows_is_a_batch() {
        let answers = ocr().run(features(0, 64)).unwrap();
        assert_eq!(answers[0].1.shape(), [0, 10]);
    }

    fn kept(info: &TensorInfo, tensor: &Tensor) -> Tensor {
        let value = match to_engine(info, tensor).unwrap() {
            ValueOrView::Value(value) => value,
            ValueOrView::View(view) => view.to_owned(),
        };
        from_engine(info, value).unwrap()
    }

    #[test]
    fn a_large_integer_is_refused_not_cut() {
        let info = TensorInfo { name: "ids".into(), element: "int64".into(), shape: vec![None] };
        let small = Tensor::I64(array![7_i64, -1].into_dyn());
        assert_eq!(kept(&info, &small), small);
        let fault = to_engine(&info, &Tensor::I64(array![1_i64 << 42].into_dyn())).unwrap_err();
        assert!(fault.detail.contains("4398046511104"), "{fault}");
    }

    #[test]
    fn transposed_memory_is_read_in_logical_order() {
        let info = TensorInfo { name: "x".into(), element: "int32".into(), shape: vec![] };
        let transposed = Tensor::I32(array![[1, 2], [3, 4]].reversed_axes().into_dyn());
        assert_eq!(kept(&info, &transposed), Tensor::I32(array![[1, 3], [2, 4]].into_dyn()));
    }
}
