//! The world of a random run: attempts that take their time and end somehow, people who answer or do
//! not, stops, and messages that arrive late or twice. All of it follows from one number.

use std::time::Duration;

use serde_json::json;

use crate::base::{RunId, StepKey, Timestamp};
use crate::engine::event::{ApprovalVerdict, AttemptResult, Event, Outcome, Record, Resolution, Role};
use crate::engine::state::ItemState;
use crate::engine::{
    Answered, Command, Graph, Hold, IllegalTransition, Input, RunState, What, advance_all, commands_for,
};

use super::generator::{Dice, mix};

/// More moves than any run of these sizes needs; a run that makes them does not end.
const MOST_MOVES: usize = 600;

/// How a world treats a run.
#[derive(Clone, Copy)]
pub(super) struct Temper {
    pub seed: u64,
    /// After how many moves somebody asks to stop, and whether at once.
    pub stop: Option<(usize, bool)>,
    /// In how many of a hundred moves something keeps the run from changing anything.
    pub held: u64,
}

pub(super) struct Simulation<'g> {
    graph: &'g Graph,
    temper: Temper,
    dice: Dice,
    run: RunId,
    pub state: RunState,
    pub records: Vec<Record>,
    now: Timestamp,
    /// What will happen, and when.
    agenda: Vec<(Timestamp, What)>,
    /// Endings that were delivered, to be delivered again.
    delivered: Vec<What>,
    moves: usize,
}

impl<'g> Simulation<'g> {
    pub(super) fn new(graph: &'g Graph, temper: Temper) -> Self {
        let run = RunId::from("random".to_owned());
        let dice = Dice(mix(temper.seed));
        let (agenda, delivered) = (Vec::new(), Vec::new());
        let (state, now) = (RunState::default(), Timestamp(0));
        Simulation { graph, temper, dice, run, state, records: Vec::new(), now, agenda, delivered, moves: 0 }
    }

    /// A run from its beginning to its end.
    pub(super) fn whole(graph: &'g Graph, temper: Temper) -> Result<Vec<Record>, String> {
        let mut simulation = Simulation::new(graph, temper);
        simulation.feed(vec![What::Start])?;
        simulation.drive()?;
        Ok(simulation.records)
    }

    /// A run that died after these records, from its resumption to its end. `state` is their replay.
    pub(super) fn resumed(
        graph: &'g Graph,
        temper: Temper,
        records: &[Record],
        state: RunState,
    ) -> Result<Vec<Record>, String> {
        let mut simulation = Simulation::new(graph, temper);
        simulation.state = state;
        simulation.records = records.to_vec();
        simulation.now = records.last().map_or(Timestamp(0), |record| record.at);
        simulation.come_back()?;
        simulation.drive()?;
        Ok(simulation.records)
    }

    fn drive(&mut self) -> Result<(), String> {
        loop {
            self.moves += 1;
            if self.moves > MOST_MOVES {
                return Err(format!(
                    "the run does not end: {:?}",
                    self.state.items_where(|_| true).collect::<Vec<_>>()
                ));
            }
            match self.state.finished {
                Some(Outcome::Parked) => self.come_back()?,
                Some(_) => return Ok(()),
                None => self.step()?,
            }
        }
    }

    /// The next thing that happens: a planned one, or a timer, whichever is earlier.
    fn step(&mut self) -> Result<(), String> {
        if let Some((_, hard)) = self.temper.stop.filter(|(after, _)| *after == self.moves) {
            return self.feed(vec![What::CancelAsked { by: "ada".into(), hard }]);
        }
        let planned =
            self.agenda.iter().enumerate().min_by_key(|(_, (at, _))| *at).map(|(place, (at, _))| (place, *at));
        let timer = self.state.next_wake(self.now);
        match (planned, timer) {
            (Some((place, at)), timer) if timer.is_none_or(|timer| at <= timer) => {
                let (_, what) = self.agenda.swap_remove(place);
                self.now = self.now.max(at);
                self.deliver(what)
            }
            (_, Some(timer)) => {
                self.now = self.now.max(timer);
                self.feed(vec![What::Proceed])
            }
            _ => Err(format!("the run waits for nothing in {:?}", self.state.phase)),
        }
    }

    /// Delivers an ending, then it or an earlier one once more, and looks that this changes nothing.
    fn deliver(&mut self, what: What) -> Result<(), String> {
        if matches!(what, What::Ended { .. } | What::Lost { .. } | What::Suspended { .. }) {
            self.delivered.push(what.clone());
        }
        self.feed(vec![what])?;
        if self.delivered.is_empty() {
            return Ok(());
        }
        let again = self.delivered[self.dice.below(self.delivered.len() as u64) as usize].clone();
        let before = self.records.len();
        self.feed(vec![again.clone()])?;
        if self.records.len() == before { Ok(()) } else { Err(format!("a late message changed something: {again:?}")) }
    }

