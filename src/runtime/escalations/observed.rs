//! What the journal of a run says that people should be told about.

use super::ladder;
use crate::base::{RunId, Timestamp};
use crate::engine::RunState;
use crate::engine::escalation::{Case, End, Follow, Subject, What};
use crate::engine::event::{Event, Outcome, Record};
use crate::journal::{JournalError, RunFilter};
use crate::notify::{self, Facts, Occasion};
use crate::runtime::host::Host;
use crate::runtime::messages;

/// So many runs of a playbook are looked through for one that found the fault gone.
const LATER_RUNS: usize = 50;

/// What a run tells about itself; nothing for one that has not found anything yet. `updates` says whom it keeps
/// informed, which only whoever has its playbook knows.
pub fn observe(host: &Host, run: &RunId, updates: Option<&Follow>) -> Result<Vec<What>, JournalError> {
    let records = host.journal.read(run)?;
    let (Ok(state), Some(last)) = (RunState::replay(&records), records.last()) else { return Ok(Vec::new()) };
    let Some(facts) = messages::facts(Occasion::StatusUpdate, last, &state) else { return Ok(Vec::new()) };
    let subject = subject(&facts);
    let mut whats = Vec::new();
    if let Some(updates) = updates.filter(|_| found(&records)) {
        whats.push(What::Follow { case: run.clone(), subject: subject.clone(), updates: updates.clone() });
    }
    if let Some((since, policy, why)) = raised(&records)
        && let Some(ladder) = ladder(&host.services().site, policy, &subject.severity)
    {
        let (policy, why) = (policy.to_owned(), why.to_owned());
        whats.push(What::Raise { case: run.clone(), since, subject, policy, why, ladder });
    }
    let facts = Facts { outcome: state.finished.map(|outcome| outcome.label().to_owned()), ..facts };
    whats.push(What::Seen { case: run.clone(), status: facts.status().to_owned(), end: end(&records) });
    Ok(whats)
}

fn subject(facts: &Facts) -> Subject {
    Subject {
        playbook: facts.playbook.clone(),
        title: facts.title.clone(),
        incident: notify::dedup_key(facts),
        severity: facts.severity.clone(),
    }
}

fn found(records: &[Record]) -> bool {
    let found = |event: &Event| matches!(event, Event::DetectionSettled { recheck: false, holds: Some(true), .. });
    records.iter().any(|record| found(&record.event))
}

fn raised(records: &[Record]) -> Option<(Timestamp, &str, &str)> {
    records.iter().find_map(|record| match &record.event {
        Event::EscalationRaised { policy, why } => Some((record.at, policy.as_str(), why.as_str())),
        _ => None,
    })
}

/// How a run ended; `None` while it goes on or waits for a person.
fn end(records: &[Record]) -> Option<End> {
    let last = records.iter().rev().find_map(|record| match &record.event {
        Event::RunFinished { outcome, why, .. } => Some(Some((*outcome, why.clone()))),
        Event::Resumed { .. } => Some(None),
        _ => None,
    });
    let (outcome, why) = last.flatten().filter(|(outcome, _)| *outcome != Outcome::Parked)?;
    let run = &records.first()?.run;
    let told = records.iter().filter_map(|record| match &record.event {
        Event::NotificationSent { on, channel, delivered: Some(_), .. } if on == "resolved" => Some(channel.clone()),
        _ => None,
    });
    let why = format!("run {run} ended {outcome}: {why}");
    Some(End { why, gone: is_gone(outcome), told: told.collect() })
}

fn is_gone(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Resolved | Outcome::Healthy | Outcome::Mitigated)
}

/// The end of a later run of the same playbook and inputs that found the fault gone.
pub fn ended_since(host: &Host, case: &Case) -> Result<Option<What>, JournalError> {
    let since = case.climb.as_ref().map_or(Timestamp::default(), |climb| climb.raised_at);
    let playbook = Some(case.subject.playbook.clone());
    let runs = host.journal.runs(&RunFilter { limit: LATER_RUNS, playbook, children: true, ..RunFilter::default() })?;
    let later = runs.into_iter().filter(|run| {
        run.run != case.run
            && run.outcome.is_some_and(is_gone)
            && run.finished_at.is_some_and(|finished| finished > since)
    });
    for run in later {
        let records = host.journal.read(&run.run)?;
        let (Ok(state), Some(last)) = (RunState::replay(&records), records.last()) else { continue };
        let same = messages::facts(Occasion::Resolved, last, &state)
            .is_some_and(|facts| notify::dedup_key(&facts) == case.subject.incident);
        if let Some(end) = end(&records).filter(|_| same) {
            return Ok(Some(What::Seen { case: case.run.clone(), status: "Resolved".into(), end: Some(end) }));
        }
    }
    Ok(None)
}
