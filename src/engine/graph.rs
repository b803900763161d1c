//! All the engine must know of a plan: steps, edges, policies, conditions. `plan` fills it.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::Value;

use super::event::{Phase, Risk, RunStarted, Severity};
use crate::language::{Declaration, Expression, Request, Template};

/// Index of a step in [`Graph::steps`].
pub type StepIndex = usize;

#[derive(Debug, Clone)]
pub struct Graph {
    /// What the first event of a run says of it.
    pub header: RunStarted,
    pub steps: Vec<Step>,
    /// Absent: the fault is taken as given.
    pub detection: Option<Detection<StepIndex>>,
    /// The same detection over the probes that are evaluated again after remediation.
    pub recheck: Option<Detection<StepIndex>>,
    pub causes: Vec<CauseRule>,
    /// The first rule that holds decides; medium without one.
    pub severity: Vec<(Option<Expression>, Severity)>,
    pub impact: ImpactTexts,
    pub recovery: Recovery,
    pub escalation: Option<Escalation>,
    pub parallel: usize,
    /// Approvals are asked for steps of this risk and above.
    pub ask_from: Risk,
    /// Only look: nothing of this phase and those after it is done, and nothing cleaned up.
    pub look_only: Option<Phase>,
    /// Nobody is asked for answers: their placeholders stay, as in a plan.
    pub open_answers: bool,
    pub index: HashMap<String, StepIndex>,
}

/// What is said of a fault to those who use the system, with the places of what is only known in a run.
#[derive(Debug, Clone, Default)]
pub struct ImpactTexts {
    pub affected: Option<Template>,
    pub summary: Option<Template>,
}

#[derive(Debug, Clone)]
pub struct Step {
    /// `diagnose.file`.
    pub id: String,
    pub phase: Phase,
    pub kind: String,
    pub help: Option<String>,
    /// Steps of the same phase that must have ended before.
    pub needs: Vec<StepIndex>,
    pub dependents: Vec<StepIndex>,
    pub request: Request,
    pub when: Option<Expression>,
    /// `expect`, or `holds` of a probe.
    pub expect: Option<Expression>,
    /// How long a detection probe must go on holding.
    pub hold: Option<Duration>,
    pub for_each: Option<ForEach>,
    pub time_limit: Duration,
    pub retry: Option<Retry>,
    pub repeat: Repeat,
    pub risk: Risk,
    pub approval: Option<Approval>,
    /// Its failure stops the phase: no further step of it starts.
    pub stop_on_error: bool,
    /// `on_error: continue` was written: steps that need it run although it failed.
    pub tolerated: bool,
    /// Names of causes; empty means the step is no fix of its own.
    pub fixes: Vec<String>,
    /// What must be true right before each attempt.
    pub precondition: Option<SideAction>,
    pub check: Option<SideAction>,
    pub undo: Option<SideAction>,
    pub severity: Option<Severity>,
    /// Whether this is a detection probe (before or after remediation).
    pub probe: bool,
}

impl Graph {
    /// Whether a person has to agree before this step is done.
    pub fn asks(&self, step: &Step) -> bool {
        step.approval.is_some() || (step.phase == Phase::Remediate && step.risk >= self.ask_from)
    }
}

/// A second action of a step: its precondition, its check or its undo.
#[derive(Debug, Clone)]
pub struct SideAction {
    pub kind: String,
    pub request: Request,
    pub expect: Option<Expression>,
    pub repeat: Repeat,
}

/// What may happen to an attempt that a crash interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Running it again is harmless.
    Safe,
    /// Whether it happened is not known; ask the check, else a person.
    Unknown,
}

#[derive(Debug, Clone)]
pub struct ForEach {
    pub list: Expression,
    pub name: String,
    /// The most items in progress at the same time.
    pub limit: u32,
    /// The same as a share of all items, from 0 to 1; the smaller of both counts.
    pub share: f64,
    /// More items than this are an error, and none is begun.
    pub most: Option<u32>,
    /// After so many items that did not succeed no further one is begun.
    pub max_errors: Option<u32>,
    /// All there are, of which the items are the ailing ones.
    pub of: Option<Expression>,
    /// Above this share of `of`, from 0 to 1, none is begun.
    pub stop_above: f64,
}

#[derive(Debug, Clone)]
pub struct Retry {
    pub attempts: u32,
    pub backoff: Duration,
    pub max: Duration,
    pub factor: f64,
    pub jitter: f64,
    pub on_error: bool,
    pub on_failed: bool,
    pub codes: Vec<u16>,
}

