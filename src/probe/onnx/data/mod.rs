//! Files with numbers: the rows that models are judged on.

mod csv;
mod json;
mod npy;
mod raw;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::kind::StepError;
use crate::model::golden::Values;
use crate::probe::files::read_small;

/// The largest file. As numbers it takes twice as much memory, and a check needs thousands of rows, not millions.
const MOST_BYTES: u64 = 256 << 20;

/// A file with numbers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::probe) struct Data {
    /// The file. The end of its name says what it is: `.npy` and `.npz` (numpy; compressed or not), `.json` (lists of
    /// numbers in lists, `{"shape": [2, 3], "data": […]}`, or an object of such things by name), `.csv` (numbers
    /// between commas, with or without a line of names; an empty cell is a missing number), or raw little-endian numbers
    /// without any head: `.f32`, `.f64`, `.i32`, `.i64`. A bare file name lies beside the model, if there is one.
    pub file: PathBuf,
    /// The sizes of the dimensions of raw numbers, such as `[-1, 376]`; one may be -1, which is then what remains.
    /// Default: one dimension, or what the model declares.
    #[serde(default)]
    pub shape: Option<Vec<i64>>,
    /// Which array of an `.npz` file, member of a JSON object or column of a `.csv` file with names. Default: the one with
    /// the name of the model's input, or the only one.
    #[serde(default)]
    pub array: Option<String>,
}

/// What a file holds.
#[derive(Debug, PartialEq)]
pub(in crate::probe) enum Content {
    Array(Values),
    /// Rows of different length.
    Ragged(Vec<Vec<f64>>),
    /// Arrays by name.
    Named(Vec<(String, Values)>),
}

