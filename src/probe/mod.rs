//! What a step observes: one file a kind. Add a kind by adding its file and its name here.
//!
//! Beside the kinds this room holds what several of them share: work off the async threads
//! (`blocking`), opening and walking files (`files`), name patterns (`glob`), JSONPaths (`json_path`), text made
//! safe to show (`text`), how long things took (`latency`), the kernel's process files (`procfs`) and what model checks are made of (`onnx`).

mod blocking;
mod files;
mod glob;
mod json_path;
mod latency;
mod onnx;
mod procfs;
mod text;

crate::step_kinds! {
    http, promql, metrics, log_scan, file, checksum, disk, memory, cpu, process, onnx_load, onnx_golden, onnx_io,
    onnx_validate, onnx_determinism, onnx_batch, onnx_latency, onnx_memory, onnx_accuracy, onnx_calibration, onnx_drift,
    onnx_compare, onnx_provider, feature_check, similarity_graph, inference, wait_until,
}

/// Kinds that no playbook names: parts of others that work in a child process.
pub static PARTS: &[crate::kind::KindEntry] = &[crate::kind::entry::<inference::local::Step>()];
