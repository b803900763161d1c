//! Escalations and repeated updates: who is told next when nobody has answered, and who is kept informed while a
//! fault is open. A pure, event-sourced core with a stream of its own in the journal.
//!
//! A case stands for one run. It moves like this; each row is one fact:
//!
//! | a case is | fact | then |
//! |---|---|---|
//! | – | `Followed` | open: people are kept informed until its run has ended |
//! | –, open, closed | `Raised` (the run escalates) | climbing: its first level is due |
//! | – | `Joined` (a case of the same fault climbs already) | nothing: the other stands for both |
//! | climbing | `Tell` (a level) | waiting for an answer, for as long as the level has |
//! | climbing | `Acknowledged` | answered: no further level is due |
//! | climbing | `Exhausted` | everybody was told; an answer is still taken |
//! | any | `Tell` (an update, an answer, the end) | as it was |
//! | any but closed | `Closed` | closed |
//!
//! `Tell` is the intent: it is durable before anything is sent, and names who is sent something. Each of them then
//! has one end: `Told`, or `Doubted` when the program died in between. What is in doubt is not sent again; when
//! nobody of a level was certainly reached, the next level is due at once.
//!
//! The last level has no next one, and neither have those at the very end. There, waiting could mean that nobody knows
//! of the fault at all, and to be called twice is the smaller harm: who is in doubt is told again, once, by a `Tell`
//! that names the message it repeats, so that its text can say so.

mod decide;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{RunId, Timestamp};
pub use decide::advance;
pub use state::{Case, Cases, Climb, Notice, Sent, Updates};

/// The name under which escalations stand in the journal; no run has a name like it.
pub const STREAM: &str = ".escalations";

/// Whoever sends a message gets half a minute for it, and a moment to write down how it went. After this nobody
/// is at it any more.
pub const IN_DOUBT_AFTER: Duration = Duration::from_secs(60);

/// Two programs may begin the stream at once; what the slower one has to tell is no history.
pub const BEGINS_WITHIN: Duration = Duration::from_secs(60);

/// Written once, never changed. The run of a case is its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "escalation", rename_all = "snake_case")]
pub enum Fact {
    /// The stream begins: what escalated before it is history, and nobody is told of it.
    Began {},
    Followed {
        case: RunId,
        subject: Subject,
        updates: Follow,
    },
    Raised {
        case: RunId,
        subject: Subject,
        policy: String,
        why: String,
        ladder: Ladder,
    },
    Joined {
        case: RunId,
        into: RunId,
    },
    /// The intent to tell: durable before the first message is sent.
    Tell {
        case: RunId,
        /// Counted from 1 within the case.
        notice: u64,
        words: Words,
        to: BTreeSet<String>,
        /// The number of a message that may have reached nobody, and that this one tells again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repeats: Option<u64>,
    },
    Told {
        case: RunId,
        notice: u64,
        channel: String,
        delivered: Option<String>,
        error: Option<String>,
        attempts: u32,
        /// What the channel needs to go on from this message with the next one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<String>,
    },
    /// Whether the message was sent is not known.
    Doubted {
        case: RunId,
        notice: u64,
        channel: String,
    },
    Acknowledged {
        case: RunId,
        by: String,
        reason: String,
        /// How: `command`, `api`, `link`, or the name of a hook.
        way: String,
    },
    /// Every level was told as often as the policy says, and nobody has answered.
    Exhausted {
        case: RunId,
    },
    Closed {
        case: RunId,
        why: String,
        /// Whether the fault is gone, as far as is known.
        gone: bool,
    },
}

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "words", rename_all = "snake_case")]
pub enum Words {
    /// A level is asked to take over; counted from 1, as is the round.
    Level { level: u32, round: u32 },
    /// Nobody has answered at all.
    Final,
    /// Somebody has taken over.
    Acknowledged,
    /// It is over.
    Closed,
    /// How it stands.
    Update { status: String },
}

/// What a case is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    pub playbook: String,
    pub title: String,
    /// The same for every run of the fault: the key under which paging services know it.
    pub incident: String,
    pub severity: String,
}

/// Whom a policy tells, in which order: settled when it is raised, so that a change of the site file changes
/// nothing that goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    pub levels: Vec<Level>,
    /// How often the levels are told once more when nobody has answered.
    #[serde(default)]
    pub repeat: u32,
    /// Channels that are told at the very end.
    #[serde(default)]
    pub last: BTreeSet<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// As the site file names them.
    pub names: Vec<String>,
    /// The channels that reach them.
    pub to: BTreeSet<String>,
    /// How long the level has to answer, in milliseconds; without it the next level is told only when asked for.
    #[serde(default)]
    pub within_ms: Option<u64>,
}

/// How people are kept informed while a fault is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// In milliseconds.
    pub every_ms: u64,
    pub to: BTreeSet<String>,
    pub template: String,
    /// After how long such a fault usually is fixed, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usually_ms: Option<u64>,
}

/// Something that the world reports.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    pub at: Timestamp,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Time has passed.
    Proceed,
    /// The run has a fault to tell of.
    Follow { case: RunId, subject: Subject, updates: Follow },
    /// The run escalates.
    Raise {
        case: RunId,
        /// When it did.
        since: Timestamp,
        subject: Subject,
        policy: String,
        why: String,
        ladder: Ladder,
    },
    /// How the run of a case stands.
    Seen { case: RunId, status: String, end: Option<End> },
    /// Somebody takes over.
    Acknowledge { case: RunId, by: String, reason: String, way: String },
    /// Somebody asks for the next level.
    Next { case: RunId },
    /// Somebody says that it is over.
    Close { case: RunId, why: String },
    /// How one message went.
    Told {
        case: RunId,
        notice: u64,
        channel: String,
        delivered: Option<String>,
        error: Option<String>,
        attempts: u32,
        thread: Option<String>,
    },
}

/// The end of a run of the fault: of the case's own, or of a later one.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    pub why: String,
    /// Whether the fault is gone.
    pub gone: bool,
    /// Channels that the run itself has told of its end.
    pub told: BTreeSet<String>,
}
