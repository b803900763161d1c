//! Schedules and watches: when a run is due, what becomes of moments that were missed, and when a detection that
//! is looked at again and again asks for a run. A pure, event-sourced core with a stream of its own in the journal.
//!
//! A moment of a schedule that is due (a tick) moves like this:
//!
//! | fact | then |
//! |---|---|
//! | `Began` | the schedule counts from here; what was due before is not its own |
//! | `Due` | it is to run: durable before the intake is asked, which takes each tick once for ever |
//! | `Missed` | nobody was there; the ticks in `runs` are made up for, the others are only counted |
//!
//! and what a watch sees:
//!
//! | fact | then |
//! |---|---|
//! | `Changed` to holding | a run is wanted, unless it is held back |
//! | `Changed` to not holding | none is wanted |
//! | `Flapping` | one run more, then it is held back |
//! | `Calm` | no longer held back; when the detection holds, a run is wanted |

pub mod calendar;
mod plan;
mod state;
#[cfg(test)]
mod tests;
mod watch;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Timestamp;
use crate::engine::intake::Concurrency;
pub use calendar::{BadCalendar, Calendar};
pub use plan::{next_release, plan};
pub use state::{Progress, Seen, Timetable};
pub use watch::observe;

/// The name under which schedules and watches stand in the journal; no run has a name like it.
pub const STREAM: &str = ".schedules";

/// A tick that is at most so late is on time: a server that is started again takes a few seconds.
pub const ON_TIME: Duration = Duration::from_secs(10);

/// Written once, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "schedule", rename_all = "snake_case")]
pub enum Fact {
    Began {
        key: String,
    },
    Due {
        key: String,
        tick: Timestamp,
    },
    Missed {
        key: String,
        /// How many; [`plan::COUNTED`] stands for that many or more.
        count: u64,
        first: Timestamp,
        last: Timestamp,
        /// Those that run after all.
        runs: Vec<Timestamp>,
        why: String,
    },
    Changed {
        key: String,
        holds: bool,
    },
    Flapping {
        key: String,
        changes: u32,
    },
    Calm {
        key: String,
    },
}

/// What decisions about a schedule need to know of it.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its name in the journal.
    pub key: String,
    pub calendar: Calendar,
    /// Each tick is put off by a part of this, the same part whoever asks.
    pub jitter: Duration,
    pub missed: Missed,
    /// The most ticks that are made up for.
    pub catch_up: usize,
}

/// What happens to runs that were missed while no server was there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are counted and do not run.
    #[default]
    Skip,
    /// The last one runs, for all of them.
    RunOnce,
    /// Each of the last ones runs, one after the other, `catch_up` at most.
    RunAll,
}

/// What happens when a run is due while one of the same playbook and inputs is live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It does not run.
    #[default]
    Skip,
    /// It waits for the end of the other one; of several, one waits for all.
    Queue,
    /// The other one is stopped and cleans up, then this one runs.
    Replace,
}

impl From<Overlap> for Concurrency {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::Skip => Concurrency::Skip,
            Overlap::Queue => Concurrency::Queue,
            Overlap::Replace => Concurrency::Replace,
        }
    }
}

/// How many changes within how long are too many to act on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flapping {
    /// Changes between holding and not holding that are still taken seriously. Default: 4.
    #[serde(default = "Flapping::default_changes")]
    #[schemars(range(min = 2))]
    pub changes: u32,
    /// The time in which they are counted. Default: 1h.
    #[serde(default = "Flapping::default_within")]
    #[schemars(extend("x-unit" = "duration"))]
    pub within: f64,
}

impl Flapping {
    fn default_changes() -> u32 {
        // Two faults in an hour are two faults; a third one is the fix that does not last.
        4
    }

    fn default_within() -> f64 {
        3_600.0
    }
}

impl Default for Flapping {
    fn default() -> Self {
        Flapping { changes: Self::default_changes(), within: Self::default_within() }
    }
}
