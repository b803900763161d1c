//! Little-endian numbers without any head, as `numpy.tofile` and C programs write them.

use super::{DataError, shaped};
use crate::model::golden::Values;

/// A number made of some bytes.
pub(super) type Element = (usize, fn(&[u8]) -> f64);

/// The width and the reader of an element type by numpy's short name.
pub(super) fn element(name: &str) -> Option<Element> {
    // The chunks that the readers get have the width beside them, so the bytes always fit.
    fn bytes<const N: usize>(chunk: &[u8]) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(chunk);
        bytes
    }
    Some(match name {
        "f4" => (4, |chunk| f64::from(f32::from_le_bytes(bytes(chunk)))),
        "f8" => (8, |chunk| f64::from_le_bytes(bytes(chunk))),
        "i4" => (4, |chunk| f64::from(i32::from_le_bytes(bytes(chunk)))),
        "i8" => (8, |chunk| i64::from_le_bytes(bytes(chunk)) as f64),
        "u1" | "b1" => (1, |chunk| f64::from(chunk[0])),
        "i1" => (1, |chunk| f64::from(i8::from_le_bytes(bytes(chunk)))),
        _ => return None,
    })
}

/// All numbers of one type; an error when bytes are left over.
pub(super) fn numbers(bytes: &[u8], (width, read): Element) -> Result<Vec<f64>, DataError> {
    let chunks = bytes.chunks_exact(width);
    if chunks.remainder().is_empty() {
        Ok(chunks.map(read).collect())
    } else {
        Err(DataError::Malformed(format!("its {} bytes are no whole number of elements", bytes.len())))
    }
}

pub(super) fn decode(bytes: &[u8], extension: &str, shape: Option<&[i64]>) -> Result<Values, DataError> {
    let name = match extension {
        "f32" => "f4",
        "f64" => "f8",
        "i32" => "i4",
        _ => "i8",
    };
    let element = element(name).ok_or_else(|| DataError::Unsupported(extension.to_owned()))?;
    let data = numbers(bytes, element)?;
    let shape = shape.map_or_else(|| Ok(vec![data.len()]), |shape| completed(shape, data.len()))?;
    shaped(shape, data)
}

/// The shape with -1 replaced by what remains.
fn completed(shape: &[i64], count: usize) -> Result<Vec<usize>, DataError> {
    let wrong = || DataError::Content(format!("the shape {shape:?} does not fit its {count} numbers"));
    let known: Option<usize> = (shape.iter().filter(|size| **size != -1))
        .try_fold(1_usize, |product, size| product.checked_mul(usize::try_from(*size).ok()?));
    let known = known.ok_or_else(wrong)?;
    let free = shape.iter().filter(|size| **size == -1).count();
    if free > 1 || (free == 1 && (known == 0 || !count.is_multiple_of(known))) {
        return Err(wrong());
    }
    let size = |size: &i64| usize::try_from(*size).unwrap_or_else(|_| count / known);
    Ok(shape.iter().map(size).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_numbers_have_the_shape_that_is_given() {
        let bytes: Vec<u8> =
            [1.5_f32, -2.0, 0.0, 4.0, 5.0, 6.0].iter().flat_map(|number| number.to_le_bytes()).collect();
        let values = decode(&bytes, "f32", Some(&[-1, 3])).unwrap();
        assert_eq!((values.shape, values.data), (vec![2, 3], vec![1.5, -2.0, 0.0, 4.0, 5.0, 6.0]));
        assert_eq!(decode(&bytes, "f32", None).unwrap().shape, [6]);
        assert_eq!(decode(&(-7_i64).to_le_bytes(), "i64", None).unwrap().data, [-7.0]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let bytes = [0; 24];
        for shape in [&[-1, 5][..], &[-1, -1], &[-1, 0], &[7], &[-2], &[i64::MAX, i64::MAX]] {
            assert!(decode(&bytes, "f32", Some(shape)).is_err(), "{shape:?}");
        }
        assert!(decode(&bytes[..5], "f32", None).is_err());
    }
}
