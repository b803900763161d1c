//! A real service to break and to heal: stands in for the platform that a runbook is about.
//!
//! ```text
//! cargo run --release --example lab -- up --port 8000 --dir lab --break missing-file
//! cargo run --release --example lab -- demo model-load-error
//! ```
//!
//! `up` starts a process that serves ONNX models over HTTP, with health, metrics, a log, a
//! configuration file and a pid file, and a mirror that keeps good copies of the models. A fault is
//! done to its files, its configuration or its process; the platform really suffers from it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to the person who runs it")]

mod cli;
mod client;
mod columns;
mod commands;
mod demo;
mod error;
mod faults;
mod folder;
mod mirror;
mod models;
mod platform;
mod profile;
mod setup;
mod supervisor;
mod wording;

use std::process::ExitCode;

use clap::Parser;

use cli::{Arguments, Command};
use error::LabError;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Plain HTTP only, but the HTTP client wants to know its TLS library when it is made.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match dispatch(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", error.explain());
            ExitCode::from(2)
        }
    }
}

async fn dispatch(command: Command) -> Result<ExitCode, LabError> {
    match command {
        Command::Serve(serve) => commands::serve(serve).await,
        Command::Up(up) => commands::up(up).await,
        Command::Demo(demo) => demo::run(demo).await,
        Command::Break(target) => commands::break_platform(target).await,
        Command::Heal { dir } => commands::heal(&dir).await,
        Command::Status { dir } => commands::status(&dir).await,
        Command::Faults => Ok(commands::list_faults()),
    }
}
