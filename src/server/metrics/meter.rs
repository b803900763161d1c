//! Counts runs, steps and messages by their events, which come here when they are durable. What a run of before wrote
//! is read when it goes on here, and not counted again.

use std::collections::HashMap;
use std::sync::Arc;

use super::Metrics;
use crate::base::{RunId, StepKey, Timestamp};
use crate::engine::event::{Outcome, Role};
use crate::engine::{Event, Record};
use crate::journal::Journal;
use crate::report::Reporter;

/// The reporter that counts.
pub struct Meter {
    metrics: Metrics,
    journal: Arc<dyn Journal>,
    runs: HashMap<RunId, Followed>,
}

/// What has to be known of a live run to count its events.
#[derive(Default)]
struct Followed {
    playbook: String,
    kinds: HashMap<String, String>,
    /// When the first attempt of each open step began.
    begun: HashMap<StepKey, Timestamp>,
}

impl Followed {
    fn take_up(&mut self, record: &Record) {
        match &record.event {
            Event::RunStarted(started) => {
                self.playbook.clone_from(&started.playbook);
                self.kinds = started.steps.iter().map(|step| (step.id.clone(), step.kind.clone())).collect();
            }
            Event::AttemptStarted { key, role: Role::Main, .. } => {
                self.begun.entry(key.clone()).or_insert(record.at);
            }
            Event::StepFinished { key, .. } => drop(self.begun.remove(key)),
            _ => {}
        }
    }
}

impl Meter {
    pub fn new(metrics: Metrics, journal: Arc<dyn Journal>) -> Self {
        Meter { metrics, journal, runs: HashMap::new() }
    }

    fn follow(&mut self, record: &Record) -> &mut Followed {
        let journal = &self.journal;
        self.runs.entry(record.run.clone()).or_insert_with(|| {
            let mut followed = Followed::default();
            if record.seq > 1 {
                // Without them steps are counted without their kind, which is better than not at all.
                let before = journal.read(&record.run).unwrap_or_default();
                before.iter().filter(|earlier| earlier.seq < record.seq).for_each(|earlier| followed.take_up(earlier));
            }
            followed
        })
    }
}

impl Reporter for Meter {
    fn report(&mut self, record: &Record) {
        let metrics = self.metrics.clone();
        let followed = self.follow(record);
        count(&metrics, followed, record);
        followed.take_up(record);
        if matches!(record.event, Event::RunFinished { .. }) {
            self.runs.remove(&record.run);
        }
    }
}

fn count(metrics: &Metrics, followed: &Followed, record: &Record) {
    let (families, playbook) = (metrics.families(), followed.playbook.as_str());
    match &record.event {
        Event::RunStarted(started) if !record.run.is_child() => {
            families.runs_started.with_label_values(&[&started.playbook]).inc();
        }
        Event::RunFinished { outcome, .. } if *outcome != Outcome::Parked && !record.run.is_child() => {
            families.runs.with_label_values(&[playbook, outcome.label()]).inc();
        }
        Event::EscalationRaised { .. } => families.escalations.with_label_values(&[playbook]).inc(),
        Event::StepFinished { key, status, .. } => {
            if let Some(begun) = followed.begun.get(key) {
                let kind = followed.kinds.get(&key.step).map_or("unknown", String::as_str);
                let took = record.at.since(*begun).as_secs_f64();
                families.step_seconds.with_label_values(&[kind, status.label()]).observe(took);
            }
        }
        Event::NotificationSent { channel, error, attempts, .. } => {
            let result = if error.is_none() { "delivered" } else { "failed" };
            families.notifications.with_label_values(&[channel.as_str(), result]).inc();
            families.notification_attempts.with_label_values(&[channel]).inc_by(u64::from(*attempts));
        }
        _ => {}
    }
}
