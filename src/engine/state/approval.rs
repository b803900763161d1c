//! `apply` of questions and what people said to them.

use super::super::event::{Answers, ApprovalVerdict, Event};
use super::{ItemState, RunState};
use crate::base::StepKey;

impl RunState {
    pub(super) fn ask(&mut self, event: &Event) -> Result<(), String> {
        let Event::ApprovalAsked { key, request, expires_at, digest, quorum, .. } = event else { return Ok(()) };
        let item = self.item(key)?;
        item.request = request.clone();
        item.digest.clone_from(digest);
        item.quorum = quorum.unwrap_or(1);
        // Whoever agreed before agreed to something else.
        item.approved_by.clear();
        item.answers.clear();
        self.set(key, ItemState::Asked { expires_at: *expires_at, parked: false })
    }

    pub(super) fn count_approval(&mut self, event: &Event) -> Result<(), String> {
        let Event::ApprovalCounted { key, by, answers, .. } = event else { return Ok(()) };
        let item = self.item(key)?;
        if !matches!(item.state, ItemState::Asked { .. }) || item.approved_by.contains(by) {
            return Err(format!("{by} was not asked about {key}"));
        }
        self.take_answers(key, answers)?;
        self.item(key)?.approved_by.push(by.clone());
        Ok(())
    }

    /// What the first one said stands; nobody after them says anything else.
    fn take_answers(&mut self, key: &StepKey, answers: &Answers) -> Result<(), String> {
        let item = self.item(key)?;
        if !item.approved_by.is_empty() && item.answers != *answers {
            return Err(format!("those who approved {key} gave different answers"));
        }
        item.answers.clone_from(answers);
        Ok(())
    }

    pub(super) fn settle_approval(&mut self, event: &Event) -> Result<(), String> {
        let Event::ApprovalSettled { key, verdict, by, reason, answers } = event else { return Ok(()) };
        let ItemState::Asked { expires_at, .. } = self.item(key)?.state else {
            return Err(format!("nobody was asked about {key}"));
        };
        match verdict {
            ApprovalVerdict::Approved => {
                self.take_answers(key, answers)?;
                self.set(key, ItemState::Approved)
            }
            ApprovalVerdict::Parked => self.set(key, ItemState::Asked { expires_at, parked: true }),
            ApprovalVerdict::Rejected => {
                let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                self.refuse(format!("{key} was rejected by {by}{because}"));
                self.set(key, ItemState::Refused { why: format!("rejected by {by}") })
            }
            ApprovalVerdict::TimedOut => {
                self.refuse(format!("nobody answered in time about {key}"));
                self.set(key, ItemState::Refused { why: "nobody answered in time".to_owned() })
            }
        }
    }

    fn refuse(&mut self, why: String) {
        self.stopped.get_or_insert(why.clone());
        self.rejected.get_or_insert(why);
    }
}
