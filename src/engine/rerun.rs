//! Which results of an earlier run a new run takes over, and which steps it does anew.

use std::collections::BTreeSet;

use super::event::{Event, Phase, Record, RerunOf, StepStatus, TakenItem};
use super::graph::{Graph, Step, StepIndex};
use super::state::{RECHECK, RunState};
use super::steps::is_bad;
use crate::base::{RunId, StepKey};

/// Where a re-run begins.
#[derive(Debug, Clone, Copy)]
pub struct From<'a> {
    /// The id of a step, such as `remediate.restart`; a step of a playbook that a step calls follows it after a
    /// slash, `remediate.recover/remediate.restart`.
    pub step: &'a str,
    /// Only this step is done anew, and nothing that follows from it.
    pub only: bool,
}

impl<'a> From<'a> {
    /// The step of this run.
    pub fn first(&self) -> &'a str {
        self.step.split_once('/').map_or(self.step, |(first, _)| first)
    }

    /// Where the run that the step calls begins; nothing where it begins at its beginning.
    pub fn inside(&self) -> Option<From<'a>> {
        self.step.split_once('/').map(|(_, step)| From { step, only: self.only })
    }
}

impl RerunOf {
    pub fn starting_point(&self) -> From<'_> {
        From { step: &self.from, only: self.only }
    }
}

/// Why a run cannot be done anew from a step.
#[derive(Debug, thiserror::Error)]
pub enum RerunError {
    #[error("in that run '{asked}' called no playbook")]
    NotCalled { asked: String },
    #[error("'{asked}' is one item of a step, and a step is done anew as a whole")]
    Item { asked: String },
    #[error("the run has no step '{asked}'")]
    NoSuchStep { asked: String, steps: Vec<String> },
    #[error("'{asked}' needs {undone}, which that run undid")]
    Undone { asked: String, undone: String },
    #[error("'{asked}' needs {failed}, which did not succeed in that run")]
    FailedNeed { asked: String, failed: String },
}

impl RerunError {
    /// What the reader can do next; `within` is the path of the steps that call the run, each with a slash after it.
    pub fn help(&self, within: &str) -> String {
        match self {
            RerunError::NotCalled { asked } => format!("do that step anew as a whole: --from {within}{asked}"),
            RerunError::Item { asked } => format!("--from {within}{}", asked.split('[').next().unwrap_or(asked)),
            RerunError::NoSuchStep { steps, .. } => format!("its steps: {}", steps.join(", ")),
            RerunError::Undone { undone, .. } => format!("begin with what was undone: --from {within}{undone}"),
            RerunError::FailedNeed { failed, .. } => format!("begin with what it needs: --from {within}{failed}"),
        }
    }
}

/// The first events of the new run after its start: each step of the old run (`records`) that stands before
/// `from`, with its result. A step that was skipped or cancelled has none, and is decided anew, unless only
/// one step is; so is one whose failure would keep `from` from starting.
pub fn taken_over(
    graph: &Graph,
    old: &RunState,
    records: &[Record],
    run: &RunId,
    from: From<'_>,
) -> Result<Vec<Event>, RerunError> {
    let first = find(graph, from.first())?;
    let undone = undone(records);
    for need in closure(first, |step| &graph.steps[step].needs) {
        let Step { id, tolerated, .. } = &graph.steps[need];
        let asked = from.first().to_owned();
        if undone.contains(id.as_str()) {
            return Err(RerunError::Undone { asked, undone: id.clone() });
        }
        if !tolerated && is_bad(status(old, id)) {
            return Err(RerunError::FailedNeed { asked, failed: id.clone() });
        }
    }
    let stops =
        |step: &Step| step.phase == graph.steps[first].phase && step.stop_on_error && is_bad(status(old, &step.id));
    let anew = anew(graph, first, from.only);
    let kept = (0..graph.steps.len()).filter(|step| *step != first && !anew.contains(step));
    let event = |step: StepIndex| {
        let id = &graph.steps[step].id;
        let stands = !undone.contains(id.as_str()) && !stops(&graph.steps[step]);
        let taken = stands.then(|| result(old, id, run)).flatten();
        let skipped = || Event::StepSkipped {
            key: StepKey::plain(id.clone()),
            reason: format!("only {} is done anew", from.step),
        };
        taken.or_else(|| from.only.then(skipped))
    };
    Ok(kept.filter_map(event).collect())
}

