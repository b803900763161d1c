//! What a list of runs shows.

use serde::Serialize;

use super::encoding::decode;
use crate::audit::Content;
use crate::base::{RunId, Timestamp};
use crate::engine::event::{Event, Outcome, Severity};

/// One run in a list.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RunSummary {
    pub run: RunId,
    pub playbook: String,
    pub title: String,
    /// Who started it.
    pub by: String,
    /// `hand`, or what else started it.
    pub trigger: String,
    pub started_at: Timestamp,
    /// `None` while the run goes on, and when the program died before it ended.
    pub finished_at: Option<Timestamp>,
    pub outcome: Option<Outcome>,
    pub severity: Option<Severity>,
    /// Why the run cannot be described, when its entries are damaged; it is listed all the same.
    pub damage: Option<String>,
}

/// Which runs to list.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFilter {
    pub limit: usize,
    /// With the runs that a playbook started by calling another.
    pub children: bool,
    /// Only those that have not ended.
    pub unfinished: bool,
    /// Only those of this playbook.
    pub playbook: Option<String>,
    /// Only those that ended so.
    pub outcome: Option<Outcome>,
    /// Only those that started at this moment or later.
    pub since: Option<Timestamp>,
    /// Only those that started before this one: the next page of a list that ended with it. One that there is not
    /// has none before it.
    pub before: Option<RunId>,
}

impl Default for RunFilter {
    fn default() -> Self {
        // A screenful.
        RunFilter {
            limit: 20,
            children: false,
            unfinished: false,
            playbook: None,
            outcome: None,
            since: None,
            before: None,
        }
    }
}

impl RunFilter {
    /// Whether a run that began so is asked for, before anything more is read of it.
    pub(super) fn takes_start(&self, start: &Content) -> bool {
        self.since.is_none_or(|since| start.at >= since.0)
    }

    /// Whether a run whose last turn (end or resumption) is `turn` is asked for, before anything is decoded.
    pub(super) fn takes_turn(&self, turn: Option<&Content>) -> bool {
        !self.unfinished || turn.is_none_or(|turn| turn.kind != "run_finished")
    }

    pub(super) fn takes(&self, summary: &RunSummary) -> bool {
        self.playbook.as_ref().is_none_or(|playbook| *playbook == summary.playbook)
            && self.outcome.is_none_or(|outcome| summary.outcome == Some(outcome))
    }
}

/// The summary of a run that began with `start`; `turn` is its last end or resumption, so that a run
/// that was parked and goes on again counts as going on.
pub(super) fn summarise(start: &Content, turn: Option<&Content>) -> RunSummary {
    let mut summary = RunSummary {
        run: RunId::from(start.run.clone()),
        playbook: String::new(),
        title: String::new(),
        by: String::new(),
        trigger: String::new(),
        started_at: Timestamp(start.at),
        finished_at: None,
        outcome: None,
        severity: None,
        damage: None,
    };
    match decode(start) {
        Ok(Event::RunStarted(started)) => {
            (summary.playbook, summary.title) = (started.playbook, started.title);
            (summary.by, summary.trigger) = (started.by, started.trigger);
        }
        Ok(_) => summary.damage = Some("its first entry is not a start".into()),
        Err(error) => summary.damage = Some(format!("its start cannot be read: {error}")),
    }
    if let Some(turn) = turn.filter(|turn| turn.kind == "run_finished") {
        finish(&mut summary, turn);
    }
    summary
}

fn finish(summary: &mut RunSummary, end: &Content) {
    summary.finished_at = Some(Timestamp(end.at));
    match decode(end) {
        Ok(Event::RunFinished { outcome, severity, .. }) => {
            (summary.outcome, summary.severity) = (Some(outcome), Some(severity));
        }
        Ok(_) => summary.damage = Some("its last entry is not an end".into()),
        Err(error) => summary.damage = Some(format!("its end cannot be read: {error}")),
    }
}
