//! What the world reports to the engine, and what the engine asks of the world.

use std::collections::BTreeSet;

use serde_json::Value;

use super::event::{ApprovalVerdict, AttemptResult, Event, Resolution, Role};
use crate::base::{StepKey, Timestamp};

/// Something that happened. Time and randomness enter only here, so that `decide` is a function.
#[derive(Debug, Clone)]
pub struct Input {
    pub at: Timestamp,
    /// Random bits, for jitter.
    pub entropy: u64,
    /// Why nothing may be remediated at this moment, if so.
    pub hold: Option<Hold>,
    pub what: What,
}

/// What keeps every run from changing anything, whatever its playbook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    pub why: String,
    /// Whether even undoing what was done has to wait for a person.
    pub undo: bool,
}

#[derive(Debug, Clone)]
pub enum What {
    Start,
    /// Starts a run that takes over the results of an earlier one: the events of [`super::rerun::taken_over`].
    StartAnew(Vec<Event>),
    Ended {
        key: StepKey,
        role: Role,
        attempt: u32,
        result: AttemptResult,
    },
    /// An attempt ended, and nobody can tell whether it did what it was to do. `result` counts where that makes
    /// no difference: for what only looks, and for what is harmless to repeat.
    Lost {
        key: StepKey,
        role: Role,
        attempt: u32,
        result: AttemptResult,
    },
    /// An attempt ended because what it began waits for a person, and goes on with the next attempt. `result` counts
    /// where nothing can go on: for what only looks, and for an undo.
    Suspended {
        key: StepKey,
        role: Role,
        attempt: u32,
        result: AttemptResult,
    },
    Answered(Answered),
    CancelAsked {
        by: String,
        hard: bool,
    },
    /// The program was started again with the journal of an unfinished run. The attempts in `goes_on` are
    /// not interrupted: they run on without an engine, or have left their result, and will be told as ended.
    Resumed {
        by: String,
        goes_on: BTreeSet<(StepKey, Role)>,
    },
    DoubtResolved {
        key: StepKey,
        resolution: Resolution,
        by: String,
        reason: String,
    },
    Notified(Event),
    /// Nothing new: a timer may be due, or the last events may have made something possible.
    Proceed,
}

/// What somebody says to a question.
#[derive(Debug, Clone)]
pub struct Answered {
    pub key: StepKey,
    pub verdict: ApprovalVerdict,
    pub by: String,
    pub reason: String,
    /// The digest of what they were shown, if they say it.
    pub digest: Option<String>,
    /// Why nobody else can be waited for, in an emergency.
    pub break_glass: Option<String>,
}

impl Answered {
    /// An ordinary answer.
    pub fn new(key: StepKey, verdict: ApprovalVerdict, by: impl Into<String>, reason: impl Into<String>) -> Self {
        Answered { key, verdict, by: by.into(), reason: reason.into(), digest: None, break_glass: None }
    }
}

/// A side effect asked of the runtime.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    StartAttempt {
        key: StepKey,
        role: Role,
        attempt: u32,
        request: Value,
        time_limit_ms: u64,
    },
    AskApproval {
        key: StepKey,
    },
    /// Running attempts are to be ended at once.
    KillAttempts,
}

/// The side effect that an event, once durable, calls for.
pub fn commands_for(event: &Event) -> Option<Command> {
    match event {
        Event::AttemptStarted { key, role, attempt, request, time_limit_ms } => Some(Command::StartAttempt {
            key: key.clone(),
            role: *role,
            attempt: *attempt,
            request: request.clone(),
            time_limit_ms: *time_limit_ms,
        }),
        Event::ApprovalAsked { key, .. } => Some(Command::AskApproval { key: key.clone() }),
        Event::CancelRequested { hard: true, .. } => Some(Command::KillAttempts),
        _ => None,
    }
}
