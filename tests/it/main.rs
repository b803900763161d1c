//! Tests of the program as people and scripts use it: the real binary, its text, its exit codes.

mod conformance;
mod help;
mod hostile;
mod inputs;
mod schemas;
mod support;
