//! What can be wrong with a model, and what to do about each of it.

use serde::{Deserialize, Serialize};

/// What is wrong with a model, by its kind of fault; `detail` keeps the engine's own words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct ModelFault {
    pub kind: FaultKind,
    pub detail: String,
}

impl ModelFault {
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        ModelFault { kind, detail: shortened(detail.into()) }
    }

    /// What the reader can do next.
    pub fn remedy(&self) -> &'static str {
        self.kind.remedy()
    }

    /// Whether it says nothing about the model, because nothing of it was seen, it could not be run out, or the
    /// engine cannot read what is sound.
    pub fn is_unjudged(&self) -> bool {
        matches!(self.kind, FaultKind::Unreadable | FaultKind::OutOfMemory | FaultKind::BeyondEngine)
    }
}

/// Names inside a broken file may be of any length; a journal is no place for them.
fn shortened(mut text: String) -> String {
    const MOST_BYTES: usize = 600;
    if text.len() > MOST_BYTES {
        text.truncate(text.floor_char_boundary(MOST_BYTES));
        text.push('…');
    }
    text
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    Missing,
    Unreadable,
    /// A folder, a pipe or a device where the model should be.
    NotAFile,
    Empty,
    TooLarge,
    LfsPointer,
    Malformed,
    UnsupportedVersion,
    UnsupportedOperator,
    InvalidGraph,
    /// A node or an output needs a value that nothing makes.
    DanglingName,
    /// Two inputs, outputs or nodes with one name.
    DuplicateName,
    /// A weight whose bytes do not fit its shape.
    InvalidWeights,
    /// The place of weights outside of the file is not told, or the engine cannot use it.
    ExternalData,
    ExternalDataMissing,
    ExternalDataShort,
    /// The data file is not in the folder of the model, where a copy or a stranger's file would be read.
    ExternalDataOutside,
    /// Another length than the released one.
    WrongSize,
    /// Other bytes than those that were released.
    Altered,
    WrongInput,
    RunFailed,
    /// The check may not allocate as much as the model asks for, so that nothing was judged.
    OutOfMemory,
    /// The file is sound, but this engine cannot read it, so that nothing was judged.
    BeyondEngine,
    /// The engine itself broke down; the program caught it.
    EngineCrashed,
}

impl FaultKind {
    /// The name that outputs and playbooks use, such as `unsupported_version`.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Missing => "missing",
            FaultKind::Unreadable => "unreadable",
            FaultKind::NotAFile => "not_a_file",
            FaultKind::Empty => "empty",
            FaultKind::TooLarge => "too_large",
            FaultKind::LfsPointer => "lfs_pointer",
            FaultKind::Malformed => "malformed",
            FaultKind::UnsupportedVersion => "unsupported_version",
            FaultKind::UnsupportedOperator => "unsupported_operator",
            FaultKind::InvalidGraph => "invalid_graph",
            FaultKind::DanglingName => "dangling_name",
            FaultKind::DuplicateName => "duplicate_name",
            FaultKind::InvalidWeights => "invalid_weights",
            FaultKind::ExternalData => "external_data",
            FaultKind::ExternalDataMissing => "external_data_missing",
            FaultKind::ExternalDataShort => "external_data_short",
            FaultKind::ExternalDataOutside => "external_data_outside",
            FaultKind::WrongSize => "wrong_size",
            FaultKind::Altered => "altered",
            FaultKind::WrongInput => "wrong_input",
            FaultKind::RunFailed => "run_failed",
            FaultKind::OutOfMemory => "out_of_memory",
            FaultKind::BeyondEngine => "beyond_engine",
            FaultKind::EngineCrashed => "engine_crashed",
        }
    }

    /// What the reader can do next.
    pub fn remedy(self) -> &'static str {
        match self {
            FaultKind::Missing => "restore the file from the model registry or a backup, or correct the path",
            FaultKind::Unreadable => "give the user that runs this program read permission, or check the disk",
            FaultKind::NotAFile => "name the .onnx file itself, not its folder",
            FaultKind::Empty => "the write was cut off, often by a full disk: free space, then copy the model again",
            FaultKind::TooLarge => "export the model with its weights as external data: ONNX files end at 2 GiB",
            FaultKind::LfsPointer => "fetch the real file with `git lfs pull`",
            FaultKind::Malformed => "compare the sha256 with the release, then copy the model again",
            FaultKind::UnsupportedVersion => {
                "export the model for an older opset, or upgrade the engine that serves it"
            }
            FaultKind::UnsupportedOperator => {
                "export the model with standard operators, or serve it with a runtime that has these operators"
            }
            FaultKind::InvalidGraph => "export the model again and run the ONNX checker on it before it is shipped",
            FaultKind::DanglingName => {
                "a tool cut nodes out or renamed a value: roll back, then export the model again without that edit"
            }
            FaultKind::DuplicateName => {
                "two graphs were merged without a prefix: roll back, then give the names one when the model is built"
            }
            FaultKind::InvalidWeights => "the export or a later edit damaged the weights: export the model again",
            FaultKind::ExternalData => "export the model again: its note on where the weights lie cannot be used",
            FaultKind::ExternalDataMissing => {
                "copy the model together with its data files, keeping names and folders as exported"
            }
            FaultKind::ExternalDataShort => {
                "the copy of the data file was cut off or belongs to another version: copy both files again"
            }
            FaultKind::ExternalDataOutside => {
                "do not load it: a model has no business outside of its folder; ask who made it, or export it with its \
                 data beside it"
            }
            FaultKind::WrongSize => "the copy was cut off or is another version: free space, then copy the model again",
            FaultKind::Altered => {
                "copy the model again from the release or a mirror; if it was exported anew, release its new digest"
            }
            FaultKind::WrongInput => "compare the inputs with those the model declares; `onnx_load` lists them",
            FaultKind::RunFailed => "roll back to the last model that passed its golden cases",
            FaultKind::OutOfMemory => {
                "roll back to the last model that passed its checks, or let checks allocate more with \
                 `models: {memory: …}` in the site file"
            }
            FaultKind::BeyondEngine => {
                "have it judged by ONNX Runtime: `runbook doctor` says whether it is here, and scripts/get-onnxruntime.sh \
                 brings it"
            }
            FaultKind::EngineCrashed => {
                "try the model with ONNX Runtime; if it works there, report the model as a bug of the engine"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind, from the schema that serde's names make.
    fn kinds() -> Vec<FaultKind> {
        let schema = schemars::schema_for!(FaultKind).to_value();
        let listed = schema["enum"].as_array().into_iter().flatten();
        let described = schema["oneOf"].as_array().into_iter().flatten();
        let names = listed.chain(described.flat_map(|part| match part.get("enum") {
            Some(serde_json::Value::Array(names)) => names.iter().collect(),
            _ => vec![&part["const"]],
        }));
        names.map(|name| serde_json::from_value(name.clone()).unwrap()).collect()
    }

    #[test]
    fn each_kind_has_its_own_name_and_remedy() {
        let kinds = kinds();
        assert!(kinds.len() >= 23, "only {} kinds", kinds.len());
        for kind in &kinds {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert!(!kinds.iter().any(|other| other != kind && other.remedy() == kind.remedy()), "{}", kind.name());
        }
    }

    #[test]
    fn a_long_name_is_cut_between_letters() {
        let fault = ModelFault::new(FaultKind::InvalidGraph, "ä".repeat(5000));
        assert_eq!(fault.detail.chars().count(), 301);
    }
}
