//! Who answers when a step asks for approval.

use std::pin::Pin;

use serde_json::Value;

use crate::base::{RunId, StepKey, Timestamp};
use crate::engine::event::{ApprovalVerdict, Risk};

/// What a person is asked.
#[derive(Debug, Clone)]
pub struct Question {
    pub run: RunId,
    pub key: StepKey,
    pub summary: String,
    /// Exactly what will be done.
    pub request: Value,
    pub risk: Risk,
    pub by: Vec<String>,
    pub expires_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub verdict: ApprovalVerdict,
    pub by: String,
    pub reason: String,
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
        let answer = Answer { verdict: ApprovalVerdict::Approved, by: self.by.clone(), reason: "--yes".into() };
        Box::pin(async { answer })
    }
}

/// Nobody is there: the run parks until a person resumes it.
pub struct Nobody;

impl Approver for Nobody {
    fn ask(&self, _question: Question) -> AnswerFuture {
        Box::pin(async {
            let reason = "nobody could be asked: there is no terminal".into();
            Answer { verdict: ApprovalVerdict::Parked, by: "nobody".into(), reason }
        })
    }
}
