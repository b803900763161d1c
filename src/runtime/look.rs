//! A look at a fault that is no run: the detection of a playbook evaluated by the same engine, leaving no trace.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::answers::Nobody;
use super::host::{Host, RuntimeError};
use crate::engine::RunState;
use crate::engine::event::{Phase, StepStatus};
use crate::playbook::Playbook;
use crate::playbook::inputs::Given;

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    Holds(bool),
    /// It could not be told.
    Unknown(String),
}

impl Host {
    /// Evaluates the detection of a playbook, with its `for`. Takes as long as its probes do.
    pub async fn look(
        self: &Arc<Self>,
        playbook: Playbook,
        given: &BTreeMap<String, Given>,
    ) -> Result<Look, RuntimeError> {
        let mut prepared = self.prepare(playbook, given, "watch", "watch")?;
        prepared.graph.look_only = Some(Phase::Diagnose);
        let ended = self.without_trace().run(prepared, Arc::new(Nobody), None).await?;
        Ok(match ended.state.detected {
            Some(Some(holds)) => Look::Holds(holds),
            _ => Look::Unknown(why(&ended.state)),
        })
    }
}

fn why(state: &RunState) -> String {
    let errors = state.steps.iter().filter(|step| step.status == Some(StepStatus::Error));
    let reasons: Vec<&str> = errors.filter_map(|step| step.reason.as_deref()).collect();
    if reasons.is_empty() { "no probe of the detection answered".to_owned() } else { reasons.join("; ") }
}
