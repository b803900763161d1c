//! Tensors as the messages carry them: typed lists, or raw bytes beside the message.

use half::{bf16, f16};
use prost::bytes::Bytes;

use super::messages::{InferTensor, InferTensorContents, ModelInferResponse};
use crate::kind::StepError;
use crate::model::golden::Values;
use crate::probe::inference::tensor::{OutputTensor, cannot_be_sent, whole};

/// Whether the protocol has no typed list for it, so that it crosses as raw bytes.
pub(super) fn is_raw_only(datatype: &str) -> bool {
    matches!(datatype, "FP16" | "BF16")
}

/// The numbers of an input as the typed list of its element type.
pub(super) fn typed(name: &str, values: &Values, datatype: &str) -> Result<InferTensorContents, StepError> {
    let numbers = &values.data;
    let mut contents = InferTensorContents::default();
    let fits = match datatype {
        "BOOL" => put(&mut contents.bool_contents, numbers, |number| Some(number != 0.0)),
        "INT8" => put(&mut contents.int_contents, numbers, |number| Some(i8::try_from(whole(number)?).ok()?.into())),
        "INT16" => put(&mut contents.int_contents, numbers, |number| Some(i16::try_from(whole(number)?).ok()?.into())),
        "INT32" => put(&mut contents.int_contents, numbers, |number| whole(number)?.try_into().ok()),
        "INT64" => put(&mut contents.int64_contents, numbers, whole),
        "UINT8" => put(&mut contents.uint_contents, numbers, |number| Some(u8::try_from(whole(number)?).ok()?.into())),
        "UINT16" => {
            put(&mut contents.uint_contents, numbers, |number| Some(u16::try_from(whole(number)?).ok()?.into()))
        }
        "UINT32" => put(&mut contents.uint_contents, numbers, |number| whole(number)?.try_into().ok()),
        "UINT64" => put(&mut contents.uint64_contents, numbers, |number| whole(number)?.try_into().ok()),
        "FP32" => put(&mut contents.fp32_contents, numbers, |number| Some(number as f32)),
        "FP64" => put(&mut contents.fp64_contents, numbers, Some),
        _ => None,
    };
    fits.map(|()| contents).ok_or_else(|| cannot_be_sent(name, datatype))
}

fn put<T>(list: &mut Vec<T>, numbers: &[f64], convert: impl Fn(f64) -> Option<T>) -> Option<()> {
    *list = numbers.iter().map(|number| convert(*number)).collect::<Option<_>>()?;
    Some(())
}

/// The numbers of an input as bytes: row-major, little-endian, without gaps.
pub(super) fn raw(name: &str, values: &Values, datatype: &str) -> Result<Bytes, StepError> {
    let bytes: Vec<u8> = match datatype {
        "FP16" => values.data.iter().flat_map(|number| f16::from_f64(*number).to_le_bytes()).collect(),
        "BF16" => values.data.iter().flat_map(|number| bf16::from_f64(*number).to_le_bytes()).collect(),
        _ => {
            let typed = typed(name, values, datatype)?;
            typed.raw(width(datatype).unwrap_or_default())
        }
    };
    Ok(bytes.into())
}

/// Bytes of one element; none for text, whose elements differ in length.
fn width(datatype: &str) -> Option<usize> {
    match datatype {
        "BOOL" | "INT8" | "UINT8" => Some(1),
        "INT16" | "UINT16" | "FP16" | "BF16" => Some(2),
        "INT32" | "UINT32" | "FP32" => Some(4),
        "INT64" | "UINT64" | "FP64" => Some(8),
        _ => None,
    }
}

impl InferTensorContents {
    /// The elements as bytes of `width` each. Only one of the lists is filled.
    fn raw(&self, width: usize) -> Vec<u8> {
        // An integer that fits a narrower type is its lowest bytes, also below zero.
        let narrow = |bytes: [u8; 4]| bytes.into_iter().take(width);
        let mut raw: Vec<u8> = self.bool_contents.iter().map(|flag| u8::from(*flag)).collect();
        raw.extend(self.int_contents.iter().flat_map(|number| narrow(number.to_le_bytes())));
        raw.extend(self.uint_contents.iter().flat_map(|number| narrow(number.to_le_bytes())));
        raw.extend(self.int64_contents.iter().flat_map(|number| number.to_le_bytes()));
        raw.extend(self.uint64_contents.iter().flat_map(|number| number.to_le_bytes()));
        raw.extend(self.fp32_contents.iter().flat_map(|number| number.to_le_bytes()));
        raw.extend(self.fp64_contents.iter().flat_map(|number| number.to_le_bytes()));
        raw
    }

