//! What a program may use and touch, as playbooks write it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a program may use at most. A limit that is not given is that of the engine itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Processor time of each of its processes; one that has used it up is ended by a signal.
    #[schemars(extend("x-unit" = "duration"), range(min = 1.0))]
    pub cpu: Option<f64>,
    /// Bytes that each of its processes may allocate. Where the system gives the step a control group with
    /// a memory controller, the sum of all of them counts too.
    #[schemars(extend("x-unit" = "bytes"), range(min = 1_048_576))]
    pub memory: Option<u64>,
    /// Processes at the same time, the program itself among them; a step with more of them is stopped.
    #[schemars(range(min = 1))]
    pub processes: Option<u32>,
    /// Files and connections that each of its processes may have open.
    #[schemars(range(min = 3))]
    pub open_files: Option<u64>,
}

impl Limits {
    pub fn is_empty(&self) -> bool {
        *self == Limits::default()
    }
}

/// The files that a program may read and write. Programs, libraries and what every program needs of
/// `/etc`, `/proc` and `/dev` can be read in any case.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// Files and folders, with everything below them, that the program may read and run.
    pub read: Vec<PathBuf>,
    /// Files and folders, with everything below them, that it may read and change.
    pub write: Vec<PathBuf>,
    /// Whether it is an error when the kernel cannot enforce these rules in full. Otherwise the program runs with
    /// what can be enforced, and the output `sandbox` says how much that is.
    pub required: bool,
}

/// How much of a sandbox the kernel enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Enforcement {
    /// Every rule.
    #[serde(rename = "enforced")]
    Full,
    /// Reading and writing, but not each way of changing a file that newer kernels know.
    #[serde(rename = "partly enforced")]
    Part,
    /// Nothing: the kernel has no Landlock.
    #[serde(rename = "not supported by this kernel")]
    Nothing,
}

impl std::fmt::Display for Enforcement {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Enforcement::Full => "enforced",
            Enforcement::Part => "partly enforced",
            Enforcement::Nothing => "not supported by this kernel",
        })
    }
}

/// What becomes of a program when `runbook` itself dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Orphan {
    /// It runs to its end, or that of its time limit, and `runbook resume` takes its result over.
    Finish,
    /// It is ended within two seconds, and `runbook resume` sees an error.
    Kill,
}

/// Everything about a program that has to be set up in its own process, before it starts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Confinement {
    pub limits: Limits,
    pub sandbox: Option<Sandbox>,
    /// Whether programs such as `sudo` may raise the privileges of the step.
    pub new_privileges: bool,
}
