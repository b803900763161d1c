//! Bytes that claim to be a model: looking at them names what is wrong, and each fault has a remedy.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use runbook::model::preflight::{Limits, inspect};

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("fuzzed.onnx");
    std::fs::write(&path, bytes).expect("the file is written");
    let inspection = inspect(&path, &Limits::EMBEDDED);
    for fault in &inspection.faults {
        assert!(!fault.remedy().is_empty(), "{fault:?} has no remedy");
    }
});
