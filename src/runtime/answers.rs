//! Who answers when a step asks for approval.

use std::pin::Pin;
use std::sync::Arc;

use std::collections::BTreeMap;

use serde_json::Value;

use super::host::Prepared;
use crate::base::{RunId, StepKey, Timestamp, environment};
use crate::engine::event::{ApprovalVerdict, Risk};
use crate::engine::state::ItemState;
use crate::engine::{RunState, approval};
use crate::language::{Declaration, Given};

/// What a person is asked.
#[derive(Debug, Clone)]
pub struct Question {
    pub run: RunId,
    pub key: StepKey,
    pub summary: String,
    /// Exactly what will be done.
    pub request: Value,
    pub risk: Risk,
    /// Why the person who uses this program cannot answer, if so.
    pub barred: Option<String>,
    pub expires_at: Option<Timestamp>,
    /// What an answer is bound to.
    pub digest: String,
    /// What they have to say, in this order; nothing where somebody has said it before them.
    pub answers: Vec<(String, Declaration)>,
}

impl Question {
    /// The question about an item that still waits for its answer.
    pub(super) fn about(prepared: &Prepared, state: &RunState, key: StepKey) -> Option<Self> {
        let (index, number) = state.find(&key)?;
        let item = state.steps[index].items.get(number as usize)?;
        let ItemState::Asked { expires_at, .. } = item.state else { return None };
        let step = &prepared.graph.steps[index];
        Some(Question {
            run: prepared.run.clone(),
            summary: step.help.clone().unwrap_or_else(|| format!("{} by {}", step.id, step.kind)),
            request: item.request.clone(),
            risk: step.risk,
            barred: approval::barred(&prepared.graph, state, &key, &environment::user()),
            key,
            expires_at,
            digest: item.asked_digest(),
            answers: if item.approved_by.is_empty() { step.answers().to_vec() } else { Vec::new() },
        })
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub verdict: ApprovalVerdict,
    pub by: String,
    pub reason: String,
    /// Why nobody else can be waited for, in an emergency.
    pub break_glass: Option<String>,
    /// What they say to what the step asks.
    pub answers: BTreeMap<String, Given>,
}

impl Answer {
    /// An ordinary answer.
    pub fn new(verdict: ApprovalVerdict, by: impl Into<String>, reason: impl Into<String>) -> Self {
        Answer { verdict, by: by.into(), reason: reason.into(), break_glass: None, answers: BTreeMap::new() }
    }
}

pub type AnswerFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Someone who can be asked.
pub trait Approver: Send + Sync {
    fn ask(&self, question: Question) -> AnswerFuture;
}

/// Approves everything, for `--yes`.
pub struct Yes {
    pub by: String,
}

impl Approver for Yes {
    fn ask(&self, _question: Question) -> AnswerFuture {
        let answer = Answer::new(ApprovalVerdict::Approved, self.by.clone(), "--yes");
        Box::pin(async { answer })
    }
}

/// Nobody is there: the run parks until a person resumes it.
pub struct Nobody;

impl Approver for Nobody {
    fn ask(&self, _question: Question) -> AnswerFuture {
        Box::pin(async {
            Answer::new(ApprovalVerdict::Parked, "nobody", "nobody could be asked: there is no terminal")
        })
    }
}

/// Someone who goes on in an emergency without those who should agree.
pub struct BreakGlass {
    pub reason: String,
    pub inner: Arc<dyn Approver>,
}

impl Approver for BreakGlass {
    fn ask(&self, question: Question) -> AnswerFuture {
        let answer = self.inner.ask(Question { barred: None, ..question });
        let reason = self.reason.clone();
        Box::pin(async move { Answer { break_glass: Some(reason), ..answer.await } })
    }
}