    fn numbers(&self, datatype: &str) -> Result<Vec<f64>, String> {
        Ok(match datatype {
            "BOOL" => self.bool_contents.iter().map(|flag| f64::from(u8::from(*flag))).collect(),
            "INT8" | "INT16" | "INT32" => self.int_contents.iter().map(|number| f64::from(*number)).collect(),
            "INT64" => self.int64_contents.iter().map(|number| *number as f64).collect(),
            "UINT8" | "UINT16" | "UINT32" => self.uint_contents.iter().map(|number| f64::from(*number)).collect(),
            "UINT64" => self.uint64_contents.iter().map(|number| *number as f64).collect(),
            "FP32" => self.fp32_contents.iter().map(|number| f64::from(*number)).collect(),
            "FP64" => self.fp64_contents.clone(),
            other => return Err(no_numbers(other)),
        })
    }
}

/// Reads the outputs of an answer. The error completes "the answer …".
pub(super) fn outputs(response: &ModelInferResponse) -> Result<Vec<(String, OutputTensor)>, String> {
    let raw = &response.raw_output_contents;
    if !raw.is_empty() && raw.len() != response.outputs.len() {
        let outputs = response.outputs.len();
        return Err(format!("has {outputs} outputs, but {} of them as raw contents", raw.len()));
    }
    let read = |(index, output): (usize, &InferTensor)| {
        let tensor = output.read(raw.get(index)).map_err(|what| format!("has an output '{}' that {what}", output.name));
        Ok((output.name.clone(), tensor?))
    };
    response.outputs.iter().enumerate().map(read).collect()
}

impl InferTensor {
    fn read(&self, raw: Option<&Bytes>) -> Result<OutputTensor, String> {
        let sizes = self.shape.iter().map(|size| usize::try_from(*size));
        let shape: Vec<usize> = sizes.collect::<Result<_, _>>().map_err(|_| "has no valid shape".to_owned())?;
        let elements = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        let numbers = match raw {
            Some(raw) => from_raw(&self.datatype, raw)?,
            None => self.contents.clone().unwrap_or_default().numbers(&self.datatype),
        };
        match &numbers {
            Ok(numbers) if elements != Some(numbers.len()) => {
                Err(format!("has the shape {shape:?} but {} elements", numbers.len()))
            }
            _ => Ok(OutputTensor { datatype: Some(self.datatype.clone()), shape, numbers }),
        }
    }
}

/// Numbers from raw bytes; inside, what it holds instead of numbers. The outer error completes "an output that …".
fn from_raw(datatype: &str, raw: &[u8]) -> Result<Result<Vec<f64>, String>, String> {
    let Some(width) = width(datatype) else { return Ok(Err(no_numbers(datatype))) };
    if !raw.len().is_multiple_of(width) {
        return Err(format!("has {} raw bytes, which are no whole number of {datatype}", raw.len()));
    }
    Ok(Ok(match datatype {
        "BOOL" => elements(raw, |[byte]: [u8; 1]| f64::from(u8::from(byte != 0))),
        "INT8" => elements(raw, |bytes| f64::from(i8::from_le_bytes(bytes))),
        "UINT8" => elements(raw, |bytes| f64::from(u8::from_le_bytes(bytes))),
        "INT16" => elements(raw, |bytes| f64::from(i16::from_le_bytes(bytes))),
        "UINT16" => elements(raw, |bytes| f64::from(u16::from_le_bytes(bytes))),
        "FP16" => elements(raw, |bytes| f16::from_le_bytes(bytes).to_f64()),
        "BF16" => elements(raw, |bytes| bf16::from_le_bytes(bytes).to_f64()),
        "INT32" => elements(raw, |bytes| f64::from(i32::from_le_bytes(bytes))),
        "UINT32" => elements(raw, |bytes| f64::from(u32::from_le_bytes(bytes))),
        "FP32" => elements(raw, |bytes| f64::from(f32::from_le_bytes(bytes))),
        "INT64" => elements(raw, |bytes| i64::from_le_bytes(bytes) as f64),
        "UINT64" => elements(raw, |bytes| u64::from_le_bytes(bytes) as f64),
        _ => elements(raw, f64::from_le_bytes),
    }))
}

fn elements<const WIDTH: usize>(raw: &[u8], number: impl Fn([u8; WIDTH]) -> f64) -> Vec<f64> {
    raw.as_chunks::<WIDTH>().0.iter().map(|bytes| number(*bytes)).collect()
}

