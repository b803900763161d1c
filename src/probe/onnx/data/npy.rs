//! Arrays as numpy saves them: `.npy`, and `.npz`, which is a zip archive of them.
//!
//! Only arrays of plain numbers in C order are read. Object arrays hold pickled Python, which is a program and not data.

use std::io::{Cursor, Read};
use std::sync::LazyLock;

use regex::Regex;

use super::raw::{element, numbers};
use super::{DataError, MOST_BYTES, shaped};
use crate::model::golden::Values;

const MAGIC: &[u8] = b"\x93NUMPY";

/// The head is the text of a Python dictionary with these three entries.
static HEAD: LazyLock<[Regex; 3]> = LazyLock::new(|| {
    [r"'descr':\s*'([^']*)'", r"'fortran_order':\s*(True|False)", r"'shape':\s*\(([\d\s,]*)\)"]
        .map(|pattern| Regex::new(pattern).expect("the patterns are constant"))
});

pub(super) fn decode(bytes: &[u8]) -> Result<Values, DataError> {
    let (head, body) = split(bytes).ok_or_else(|| DataError::Malformed("it does not begin as numpy writes".into()))?;
    let entry = |place: usize| {
        let found = HEAD[place].captures(&head).and_then(|captures| captures.get(1));
        found.map(|text| text.as_str()).ok_or_else(|| DataError::Unsupported(format!("an array of the form {head}")))
    };
    let (descr, order, shape) = (entry(0)?, entry(1)?, entry(2)?);
    if order == "True" {
        return Err(DataError::Unsupported("an array in Fortran order (save `numpy.ascontiguousarray(a)`)".into()));
    }
    // '<' is little-endian; '|' is for types of one byte.
    let short = descr.strip_prefix(['<', '|']);
    let element = short.and_then(element).ok_or_else(|| {
        DataError::Unsupported(format!("elements of the type '{descr}' (save `a.astype(\"<f4\")` or `\"<i8\"`)"))
    })?;
    let sizes: Result<Vec<usize>, _> =
        shape.split(',').map(str::trim).filter(|size| !size.is_empty()).map(str::parse).collect();
    let sizes = sizes.map_err(|_| DataError::Malformed(format!("the shape ({shape}) is none")))?;
    shaped(sizes, numbers(body, element)?)
}

/// The text of the head, and the numbers.
fn split(bytes: &[u8]) -> Option<(String, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (version, rest) = rest.split_at_checked(2)?;
    // The length has two bytes in version 1 and four since.
    let width = if version[0] == 1 { 2 } else { 4 };
    let (length, rest) = rest.split_at_checked(width)?;
    let length = length.iter().rev().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    let (head, body) = rest.split_at_checked(length)?;
    Some((String::from_utf8_lossy(head).trim().to_owned(), body))
}

pub(super) fn decode_archive(bytes: &[u8]) -> Result<Vec<(String, Values)>, DataError> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes))?;
    let mut left = MOST_BYTES;
    let mut arrays = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        let name = entry.name()?.trim_end_matches(".npy").to_owned();
        let mut content = Vec::new();
        // What is unpacked counts: a small archive may hold endless zeros.
        entry.take(left + 1).read_to_end(&mut content)?;
        left = left
            .checked_sub(content.len() as u64)
            .ok_or_else(|| DataError::Unsupported(format!("more than {} MiB of numbers", MOST_BYTES >> 20)))?;
        arrays.push((name, decode(&content)?));
    }
    if arrays.is_empty() { Err(DataError::Content("it holds no array".into())) } else { Ok(arrays) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As numpy writes it: the head is padded so that the numbers begin at a multiple of 64.
    fn npy(descr: &str, order: &str, shape: &str, version: u8, body: &[u8]) -> Vec<u8> {
        let head = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        let length = (head.len() as u32).to_le_bytes();
        bytes.extend(if version == 1 { &length[..2] } else { &length[..] });
        bytes.extend(head.as_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn the_plain_types_are_read_in_both_versions() {
        let bodies: [(&str, Vec<u8>); 7] = [
            ("<f4", [1.0_f32, 0.0].iter().flat_map(|number| number.to_le_bytes()).collect()),
            ("<f8", [1.0_f64, 0.0].iter().flat_map(|number| number.to_le_bytes()).collect()),
            ("<i4", [1_i32, 0].iter().flat_map(|number| number.to_le_bytes()).collect()),
            ("<i8", [1_i64, 0].iter().flat_map(|number| number.to_le_bytes()).collect()),
            ("|u1", vec![1, 0]),
            ("|i1", vec![1, 0]),
            ("|b1", vec![1, 0]),
        ];
        for (descr, body) in bodies {
            for version in [1, 2] {
                let values = decode(&npy(descr, "False", "(2,)", version, &body)).unwrap();
                assert_eq!((values.shape, values.data), (vec![2], vec![1.0, 0.0]), "{descr}");
            }
        }
        assert_eq!(decode(&npy("|u1", "False", "()", 1, &[7])).unwrap(), Values { shape: vec![], data: vec![7.0] });
    }

    #[test]
    fn other_forms_are_named() {
        let message = |bytes: Vec<u8>| decode(&bytes).unwrap_err().to_string();
        assert!(message(npy("<f4", "True", "(1, 1)", 1, &[0; 4])).contains("Fortran"));
        assert!(message(npy(">f4", "False", "(1,)", 1, &[0; 4])).contains("'>f4'"));
        assert!(message(npy("|O", "False", "(1,)", 1, &[0; 4])).contains("'|O'"));
        assert!(message(npy("<f4", "False", "(3,)", 1, &[0; 4])).contains("1 numbers"));
        assert!(message(npy("<f4", "False", "(1,)", 1, &[0; 5])).contains("whole number of elements"));
        assert!(message(b"PK".to_vec()).contains("does not begin"));
        assert!(message(npy("<f4", "False", "(9999999999999999999999,)", 1, &[])).contains("shape"));
        let mut cut = npy("<f4", "False", "(1,)", 2, &[]);
        cut.truncate(20);
        assert!(message(cut).contains("does not begin"));
        assert!(decode_archive(b"PK").is_err());
    }
}
