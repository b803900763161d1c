//! Lists of numbers in JSON.

use serde_json::{Map, Value};

use super::{Content, DataError, shaped};
use crate::model::golden::Values;

pub(super) fn decode(bytes: &[u8]) -> Result<Content, DataError> {
    match serde_json::from_slice(bytes)? {
        Value::Object(members) if !is_array(&members) => {
            let named = members.iter().map(|(name, value)| Ok((name.clone(), array(value)?)));
            Ok(Content::Named(named.collect::<Result<_, DataError>>()?))
        }
        value => match ragged(&value)? {
            Some(rows) => Ok(Content::Ragged(rows)),
            None => array(&value).map(Content::Array),
        },
    }
}

/// `{"shape": [2, 3], "data": […]}`, as golden files have it.
fn is_array(members: &Map<String, Value>) -> bool {
    members.contains_key("shape") && members.contains_key("data")
}

/// Rows of numbers that differ in length; `None` for anything else.
fn ragged(value: &Value) -> Result<Option<Vec<Vec<f64>>>, DataError> {
    let Some(rows) = value.as_array() else { return Ok(None) };
    let Some(rows) = rows.iter().map(Value::as_array).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let flat = rows.iter().all(|row| row.iter().all(|item| !item.is_array()));
    let differ = rows.windows(2).any(|pair| pair[0].len() != pair[1].len());
    if !flat || !differ {
        return Ok(None);
    }
    let numbers = rows.into_iter().map(|row| row.iter().map(number).collect::<Result<Vec<f64>, _>>());
    numbers.collect::<Result<_, _>>().map(Some)
}

fn array(value: &Value) -> Result<Values, DataError> {
    if let Value::Object(members) = value {
        let shape = members.get("shape").cloned().unwrap_or_default();
        let data = members.get("data").and_then(Value::as_array);
        let data = data.ok_or_else(|| DataError::Content("an object in it has no list 'data'".into()))?;
        return shaped(serde_json::from_value(shape)?, data.iter().map(number).collect::<Result<_, _>>()?);
    }
    let (mut shape, mut data) = (Vec::new(), Vec::new());
    gather(value, 0, &mut shape, &mut data)?;
    shaped(shape, data)
}

/// Numbers in order, and the size of each level of lists.
fn gather(value: &Value, depth: usize, shape: &mut Vec<usize>, data: &mut Vec<f64>) -> Result<(), DataError> {
    let Value::Array(items) = value else {
        data.push(number(value)?);
        return if depth == shape.len() { Ok(()) } else { Err(uneven()) };
    };
    match shape.get(depth) {
        // Only the first list of a level may decide its size.
        None if data.is_empty() => shape.push(items.len()),
        Some(size) if *size == items.len() => {}
        _ => return Err(uneven()),
    }
    items.iter().try_for_each(|item| gather(item, depth + 1, shape, data))
}

fn uneven() -> DataError {
    DataError::Content("its lists differ in length or depth".into())
}

/// JSON has no NaN; null is a number that is missing.
fn number(value: &Value) -> Result<f64, DataError> {
    match value {
        Value::Null => Ok(f64::NAN),
        Value::Bool(flag) => Ok(f64::from(u8::from(*flag))),
        _ => value.as_f64().ok_or_else(|| DataError::Content(format!("{value} in it is not a number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Result<Values, DataError> {
        match decode(text.as_bytes())? {
            Content::Array(values) => Ok(values),
            other => Err(DataError::Content(format!("{other:?}"))),
        }
    }

    #[test]
    fn lists_have_the_shape_of_their_nesting() {
        assert_eq!(values("[1, 2.5]").unwrap(), Values { shape: vec![2], data: vec![1.0, 2.5] });
        assert_eq!(values("[[1], [2], [true]]").unwrap().shape, [3, 1]);
        assert_eq!(values("[[[1, 2]], [[3, 4]]]").unwrap().shape, [2, 1, 2]);
        assert_eq!(values("[]").unwrap().shape, [0]);
        assert_eq!(values(r#"{"shape": [1, 2], "data": [1, 2]}"#).unwrap().shape, [1, 2]);
        assert!(values("[null]").unwrap().data[0].is_nan());
    }

    #[test]
    fn names_are_kept() {
        let Content::Named(arrays) = decode(br#"{"a": [1], "b": [[2, 3]]}"#).unwrap() else { panic!("no names") };
        assert_eq!(
            arrays.iter().map(|(name, values)| (&**name, &*values.shape)).collect::<Vec<_>>(),
            [("a", &[1][..]), ("b", &[1, 2])]
        );
    }

    #[test]
    fn uneven_lists_and_other_values_are_refused() {
        for text in
            ["[1, [2]]", "[[1], 2]", "[[[1]], [[2, 3]]]", "[[], [[1]]]", r#"["x"]"#, r#"{"shape": [3], "data": [1]}"#]
        {
            assert!(values(text).is_err(), "{text}");
        }
        assert_eq!(decode(b"[[1], []]").unwrap(), Content::Ragged(vec![vec![1.0], vec![]]));
    }
}
