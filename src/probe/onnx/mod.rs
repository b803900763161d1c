//! What the kinds that run models share.
//!
//! ```text
//! Data ─ Feed ─ Session::run ─ Answers ─ Scores ─ statistics
//! file   rows   the engine     rows      classes  verdict
//! ```
//!
//! `session` is the only place that loads a model for these kinds, and `measure` the only one with loops that time or
//! weigh runs. The kinds are marked `IN_CHILD`, so that both work in a process of their own.
//!
//! A model that does not load, or does not run on what it is given, is an error in a kind that measures (no accuracy
//! was measured) and a finding in a kind that asks just that. `onnx_load` tells why a model does not load.

pub(super) mod answers;
mod axis;
mod cases;
pub(super) mod data;
pub(super) mod feed;
pub(super) mod measure;
pub(super) mod session;

pub(super) use answers::{Answers, Scores};
pub(super) use cases::read_cases;
pub(super) use data::Data;
pub(super) use feed::Feed;
pub(super) use session::{Bench, Broken, Session, at_bench, load_error, with_model, with_model_loaded};

use std::path::{Path, PathBuf};

use crate::kind::StepError;

/// Lists in an output end here, so that a large model cannot fill the journal.
pub(super) const MOST_ITEMS: usize = 16;

/// A bare file name lies beside the model; any other path is taken as it is.
pub(super) fn beside(model: &Path, path: &Path) -> PathBuf {
    let bare = path.parent().is_some_and(|folder| folder.as_os_str().is_empty());
    match model.parent() {
        Some(folder) if bare => folder.join(path),
        _ => path.to_owned(),
    }
}

/// Refuses a limit that nothing or everything satisfies.
pub(super) fn check_share(key: &str, share: f64) -> Result<(), StepError> {
    if (0.0..=1.0).contains(&share) {
        Ok(())
    } else {
        Err(StepError::new(format!("{key} is {share}")).help(format!("`{key}` is a share: 0.95 means 95 %")))
    }
}

/// Refuses a limit below zero, and NaN.
pub(super) fn check_positive(key: &str, number: f64) -> Result<(), StepError> {
    if number.is_finite() && number >= 0.0 {
        Ok(())
    } else {
        Err(StepError::new(format!("{key} is {number}")).help(format!("`{key}` is a number from 0 upwards")))
    }
}

/// Refuses a count of nothing.
pub(super) fn check_count(key: &str, count: usize) -> Result<(), StepError> {
    if count > 0 { Ok(()) } else { Err(StepError::new(format!("{key} is 0")).help(format!("`{key}` is at least 1"))) }
}

/// `0.07` of many as people read it.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The true classes of `rows` rows: `labels`, else the array `labels` in the file of the inputs.
pub(super) fn labels(
    labels: Option<&Data>,
    inputs: &Data,
    model: &Path,
    rows: usize,
    classes: usize,
) -> Result<Vec<usize>, StepError> {
    let beside_inputs = Data { array: Some("labels".into()), ..inputs.clone() };
    let values = labels.unwrap_or(&beside_inputs).read(Some(model), "labels")?;
    let help = "labels are one whole number a row, from 0 to the number of classes less one";
    if values.data.len() != rows {
        let what = format!("there are {rows} rows, but not {rows} labels: their shape is {:?}", values.shape);
        return Err(StepError::new(what).help(help));
    }
    let class = |label: &f64| {
        let valid = label.fract() == 0.0 && *label >= 0.0 && (*label as usize) < classes;
        valid
            .then_some(*label as usize)
            .ok_or_else(|| StepError::new(format!("{label} is no label of {classes} classes")).help(help))
    };
    values.data.iter().map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_name_lies_beside_the_model() {
        let place = |cases: &str| beside(Path::new("models/a/model.onnx"), Path::new(cases));
        assert_eq!(place("golden.json"), Path::new("models/a/golden.json"));
        assert_eq!(place("./golden.json"), Path::new("./golden.json"));
        assert_eq!(place("/srv/golden.json"), Path::new("/srv/golden.json"));
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! Paths of the column classifier, its data and its broken twins.

    use serde_json::{Value, json};

    pub(in crate::probe) fn path(name: &str) -> String {
        format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    pub(in crate::probe) fn model() -> String {
        path("models/column-classifier/model.onnx")
    }

    pub(in crate::probe) fn fixture(name: &str) -> String {
        path(&format!("tests/fixtures/onnx/{name}.onnx"))
    }

    /// One of `reference`, `valid` and `shifted`.
    pub(in crate::probe) fn rows(name: &str) -> Value {
        json!({"file": path(&format!("models/column-classifier/data/{name}.npz"))})
    }
}
