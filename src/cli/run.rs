//! `run` and `resume`, and how each command goes on with a run.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use super::ack;
use super::ask::Terminal;
use super::notice;
use super::output::{self, Failure};
use super::setup::{self, runtime_failure};
use super::{Emergency, Exit, Format, ResumeArguments, RunArguments};
use crate::base::{RunId, environment};
use crate::engine::RunState;
use crate::engine::event::DRILL;
use crate::journal::{Journal, RunFilter, find_run};
use crate::runtime::{Approver, BreakGlass, Ended, Nobody, RuntimeError, Spoken, Yes, stop_requests};

pub fn run(config: Option<&Path>, arguments: &RunArguments) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    let library = crate::playbook::Library::new(site.playbooks.clone());
    let playbook = library.find(&arguments.playbook).map_err(|problems| Failure::diagnostics(&problems))?;
    let given = setup::inputs(&arguments.inputs, &playbook)?;
    let approver = approver_in(&arguments.emergency, arguments.yes, arguments.format);
    let journal = setup::journal(&site)?;
    let host = setup::host(site, journal, approver.clone(), setup::reporter(arguments.format))?;
    let trigger = if arguments.drill { DRILL } else { "hand" };
    let prepared =
        host.prepare(playbook, &given, &environment::user(), trigger).map_err(|error| runtime_failure(&error))?;
    let ended = setup::block_on(async {
        let stops = stop_requests().map_err(|error| Failure::because(Exit::Error, &error))?;
        host.run(prepared, approver, Some(stops)).await.map_err(|error| runtime_failure(&error))
    })?;
    if arguments.format == Format::Text {
        ack::say(&host.services().site, host.journal.as_ref(), &ended.run);
    }
    Ok(exit(&ended))
}

pub(super) fn exit(ended: &Ended) -> Exit {
    ended.outcome.map_or(Exit::Error, Exit::from)
}

/// Who is asked, and whether they go on alone in an emergency.
pub(super) fn approver_in(emergency: &Emergency, yes: bool, format: Format) -> Arc<dyn Approver> {
    let inner = approver(yes, format);
    match &emergency.break_glass {
        Some(reason) => Arc::new(BreakGlass { reason: reason.clone(), inner }),
        None => inner,
    }
}

/// Who is asked: a person at the terminal, nobody elsewhere.
pub(super) fn approver(yes: bool, format: Format) -> Arc<dyn Approver> {
    let interactive = format == Format::Text && io::stdin().is_terminal() && io::stdout().is_terminal();
    match (yes, interactive) {
        (true, _) => Arc::new(Yes { by: environment::user() }),
        (false, true) => Arc::new(Terminal),
        (false, false) => Arc::new(Nobody),
    }
}

pub fn resume(config: Option<&Path>, arguments: &ResumeArguments) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    let journal = setup::open_journal(&site)?;
    let runs = match &arguments.run {
        Some(run) => {
            let run = named(journal.as_ref(), run)?;
            notice::left_behind(&site, journal.as_ref(), Some(&run));
            vec![run]
        }
        None => unfinished(journal.as_ref())?,
    };
    let mut nothing = Failure::new(Exit::Invalid, "every run has ended; there is nothing to go on with");
    for run in runs {
        let approver = approver_in(&arguments.emergency, arguments.yes, arguments.format);
        match try_to_go_on(config, &run, Spoken::default(), approver, arguments.format)? {
            Err(error) if error.spoils_only_this_run() && arguments.run.is_none() => {
                output::error(&format!("left as it is: run {run}"));
                nothing = runtime_failure(&error);
                output::error(&nothing.to_string());
            }
            ended => return ended.map_err(|error| runtime_failure(&error)),
        }
    }
    Err(nothing)
}

/// The runs that can be gone on with, newest first.
fn unfinished(journal: &dyn Journal) -> Result<Vec<RunId>, Failure> {
    let runs = journal
        .runs(&RunFilter { limit: 200, ..RunFilter::default() })
        .map_err(|error| setup::journal_failure(&error))?;
    let open = |outcome: Option<crate::engine::event::Outcome>| {
        outcome.is_none_or(|outcome| outcome == crate::engine::event::Outcome::Parked)
    };
    Ok(runs.into_iter().filter(|run| open(run.outcome)).map(|run| run.run).collect())
}

pub fn named(journal: &dyn Journal, run: &str) -> Result<RunId, Failure> {
    find_run(journal, run).map_err(|error| Failure::because(Exit::Invalid, &error).help(error.help()))
}

/// Where a run stands, by its journal.
pub(super) fn state(journal: &dyn Journal, run: &RunId) -> Result<RunState, Failure> {
    let records = journal.read(run).map_err(|error| setup::journal_failure(&error))?;
    RunState::replay(&records).map_err(|error| Failure::because(Exit::Error, &error))
}

/// Goes on with a run, beginning with what somebody said.
pub(super) fn go_on(
    config: Option<&Path>,
    run: &RunId,
    first: impl Into<Spoken>,
    approver: Arc<dyn Approver>,
    format: Format,
) -> Result<Exit, Failure> {
    try_to_go_on(config, run, first, approver, format)?.map_err(|error| runtime_failure(&error))
}

/// The same: how the run ended, or why it could not be gone on with.
fn try_to_go_on(
    config: Option<&Path>,
    run: &RunId,
    first: impl Into<Spoken>,
    approver: Arc<dyn Approver>,
    format: Format,
) -> Result<Result<Exit, RuntimeError>, Failure> {
    let site = setup::site(config)?;
    let host = setup::host(site.clone(), setup::open_journal(&site)?, approver.clone(), setup::reporter(format))?;
    if let Err(error) = host.show_before(run) {
        return Ok(Err(error));
    }
    setup::block_on(async {
        let stops = stop_requests().map_err(|error| Failure::because(Exit::Error, &error))?;
        let ended = host.go_on(run, first, approver, Some(stops)).await;
        if let Ok(ended) = &ended
            && format == Format::Text
        {
            ack::say(&site, host.journal.as_ref(), &ended.run);
        }
        Ok(ended.map(|ended| exit(&ended)))
    })
}
