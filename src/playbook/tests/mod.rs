//! Tests of what a playbook declares.

mod inputs;
