//! What a step observes: one file a kind. Add a kind by adding its file and its name here.

crate::step_kinds! { http, promql, metrics, onnx_load, onnx_golden }