/// The run that the last attempt of the first step called, if it called one.
pub fn called_run(old: &RunState, run: &RunId, from: From<'_>) -> Result<RunId, RerunError> {
    let asked = from.first().to_owned();
    let step = old.index.get(&asked).map(|step| &old.steps[*step]);
    match step.map(|step| (step.fanned, step.items.as_slice())) {
        Some((false, [item])) if item.attempts > 0 => Ok(run.child(&StepKey::plain(asked), item.attempts)),
        Some((true, _)) => Err(RerunError::Item { asked: format!("{asked}[…]") }),
        _ => Err(RerunError::NotCalled { asked }),
    }
}

fn find(graph: &Graph, asked: &str) -> Result<StepIndex, RerunError> {
    let asked = asked.to_owned();
    if asked.contains('[') {
        return Err(RerunError::Item { asked });
    }
    let own = |id: &&String| !id.starts_with(RECHECK);
    match graph.index.get(&asked) {
        Some(step) if own(&&asked) => Ok(*step),
        _ => {
            let steps = graph.steps.iter().map(|step| &step.id).filter(own).cloned().collect();
            Err(RerunError::NoSuchStep { asked, steps })
        }
    }
}

fn undone(records: &[Record]) -> BTreeSet<&str> {
    // An undo that failed may have been done in part, so its step does not stand either.
    let undone = records.iter().filter_map(|record| match &record.event {
        Event::UndoFinished { key, .. } => Some(key.step.as_str()),
        _ => None,
    });
    undone.collect()
}

/// The steps that follow from the first one. Whether the fault is gone is always measured anew: an old answer
/// must not call a fault resolved.
fn anew(graph: &Graph, first: StepIndex, only: bool) -> BTreeSet<StepIndex> {
    let mut anew: BTreeSet<StepIndex> =
        (0..graph.steps.len()).filter(|step| graph.steps[*step].id.starts_with(RECHECK)).collect();
    if !only {
        anew.extend(closure(first, |step| &graph.steps[step].dependents));
        let phase: Phase = graph.steps[first].phase;
        anew.extend((0..graph.steps.len()).filter(|step| graph.steps[*step].phase > phase));
    }
    anew
}

/// Every step that can be reached, without the first.
fn closure<'g>(first: StepIndex, next: impl Fn(StepIndex) -> &'g [StepIndex]) -> BTreeSet<StepIndex> {
    let mut reached = BTreeSet::new();
    let mut open = vec![first];
    while let Some(step) = open.pop() {
        open.extend(next(step).iter().filter(|other| reached.insert(**other)));
    }
    reached
}

fn status(old: &RunState, id: &str) -> Option<StepStatus> {
    old.steps[*old.index.get(id)?].status
}

fn result(old: &RunState, id: &str, run: &RunId) -> Option<Event> {
    let step = &old.steps[*old.index.get(id)?];
    let status = step.status.filter(|status| is_result(*status))?;
    let items = step.items.iter().map(|item| TakenItem {
        value: item.value.clone(),
        status: item.status.unwrap_or(StepStatus::Skipped),
        output: item.output.clone(),
        reason: item.reason.clone(),
        attempts: item.attempts,
        answers: item.answers.clone(),
    });
    Some(Event::StepTakenOver {
        key: StepKey::plain(id.to_owned()),
        from: run.clone(),
        status,
        output: step.output.clone(),
        reason: step.reason.clone(),
        items: items.collect(),
    })
}

/// Whether a step that ended like this has a result that another run can go on from.
pub(super) fn is_result(status: StepStatus) -> bool {
    matches!(status, StepStatus::Passed | StepStatus::Failed | StepStatus::Error)
}
