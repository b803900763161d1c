//! A run driven by hand: the test is the world, its clock included.

use std::time::Duration;

use serde_json::Value;

use crate::base::{RunId, StepKey, Timestamp};
use crate::engine::event::{
    ApprovalVerdict, AttemptResult, Event, Outcome, Phase, Record, Resolution, Role, StepStatus,
};
use crate::engine::{Answered, Graph, Hold, Input, RunState, What, advance_all};

use super::plan::Plan;

/// When every test begins.
pub(super) const START: Timestamp = Timestamp(1_000_000);

pub(super) struct World {
    pub graph: Graph,
    pub state: RunState,
    pub records: Vec<Record>,
    pub now: Timestamp,
    pub entropy: u64,
    /// What keeps the run from changing anything, from now on.
    pub hold: Option<Hold>,
    run: RunId,
}

pub(super) fn key(text: &str) -> StepKey {
    text.parse().expect("the name of a step")
}

pub(super) fn measured(output: Value) -> AttemptResult {
    AttemptResult::Measured { output, failure: None }
}

pub(super) fn failure(output: Value, why: &str) -> AttemptResult {
    AttemptResult::Measured { output, failure: Some(why.into()) }
}

pub(super) fn problem(message: &str) -> AttemptResult {
    AttemptResult::Error { message: message.into(), help: None, code: None }
}

pub(super) fn problem_code(code: u16) -> AttemptResult {
    AttemptResult::Error { message: format!("status {code}"), help: None, code: Some(code) }
}

impl World {
    /// The run of a plan, started.
    pub(super) fn start(plan: Plan) -> Self {
        let mut world = World::new(plan.graph());
        world.feed([What::Start]);
        world
    }

    pub(super) fn new(graph: Graph) -> Self {
        let run = RunId::from("test".to_owned());
        World { graph, state: RunState::default(), records: Vec::new(), now: START, entropy: 0, hold: None, run }
    }

    /// Tells the engine what happened, all at the same moment, and returns what followed.
    pub(super) fn feed(&mut self, whats: impl IntoIterator<Item = What>) -> Vec<Event> {
        let input = |what| Input { at: self.now, entropy: self.entropy, hold: self.hold.clone(), what };
        let inputs: Vec<Input> = whats.into_iter().map(input).collect();
        let records = advance_all(&self.graph, &mut self.state, &self.run, &inputs).expect("a legal event");
        self.records.extend(records.iter().cloned());
        let replayed = RunState::replay(&self.records).expect("a journal that makes sense");
        assert_eq!(replayed, self.state, "the state is the fold of its records");
        records.into_iter().map(|record| record.event).collect()
    }

    /// Ends the running attempt of a step.
    pub(super) fn end(&mut self, step: &str, result: AttemptResult) -> Vec<Event> {
        self.end_as(Role::Main, step, result)
    }

    pub(super) fn end_as(&mut self, role: Role, step: &str, result: AttemptResult) -> Vec<Event> {
        let (key, attempt) = self
            .running()
            .into_iter()
            .find(|(running, running_role, _)| running.to_string() == step && *running_role == role)
            .map(|(key, _, attempt)| (key, attempt))
            .unwrap_or_else(|| panic!("{step} is not running, but {:?}", self.running_names()));
        self.feed([What::Ended { key, role, attempt, result }])
    }

    pub(super) fn pass(&mut self, step: &str, output: Value) -> Vec<Event> {
        self.end(step, measured(output))
    }

    pub(super) fn answer(&mut self, step: &str, verdict: ApprovalVerdict) -> Vec<Event> {
        self.feed([answer(step, verdict)])
    }

    pub(super) fn cancel(&mut self, hard: bool) -> Vec<Event> {
        self.feed([What::CancelAsked { by: "ada".into(), hard }])
    }

    /// The program dies and is started again with the journal.
    pub(super) fn crash(&mut self) -> Vec<Event> {
        self.crash_and([])
    }

    /// The same, with something that happens before the run goes on.
    pub(super) fn crash_and(&mut self, more: impl IntoIterator<Item = What>) -> Vec<Event> {
        self.state = RunState::replay(&self.records).expect("a journal that makes sense");
        let resumed = What::Resumed { by: "ada".into(), goes_on: std::collections::BTreeSet::default() };
        self.feed(std::iter::once(resumed).chain(more))
    }

    /// Lets time pass, stopping at every timer on the way.
    pub(super) fn wait(&mut self, seconds: f64) -> Vec<Event> {
        let end = self.now.plus(Duration::from_secs_f64(seconds));
        let mut events = Vec::new();
        while let Some(at) = self.state.next_wake(self.now).filter(|at| *at <= end) {
            self.now = at;
            events.extend(self.feed([What::Proceed]));
        }
        self.now = end;
        events.extend(self.feed([What::Proceed]));
        events
    }

    /// Attempts that have started and not ended, from the journal alone.
    pub(super) fn running(&self) -> Vec<(StepKey, Role, u32)> {
        let mut running: Vec<(StepKey, Role, u32)> = Vec::new();
        for record in &self.records {
            match &record.event {
                Event::AttemptStarted { key, role, attempt, .. } => running.push((key.clone(), *role, *attempt)),
                Event::AttemptEnded { key, role, .. } | Event::AttemptInterrupted { key, role, .. } => {
                    running.retain(|(other, other_role, _)| (other, other_role) != (key, role));
                }
                Event::AttemptSuspended { key, .. } => running.retain(|(other, ..)| other != key),
                _ => {}
            }
        }
        running
    }

    pub(super) fn running_names(&self) -> Vec<String> {
        self.running().into_iter().map(|(key, ..)| key.to_string()).collect()
    }

    pub(super) fn asked(&self, step: &str) -> bool {
        use crate::engine::state::ItemState;
        let asked = self.state.items_where(|item| matches!(item, ItemState::Asked { .. }));
        asked.into_iter().any(|(index, item)| self.state.key(index, item).to_string() == step)
    }

    pub(super) fn status(&self, step: &str) -> Option<StepStatus> {
        self.state.steps[self.state.index[step]].status
    }

    pub(super) fn reason(&self, step: &str) -> &str {
        self.state.steps[self.state.index[step]].reason.as_deref().unwrap_or_default()
    }

    pub(super) fn phase(&self) -> Option<Phase> {
        self.state.phase
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.state.finished
    }

    /// Why the run ended as it did.
    pub(super) fn why(&self) -> &str {
        match self.records.last().map(|record| &record.event) {
            Some(Event::RunFinished { why, .. }) => why,
            other => panic!("the run goes on: {other:?}"),
        }
    }

    pub(super) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.records.iter().filter(|record| wanted(&record.event)).count()
    }

    /// How often an attempt of this role of the step started.
    pub(super) fn starts(&self, role: Role, step: &str) -> usize {
        self.count(|event| {
            matches!(event, Event::AttemptStarted { key, role: started, .. } if *started == role && key.to_string() == step)
        })
    }
}

pub(super) fn answer(step: &str, verdict: ApprovalVerdict) -> What {
    answer_by(step, verdict, "grace")
}

pub(super) fn answer_by(step: &str, verdict: ApprovalVerdict, by: &str) -> What {
    What::Answered(Answered::new(key(step), verdict, by, "because"))
}

pub(super) fn resolve(step: &str, resolution: Resolution) -> What {
    What::DoubtResolved { key: key(step), resolution, by: "grace".into(), reason: "looked".into() }
}
