//! From what a person types to a run.

use super::{Journal, JournalError};
use crate::base::{RunId, suggestion};

/// So many matches are shown; more do not help a tired reader.
const SHOWN: usize = 5;

/// A run mistyped at all is most likely one of the latest.
const RECENT: usize = 500;

/// Fewer letters than this at the end of an identifier match by accident.
const SHORTEST_ENDING: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum FindRunError {
    #[error("there is no run '{asked}'")]
    NoSuchRun { asked: String, nearest: Vec<RunId> },
    #[error("'{asked}' is the beginning or end of several runs")]
    Ambiguous { asked: String, matches: Vec<RunId> },
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl FindRunError {
    /// What the reader can do next.
    pub fn help(&self) -> String {
        match self {
            FindRunError::NoSuchRun { nearest, .. } if nearest.is_empty() => "`runbook history` lists the runs".into(),
            FindRunError::NoSuchRun { nearest, .. } => format!("did you mean {}?", join(nearest)),
            FindRunError::Ambiguous { matches, .. } => format!("write more of it: {}", join(matches)),
            FindRunError::Journal(error) => error.help().into(),
        }
    }
}

fn join(runs: &[RunId]) -> String {
    runs.iter().map(RunId::as_str).collect::<Vec<_>>().join(" or ")
}

/// The run whose identifier is `asked`, or the only one that begins with it, or else the only recent
/// one that ends with it: the four random letters are what people read out to each other.
pub fn find_run(journal: &dyn Journal, asked: &str) -> Result<RunId, FindRunError> {
    let asked = asked.trim();
    let no_such_run = |nearest| Err(FindRunError::NoSuchRun { asked: asked.to_owned(), nearest });
    if asked.is_empty() {
        return no_such_run(Vec::new());
    }
    let matches = journal.run_ids(asked, SHOWN)?;
    // An exact match wins: it may be the beginning of its own sub-runs.
    if let Some(exact) = matches.iter().find(|run| run.as_str() == asked) {
        return Ok(exact.clone());
    }
    if !matches.is_empty() {
        return only(asked, matches);
    }
    let recent = journal.run_ids("", RECENT)?;
    let ending = |run: &&RunId| asked.len() >= SHORTEST_ENDING && run.as_str().ends_with(asked);
    let matches: Vec<RunId> = recent.iter().filter(ending).take(SHOWN).cloned().collect();
    if !matches.is_empty() {
        return only(asked, matches);
    }
    let near = suggestion::nearest(asked, recent.iter().map(RunId::as_str));
    no_such_run(near.into_iter().map(|run| RunId::from(run.to_owned())).collect())
}

fn only(asked: &str, mut matches: Vec<RunId>) -> Result<RunId, FindRunError> {
    match matches.len() {
        1 => Ok(matches.remove(0)),
        _ => Err(FindRunError::Ambiguous { asked: asked.to_owned(), matches }),
    }
}
