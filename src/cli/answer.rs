//! `approve`, `reject` and `resolve`: what people say to a run that waits for them.

use std::path::Path;

use clap::Args;

use super::notice;
use super::output::Failure;
use super::run::{approver, go_on, named, state};
use super::setup::{self, runtime_failure};
use super::{Emergency, Exit, Format};
use crate::base::{RunId, StepKey, environment};
use crate::engine::event::{ApprovalVerdict, Resolution};
use crate::engine::state::ItemState;
use crate::engine::{Answered, RunState, What};
use crate::runtime::AnswerError;

#[derive(Debug, Args)]
pub(super) struct ApproveArguments {
    #[command(flatten)]
    answer: AnswerArguments,
    /// The digest of what you were shown; another request of the step is not approved.
    #[arg(long, requires = "step")]
    digest: Option<String>,
    #[command(flatten)]
    emergency: Emergency,
}

#[derive(Debug, Args)]
pub(super) struct AnswerArguments {
    /// The run, or the beginning of its identifier.
    run: String,
    /// The step, such as remediate.restore. Default: every step that waits.
    step: Option<String>,
    /// Why; kept in the audit trail.
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// For people, or as JSON for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct ResolveArguments {
    /// The run, or the beginning of its identifier.
    run: String,
    /// The step in doubt, such as remediate.restore; `runbook show` names it.
    step: String,
    #[command(flatten)]
    resolution: ResolutionArguments,
    /// How you know; kept in the audit trail.
    #[arg(long)]
    reason: String,
    /// For people, or as JSON for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ResolutionArguments {
    /// It was done; go on after it.
    #[arg(long)]
    done: bool,
    /// It was not done, or repeating it is harmless: do it again.
    #[arg(long)]
    retry: bool,
    /// It was not done and must not be.
    #[arg(long)]
    abort: bool,
}

pub fn approve(config: Option<&Path>, arguments: &ApproveArguments) -> Result<Exit, Failure> {
    let ApproveArguments { answer: given, digest, emergency } = arguments;
    let word = |key, shown| Answered {
        digest: Some(digest.clone().unwrap_or(shown)),
        break_glass: emergency.break_glass.clone(),
        ..Answered::new(key, ApprovalVerdict::Approved, environment::user(), given.reason.clone())
    };
    answer(config, given, word)
}

pub fn reject(config: Option<&Path>, given: &AnswerArguments) -> Result<Exit, Failure> {
    let word = |key, shown| Answered {
        digest: Some(shown),
        ..Answered::new(key, ApprovalVerdict::Rejected, environment::user(), given.reason.clone())
    };
    answer(config, given, word)
}

/// Answers what waits, each question with its digest. An answer that may not count is kept and told, and the run
/// stays as it is.
fn answer(
    config: Option<&Path>,
    arguments: &AnswerArguments,
    word: impl Fn(StepKey, String) -> Answered,
) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    let journal = setup::open_journal(&site)?;
    let run = named(journal.as_ref(), &arguments.run)?;
    notice::left_behind(&site, journal.as_ref(), Some(&run));
    let approver = approver(false, arguments.format);
    let host = setup::host(site, journal, approver.clone(), setup::reporter(arguments.format))?;
    let step = arguments.step.as_deref();
    let answers =
        setup::block_on(async { host.answers(&run, step, word).await.map_err(|error| not_answered(&run, &error)) })?;
    go_on(config, &run, answers, approver, arguments.format)
}

fn not_answered(run: &RunId, error: &AnswerError) -> Failure {
    let help = match error {
        AnswerError::NothingWaits { .. } => format!("`runbook show {run}` shows where it stands"),
        AnswerError::NotCounted { .. } => {
            format!("nothing was changed; `runbook show {run}` shows what is asked, and of whom")
        }
        AnswerError::Runtime(error) => return runtime_failure(error),
    };
    Failure::new(Exit::Invalid, error.to_string()).help(help)
}

pub fn resolve(config: Option<&Path>, arguments: &ResolveArguments) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    let journal = setup::open_journal(&site)?;
    let run = named(journal.as_ref(), &arguments.run)?;
    notice::left_behind(&site, journal.as_ref(), Some(&run));
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