/// Why a file cannot be used; completes "valid.npz: …".
#[derive(Debug, thiserror::Error)]
pub(in crate::probe) enum DataError {
    #[error("it is not a file of its kind: {0}")]
    Malformed(String),
    #[error("it holds {0}, which cannot be read here")]
    Unsupported(String),
    #[error("{0}")]
    Content(String),
    #[error("it cannot be decoded")]
    Json(#[from] serde_json::Error),
    #[error("it cannot be unpacked")]
    Zip(#[from] zip::result::ZipError),
    #[error("it cannot be unpacked")]
    Read(#[from] std::io::Error),
}

impl Data {
    /// The array that is meant: the one named by `array`, else by `name`, else the only one. Blocking.
    pub(in crate::probe) fn read(&self, beside: Option<&Path>, name: &str) -> Result<Values, StepError> {
        match self.content(beside)? {
            Content::Array(values) => Ok(values),
            Content::Ragged(_) => Err(self.unusable("its rows differ in length")),
            Content::Named(arrays) => self.pick(arrays, name),
        }
    }

    /// Rows of numbers, of different length if the file says so. Blocking.
    pub(in crate::probe) fn read_rows(&self, beside: Option<&Path>, name: &str) -> Result<Vec<Vec<f64>>, StepError> {
        let values = match self.content(beside)? {
            Content::Ragged(rows) => return Ok(rows),
            Content::Array(values) => values,
            Content::Named(arrays) => self.pick(arrays, name)?,
        };
        match values.shape[..] {
            [_, 0] | [0] => Ok(Vec::new()),
            [_, width] => Ok(values.data.chunks_exact(width).map(<[f64]>::to_vec).collect()),
            // One vector is one row.
            [_] => Ok(vec![values.data]),
            _ => Err(self.unusable(&format!("it has the shape {:?}, not rows of numbers", values.shape))),
        }
    }

    /// Every array by its name. Blocking.
    pub(in crate::probe) fn arrays(&self) -> Result<Vec<(String, Values)>, StepError> {
        match self.content(None)? {
            Content::Named(arrays) => Ok(arrays),
            _ => Err(self.unusable("it does not hold arrays by name")),
        }
    }

    fn pick(&self, mut arrays: Vec<(String, Values)>, name: &str) -> Result<Values, StepError> {
        let wanted = self.array.as_deref().unwrap_or(name);
        if self.array.is_none() && arrays.len() == 1 {
            return Ok(arrays.remove(0).1);
        }
        match arrays.iter().position(|(other, _)| other == wanted) {
            Some(place) => Ok(arrays.swap_remove(place).1),
            None => {
                let names: Vec<String> = arrays.iter().take(16).map(|(name, _)| format!("'{name}'")).collect();
                Err(self.unusable(&format!("it has no '{wanted}'; it has {}", names.join(", "))))
            }
        }
    }

    fn content(&self, beside: Option<&Path>) -> Result<Content, StepError> {
        let path = place(&self.file, beside);
        let bytes = read_small(&path, MOST_BYTES)?;
        self.decode(bytes).map_err(|error| {
            StepError::because(path.display(), &error)
                .help("the forms that can be read are described at `file` of the kind, see `runbook kinds`")
        })
    }

    fn decode(&self, bytes: Vec<u8>) -> Result<Content, DataError> {
        let extension = self.file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension {
            "npy" => Ok(Content::Array(npy::decode(&bytes)?)),
            "npz" => Ok(Content::Named(npy::decode_archive(&bytes)?)),
            "json" => json::decode(&bytes),
            "csv" => csv::decode(&bytes, self.array.as_deref()),
            "f32" | "f64" | "i32" | "i64" => raw::decode(&bytes, extension, self.shape.as_deref()).map(Content::Array),
            other => Err(DataError::Unsupported(format!("'.{other}' data"))),
        }
    }

    fn unusable(&self, what: &str) -> StepError {
        StepError::new(format!("{}: {what}", self.file.display()))
            .help("name one array with `array`, or give the file another form")
    }
}

/// A bare file name lies beside the model.
fn place(file: &Path, beside: Option<&Path>) -> PathBuf {
    let bare = file.parent().is_some_and(|folder| folder.as_os_str().is_empty());
    match beside.and_then(Path::parent) {
        Some(folder) if bare => folder.join(file),
        _ => file.to_owned(),
    }
}

/// Numbers of a shape that fits them.
fn shaped(shape: Vec<usize>, data: Vec<f64>) -> Result<Values, DataError> {
    let elements = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    if elements == Some(data.len()) {
        Ok(Values { shape, data })
    } else {
        Err(DataError::Content(format!("it holds {} numbers, which is not the shape {shape:?}", data.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(file: &str) -> Data {
        Data { file: Path::new(env!("CARGO_MANIFEST_DIR")).join(file), shape: None, array: None }
    }

    #[test]
    fn an_archive_gives_the_array_that_is_named() {
        let valid = data("models/column-classifier/data/valid.npz");
        assert_eq!(valid.read(None, "features").unwrap().shape, [256, 376]);
        let labels = Data { array: Some("labels".into()), ..valid.clone() };
        let labels = labels.read(None, "features").unwrap();
        assert_eq!(labels.shape, [256]);
        assert!(labels.data.iter().all(|label| label.fract() == 0.0 && (0.0..12.0).contains(label)));
        let error = valid.read(None, "pixels").unwrap_err();
        assert!(error.message.contains("it has no 'pixels'; it has 'features', 'labels'"), "{error}");
    }

    #[test]
    fn rows_may_differ_in_length_where_that_is_the_question() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.json");
        std::fs::write(&path, "[[1, 2], [3]]").unwrap();
        let data = Data { file: path, shape: None, array: None };
        assert_eq!(data.read_rows(None, "").unwrap(), [vec![1.0, 2.0], vec![3.0]]);
        assert!(data.read(None, "").unwrap_err().message.contains("differ in length"));
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        let error = data("models/column-classifier/CARD.md").read(None, "").unwrap_err();
        assert!(error.message.contains("'.md' data"), "{error}");
        assert!(data("absent.npz").read(None, "").unwrap_err().message.contains("absent.npz"));
    }

    #[test]
    fn only_a_bare_name_lies_beside_the_model() {
        let model = Some(Path::new("models/a/model.onnx"));
        assert_eq!(place(Path::new("x.npz"), model), Path::new("models/a/x.npz"));
        assert_eq!(place(Path::new("data/x.npz"), model), Path::new("data/x.npz"));
        assert_eq!(place(Path::new("x.npz"), None), Path::new("x.npz"));
    }
}
