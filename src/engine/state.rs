//! The fold of a run's events: the only source of truth about a run.
//!
//! `apply` accepts exactly the events that `decide` may produce from the same state; anything else is
//! an [`IllegalTransition`], at run time as well as when a journal is read back.

mod approval;
mod attempts;
mod fold;
mod taken;
mod undo;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::event::{
    Answers, AttemptResult, Cause, Event, Impact, Outcome, Phase, Record, Role, RunStarted, Severity, StepStatus,
};
use super::graph::StepIndex;
use crate::base::{RunId, StepKey, Timestamp};

/// What the ids of detection probes begin with when they are evaluated after remediation.
pub const RECHECK: &str = "recheck.";

/// An event that cannot follow what happened before it: a damaged journal or a bug.
#[derive(Debug, thiserror::Error)]
#[error("event {seq} ({event}) cannot follow what happened before: {why}")]
pub struct IllegalTransition {
    pub seq: u64,
    pub event: String,
    pub why: String,
}

/// Where one item of a step is. A step that does not fan out has one item.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemState {
    Waiting,
    /// A person was asked; `parked` when nobody could be.
    Asked {
        expires_at: Option<Timestamp>,
        parked: bool,
    },
    Approved,
    /// Its precondition holds.
    Cleared,
    /// Somebody said no, or nobody answered in time.
    Refused {
        why: String,
    },
    Running {
        role: Role,
    },
    /// Its attempt has ended; what that means for the step is not decided yet.
    Ended {
        result: AttemptResult,
    },
    Retrying {
        at: Timestamp,
    },
    /// A detection probe that holds and is measured again.
    Holding {
        at: Timestamp,
    },
    /// What its attempt began waits for a person; `again` when the run goes on and may look whether it can.
    Suspended {
        again: bool,
    },
    /// Interrupted, and not known whether it happened; `asked` when its check could not tell either.
    Doubtful {
        asked: bool,
    },
    Done,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub value: Option<Value>,
    pub state: ItemState,
    pub attempts: u32,
    /// Attempts that were measurements of a condition that must go on holding, or that wait for a person: they use up
    /// no retry.
    pub looks: u32,
    /// Attempts of which nothing is known, because what ran them died.
    pub interruptions: u32,
    /// Since when a detection probe holds.
    pub holds_since: Option<Timestamp>,
    pub request: Value,
    /// The digest of what was last asked about it; empty when nobody was asked.
    pub digest: String,
    /// How many people have to agree to what was asked; none said means one.
    pub quorum: u32,
    /// Who has agreed to what was last asked, while more have to.
    pub approved_by: Vec<String>,
    /// What the first of them said to what the step asks.
    pub answers: Answers,
    pub status: Option<StepStatus>,
    pub output: Value,
    /// Why it ended as it did, if there is more to say than its status.
    pub reason: Option<String>,
}

impl Item {
    /// What an answer has to be about: the request, and what was already said about it.
    pub fn asked_digest(&self) -> String {
        super::approval::digest_with(&self.digest, &self.answers)
    }

