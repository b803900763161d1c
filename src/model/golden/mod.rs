//! Golden cases: inputs with the outputs that a model gave when it was known to be right.

mod compare;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ndarray::{ArrayD, IxDyn};
use serde::{Deserialize, Serialize};

use super::{FaultKind, Model, ModelFault, Tensor, TensorInfo};
pub use compare::{CaseResult, Comparison, Verdict, compare};

/// Golden files are made of a few rows; a larger one is a data set given by mistake.
const MOST_BYTES: u64 = 64 << 20;

/// The content of a golden file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Which model gave the outputs; for the reader.
    #[serde(default)]
    pub model: String,
    pub cases: Vec<Case>,
    #[serde(default)]
    pub tolerance: Tolerance,
}

/// One request and the answer that is right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    pub inputs: BTreeMap<String, Values>,
    pub outputs: BTreeMap<String, Values>,
}

/// Numbers in row-major order. Their element type is the one that the model declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

/// An answer `a` matches `b` if `|a - b| <= absolute + relative * |b|`, the rule of numpy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tolerance {
    pub absolute: f64,
    pub relative: f64,
}

impl Default for Tolerance {
    /// What float32 on another processor or another engine needs, and not more.
    fn default() -> Self {
        Tolerance { absolute: 1e-5, relative: 1e-5 }
    }
}

/// Why a golden file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    #[error("cannot read the golden file")]
    Read(#[source] std::io::Error),
    #[error("the golden file is larger than 64 MiB")]
    TooLarge,
    #[error("the golden file is not valid")]
    Decode(#[source] serde_json::Error),
    #[error("{0}")]
    Content(String),
}

impl Golden {
    /// Reads and checks a golden file. Blocking.
    pub fn read(path: &Path) -> Result<Golden, GoldenError> {
        let mut text = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut text))
            .map_err(GoldenError::Read)?;
        if text.len() as u64 > MOST_BYTES {
            return Err(GoldenError::TooLarge);
        }
        Golden::parse(&text)
    }

    pub fn parse(text: &[u8]) -> Result<Golden, GoldenError> {
        let golden: Golden = serde_json::from_slice(text).map_err(GoldenError::Decode)?;
        golden.check().map_err(GoldenError::Content)?;
        Ok(golden)
    }

    /// Cases that come from elsewhere, with the default tolerance.
    pub fn of(cases: Vec<Case>) -> Result<Golden, GoldenError> {
        let golden = Golden { model: String::new(), cases, tolerance: Tolerance::default() };
        golden.check().map_err(GoldenError::Content)?;
        Ok(golden)
    }

    fn check(&self) -> Result<(), String> {
        if self.cases.is_empty() {
            return Err("the golden file holds no case".into());
        }
        let mut names = HashSet::new();
        for case in &self.cases {
            if !names.insert(&case.name) {
                return Err(format!("two cases have the name '{}'", case.name));
            }
            case.check()?;
        }
        self.tolerance.check()
    }
}

impl Case {
    fn check(&self) -> Result<(), String> {
        // A case that expects nothing would match anything.
        if self.outputs.is_empty() {
            return Err(format!("case '{}' expects no output", self.name));
        }
        for (name, values) in self.inputs.iter().chain(&self.outputs) {
            let elements = values.shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
            if elements != Some(values.data.len()) {
                let (shape, length) = (&values.shape, values.data.len());
                return Err(format!("case '{}': '{name}' has the shape {shape:?} but {length} numbers", self.name));
            }
        }
        Ok(())
    }

    /// The inputs as the model takes them.
    pub fn tensors(&self, inputs: &[TensorInfo]) -> Result<Vec<(String, Tensor)>, ModelFault> {
        tensors(&self.inputs, inputs)
    }
}

/// Numbers as the element types that a model declares for them.
fn tensors(values: &BTreeMap<String, Values>, inputs: &[TensorInfo]) -> Result<Vec<(String, Tensor)>, ModelFault> {
    let element = |name: &str| inputs.iter().find(|info| info.name == name).map_or("float32", |info| &info.element);
    let tensor = |(name, values): (&String, &Values)| {
        let tensor = values.to_tensor(element(name));
        tensor
            .map(|tensor| (name.clone(), tensor))
            .map_err(|detail| ModelFault::new(FaultKind::WrongInput, format!("the input '{name}' {detail}")))
    };
    values.iter().map(tensor).collect()
}

/// Runs a model on the cases and compares; stops between two cases once `abandoned`. Blocking.
pub fn judge(model: &dyn Model, cases: &[Case], tolerance: Tolerance, abandoned: &dyn Fn() -> bool) -> Comparison {
    let results: Vec<CaseResult> = cases
        .iter()
        .take_while(|_| !abandoned())
        .map(|case| match answers(model, &case.inputs) {
            Ok(answers) => compare(case, &answers, tolerance),
            Err(fault) => CaseResult::faulted(&case.name, fault),
        })
        .collect();
    Comparison::of(&results)
}

/// What a model answers to named inputs: each of its outputs. Blocking.
pub fn answers(model: &dyn Model, inputs: &BTreeMap<String, Values>) -> Result<BTreeMap<String, Values>, ModelFault> {
    let answers = model.run(tensors(inputs, model.inputs())?)?;
    Ok(answers.iter().map(|(name, tensor)| (name.clone(), Values::from(tensor))).collect())
}

impl Tolerance {
    /// An error for a tolerance that nothing or everything satisfies.
    pub fn check(&self) -> Result<(), String> {
        let sound = |bound: f64| bound.is_finite() && bound >= 0.0;
        if sound(self.absolute) && sound(self.relative) {
            Ok(())
        } else {
            Err("a tolerance is a number from 0 upwards".into())
        }
    }

    pub fn accepts(&self, actual: f64, expected: f64) -> bool {
        (actual - expected).abs() <= self.absolute + self.relative * expected.abs()
    }
}

impl Values {
    /// A tensor of the given element type; the error completes "the input 'x' …".
    pub fn to_tensor(&self, element: &str) -> Result<Tensor, String> {
        match element {
            "float32" => self.array(|number| Some(number as f32)).map(Tensor::F32),
            "int32" => {
                self.array(|number| whole(number).and_then(|number| i32::try_from(number).ok())).map(Tensor::I32)
            }
            "int64" => self.array(whole).map(Tensor::I64),
            other => Err(format!("is {other}, which golden cases cannot hold")),
        }
    }

    fn array<T>(&self, convert: impl Fn(f64) -> Option<T>) -> Result<ArrayD<T>, String> {
        let numbers: Option<Vec<T>> = self.data.iter().map(|number| convert(*number)).collect();
        let numbers = numbers.ok_or("holds a number that its integer type cannot hold")?;
        ArrayD::from_shape_vec(IxDyn(&self.shape), numbers).map_err(|error| format!("has no valid shape: {error}"))
    }
}

fn whole(number: f64) -> Option<i64> {
    // 2^53: beyond it a JSON number no longer means one whole number.
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

impl From<&Tensor> for Values {
    fn from(tensor: &Tensor) -> Self {
        let data = match tensor {
            Tensor::F32(array) => array.iter().map(|number| f64::from(*number)).collect(),
            Tensor::I32(array) => array.iter().map(|number| f64::from(*number)).collect(),
            Tensor::I64(array) => array.iter().map(|number| *number as f64).collect(),
            Tensor::F64(array) => array.iter().copied().collect(),
        };
        Values { shape: tensor.shape().to_vec(), data }
    }
}

#[cfg(test)]
mod tests;