    /// The program is started again; what waits for a person is told an answer in the same breath.
    fn come_back(&mut self) -> Result<(), String> {
        self.agenda.clear();
        self.delivered.clear();
        self.now = self.now.plus(Duration::from_secs(self.dice.below(4)));
        let parked = self.state.finished == Some(Outcome::Parked);
        let mut whats = vec![What::Resumed { by: "ada".into(), goes_on: std::collections::BTreeSet::default() }];
        if self.dice.chance(if parked { 70 } else { 10 }) {
            whats.extend(self.human());
        }
        let asked: Vec<StepKey> = self
            .state
            .items_where(|item| matches!(item, ItemState::Asked { .. }))
            .map(|(step, item)| self.state.key(step, item))
            .collect();
        self.feed(whats)?;
        asked.into_iter().for_each(|key| self.ask(key));
        Ok(())
    }

    /// What a person says about everything that waits for one.
    fn human(&mut self) -> Vec<What> {
        let mut whats = Vec::new();
        let waiting: Vec<(StepKey, bool)> = self
            .state
            .items_where(|item| {
                matches!(item, ItemState::Asked { .. } | ItemState::Doubtful { .. } | ItemState::Running { .. })
            })
            .map(|(step, item)| {
                let asked = matches!(self.state.steps[step].items[item as usize].state, ItemState::Asked { .. });
                (self.state.key(step, item), asked)
            })
            .collect();
        for (key, asked) in waiting {
            whats.push(if asked { self.answer(key, false) } else { self.resolution(key) });
        }
        if let Some(key) = self.state.undo.as_ref().and_then(|undo| undo.running.clone()) {
            whats.push(self.resolution(key));
        }
        whats
    }

    fn answer(&mut self, key: StepKey, may_park: bool) -> What {
        let verdict = match self.dice.below(10) {
            0 => ApprovalVerdict::Rejected,
            1 | 2 if may_park => ApprovalVerdict::Parked,
            _ => ApprovalVerdict::Approved,
        };
        // Who answers may be one of those who may, the one who started it, or nobody anybody knows.
        let by = ["grace", "grace", "edsger", "barbara", "ada", "mallory"][self.dice.below(6) as usize];
        What::Answered(Answered::new(key, verdict, by, "random"))
    }

    fn resolution(&mut self, key: StepKey) -> What {
        let resolution = [Resolution::Done, Resolution::Retry, Resolution::Abort][self.dice.below(3) as usize];
        What::DoubtResolved { key, resolution, by: "grace".into(), reason: "random".into() }
    }

    fn feed(&mut self, whats: Vec<What>) -> Result<(), String> {
        let entropy = self.dice.roll();
        let hold =
            (entropy % 100 < self.temper.held).then(|| Hold { why: "random".into(), undo: entropy.is_multiple_of(2) });
        let input = |what| Input { at: self.now, entropy, hold: hold.clone(), what };
        let inputs: Vec<Input> = whats.into_iter().map(input).collect();
        let records = advance_all(self.graph, &mut self.state, &self.run, &inputs)
            .map_err(|IllegalTransition { seq, event, why }| format!("illegal event {seq} ({event}): {why}"))?;
        let commands: Vec<Command> = records.iter().filter_map(|record| commands_for(&record.event)).collect();
        if records.iter().any(|record| matches!(record.event, Event::RecheckScheduled { .. })) {
            // A detection that is evaluated again counts its attempts anew.
            self.delivered.clear();
        }
        self.records.extend(records);
        commands.into_iter().for_each(|command| self.carry_out(command));
        Ok(())
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::StartAttempt { key, role, attempt, .. } => {
                let result = self.result(&key, role);
                let at = self.now.plus(Duration::from_millis(200 * self.dice.below(15)));
                let kind = if matches!(result, AttemptResult::Error { .. }) { self.dice.below(10) } else { 9 };
                let ended = |key, result| match kind {
                    0 | 1 => What::Lost { key, role, attempt, result },
                    2 | 3 => What::Suspended { key, role, attempt, result },
                    _ => What::Ended { key, role, attempt, result },
                };
                self.agenda.push((at, ended(key, result)));
            }
            Command::AskApproval { key } => self.ask(key),
            Command::KillAttempts => {
                for (at, what) in &mut self.agenda {
                    if let What::Ended { result, .. } | What::Lost { result, .. } | What::Suspended { result, .. } =
                        what
                    {
                        (*at, *result) = (self.now, AttemptResult::Cancelled);
                    }
                }
            }
        }
    }

    fn ask(&mut self, key: StepKey) {
        let at = self.now.plus(Duration::from_millis(500 * self.dice.below(16)));
        let answer = self.answer(key, true);
        self.agenda.push((at, answer));
    }

    fn result(&mut self, key: &StepKey, role: Role) -> AttemptResult {
        let (error, failed) = if key.step.starts_with("recheck.") { (5, 5) } else { (12, 8) };
        match self.dice.below(100) {
            roll if roll < error => AttemptResult::Error { message: "random".into(), help: None, code: Some(503) },
            roll if roll < error + failed && role != Role::Check => {
                AttemptResult::Measured { output: json!({"ok": false}), failure: Some("random".into()) }
            }
            // Something that `ok` cannot be read from.
            roll if roll < error + failed + 3 => AttemptResult::Measured { output: json!({}), failure: None },
            _ => {
                let output = json!({"ok": self.dice.chance(60), "changed": self.dice.chance(85)});
                AttemptResult::Measured { output, failure: None }
            }
        }
    }
}
