//! Tensors as JSON has them: numbers nested as the shape is, or in one list beside it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kind::StepError;
use crate::model::golden::Values;

/// The element type of each input by its name in the Open Inference Protocol, such as `INT64`.
pub(super) type Datatypes = BTreeMap<String, String>;

/// What models take unless something else is known.
const USUAL_DATATYPE: &str = "FP32";

/// An output as the server answered it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OutputTensor {
    /// Only some protocols tell one.
    pub datatype: Option<String>,
    pub shape: Vec<usize>,
    /// In row-major order; or what it holds instead of numbers.
    pub numbers: Result<Vec<f64>, String>,
}

impl OutputTensor {
    /// Reads numbers that are nested as their shape is. A single number has the shape `[]`.
    pub(super) fn nested(value: &Value) -> Result<Self, String> {
        let shape = shape_of(value);
        let mut leaves = Vec::new();
        collect(value, &shape, &mut leaves)?;
        Ok(OutputTensor { datatype: None, shape, numbers: leaves.into_iter().map(number).collect() })
    }

    /// Reads numbers that come with a shape, nested or in one list; both are in use.
    pub(super) fn shaped(shape: Vec<usize>, data: &Value) -> Result<Self, String> {
        let mut leaves = Vec::new();
        flatten(data, &mut leaves);
        let elements = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        if elements != Some(leaves.len()) {
            return Err(format!("has the shape {shape:?} but {} elements", leaves.len()));
        }
        Ok(OutputTensor { datatype: None, shape, numbers: leaves.into_iter().map(number).collect() })
    }
}

/// Numbers in a playbook: nested, or `{shape, data}`.
pub(super) fn written(name: &str, value: &Value) -> Result<Values, StepError> {
    let tensor = match (value.get("shape"), value.get("data")) {
        (Some(shape), Some(data)) => serde_json::from_value(shape.clone())
            .map_err(|_| "has a shape that is not a list of sizes".to_owned())
            .and_then(|shape| OutputTensor::shaped(shape, data)),
        _ => OutputTensor::nested(value),
    };
    let values = tensor.and_then(|tensor| Ok(Values { shape: tensor.shape, data: tensor.numbers? }));
    let values = values.and_then(|values| match values.data.iter().all(|number| number.is_finite()) {
        true => Ok(values),
        false => Err("holds something that is not a finite number".to_owned()),
    });
    values.map_err(|what| {
        StepError::new(format!("'{name}' {what}"))
            .help("write numbers such as [[0.5, 1]] or {shape: [1, 2], data: [0.5, 1]}")
    })
}

fn shape_of(value: &Value) -> Vec<usize> {
    let mut shape = Vec::new();
    let mut current = value;
    while let Value::Array(items) = current {
        shape.push(items.len());
        match items.first() {
            Some(first) => current = first,
            None => break,
        }
    }
    shape
}

fn collect<'a>(value: &'a Value, shape: &[usize], leaves: &mut Vec<&'a Value>) -> Result<(), String> {
    match (value, shape) {
        (Value::Array(items), [size, inner @ ..]) if items.len() == *size => {
            items.iter().try_for_each(|item| collect(item, inner, leaves))
        }
        (Value::Array(_), _) | (_, [_, ..]) => Err("is ragged: its rows are not equally long".into()),
        (leaf, []) => {
            leaves.push(leaf);
            Ok(())
        }
    }
}

fn flatten<'a>(value: &'a Value, leaves: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, leaves)),
        leaf => leaves.push(leaf),
    }
}

/// JSON has no word for NaN and infinity, so servers write null, a text, or what JSON does not allow
/// (which `lenient` has made a text).
fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Null => Ok(f64::NAN),
        Value::Bool(flag) => Ok(f64::from(u8::from(*flag))),
        Value::Number(number) => number.as_f64().ok_or_else(|| format!("holds {number}")),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "nan" => Ok(f64::NAN),
            "inf" | "+inf" | "infinity" | "+infinity" => Ok(f64::INFINITY),
            "-inf" | "-infinity" => Ok(f64::NEG_INFINITY),
            _ => Err("holds text, not numbers".into()),
        },
        Value::Array(_) | Value::Object(_) => Err("holds an object, not numbers".into()),
    }
}

pub(super) fn datatype_of<'a>(datatypes: &'a Datatypes, input: &str) -> &'a str {
    datatypes.get(input).map_or(USUAL_DATATYPE, String::as_str)
}

