//! What must be true of what people say to what a step asks.

use serde_json::{Value, json};

use super::{Oracle, ensure};
use crate::base::StepKey;
use crate::engine::event::{Answers, ApprovalVerdict, Event, Role};

impl Oracle<'_> {
    pub(super) fn answers_of(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::ApprovalAsked { key, request, .. } => {
                self.answers.remove(key);
                self.asked_with_placeholders(key, request)
            }
            Event::ApprovalCounted { key, answers, .. }
            | Event::ApprovalSettled { key, verdict: ApprovalVerdict::Approved, answers, .. } => {
                self.said(key, answers)
            }
            Event::AttemptStarted { key, role: Role::Main, request, .. } => self.done_with(key, request),
            _ => Ok(()),
        }
    }

    fn asks(&self, key: &StepKey) -> bool {
        !self.step(key).answers().is_empty()
    }

    fn asked_with_placeholders(&self, key: &StepKey, request: &Value) -> Result<(), String> {
        let shown = json!({"number": "‹answers.number›", "word": "say ‹answers.word›"});
        ensure(!self.asks(key) || request["test"] == shown, || format!("{request} was asked about {key}"))
    }

    /// Everything is said, it fits, and those after the first say the same.
    fn said(&mut self, key: &StepKey, answers: &Answers) -> Result<(), String> {
        let fits = answers.get("number").and_then(Value::as_i64).is_some_and(|number| (1..=10).contains(&number));
        let whole = fits && answers.get("word").is_some_and(Value::is_string);
        ensure(whole == self.asks(key), || format!("{answers:?} counts for {key}"))?;
        let before = self.answers.insert(key.clone(), answers.clone());
        ensure(before.is_none_or(|before| before == *answers), || format!("different answers count for {key}"))
    }

    fn done_with(&self, key: &StepKey, request: &Value) -> Result<(), String> {
        if !self.asks(key) {
            return Ok(());
        }
        let said = self.answers.get(key).ok_or_else(|| format!("{key} starts, and nobody said with what"))?;
        let word = said["word"].as_str().unwrap_or_default();
        let wanted = json!({"number": said["number"], "word": format!("say {word}")});
        ensure(*request == wanted, || format!("{key} starts with {request}, and {wanted} was agreed to"))
    }

    pub(super) fn counted(&mut self, key: &StepKey, by: &str) -> Result<(), String> {
        let asked = self.open_questions.contains(key) || self.parked_questions.contains(key);
        ensure(asked, || format!("{by} agreed to {key}, which is no open question"))?;
        let new = self.counted.entry(key.clone()).or_default().insert(by.to_owned());
        ensure(new, || format!("{by} counts twice for {key}"))
    }
}
