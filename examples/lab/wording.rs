//! How a platform writes its log: the form of a line, and what it says about its models.

use runbook::base::Timestamp;

use crate::platform::LoadError;

/// The words of one platform.
pub struct Wording {
    pub line: fn(&LogEntry<'_>) -> String,
    pub loaded: fn(&Load<'_>, &str) -> Said,
    pub not_loaded: fn(&Load<'_>, &LoadError) -> Said,
}

/// A line of the application log before it has a form.
pub struct LogEntry<'a> {
    pub at: Timestamp,
    pub level: &'a str,
    pub logger: &'a str,
    pub message: &'a str,
}

/// What was loaded, or was not.
pub struct Load<'a> {
    pub provider: &'a str,
    pub path: &'a str,
}

/// The logger and the message.
pub type Said = (&'static str, String);

/// The default form of Python's logging: milliseconds behind a comma, local time.
pub static PYTHON: Wording = Wording {
    line: |LogEntry { at, level, logger, message }| {
        let milliseconds = at.0.rem_euclid(1000);
        format!("{},{milliseconds:03} {level} ocr.{logger} {message}", at.to_local_date_time())
    },
    loaded: |load, details| ("providers", format!("MODEL_LOADED provider={} {details}", load.provider)),
    not_loaded: |load, error| ("providers", format!("MODEL_LOAD_ERROR provider={} {error}", load.provider)),
};

/// The logger in brackets; a time in front, without which nobody can tell old lines from new ones.
pub static BRACKETS: Wording = Wording {
    line: |LogEntry { at, level, logger, message }| {
        let level = if *level == "WARNING" { "WARN" } else { level };
        format!("{at} {level} [{logger}] {message}")
    },
    loaded: |load, details| ("ml_classifier", format!("Model loaded successfully: {} ({details})", load.path)),
    not_loaded: |load, error| match error {
        LoadError::Provider(_) => ("onnx_model", format!("Failed to load ONNX model from path {}: {error}", load.path)),
        LoadError::Load(fault) if fault.kind.name() == "malformed" => {
            ("onnx_model", format!("Failed to load model: Invalid ONNX file format: {}", load.path))
        }
        LoadError::Load(fault) => {
            ("onnx_model", format!("Failed to load ONNX model from path {}: {}", load.path, fault.detail))
        }
        LoadError::WarmUp(_) | LoadError::Panicked(_) => ("model_cache", format!("Model validation failed: {error}")),
        LoadError::Output(bad) if bad.is_shape() => {
            ("model_cache", format!("Model validation failed: output shape mismatch: {bad}"))
        }
        LoadError::Output(bad) => ("model_cache", format!("Model validation failed: {bad}")),
    },
};
