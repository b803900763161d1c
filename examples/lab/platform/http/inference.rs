//! The Open Inference Protocol, version 2, as far as JSON and FP32 go.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use ndarray::{ArrayD, IxDyn};
use runbook::model::Tensor;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Problem, decode};
use crate::platform::provider::Turned;
use crate::platform::{Caller, Platform, Refusal};
use crate::profile::ProviderSpec;

#[derive(Deserialize)]
struct Request {
    id: Option<String>,
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    /// Flat, or nested as the shape is; the protocol allows both.
    data: Value,
}

/// The server takes requests, whatever becomes of its models; each of those has a readiness of its own.
pub async fn health() -> StatusCode {
    StatusCode::OK
}

pub async fn metadata(State(platform): State<Arc<Platform>>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let spec = platform.find(&name).ok_or_else(|| Problem::unknown(&name))?.spec;
    let tensor = |name: &str, width: usize| json!([{"name": name, "datatype": "FP32", "shape": [-1, width]}]);
    Ok(Json(json!({
        "name": name, "platform": "onnx",
        "inputs": tensor(spec.input, spec.features), "outputs": tensor(spec.output, spec.classes),
    })))
}

pub async fn ready(
    State(platform): State<Arc<Platform>>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let provider = platform.find(&name).ok_or_else(|| Problem::unknown(&name))?;
    let ready = provider.is_loaded();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(json!({"name": name, "ready": ready}))))
}

pub async fn infer(
    State(platform): State<Arc<Platform>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let provider = platform.find(&name).ok_or_else(|| Problem::unknown(&name))?;
    let problem = |refusal: Refusal| Problem(status_of(&refusal), refusal.message(&name));
    let wrong = |what: String| problem(platform.note_invalid(provider, what));
    let request: Request = decode(&body).map_err(|Problem(_, what)| wrong(what))?;
    let (rows, inputs) = tensors(provider.spec, request.inputs).map_err(wrong)?;
    let mut response = match platform.infer(provider, rows, inputs, Caller::Outside).await {
        Ok(answers) => {
            let outputs: Vec<Value> = answers.iter().map(|(name, tensor)| output(name, tensor)).collect();
            json!({"model_name": name, "outputs": outputs})
        }
        Err(Refusal::Turned(Turned::Stub)) => stub(provider.spec, rows),
        Err(refusal) => return Err(problem(refusal)),
    };
    if let Some(id) = request.id {
        response["id"] = id.into();
    }
    Ok(Json(response))
}

/// The form of an answer without one: no confidence in any class, and the word that it is none.
fn stub(spec: &ProviderSpec, rows: usize) -> Value {
    let none = Tensor::F32(ArrayD::zeros(IxDyn(&[rows, spec.classes])));
    let parameters = json!({"degraded": true, "response": "Model unavailable"});
    json!({"model_name": spec.name, "outputs": [output(spec.output, &none)], "parameters": parameters})
}

fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Turned(Turned::Disabled | Turned::NotLoaded | Turned::Stub) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Turned(Turned::TooMany) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::BadInput(_) => StatusCode::BAD_REQUEST,
        Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The number of rows and the inputs as the model takes them.
fn tensors(spec: &ProviderSpec, inputs: Vec<Input>) -> Result<(usize, Vec<(String, Tensor)>), String> {
    let rows = match inputs.as_slice() {
        [input] if input.name == spec.input => row_count(spec, input)?,
        _ => return Err(format!("give exactly one input, '{}'", spec.input)),
    };
    let tensors: Result<_, String> = inputs.into_iter().map(|input| Ok((input.name.clone(), tensor(input)?))).collect();
    Ok((rows, tensors?))
}

fn row_count(spec: &ProviderSpec, input: &Input) -> Result<usize, String> {
    match *input.shape {
        [rows, width] if rows > 0 && width == spec.features => Ok(rows),
        _ => Err(format!("'{}' has the shape {:?}; expected [n, {}]", input.name, input.shape, spec.features)),
    }
}

fn tensor(input: Input) -> Result<Tensor, String> {
    let Input { name, shape, datatype, data } = input;
    if datatype != "FP32" {
        return Err(format!("'{name}' is {datatype}; expected FP32"));
    }
    let mut numbers = Vec::new();
    flatten(&data, &mut numbers).map_err(|found| format!("'{name}' holds {found}, which is not a number"))?;
    let count = numbers.len();
    let array = ArrayD::from_shape_vec(IxDyn(&shape), numbers);
    array.map(Tensor::F32).map_err(|_| format!("'{name}' has the shape {shape:?} but {count} numbers"))
}

/// The decoder has limited the depth already.
fn flatten(data: &Value, numbers: &mut Vec<f32>) -> Result<(), String> {
    match data {
        Value::Array(items) => items.iter().try_for_each(|item| flatten(item, numbers)),
        Value::Number(number) => {
            numbers.push(number.as_f64().unwrap_or(f64::NAN) as f32);
            Ok(())
        }
        other => Err(other.to_string()),
    }
}

fn output(name: &str, tensor: &Tensor) -> Value {
    let (datatype, data) = match tensor {
        Tensor::F32(numbers) => ("FP32", numbers.iter().map(|number| json!(number)).collect::<Value>()),
        Tensor::I32(numbers) => ("INT32", numbers.iter().map(|number| json!(number)).collect()),
        Tensor::I64(numbers) => ("INT64", numbers.iter().map(|number| json!(number)).collect()),
        Tensor::F64(numbers) => ("FP64", numbers.iter().map(|number| json!(number)).collect()),
    };
    json!({"name": name, "shape": tensor.shape(), "datatype": datatype, "data": data})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    fn read(input: Value) -> Result<(usize, Vec<(String, Tensor)>), String> {
        tensors(Profile::find("cad").unwrap().first(), vec![serde_json::from_value(input).unwrap()])
    }

    #[test]
    fn nested_and_flat_data_are_the_same() {
        let flat = json!({"name": "features", "shape": [2, 64], "datatype": "FP32", "data": vec![0.5; 128]});
        let nested = json!({"name": "features", "shape": [2, 64], "datatype": "FP32", "data": vec![vec![0.5; 64]; 2]});
        assert_eq!(read(flat).unwrap(), read(nested).unwrap());
    }

    #[test]
    fn what_is_wrong_with_an_input_is_named() {
        let wrong = |name: &str, shape: Value, datatype: &str, data: Value| {
            read(json!({"name": name, "shape": shape, "datatype": datatype, "data": data})).unwrap_err()
        };
        assert!(wrong("feature", json!([1, 64]), "FP32", json!([])).contains("'features'"));
        assert!(wrong("features", json!([1, 63]), "FP32", json!([])).contains("expected [n, 64]"));
        assert!(wrong("features", json!([1, 64]), "FP64", json!([])).contains("expected FP32"));
        assert!(wrong("features", json!([1, 64]), "FP32", json!([1.0, 2.0])).contains("but 2 numbers"));
        assert!(wrong("features", json!([1, 64]), "FP32", json!([null])).contains("null"));
    }
}
