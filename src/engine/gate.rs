//! Whether a step whose needs have ended may begin: what they say, what the diagnosis asks for, and
//! whether somebody or something said stop.

use super::event::{NOT_CALLED_FOR, Phase, StepStatus};
use super::graph::{Step, StepIndex};
use super::judge::evidence;
use super::steps::{Turn, is_bad};
use crate::language::Truth;

/// What a step's needs say about it.
pub(super) enum Gate {
    Open,
    Skip(String),
    Error(String),
}

impl Turn<'_> {
    pub(super) fn gate(&self, step: &Step) -> Gate {
        if let Some(why) = self.stop(step) {
            return Gate::Skip(why);
        }
        match self.needs(step) {
            Gate::Open => {}
            closed => return closed,
        }
        if let Some(reason) = self.no_cause(step) {
            return Gate::Skip(reason);
        }
        let scope = self.scope(step, None);
        match step.when.as_ref().map(|when| (when, when.truth(&scope))) {
            None | Some((_, Truth::True)) => Gate::Open,
            Some((when, Truth::False)) => Gate::Skip(format!("only when {}; {}", when.text(), evidence(when, &scope))),
            Some((when, Truth::Unknown(why))) => Gate::Error(format!("cannot tell whether {}: {why}", when.text())),
        }
    }

    /// Why nothing more starts in this phase: somebody said no, or a step ended badly that stops all others.
    pub(super) fn stop(&self, step: &Step) -> Option<String> {
        if let Some(stopped) = &self.state.stopped
            && self.phase == Phase::Remediate
        {
            return Some(format!("not started: {stopped}"));
        }
        let stops = |index: &&StepIndex| {
            let other = &self.graph.steps[**index];
            other.phase == self.phase && other.stop_on_error && other.id != step.id
        };
        let stopper = self.state.bad.iter().find(stops)?;
        Some(format!("not started: {} did not succeed", self.graph.steps[*stopper].id))
    }

    fn needs(&self, step: &Step) -> Gate {
        let mut skipped_needs = 0;
        for need in &step.needs {
            let other = &self.graph.steps[*need];
            let status = self.state.steps[*need].status;
            if is_bad(status) && !other.tolerated {
                let reason = format!("it needs {}, which {}", other.id, ended_as(status));
                // A probe that was never measured must not look like one that does not apply.
                return if step.probe { Gate::Error(reason) } else { Gate::Skip(reason) };
            }
            skipped_needs += usize::from(status == Some(StepStatus::Skipped));
        }
        let all_skipped = skipped_needs > 0 && skipped_needs == step.needs.len();
        match self.phase {
            Phase::Remediate if all_skipped && step.fixes.is_empty() => {
                Gate::Skip(format!("{NOT_CALLED_FOR}none of the steps it needs ran"))
            }
            Phase::Remediate => Gate::Open,
            _ if skipped_needs > 0 => Gate::Skip("a step it needs was skipped".into()),
            _ => Gate::Open,
        }
    }

    /// Why a remediation is not called for by the diagnosis.
    fn no_cause(&self, step: &Step) -> Option<String> {
        if self.phase != Phase::Remediate || self.graph.causes.is_empty() {
            return None;
        }
        let found = |name: Option<&String>| {
            let holds = |cause: &&super::event::Cause| {
                cause.finding.holds == Some(true) && name.is_none_or(|name| *name == cause.finding.name)
            };
            self.state.causes.iter().flatten().find(holds).is_some()
        };
        if !step.fixes.is_empty() {
            let wanted = step.fixes.iter().any(|name| found(Some(name)));
            return (!wanted).then(|| format!("{NOT_CALLED_FOR}it fixes {}", step.fixes.join(" or ")));
        }
        (!found(None)).then(|| format!("{NOT_CALLED_FOR}no cause was found"))
    }
}

fn ended_as(status: Option<StepStatus>) -> &'static str {
    match status {
        Some(StepStatus::Failed) => "failed",
        Some(StepStatus::Cancelled) => "was cancelled",
        _ => "could not be done",
    }
}
