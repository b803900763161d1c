//! `runbook` turns an operational runbook from prose into something that runs.
//!
//! The straight line of a run:
//!
//! ```text
//! YAML text ─ playbook::parse ─ plan::compile ─ engine::decide ─ journal+audit ─ report
//!             typed, spans      DAG, checked     pure, no IO       one append       eyes
//! ```
//!
//! `ARCHITECTURE.md` has the map of the rooms and the table of who may import whom;
//! `tests/layering.rs` checks the table.

pub mod action;
pub mod anchor;
pub mod audit;
pub mod base;
pub mod cli;
pub mod engine;
pub mod http;
pub mod journal;
pub mod kind;
pub mod language;
pub mod model;
pub mod notify;
pub mod plan;
pub mod playbook;
pub mod probe;
pub mod report;
pub mod runtime;
pub mod schema;
pub mod server;
pub mod site;
pub mod statistics;
pub mod trigger;
pub mod yaml;