/// The numbers of an input as JSON writes its element type: `1.0` is refused for an integer by many
/// servers, and `1` makes an integer tensor in others.
pub(super) fn elements(name: &str, values: &Values, datatype: &str) -> Result<Vec<Value>, StepError> {
    let element = |number: &f64| match datatype {
        "BOOL" => Some(Value::Bool(*number != 0.0)),
        _ if datatype.starts_with("FP") || datatype == "BF16" => Some(Value::from(*number)),
        _ if datatype.starts_with("INT") || datatype.starts_with("UINT") => whole(*number).map(Value::from),
        _ => None,
    };
    values.data.iter().map(element).collect::<Option<Vec<Value>>>().ok_or_else(|| cannot_be_sent(name, datatype))
}

pub(super) fn cannot_be_sent(name: &str, datatype: &str) -> StepError {
    StepError::new(format!("the input '{name}' cannot be sent as {datatype}")).help(
        "`datatypes` takes BOOL, INT8 to INT64, UINT8 to UINT64, FP16 to FP64; integers must be whole numbers that \
         the type can hold",
    )
}

pub(super) fn whole(number: f64) -> Option<i64> {
    // 2^53: beyond it a JSON number no longer means one whole number.
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

/// The input nested as its shape is.
pub(super) fn nest_input(name: &str, values: &Values, datatypes: &Datatypes) -> Result<Value, StepError> {
    Ok(nest(&values.shape, &elements(name, values, datatype_of(datatypes, name))?))
}

fn nest(shape: &[usize], elements: &[Value]) -> Value {
    match shape {
        [] => elements.first().cloned().unwrap_or_default(),
        [_] => Value::Array(elements.to_vec()),
        [size, inner @ ..] => {
            let width: usize = inner.iter().product();
            (0..*size).map(|row| nest(inner, &elements[row * width..(row + 1) * width])).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_numbers_have_their_shape() {
        let tensor = OutputTensor::nested(&json!([[1, 2.5], [3, true]])).unwrap();
        assert_eq!((tensor.shape, tensor.numbers), (vec![2, 2], Ok(vec![1.0, 2.5, 3.0, 1.0])));
        assert_eq!(OutputTensor::nested(&json!(7)).unwrap().shape, Vec::<usize>::new());
        assert_eq!(OutputTensor::nested(&json!([[], []])).unwrap().shape, [2, 0]);
        for ragged in [json!([[1], [2, 3]]), json!([1, [2]]), json!([[1], 2])] {
            assert!(OutputTensor::nested(&ragged).unwrap_err().contains("ragged"), "{ragged}");
        }
    }

    #[test]
    fn what_is_no_number_has_many_spellings() {
        let numbers = OutputTensor::nested(&json!([null, "NaN", "Infinity", "-inf"])).unwrap().numbers.unwrap();
        assert!(numbers[0].is_nan() && numbers[1].is_nan());
        assert_eq!(numbers[2..], [f64::INFINITY, f64::NEG_INFINITY]);
        assert!(OutputTensor::nested(&json!(["cat"])).unwrap().numbers.unwrap_err().contains("text"));
    }

    #[test]
    fn a_shape_must_fit_its_elements() {
        let nested = OutputTensor::shaped(vec![2, 1], &json!([[1], [2]])).unwrap();
        assert_eq!(nested, OutputTensor::shaped(vec![2, 1], &json!([1, 2])).unwrap());
        assert!(OutputTensor::shaped(vec![3], &json!([1, 2])).unwrap_err().contains("but 2 elements"));
        assert!(OutputTensor::shaped(vec![usize::MAX, 2], &json!([1, 2])).is_err());
    }

    #[test]
    fn inputs_are_written_as_their_element_type_wants() {
        let values = Values { shape: vec![2, 2], data: vec![1.0, 0.0, 3.0, 2.0] };
        let sent = |datatype: &str| {
            let datatypes = Datatypes::from([("x".to_owned(), datatype.to_owned())]);
            nest_input("x", &values, &datatypes).map(|value| value.to_string())
        };
        assert_eq!(sent("FP32").unwrap(), "[[1.0,0.0],[3.0,2.0]]");
        assert_eq!(sent("INT64").unwrap(), "[[1,0],[3,2]]");
        assert_eq!(sent("BOOL").unwrap(), "[[true,false],[true,true]]");
        assert!(sent("BYTES").unwrap_err().message.contains("cannot be sent as BYTES"));
        let half = Values { shape: vec![1], data: vec![0.5] };
        assert!(elements("x", &half, "INT32").is_err());
    }

    #[test]
    fn a_playbook_writes_numbers_either_way() {
        let nested = written("x", &json!([[0.5, 1]])).unwrap();
        assert_eq!(nested, written("x", &json!({"shape": [1, 2], "data": [0.5, 1]})).unwrap());
        assert!(written("x", &json!([null])).unwrap_err().message.contains("finite"));
        assert!(written("x", &json!({"shape": [-1], "data": [1]})).unwrap_err().message.contains("shape"));
        assert!(written("x", &json!("cat")).is_err());
    }
}
