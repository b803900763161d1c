//! Tests of the program as people and scripts use it: the real binary, its text, its exit codes.

mod approvals;
mod conformance;
mod crash;
mod docs;
mod guards;
mod help;
mod hostile;
mod inference;
mod inputs;
mod lab_faults;
mod models;
mod pictures;
mod plans;
mod processes;
mod proofs;
mod providers;
mod runs;
mod schemas;
mod steps;
mod stopping;
mod support;
mod taint;
mod tampering;
mod trail;
mod validate;
