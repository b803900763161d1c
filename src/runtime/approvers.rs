//! Whom a run may listen to: the people of the site file behind the names of the playbook, and what
//! is kept of answers that do not count.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::host::{Host, RuntimeError};
use super::spoken::Spoken;
use crate::base::{Redacted, RunId, StepKey, entropy, redaction};
use crate::engine::event::Record;
use crate::engine::state::ItemState;
use crate::engine::{Answered, Event, Graph, Input, RunState, What, decide};
use crate::journal::JournalError;
use crate::language::Given;
use crate::site::{PeopleError, Site};

/// Why the people a step asks can never agree.
#[derive(Debug, thiserror::Error)]
pub enum ApproverProblem {
    #[error(transparent)]
    People(#[from] PeopleError),
    #[error("{quorum} have to agree, and only {those} may, without the person who starts the run")]
    TooFew { quorum: u32, those: usize },
    #[error("a quorum of 0 is no quorum")]
    NoQuorum,
}

/// Why an answer does not count.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("{} waits for approval in run {run}", step.as_deref().unwrap_or("nothing in it"))]
    NothingWaits { run: RunId, step: Option<String> },
    #[error("not counted: {}", whys.join("; "))]
    NotCounted { whys: Vec<String> },
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// Fills in who may answer. Names that nobody knows any more stand for nobody.
pub(super) fn resolve(graph: &mut Graph, site: &Site) {
    for approval in graph.steps.iter_mut().filter_map(|step| step.approval.as_mut()) {
        approval.logins = site.logins_of(&approval.by).unwrap_or_default();
    }
}

/// Looks, before a run starts, whether those who are asked could agree.
pub(super) fn check(graph: &Graph, site: &Site) -> Result<(), RuntimeError> {
    for step in &graph.steps {
        let Some(approval) = &step.approval else { continue };
        let problem = |source| RuntimeError::People { step: step.id.clone(), source };
        let mut logins = site.logins_of(&approval.by).map_err(|error| problem(error.into()))?;
        logins.remove(&graph.header.by);
        let (quorum, those) = (approval.quorum.unwrap_or(1), logins.len());
        if quorum == 0 {
            return Err(problem(ApproverProblem::NoQuorum));
        }
        if !approval.by.is_empty() && (those as u64) < u64::from(quorum) {
            return Err(problem(ApproverProblem::TooFew { quorum, those }));
        }
    }
    Ok(())
}

/// The open questions of a run with their digests.
fn waiting(state: &RunState, step: Option<&str>) -> Vec<(StepKey, String)> {
    let asked = state.items_where(|item| matches!(item, ItemState::Asked { .. }));
    let named = asked.map(|(index, number)| {
        let digest = state.steps[index].items[number as usize].asked_digest();
        (state.key(index, number), digest)
    });
    named.filter(|(key, _)| step.is_none_or(|step| *step == key.to_string())).collect()
}

/// An answer is data that goes anywhere and is kept as it is, so it must not hold a secret.
pub(super) fn refuse_secrets(answers: &BTreeMap<String, Given>) -> Result<(), RuntimeError> {
    let known = redaction::known();
    let text = |given: &Given| match given {
        Given::Text(text) => text.clone(),
        Given::Value(value) | Given::Passed(value) => value.to_string(),
    };
    match answers.iter().find(|(_, given)| known.finds(&text(given))) {
        Some((name, _)) => Err(RuntimeError::SecretInClear { what: format!("the answer '{name}'") }),
        None => Ok(()),
    }
}

impl Host {
    /// What somebody says to the open questions of a run, or to that of one step: `word` makes the answer to each,
    /// from its step and the digest of what is asked. Nobody else has the run until it is said. An answer that may
    /// not count is kept and told, and the run stays as it is.
    pub async fn answers(
        self: &Arc<Self>,
        run: &RunId,
        step: Option<&str>,
        word: impl Fn(StepKey, String) -> Answered,
    ) -> Result<Spoken, AnswerError> {
        self.open_questions(run, step)?;
        // A run that is under way elsewhere answers for itself: nobody else adds to its entries.
        let held = self.hold(&self.waiting_caller(run)?.unwrap_or_else(|| run.clone()))?;
        // Somebody may have answered until then.
        let waiting = self.open_questions(run, step)?;
        let words: Vec<What> = waiting.into_iter().map(|(key, shown)| What::Answered(word(key, shown))).collect();
        let whys = self.refusals(run, &words).await?;
        match whys.is_empty() {
            true => Ok(Spoken { words, held }),
            false => Err(AnswerError::NotCounted { whys }),
        }
    }

    fn open_questions(&self, run: &RunId, step: Option<&str>) -> Result<Vec<(StepKey, String)>, AnswerError> {
        let (_, _, state) = self.history_of(run)?;
        let waiting = waiting(&state, step);
        if waiting.is_empty() {
            return Err(AnswerError::NothingWaits { run: run.clone(), step: step.map(str::to_owned) });
        }
        Ok(waiting)
    }

    /// Keeps the answers that do not count, without waking the run, and says why they do not.
    async fn refusals(self: &Arc<Self>, run: &RunId, answers: &[What]) -> Result<Vec<String>, RuntimeError> {
        self.services().site.meet_secrets().await;
        for what in answers {
            if let What::Answered(answer) = what {
                refuse_secrets(&answer.answers)?;
            }
        }
        let (prepared, mut state, _) = self.restore(run)?;
        let mut records: Vec<Record> = Vec::new();
        for what in answers {
            let at = self.clock.now();
            let input = Input { at, entropy: entropy::random(), hold: None, what: what.clone() };
            let refused = decide(&prepared.graph, &state, &input);
            for event in refused.into_iter().filter(|event| matches!(event, Event::ApprovalRefused { .. })) {
                let record = state.record(run, at, event);
                state.apply(&record)?;
                records.push(record);
            }
        }
        let whys = records.iter().filter_map(|record| match &record.event {
            Event::ApprovalRefused { key, why, .. } => Some(format!("{key}: {why}")),
            _ => None,
        });
        let whys: Vec<String> = whys.collect();
        if !records.is_empty() {
            self.journal.append(run, Redacted::of(records).map_err(JournalError::from)?).await?;
        }
        Ok(whys)
    }
}
