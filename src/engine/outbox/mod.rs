//! The outbox: messages that wait for their group or for the limit of their channel, as a pure, event-sourced core
//! like that of a run. It has a stream of its own in the journal.
//!
//! | a message is | event | then it is |
//! |---|---|---|
//! | – | `Taken` | waiting |
//! | waiting | `Sending`, alone or with others as one batch; durable before it is sent | on its way |
//! | on its way | `Sent`, with the receipt or the error | gone |
//! | on its way when the program died | `Sending` once more, the same batch | on its way |
//!
//! Every message is in one batch, and a batch keeps its number, so that a receiver can drop a repetition.

mod decide;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use decide::{Input, What, advance};
pub use state::{Batch, Closed, Outbox, Waiting};

/// The name under which the outbox stands in the journal; no run has a name like it.
pub const STREAM: &str = ".outbox";

/// What happened to messages. Written once, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outbox", rename_all = "snake_case")]
pub enum Fact {
    Taken {
        number: u64,
        item: Box<Item>,
    },
    /// The intent: these go out as one message.
    Sending {
        batch: u64,
        channel: String,
        numbers: Vec<u64>,
        /// The group that they are of; none for a single message, and for a summary of several groups.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Whether what was told of the group before belongs to it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        goes_on: bool,
    },
    Sent {
        batch: u64,
        delivered: Option<String>,
        error: Option<String>,
        attempts: u32,
        /// What the channel needs to go on from this message with a later one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<String>,
    },
}

/// A message that is to be sent to one channel: everything that decisions need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub channel: String,
    /// The run it is about.
    pub about: String,
    pub on: String,
    pub subject: String,
    /// Whether it needs a person at once: it waits for no group, and it is first.
    pub urgent: bool,
    /// What it may become one message with: the same playbook and occasion. `None` where the channel keeps each
    /// message apart, as paging services do.
    pub group: Option<String>,
    /// Whether it may become one message with whatever else is too much for the channel.
    pub merges: bool,
    /// The message itself.
    pub message: Value,
    /// What the channel gave back with an earlier message of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
}

/// What the site says about channels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// How long the first of a group waits, and how long a group lasts.
    pub group: Option<(Duration, Duration)>,
    pub limit: Option<Limit>,
    /// Those of single channels.
    pub limits: BTreeMap<String, Limit>,
}

/// So many messages in any window of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub messages: usize,
    pub within: Duration,
}

impl Rules {
    fn limit_of(&self, channel: &str) -> Option<Limit> {
        self.limits.get(channel).copied().or(self.limit)
    }
}
