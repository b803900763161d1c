//! The arguments of the lab.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::{faults, profile};

/// A real service to break and to heal with a playbook.
#[derive(Debug, Parser)]
#[command(name = "lab")]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set a folder up, start the platform in it, break it if asked to, and stay until Ctrl-C.
    Up(Up),
    /// Set up, break, run a playbook against it with the real `runbook`, and clean up.
    Demo(Demo),
    /// Break the platform of a folder.
    Break(Break),
    /// Undo every fault: good models, default configuration, a running platform.
    Heal {
        /// The folder of the lab.
        #[arg(long, default_value = "lab")]
        dir: PathBuf,
    },
    /// Show how the platform of a folder is doing; ends with 1 unless it is healthy.
    Status {
        /// The folder of the lab.
        #[arg(long, default_value = "lab")]
        dir: PathBuf,
    },
    /// List the faults.
    Faults,
    /// The platform itself, as `up` and a playbook's restart start it.
    #[command(hide = true)]
    Serve(Serve),
}

#[derive(Debug, Args)]
pub struct Up {
    /// The port of the platform; 0 takes a free one.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// The folder for models, configuration and logs; it is created, and its models are replaced.
    #[arg(long, default_value = "lab")]
    pub dir: PathBuf,
    /// A fault to start with; may be given several times.
    #[arg(long = "break", value_name = "FAULT", value_parser = PossibleValuesParser::new(faults::names()))]
    pub faults: Vec<String>,
    /// The system to stand in for.
    #[arg(long, default_value = "cad", value_parser = PossibleValuesParser::new(profile::names()))]
    pub profile: String,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// The playbook to run.
    pub playbook: PathBuf,
    /// The fault to inject.
    #[arg(
        long = "break",
        value_name = "FAULT",
        default_value = "missing-file",
        value_parser = PossibleValuesParser::new(faults::names())
    )]
    pub fault: String,
    /// Approve every step of the playbook.
    #[arg(long)]
    pub yes: bool,
    /// The `runbook` to run it with. Default: the one of these sources, which is built first.
    #[arg(long, value_name = "FILE")]
    pub runbook: Option<PathBuf>,
    /// The system to stand in for.
    #[arg(long, default_value = "cad", value_parser = PossibleValuesParser::new(profile::names()))]
    pub profile: String,
}

#[derive(Debug, Args)]
pub struct Break {
    /// What to break; `lab faults` explains each.
    #[arg(value_name = "FAULT", value_parser = PossibleValuesParser::new(faults::names()))]
    pub fault: String,
    /// The folder of the lab.
    #[arg(long, default_value = "lab")]
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct Serve {
    /// The port to listen on.
    #[arg(long)]
    pub port: u16,
    /// The folder of the lab.
    #[arg(long)]
    pub dir: PathBuf,
    /// Start in a session of its own and return as soon as the platform answers.
    #[arg(long)]
    pub background: bool,
    /// Leave the session of the terminal; what `--background` starts itself with.
    #[arg(long, hide = true, conflicts_with = "background")]
    pub detached: bool,
}
