//! Tests of the program as people and scripts use it: the real binary, its text, its exit codes.

mod approvals;
mod conformance;
mod help;
mod hostile;
mod inputs;
mod runs;
mod schemas;
mod stopping;
mod support;
