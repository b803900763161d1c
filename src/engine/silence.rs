//! What an Alertmanager is asked to be quiet about while a run works on an alert: facts in a stream of their own,
//! so that the audit trail has every silence, and a later program knows what it has to lift.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{Event, Record};
use crate::base::{RunId, Timestamp};

/// The name under which silences stand in the journal; no run has a name like it.
pub const STREAM: &str = ".silences";

/// What happened about the silence of a run. Written once, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "silence", rename_all = "snake_case")]
pub enum Silence {
    /// The intent: durable before the Alertmanager is asked.
    Asked {
        /// Not `run`, which is the name of the stream in a record.
        #[serde(rename = "for_run")]
        run: RunId,
        alertmanager: String,
        /// What is silenced: an alert with exactly these labels.
        labels: BTreeMap<String, String>,
    },
    Placed {
        #[serde(rename = "for_run")]
        run: RunId,
        /// The Alertmanager's name for it.
        id: String,
        #[serde(rename = "due")]
        until: Timestamp,
    },
    /// It is not, or no longer, silenced, and why.
    Lifted {
        #[serde(rename = "for_run")]
        run: RunId,
        why: String,
    },
}

/// A silence that may exist.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    pub alertmanager: String,
    pub labels: BTreeMap<String, String>,
    /// Its name and end, once it is known to exist.
    pub placed: Option<(String, Timestamp)>,
}

/// The silences that were asked for and not lifted, by their run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Silences {
    /// The number of the last event of their stream.
    pub seq: u64,
    pub open: BTreeMap<RunId, Open>,
}

impl Silences {
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut silences = Silences::default();
        for record in records {
            silences.seq = record.seq;
            // Only facts about silences are ever written to their stream.
            if let Event::Silence(fact) = &record.event {
                silences.apply(fact);
            }
        }
        silences
    }

    pub fn apply(&mut self, fact: &Silence) {
        match fact {
            Silence::Asked { run, alertmanager, labels } => {
                let open = Open { alertmanager: alertmanager.clone(), labels: labels.clone(), placed: None };
                self.open.insert(run.clone(), open);
            }
            Silence::Placed { run, id, until } => {
                if let Some(open) = self.open.get_mut(run) {
                    open.placed = Some((id.clone(), *until));
                }
            }
            Silence::Lifted { run, .. } => {
                self.open.remove(run);
            }
        }
    }
}
