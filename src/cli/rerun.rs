//! `rerun`: a new run that goes on from the results of an old one.

use std::path::Path;

use clap::Args;

use super::output::Failure;
use super::run::{approver_in, exit, named};
use super::setup::{self, runtime_failure};
use super::{Emergency, Exit, Format};
use crate::base::environment;
use crate::engine::rerun::From;
use crate::runtime::stop_requests;

#[derive(Debug, Args)]
pub(super) struct RerunArguments {
    /// The run that has ended, or the beginning of its identifier.
    run: String,
    /// The first step to do anew, such as remediate.restart; what follows from it is done anew as well, and what
    /// stands before it keeps its result. A step of a called playbook stands behind the step that calls it:
    /// remediate.recover/remediate.restart.
    #[arg(long, value_name = "STEP")]
    from: String,
    /// Do only this step anew. Whether the fault is gone is measured all the same.
    #[arg(long)]
    only: bool,
    /// Approve every step that asks, as the person who runs this.
    #[arg(long, short = 'y')]
    yes: bool,
    #[command(flatten)]
    emergency: Emergency,
    /// For people, or one JSON event a line for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn rerun(config: Option<&Path>, arguments: &RerunArguments) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    let journal = setup::journal(&site)?;
    let old = named(journal.as_ref(), &arguments.run)?;
    let approver = approver_in(&arguments.emergency, arguments.yes, arguments.format);
    let host = setup::host(site, journal, approver.clone(), setup::reporter(arguments.format))?;
    let from = From { step: &arguments.from, only: arguments.only };
    let (prepared, first) =
        host.prepare_anew(&old, from, &environment::user()).map_err(|error| runtime_failure(&error))?;
    setup::block_on(async {
        let stops = stop_requests().map_err(|error| Failure::because(Exit::Error, &error))?;
        let ended = host.run_from(prepared, first, approver, Some(stops)).await;
        ended.map(|ended| exit(&ended)).map_err(|error| runtime_failure(&error))
    })
}
