//! Which engine judges, and how results name it.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Engine;
use super::embedded::EmbeddedEngine;
use super::onnxruntime::{self, OnnxRuntime, OpenError};
use super::preflight::{Limits, ModelFile};

/// An engine that a process can open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineChoice {
    Embedded,
    #[serde(rename = "onnxruntime")]
    OnnxRuntime(Library),
}

/// A shared library of ONNX Runtime that was tried and works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    pub path: PathBuf,
    /// Such as `1.31.1`.
    pub version: String,
    /// Of the library's file, lower-case hexadecimal.
    pub sha256: String,
}

/// Which engine judged. Answers and speeds differ between engines and their versions, so a result
/// without it cannot be compared with another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EngineIdentity {
    /// The engine that ran the model: `onnxruntime` or `rten`, the embedded one.
    pub engine: String,
    /// The version of the engine.
    pub engine_version: String,
    /// SHA-256 of the engine's shared library in lower-case hexadecimal; null for the embedded engine.
    pub engine_sha256: Option<String>,
}

impl EngineChoice {
    pub fn identity(&self) -> EngineIdentity {
        match self {
            EngineChoice::Embedded => EngineIdentity {
                engine: EmbeddedEngine::NAME.to_owned(),
                engine_version: EmbeddedEngine::VERSION.to_owned(),
                engine_sha256: None,
            },
            EngineChoice::OnnxRuntime(library) => EngineIdentity {
                engine: OnnxRuntime::NAME.to_owned(),
                engine_version: library.version.clone(),
                engine_sha256: Some(library.sha256.clone()),
            },
        }
    }

    /// What a file may ask of the engine; known without opening it.
    pub fn limits(&self) -> Limits {
        match self {
            EngineChoice::Embedded => Limits::EMBEDDED,
            EngineChoice::OnnxRuntime(library) => onnxruntime::limits(&library.version),
        }
    }

    /// What the engine may judge wrongly about a file; known without opening it.
    pub fn blind_spots(&self, file: &ModelFile) -> Vec<String> {
        match self {
            EngineChoice::Embedded => EmbeddedEngine.blind_spots(file),
            EngineChoice::OnnxRuntime(_) => Vec::new(),
        }
    }

    /// Opens the engine in this process.
    pub fn open(&self) -> Result<Arc<dyn Engine>, OpenError> {
        match self {
            EngineChoice::Embedded => Ok(Arc::new(EmbeddedEngine)),
            EngineChoice::OnnxRuntime(library) => Ok(Arc::new(OnnxRuntime::open(library)?)),
        }
    }
}
