//! What is so at the moment of a scrape: queue, live runs, approvals, holds, health.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Clock, RunId, Timestamp};
use crate::engine::event::{ApprovalVerdict, Outcome};
use crate::engine::intake::{Intake, Stage};
use crate::engine::{Event, Record};
use crate::journal::JournalError;
use crate::runtime::orders;
use crate::server::Shared;
use crate::trigger::Timed;

/// Called runs of one run that are looked through for approvals; more than a playbook could call sensibly.
const CALLED: usize = 100;

/// Every outcome with which a run ends.
const OUTCOMES: [Outcome; 7] = [
    Outcome::Healthy,
    Outcome::Resolved,
    Outcome::Mitigated,
    Outcome::Unresolved,
    Outcome::Rejected,
    Outcome::Cancelled,
    Outcome::Error,
];

/// Sets every figure that is not counted as it happens, and gives all of them as text.
pub async fn take(shared: &Arc<Shared>) -> String {
    let health = shared.health.look(shared).await;
    for (part, state) in health.parts() {
        shared.metrics.families().healthy.with_label_values(&[part]).set(i64::from(state.is_none()));
    }
    queue(shared);
    constants(shared);
    begin_at_zero(shared);
    timers(shared);
    let at = shared.clone();
    // Reading the journal waits for the disk, and the loop must not.
    let read = tokio::task::spawn_blocking(move || journal(&at)).await;
    match read {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "some figures are those of before: the journal cannot be read"),
        Err(error) => tracing::error!(%error, "bug: the figures of the journal could not be taken"),
    }
    shared.metrics.text()
}

fn queue(shared: &Shared) {
    let (families, now) = (shared.metrics.families(), shared.host.clock.now());
    let count = |intake: &Intake, wanted: fn(&Stage) -> bool| {
        intake.tickets().values().filter(|ticket| wanted(&ticket.stage)).count() as i64
    };
    let (held, queued, oldest) = shared.desk.look(|intake| {
        let waits = intake.tickets().values().filter(|ticket| matches!(ticket.stage, Stage::Accepted | Stage::Queued));
        let oldest = waits.map(|ticket| now.since(ticket.accepted_at)).max().unwrap_or_default();
        let queued = |stage: &Stage| matches!(stage, Stage::Accepted | Stage::Queued);
        (count(intake, |stage| matches!(stage, Stage::Held { .. })), count(intake, queued), oldest)
    });
    families.queue.with_label_values(&["held"]).set(held);
    families.queue.with_label_values(&["queued"]).set(queued);
    families.queue_oldest.set(oldest.as_secs_f64());
    families.queue_limit.set(shared.host.services().site.serve.queue as i64);
    let (going_on, waiting) = shared.runs.count();
    families.runs_live.with_label_values(&["running"]).set(going_on as i64);
    families.runs_live.with_label_values(&["waiting"]).set(waiting as i64);
}

fn constants(shared: &Shared) {
    let families = shared.metrics.families();
    let reloaded = shared.shelf.last();
    families.playbooks.set(reloaded.playbooks as i64);
    families.broken_playbooks.set(reloaded.problems.len() as i64);
    families.reload_refused.set(i64::from(shared.reloading.refused().is_some()));
    families.build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    families.started.set(shared.health.started().0 as f64 / 1_000.0);
}

/// A counter that appears with its first event has no increase that an alert could see.
fn begin_at_zero(shared: &Shared) {
    let families = shared.metrics.families();
    for name in shared.shelf.playbooks().keys() {
        for outcome in OUTCOMES {
            families.runs.with_label_values(&[name.as_str(), outcome.label()]);
        }
        families.runs_started.with_label_values(&[name]);
        families.escalations.with_label_values(&[name]);
        families.broken_off.with_label_values(&[name]);
    }
    for hook in &shared.door().hooks {
        for status in ["202", "401", "503"] {
            families.hook_requests.with_label_values(&[hook.name.as_str(), status]);
        }
    }
    for (kind, named) in &shared.host.services().site.channels {
        for result in named.keys().flat_map(|name| ["delivered", "failed"].map(|result| (name, result))) {
            families.notifications.with_label_values(&[&format!("{kind}:{}", result.0), result.1]);
        }
    }
}

fn timers(shared: &Shared) {
    let (families, armed) = (shared.metrics.families(), shared.shelf.armed());
    let (mut missed, mut states) = (BTreeMap::<&str, u64>::new(), [("armed", 0), ("broken", 0), ("held_back", 0)]);
    shared.timetable.look(|table| {
        for one in armed.iter() {
            let held_back = table.watch(&one.timer.key).is_some_and(|seen| seen.held_back);
            states[if one.problem.is_some() { 1 } else { usize::from(held_back) * 2 }].1 += 1;
            if matches!(one.timer.timed, Timed::Schedule(..)) {
                let progress = table.schedule(&one.timer.key).map_or(0, |progress| progress.missed);
                *missed.entry(&one.timer.playbook).or_default() += progress;
            }
        }
    });
    for (state, count) in states {
        families.timers.with_label_values(&[state]).set(count);
    }
    for (playbook, ever) in missed {
        // The journal counts them for ever; a counter may only grow.
        let counter = families.missed_ticks.with_label_values(&[playbook]);
        counter.inc_by(ever.saturating_sub(counter.get()));
    }
}

/// What only the journal tells.
fn journal(shared: &Shared) -> Result<(), JournalError> {
    let (families, journal) = (shared.metrics.families(), shared.host.journal.as_ref());
    // As people set it: by the clock on the wall.
    let now = Clock::start().now();
    let standing = orders::standing(journal)?;
    families.frozen.set(i64::from(standing.freeze(now).is_some()));
    families.breakers.set(standing.open_breakers().count() as i64);
    let live: Vec<RunId> = shared.desk.look(|intake| intake.live().map(|(_, run, _)| run.clone()).collect());
    let mut asked = Vec::new();
    for run in live {
        asked.extend(open_questions(&journal.read(&run)?));
        for called in journal.run_ids(&format!("{run}/"), CALLED)? {
            asked.extend(open_questions(&journal.read(&called)?));
        }
    }
    families.approvals.set(asked.len() as i64);
    let oldest = asked.iter().min().map(|asked| shared.host.clock.now().since(*asked)).unwrap_or_default();
    families.approval_oldest.set(oldest.as_secs_f64());
    Ok(())
}

/// When each approval that has no answer yet was asked for.
fn open_questions(records: &[Record]) -> Vec<Timestamp> {
    let mut open = BTreeMap::new();
    for record in records {
        match &record.event {
            Event::ApprovalAsked { key, .. } => drop(open.insert(key.clone(), record.at)),
            // Nobody could be asked at once; the question stands.
            Event::ApprovalSettled { verdict: ApprovalVerdict::Parked, .. } => {}
            Event::ApprovalSettled { key, .. } => drop(open.remove(key)),
            Event::RunFinished { outcome, .. } if *outcome != Outcome::Parked => open.clear(),
            _ => {}
        }
    }
    open.into_values().collect()
}