fn no_numbers(datatype: &str) -> String {
    match datatype {
        "BYTES" => "holds text, not numbers".to_owned(),
        _ => format!("has the unknown element type '{datatype}'"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each element type with numbers at the ends of what it holds.
    fn extremes() -> Vec<(&'static str, Vec<f64>)> {
        vec![
            ("BOOL", vec![0.0, 1.0]),
            ("INT8", vec![-128.0, 127.0]),
            ("INT16", vec![-32768.0, 32767.0]),
            ("INT32", vec![-2_147_483_648.0, 2_147_483_647.0]),
            ("INT64", vec![-9_007_199_254_740_992.0, 9_007_199_254_740_992.0]),
            ("UINT8", vec![0.0, 255.0]),
            ("UINT16", vec![0.0, 65535.0]),
            ("UINT32", vec![0.0, 4_294_967_295.0]),
            ("UINT64", vec![0.0, 9_007_199_254_740_992.0]),
            ("FP16", vec![-65504.0, 0.000_061_035_156_25]),
            ("BF16", vec![-1.0, 0.007_812_5]),
            ("FP32", vec![-0.5, 3.402_823_466_385_288_6e38]),
            ("FP64", vec![-0.1, 1e300]),
        ]
    }

    fn answer(datatype: &str, numbers: &[f64], in_raw: bool) -> ModelInferResponse {
        let values = Values { shape: vec![numbers.len()], data: numbers.to_vec() };
        let shape = vec![numbers.len() as i64];
        let contents = (!in_raw).then(|| typed("x", &values, datatype).unwrap());
        let output = InferTensor { name: "x".into(), datatype: datatype.into(), shape, contents };
        let raw = if in_raw { vec![raw("x", &values, datatype).unwrap()] } else { Vec::new() };
        ModelInferResponse { outputs: vec![output], raw_output_contents: raw }
    }

    fn read(response: &ModelInferResponse) -> Vec<f64> {
        outputs(response).unwrap()[0].1.numbers.clone().unwrap()
    }

    #[test]
    fn every_element_type_comes_back_from_lists_and_from_bytes() {
        for (datatype, numbers) in extremes() {
            assert_eq!(read(&answer(datatype, &numbers, true)), numbers, "{datatype}, raw");
            if !is_raw_only(datatype) {
                assert_eq!(read(&answer(datatype, &numbers, false)), numbers, "{datatype}, typed");
            }
        }
    }

    proptest! {
        #[test]
        fn any_numbers_come_back(numbers in prop::collection::vec(any::<f32>().prop_filter("NaN", |n| !n.is_nan()), 0..40)) {
            let numbers: Vec<f64> = numbers.into_iter().map(f64::from).collect();
            prop_assert_eq!(&read(&answer("FP32", &numbers, true)), &numbers);
            prop_assert_eq!(&read(&answer("FP64", &numbers, false)), &numbers);
        }

        /// Whatever a server sends is read or refused, never a panic.
        #[test]
        fn any_bytes_are_read_or_refused(
            datatype in "(BOOL|U?INT(8|16|32|64)|FP(16|32|64)|BF16|BYTES|x)",
            raw in prop::collection::vec(any::<u8>(), 0..40),
            shape in prop::collection::vec(any::<i64>(), 0..4),
        ) {
            let output = InferTensor { name: "x".into(), datatype, shape, contents: None };
            let _ = outputs(&ModelInferResponse { outputs: vec![output], raw_output_contents: vec![raw.into()] });
        }
    }

    #[test]
    fn numbers_that_their_type_cannot_hold_are_not_sent() {
        for (datatype, number) in [("INT8", 128.0), ("UINT8", -1.0), ("INT32", 0.5), ("UINT64", -1.0), ("BYTES", 1.0)] {
            let values = Values { shape: vec![1], data: vec![number] };
            let error = typed("x", &values, datatype).unwrap_err();
            assert!(error.message.contains(&format!("cannot be sent as {datatype}")), "{error}");
            assert!(raw("x", &values, datatype).is_err());
        }
    }

    #[test]
    fn an_answer_that_contradicts_itself_is_refused() {
        let mut short = answer("FP32", &[1.0, 2.0], true);
        short.raw_output_contents[0] = Bytes::from_static(&[0; 7]);
        assert!(outputs(&short).unwrap_err().contains("7 raw bytes"));
        let mut missing = answer("FP32", &[1.0], true);
        missing.raw_output_contents.push(Bytes::new());
        assert!(outputs(&missing).unwrap_err().contains("1 outputs, but 2"));
        let mut negative = answer("FP32", &[1.0], false);
        negative.outputs[0].shape = vec![-1];
        assert!(outputs(&negative).unwrap_err().contains("no valid shape"));
        let mut empty = answer("FP32", &[1.0], false);
        empty.outputs[0].contents = None;
        assert!(outputs(&empty).unwrap_err().contains("but 0 elements"));
        let mut text = answer("FP32", &[1.0], false);
        text.outputs[0].datatype = "BYTES".into();
        assert!(outputs(&text).unwrap()[0].1.numbers.as_ref().unwrap_err().contains("text"));
    }
}