    fn new(value: Option<Value>) -> Self {
        Item {
            value,
            state: ItemState::Waiting,
            attempts: 0,
            looks: 0,
            interruptions: 0,
            holds_since: None,
            request: Value::Null,
            digest: String::new(),
            quorum: 0,
            approved_by: Vec::new(),
            answers: Answers::new(),
            status: None,
            output: Value::Null,
            reason: None,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepState {
    pub status: Option<StepStatus>,
    pub output: Value,
    pub reason: Option<String>,
    pub items: Vec<Item>,
    /// Items not yet done.
    pub open: usize,
    pub fanned: bool,
}

/// Undoing, last remediation first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UndoState {
    pub left: Vec<StepKey>,
    pub running: Option<StepKey>,
    pub attempts: u32,
    /// The end of the running undo, until it is decided what it means.
    pub ended: Option<AttemptResult>,
    /// The running undo was interrupted, and it is not known whether it happened.
    pub doubtful: bool,
    pub error: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunState {
    pub run: Option<RunId>,
    pub header: Option<RunStarted>,
    pub seq: u64,
    /// When the last event happened.
    pub at: Timestamp,
    pub started_at: Timestamp,
    pub phase: Option<Phase>,
    pub phase_started_at: Timestamp,
    pub steps: Vec<StepState>,
    pub index: HashMap<String, StepIndex>,
    phases: Vec<Phase>,
    dependents: Vec<Vec<StepIndex>>,
    needs: Vec<Vec<StepIndex>>,
    unmet: Vec<usize>,
    /// Steps of each phase whose needs have ended and that nothing was decided about yet.
    pub ready: BTreeMap<Phase, BTreeSet<StepIndex>>,
    /// Items between their first event and their end.
    pub active: BTreeSet<(StepIndex, u32)>,
    /// Items whose attempt has ended and waits to be judged.
    pub ended: BTreeSet<(StepIndex, u32)>,
    /// Steps that fan out and have not ended as a whole.
    pub fans: BTreeSet<StepIndex>,
    /// Steps that failed, could not be done or were cancelled.
    pub bad: Vec<StepIndex>,
    /// Steps of each phase that have not ended.
    pub open: BTreeMap<Phase, usize>,
    pub running: usize,
    pub detected: Option<Option<bool>>,
    pub rechecked: Option<Option<bool>>,
    pub recheck_at: Option<Timestamp>,
    pub causes: Option<Vec<Cause>>,
    pub severity: Option<Severity>,
    pub impact: Option<Impact>,
    /// Why no further step of the phase starts.
    pub stopped: Option<String>,
    pub rejected: Option<String>,
    /// What kept the run from remediating, or from going on with it.
    pub withheld: Option<String>,
    /// Whether a soft (`false`) or hard (`true`) cancellation was asked.
    pub cancelled: Option<bool>,
    /// Completed remediations in the order of their completion.
    pub completed: Vec<StepKey>,
    pub undo: Option<UndoState>,
    pub escalated: bool,
    /// What each channel needs to go on from the last message of the run that it took.
    pub threads: BTreeMap<String, String>,
    pub finished: Option<Outcome>,
}

impl RunState {
    /// The next record of this run.
    pub fn record(&self, run: &RunId, at: Timestamp, event: Event) -> Record {
        Record { run: run.clone(), seq: self.seq + 1, at, event }
    }

    /// Rebuilds the state from a journal.
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Self, IllegalTransition> {
        let mut state = RunState::default();
        records.into_iter().try_for_each(|record| state.apply(record))?;
        Ok(state)
    }

    /// Whether every step of the phase has ended.
    pub fn phase_is_over(&self, phase: Phase) -> bool {
        self.open.get(&phase).copied().unwrap_or(0) == 0
    }

    /// The phase that a step belongs to.
    pub fn phase_of(&self, step: StepIndex) -> Option<Phase> {
        self.phases.get(step).copied()
    }

    pub fn steps_of(&self, phase: Phase) -> impl Iterator<Item = StepIndex> + '_ {
        self.phases.iter().enumerate().filter(move |(_, step_phase)| **step_phase == phase).map(|(index, _)| index)
    }

    /// When the next timer is due. What was due by `decided`, the moment of the last decision, has been
    /// taken up or waits for something else than time.
    pub fn next_wake(&self, decided: Timestamp) -> Option<Timestamp> {
        if self.cancelled.is_some() && self.phase != Some(Phase::Finally) {
            return None;
        }
        let items = self.active.iter().filter(|(step, _)| Some(self.phases[*step]) == self.phase);
        let timers = items.filter_map(|(step, item)| match self.steps[*step].items[*item as usize].state {
            ItemState::Retrying { at } | ItemState::Holding { at } => Some(at),
            // Nobody can answer a question that is parked, so there is nothing to wait for.
            ItemState::Asked { expires_at, parked: false } => expires_at,
            _ => None,
        });
        timers.chain(self.recheck_at).filter(|at| *at > decided).min()
    }

    /// Items of the run that are in this kind of state.
    pub fn items_where(&self, wanted: impl Fn(&ItemState) -> bool) -> impl Iterator<Item = (StepIndex, u32)> {
        self.active.iter().copied().filter(move |(step, item)| wanted(&self.steps[*step].items[*item as usize].state))
    }

    /// The name of an item for events.
    pub fn key(&self, step: StepIndex, item: u32) -> StepKey {
        let id = self.header.as_ref().map_or_else(String::new, |header| header.steps[step].id.clone());
        StepKey { step: id, item: self.steps[step].fanned.then_some(item) }
    }

    /// The step and item of a key, if the run has them.
    pub fn find(&self, key: &StepKey) -> Option<(StepIndex, u32)> {
        let step = *self.index.get(&key.step)?;
        Some((step, key.item.unwrap_or(0)))
    }
}

/// The name of an event in the journal.
pub fn event_name(event: &Event) -> String {
    let value = serde_json::to_value(event).unwrap_or_default();
    value.get("event").and_then(Value::as_str).unwrap_or("unknown").to_owned()
}
