//! Tests of the program as people and scripts use it: the real binary, its text, its exit codes.

mod approvals;
mod conformance;
mod crash;
mod docs;
mod guards;
mod help;
mod hostile;
mod inputs;
mod lab_faults;
mod models;
mod plans;
mod runs;
mod schemas;
mod secrets;
mod steps;
mod stopping;
mod support;
mod taint;
mod trail;
mod validate;
