//! `run`, `resume`, `approve`, `reject`, `resolve`.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use super::ask::Terminal;
use super::notice;
use super::output::Failure;
use super::setup::{self, runtime_failure};
use super::{AnswerArguments, Exit, Format, ResolveArguments, ResumeArguments, RunArguments};
use crate::base::{RunId, StepKey, environment};
use crate::engine::event::{ApprovalVerdict, Resolution};
use crate::engine::state::ItemState;
use crate::engine::{RunState, What};
use crate::journal::{Journal, RunFilter, find_run};
use crate::runtime::{Approver, Ended, Nobody, Yes, stop_requests};

pub fn run(config: Option<&Path>, arguments: &RunArguments) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    let library = crate::playbook::Library::new(site.playbooks.clone());
    let playbook = library.find(&arguments.playbook).map_err(|problems| Failure::diagnostics(&problems))?;
    let given = setup::inputs(&arguments.inputs, &playbook)?;
    let approver = approver(arguments.yes, arguments.format);
    let journal = setup::journal(&site)?;
    notice::left_behind(&site, journal.as_ref());
    let host = setup::host(site, journal, approver.clone(), setup::reporter(arguments.format))?;
    let prepared =
        host.prepare(playbook, &given, &environment::user(), "hand").map_err(|error| runtime_failure(&error))?;
    setup::block_on(async {
        let stops = stop_requests().map_err(|error| Failure::because(Exit::Error, &error))?;
        let ended = host.run(prepared, approver, Some(stops)).await;
        ended.map(|ended| exit(&ended)).map_err(|error| runtime_failure(&error))
    })
}

pub(super) fn exit(ended: &Ended) -> Exit {
    ended.outcome.map_or(Exit::Error, Exit::from)
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
    let journal = setup::journal(&site)?;
    let run = match &arguments.run {
        Some(run) => named(journal.as_ref(), run)?,
        None => newest_unfinished(journal.as_ref())?,
    };
    go_on(config, &run, Vec::new(), approver(arguments.yes, arguments.format), arguments.format)
}

fn newest_unfinished(journal: &dyn Journal) -> Result<RunId, Failure> {
    let runs = journal
        .runs(&RunFilter { limit: 200, ..RunFilter::default() })
        .map_err(|error| setup::journal_failure(&error))?;
    let open = |outcome: Option<crate::engine::event::Outcome>| {
        outcome.is_none_or(|outcome| outcome == crate::engine::event::Outcome::Parked)
    };
    let run = runs.into_iter().find(|run| open(run.outcome));
    run.map(|run| run.run)
        .ok_or_else(|| Failure::new(Exit::Invalid, "every run has ended; there is nothing to go on with"))
}

pub fn named(journal: &dyn Journal, run: &str) -> Result<RunId, Failure> {
    find_run(journal, run).map_err(|error| Failure::because(Exit::Invalid, &error).help(error.help()))
}

pub fn answer(config: Option<&Path>, arguments: &AnswerArguments, approved: bool) -> Result<Exit, Failure> {
    let journal = setup::journal(&setup::site(config)?)?;
    let run = named(journal.as_ref(), &arguments.run)?;
    let state = state(journal.as_ref(), &run)?;
    let waiting: Vec<StepKey> = state
        .items_where(|item| matches!(item, ItemState::Asked { .. }))
        .map(|(step, item)| state.key(step, item))
        .filter(|key| arguments.step.as_ref().is_none_or(|step| *step == key.to_string()))
        .collect();
    if waiting.is_empty() {
        let what = arguments.step.clone().unwrap_or_else(|| "nothing in it".to_owned());
        return Err(Failure::new(Exit::Invalid, format!("{what} waits for approval in run {run}"))
            .help(format!("`runbook show {run}` shows where it stands")));
    }
    let verdict = if approved { ApprovalVerdict::Approved } else { ApprovalVerdict::Rejected };
    let answers = waiting.into_iter().map(|key| What::Answered {
        key,
        verdict,
        by: environment::user(),
        reason: arguments.reason.clone(),
    });
    go_on(config, &run, answers.collect(), approver(false, arguments.format), arguments.format)
}

pub fn resolve(config: Option<&Path>, arguments: &ResolveArguments) -> Result<Exit, Failure> {
    let journal = setup::journal(&setup::site(config)?)?;
    let run = named(journal.as_ref(), &arguments.run)?;
    let key: StepKey = arguments
        .step
        .parse()
        .map_err(|error: crate::base::id::InvalidStepKey| Failure::because(Exit::Invalid, &error))?;
    let state = state(journal.as_ref(), &run)?;
    let in_doubt: Vec<String> = doubtful(&state);
    if !in_doubt.contains(&key.to_string()) {
        let help = if in_doubt.is_empty() {
            format!("nothing in run {run} is in doubt")
        } else {
            format!("in doubt: {}", in_doubt.join(", "))
        };
        return Err(Failure::new(Exit::Invalid, format!("{key} is not in doubt")).help(help));
    }
    let resolution = match &arguments.resolution {
        chosen if chosen.done => Resolution::Done,
        chosen if chosen.retry => Resolution::Retry,
        _ => Resolution::Abort,
    };
    let resolved = What::DoubtResolved { key, resolution, by: environment::user(), reason: arguments.reason.clone() };
    go_on(config, &run, vec![resolved], approver(false, arguments.format), arguments.format)
}

fn doubtful(state: &RunState) -> Vec<String> {
    // An attempt that was running when the program died is in doubt as soon as the run goes on.
    let items = state.items_where(|item| matches!(item, ItemState::Doubtful { .. } | ItemState::Running { .. }));
    let undo = state.undo.as_ref().and_then(|undo| undo.running.clone());
    items.map(|(step, item)| state.key(step, item)).chain(undo).map(|key| key.to_string()).collect()
}

fn state(journal: &dyn Journal, run: &RunId) -> Result<RunState, Failure> {
    let records = journal.read(run).map_err(|error| setup::journal_failure(&error))?;
    RunState::replay(&records).map_err(|error| Failure::because(Exit::Error, &error))
}

fn go_on(
    config: Option<&Path>,
    run: &RunId,
    first: Vec<What>,
    approver: Arc<dyn Approver>,
    format: Format,
) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    let host = setup::host(site.clone(), setup::journal(&site)?, approver.clone(), setup::reporter(format))?;
    // What happened before is told first, so that the reader sees the whole run.
    let before = host.journal.read(run).map_err(|error| setup::journal_failure(&error))?;
    host.show(|reporter| before.iter().for_each(|record| reporter.report(record)));
    setup::block_on(async {
        let stops = stop_requests().map_err(|error| Failure::because(Exit::Error, &error))?;
        let ended = host.resume(run, first, approver, Some(stops)).await;
        ended.map(|ended| exit(&ended)).map_err(|error| runtime_failure(&error))
    })
}
