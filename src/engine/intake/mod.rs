//! The intake: from an accepted event to a run, as a pure, event-sourced core like that of a run. It has a
//! stream of its own in the journal.
//!
//! | a ticket is | event | then it is |
//! |---|---|---|
//! | – | `Accepted` | accepted |
//! | accepted | `Held` (hold-off, or until enough have come) | held |
//! | accepted | `Joined` (another one for the same target waits) | gone: the other stands for both |
//! | accepted | `Skipped` (throttled, or a run for the same target is live) | gone |
//! | accepted, held | `Queued` | queued |
//! | queued | `Started`, with the name of its run, durable before the run begins | live |
//! | held, queued | `Cancelled` (resolved, or a person said so) | gone |
//! | held | `Skipped` (too few have come in its window) | gone |
//! | live | `StopAsked` (a newer one replaces it) | live, until its run has stopped |
//! | live | `Ended` | gone |
//!
//! At most one ticket of a playbook and target waits and at most one is live, whatever storms in.

mod decide;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::event::Outcome;
use crate::base::{RunId, Timestamp};

pub use decide::{Input, Limits, What, advance, decide};
pub use state::{Closed, Intake, Latest, Stage, Ticket};

/// The name under which the intake stands in the journal; no run has a name like it.
pub const STREAM: &str = ".intake";

/// How long an event is remembered, so that a copy of it starts nothing: Alertmanager repeats itself every four
/// hours by default, and a recorded delivery must stay useless for a day.
pub const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// What happened to a ticket. Written once, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "intake", rename_all = "snake_case")]
pub enum Fact {
    Accepted {
        ticket: u64,
        demand: Box<Demand>,
    },
    Held {
        ticket: u64,
        /// Written as `due`: beside the `at` of its record it would be lost.
        #[serde(rename = "due")]
        until: Timestamp,
    },
    Joined {
        ticket: u64,
        into: u64,
    },
    Queued {
        ticket: u64,
    },
    Started {
        ticket: u64,
        /// Not `run`, which is the name of the stream in a record.
        #[serde(rename = "starts")]
        run: RunId,
    },
    /// What was reported is over, for every ticket that came from it.
    Resolved {
        identity: String,
        since: Option<String>,
    },
    StopAsked {
        ticket: u64,
        why: String,
    },
    Ended {
        ticket: u64,
        /// `None` when the run could not begin or could not go on.
        outcome: Option<Outcome>,
        why: String,
    },
    Cancelled {
        ticket: u64,
        why: String,
    },
    Skipped {
        ticket: u64,
        why: String,
    },
}

/// One event that asks for one run: everything that decisions need, so that replaying looks nothing up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Demand {
    /// Where it came from, for people: `alertmanager`.
    pub source: String,
    /// The sender's name of the delivery it came with; a second one of that name is a replay.
    pub delivery: Option<String>,
    /// What is reported, such as the fingerprint of an alert.
    pub identity: String,
    /// Since when it is so, in the sender's words. The same identity since another moment is another event.
    pub since: String,
    pub playbook: String,
    /// What the run is about. One run of a playbook and target is live at a time.
    pub target: String,
    pub inputs: BTreeMap<String, Value>,
    /// Those of the inputs that the event gave; the others are of the site file or a person.
    pub from_outside: BTreeSet<String>,
    /// The labels of the event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    pub policy: Policy,
    /// Why the run may look but change nothing.
    pub withheld: Option<String>,
    /// The moment it was due, for what time itself asks for: taken in order and each once for ever, however long
    /// ago. Journals from before had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick: Option<Timestamp>,
    /// A person asks for it, whom no silence is about.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
}

/// The source of what a watch asks for.
pub const WATCH: &str = "watch";

impl Demand {
    /// Whether a watch has just seen the fault for as long as it must last. A hook of that name has no ticks.
    pub fn is_seen(&self) -> bool {
        self.source == WATCH && self.tick.is_some()
    }
}

/// How a trigger turns events into runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// How long what is reported must last before a run starts.
    pub hold_ms: u64,
    /// How long the first event of a playbook waits for those that belong with it.
    #[serde(default)]
    pub group_wait_ms: u64,
    pub concurrency: Concurrency,
    pub priority: Priority,
    pub throttle: Option<Throttle>,
}

/// What happens to an event while a run of the same playbook for the same target is live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Concurrency {
    /// One run waits for the end of the live one; further events join it.
    #[default]
    Queue,
    /// It starts nothing.
    Skip,
    /// The live run is stopped, and a new one starts when it has cleaned up.
    Replace,
    /// It starts nothing, and the sender is told so.
    Fail,
}

/// Which waiting run starts first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
    Urgent,
}

/// How often events of one target start runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Throttle {
    /// The first one starts a run; the ones after it start nothing for this long.
    Mute(#[schemars(extend("x-unit" = "duration"))] f64),
    /// Events are collected for this long; then one run starts for all of them.
    Collect(#[schemars(extend("x-unit" = "duration"))] f64),
    /// A run starts when so many different events have come in a window.
    Count(Count),
}

/// So many events within so long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// How many different events.
    #[schemars(range(min = 2))]
    pub events: u32,
    /// The window.
    #[schemars(extend("x-unit" = "duration"))]
    pub within: f64,
}