#[derive(Debug, Clone, Default)]
pub struct Approval {
    /// People and groups as the playbook names them.
    pub by: Vec<String>,
    /// Everyone they stand for.
    pub logins: BTreeSet<String>,
    /// How many of them have to agree.
    pub quorum: Option<u32>,
    pub timeout: Option<Duration>,
    /// What they have to say, in this order.
    pub answers: Vec<(String, Declaration)>,
}

impl Approval {
    /// Whether it matters who answers.
    pub fn is_guarded(&self) -> bool {
        !self.by.is_empty() || self.quorum.is_some()
    }
}

/// When the fault exists, over probes of type `T`.
#[derive(Debug, Clone)]
pub enum Detection<T> {
    Any(Vec<Detection<T>>),
    All(Vec<Detection<T>>),
    Not(Box<Detection<T>>),
    Probe(T),
}

/// What a probe says about the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Holds(bool),
    /// It did not answer.
    Unknown,
    /// It does not apply here (its `when` does not hold), so it takes no part.
    Absent,
}

impl Verdict {
    pub fn known(self) -> Option<bool> {
        match self {
            Verdict::Holds(holds) => Some(holds),
            _ => None,
        }
    }
}

impl<T: Copy> Detection<T> {
    /// Kleene's strong logic over what each probe says.
    pub fn evaluate(&self, probe: &impl Fn(T) -> Verdict) -> Verdict {
        match self {
            Detection::Probe(step) => probe(*step),
            Detection::Not(inner) => match inner.evaluate(probe) {
                Verdict::Holds(holds) => Verdict::Holds(!holds),
                other => other,
            },
            Detection::Any(parts) => decide(parts.iter().map(|part| part.evaluate(probe)), true),
            Detection::All(parts) => decide(parts.iter().map(|part| part.evaluate(probe)), false),
        }
    }

    /// Every probe, in order.
    pub fn probes(&self) -> Vec<T> {
        match self {
            Detection::Probe(step) => vec![*step],
            Detection::Not(inner) => inner.probes(),
            Detection::Any(parts) | Detection::All(parts) => parts.iter().flat_map(Detection::probes).collect(),
        }
    }

    /// The same condition over other probes.
    pub fn map<U>(&self, change: &impl Fn(T) -> U) -> Detection<U> {
        let all = |parts: &[Detection<T>]| parts.iter().map(|part| part.map(change)).collect();
        match self {
            Detection::Probe(step) => Detection::Probe(change(*step)),
            Detection::Not(inner) => Detection::Not(Box::new(inner.map(change))),
            Detection::Any(parts) => Detection::Any(all(parts)),
            Detection::All(parts) => Detection::All(all(parts)),
        }
    }
}

/// One `decisive` part decides; else an unknown part leaves it open; else it is the opposite.
fn decide(parts: impl Iterator<Item = Verdict>, decisive: bool) -> Verdict {
    let mut result = Verdict::Absent;
    for part in parts {
        match part {
            Verdict::Holds(holds) if holds == decisive => return Verdict::Holds(decisive),
            Verdict::Holds(_) if result == Verdict::Absent => result = Verdict::Holds(!decisive),
            Verdict::Unknown => result = Verdict::Unknown,
            _ => {}
        }
    }
    result
}

#[derive(Debug, Clone)]
pub struct CauseRule {
    pub name: String,
    pub title: String,
    pub when: Expression,
}

#[derive(Debug, Clone, Copy)]
pub struct Recovery {
    pub within: Duration,
    pub every: Duration,
}

#[derive(Debug, Clone)]
pub struct Escalation {
    pub policy: String,
    /// Default: when the run ends unresolved.
    pub when: Option<Expression>,
}

impl Step {
    /// What whoever approves it has to say.
    pub fn answers(&self) -> &[(String, Declaration)] {
        self.approval.as_ref().map_or(&[], |approval| &approval.answers)
    }
}

impl Graph {
    /// The fault was just seen for as long as it must last: one look tells whether it is still there.
    pub fn detect_at_once(&mut self) {
        let detecting = self.steps.iter_mut().filter(|step| step.probe && step.phase == Phase::Detect);
        detecting.for_each(|step| step.hold = None);
    }

    /// The values of the run's inputs.
    pub fn inputs(&self) -> &Value {
        &self.header.inputs
    }

    /// The step of that id.
    pub fn step(&self, id: &str) -> Option<(StepIndex, &Step)> {
        self.index.get(id).map(|index| (*index, &self.steps[*index]))
    }
}
