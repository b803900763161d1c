//! Columns of tables with known types, read from the labelled rows that come with the model.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zip::ZipArchive;

use crate::error::LabError;

/// A column as it comes in: its features before anything is done to them, and its true type.
#[derive(Clone)]
pub struct Column {
    pub name: String,
    pub features: Vec<f32>,
    pub label: usize,
}

/// Reads `features` (float32) and `labels` (int64) of an archive that numpy wrote.
pub fn read(path: &Path, width: usize) -> Result<Vec<Column>, LabError> {
    let file = File::open(path).map_err(LabError::file("read", path))?;
    let broken = || {
        let what = format!("{} does not hold `features` and `labels`", path.display());
        LabError::impossible(what, "restore the data of the repository")
    };
    let mut archive = ZipArchive::new(file).map_err(|_| broken())?;
    let features = array(&mut archive, "features.npy").ok_or_else(broken)?;
    let labels = array(&mut archive, "labels.npy").ok_or_else(broken)?;
    let features: Vec<f32> = features.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let labels = labels.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
    Ok(features.chunks_exact(width).zip(labels).enumerate().map(column).collect())
}

fn column((index, (features, label)): (usize, (&[f32], i64))) -> Column {
    let mut features = features.to_vec();
    // Not every feature exists for every column: an empty one has no average length, for example.
    if index.is_multiple_of(4) {
        let place = index % features.len();
        features[place] = f32::NAN;
    }
    Column { name: format!("column_{index}"), features, label: usize::try_from(label).unwrap_or(usize::MAX) }
}

/// The numbers of an array, behind its head: magic, version, and a text with its length.
fn array(archive: &mut ZipArchive<File>, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    archive.by_name(name).ok()?.read_to_end(&mut bytes).ok()?;
    let length = u16::from_le_bytes([*bytes.get(8)?, *bytes.get(9)?]);
    (bytes.len() >= 10 + usize::from(length)).then(|| bytes.split_off(10 + usize::from(length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models;

    #[test]
    fn rows_have_their_width_their_label_and_a_gap_now_and_then() {
        let columns = read(&models::shipped("column-classifier/data/valid.npz"), 376).unwrap();
        assert_eq!(columns.len(), 256);
        assert!(columns.iter().all(|column| column.features.len() == 376 && column.label < 12));
        assert_eq!(columns.iter().filter(|column| column.features.iter().any(|number| number.is_nan())).count(), 64);
    }
}
