//! What the first event of a run says.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Phase;
use crate::base::RunId;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    pub format: u32,
    pub playbook: String,
    pub title: String,
    pub code: Option<String>,
    pub file: String,
    /// SHA-256 of the playbook's text, hex.
    pub digest: String,
    pub inputs: Value,
    pub by: String,
    /// `hand`, [`DRILL`], or what else started the run.
    pub trigger: String,
    /// Why this run may look but change nothing, whatever its playbook says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<String>,
    /// The inputs that an event from outside gave. Nobody here chose their values, so they choose no host either.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub from_outside: BTreeSet<String>,
    /// The labels of the alert that started the run. They come from outside: they choose who is told, and nothing
    /// that the run does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The run that this one is done anew from, and where it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<RerunOf>,
    /// Every step of the plan, in order, for views that show what has not started yet.
    pub steps: Vec<StepOutline>,
}

/// What starts a run that is an exercise: everything it does is done, and everybody who is told knows.
pub const DRILL: &str = "drill";

impl RunStarted {
    /// Whether the run is an exercise.
    pub fn is_drill(&self) -> bool {
        self.trigger == DRILL
    }
}

/// Where a run that is done anew begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RerunOf {
    pub run: RunId,
    /// The first step that is done anew; behind a slash, the first one of the run that it calls.
    pub from: String,
    /// Only this step is done anew, and nothing that follows from it.
    pub only: bool,
}

/// What a view needs to know of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepOutline {
    pub id: String,
    pub phase: Phase,
    pub kind: String,
    pub needs: Vec<String>,
    pub help: Option<String>,
}
