//! `apply` of results that an earlier run left.

use super::super::event::{Event, TakenItem};
use super::super::graph::StepIndex;
use super::super::rerun::is_result;
use super::{Item, ItemState, RunState};

impl RunState {
    /// Only right after the start, and only in a run that says which one it is done anew from.
    pub(super) fn take_over(&mut self, event: &Event) -> Result<(), String> {
        let Event::StepTakenOver { key, from, status, output, reason, items } = event else {
            return Err("it takes over nothing".into());
        };
        let of = self.header.as_ref().and_then(|header| header.rerun_of.as_ref());
        if self.phase.is_some() || of.is_none_or(|of| of.run != *from || of.starting_point().first() == key.step) {
            return Err(format!("{key} cannot be taken over from run {from}"));
        }
        let (step, _) = self.find(key).ok_or_else(|| format!("there is no step {key}"))?;
        if self.steps[step].status.is_some() || key.item.is_some() || !is_result(*status) {
            return Err(format!("{key} has no result that can be taken over"));
        }
        self.take_items(step, items);
        self.finish_step(step, *status, output, reason.as_ref());
        Ok(())
    }

    /// What the earlier run completed is not among what this run undoes.
    fn take_items(&mut self, step: StepIndex, items: &[TakenItem]) {
        if let Some(ready) = self.ready.get_mut(&self.phases[step]) {
            ready.remove(&step);
        }
        let state = &mut self.steps[step];
        state.fanned = items.iter().any(|item| item.value.is_some());
        state.items = items.iter().map(taken).collect();
    }
}

fn taken(item: &TakenItem) -> Item {
    Item {
        state: ItemState::Done,
        attempts: item.attempts,
        answers: item.answers.clone(),
        status: Some(item.status),
        output: item.output.clone(),
        reason: item.reason.clone(),
        ..Item::new(item.value.clone())
    }
}
