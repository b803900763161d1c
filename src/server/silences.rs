//! Keeps Alertmanagers quiet about alerts for as long as their runs work on them, where the site allows it.
//!
//! It compares what should be silenced, by the journals of the live runs, with what it has silenced, and mends the
//! difference: when something happens, every now and then, and at the start. A crash in between is so no special case.
//! A silence ends by itself soon after it is no longer prolonged.

mod peer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::peer::{Labels, Peer, PeerError};
use super::desk::Desk;
use super::watch::Watch;
use crate::base::{Clock, Redacted, RunId, Timestamp};
use crate::engine::silence::{Open, STREAM, Silence, Silences};
use crate::engine::{Event, Record};
use crate::journal::JournalError;
use crate::runtime::Host;

/// How long a silence lasts unless it is prolonged: what people do not hear for at most, when this program is gone.
const LENGTH: Duration = Duration::from_secs(300);
/// It is prolonged when less than this is left, so that a few tries may fail.
const LEFT: Duration = Duration::from_secs(150);
/// How often it looks besides.
const EVERY: Duration = Duration::from_secs(20);

/// A run that works on an alert.
struct Wanted {
    alertmanager: String,
    labels: Labels,
}

pub(super) struct Keeper {
    host: Arc<Host>,
    desk: Desk,
    watch: Watch,
    silences: Silences,
    /// Runs whose alert cannot be silenced alone.
    refused: BTreeSet<RunId>,
}

fn stream() -> RunId {
    RunId::from(STREAM.to_owned())
}

impl Keeper {
    pub(super) fn open(host: Arc<Host>, desk: Desk, watch: Watch) -> Result<Self, JournalError> {
        let silences = Silences::replay(&host.journal.read(&stream())?);
        Ok(Keeper { host, desk, watch, silences, refused: BTreeSet::new() })
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut events = self.watch.subscribe();
        loop {
            // A journal that cannot be written is told by everything else, too; it is tried again.
            if let Err(error) = self.mend().await {
                tracing::warn!(%error, "what is silenced is not known");
            }
            if stop.is_cancelled() {
                return;
            }
            tokio::select! {
                () = concerns(&mut events) => {}
                () = tokio::time::sleep(EVERY) => {}
                // Once more: runs have come to their end.
                () = stop.cancelled() => {}
            }
        }
    }

    async fn mend(&mut self) -> Result<(), JournalError> {
        let wanted = self.wanted()?;
        let gone: Vec<RunId> = self.silences.open.keys().filter(|run| !wanted.contains_key(*run)).cloned().collect();
        for run in gone {
            self.lift(&run).await?;
        }
        for (run, wanted) in wanted {
            self.keep(&run, wanted).await?;
        }
        Ok(())
    }

    /// The live runs that have begun to change something, and go on.
    fn wanted(&self) -> Result<BTreeMap<RunId, Wanted>, JournalError> {
        let site = &self.host.services().site;
        let live: Vec<(RunId, Wanted)> = self.desk.look(|intake| {
            let live = intake.live().filter(|(_, _, demand)| {
                site.alertmanagers.get(&demand.source).is_some_and(|alertmanager| alertmanager.silence)
            });
            let wanted = |(_, run, demand): (u64, &RunId, &crate::engine::intake::Demand)| {
                (run.clone(), Wanted { alertmanager: demand.source.clone(), labels: demand.labels.clone() })
            };
            live.map(wanted).collect()
        });
        let mut wanted = BTreeMap::new();
        for (run, one) in live {
            if works(&self.host.journal.read(&run)?) {
                wanted.insert(run, one);
            }
        }
        Ok(wanted)
    }

    /// Makes sure that the alert of a run is silenced for a while.
    async fn keep(&mut self, run: &RunId, wanted: Wanted) -> Result<(), JournalError> {
        // As the clocks are now: another machine reads these times.
        let now = Clock::start().now();
        let placed = self.silences.open.get(run).and_then(|open| open.placed.clone());
        let lasts = placed.as_ref().is_some_and(|(_, until)| until.since(now) > LEFT);
        if lasts || self.refused.contains(run) {
            return Ok(());
        }
        if !says_something(&wanted.labels) {
            // A silence without labels would be one for everything.
            return self.refuse(run, "the alert has no labels").await;
        }
        let host = self.host.clone();
        let services = host.services();
        let Some(settings) = services.site.alertmanagers.get(&wanted.alertmanager) else { return Ok(()) };
        let peer = Peer { host: &host, settings };
        match peer.would_hide_others(&wanted.labels).await {
            Ok(false) => {}
            Ok(true) => return self.refuse(run, "a silence would hide other alerts that have the same labels").await,
            Err(error) => {
                complain(run, &wanted.alertmanager, &error);
                return Ok(());
            }
        }
        if !self.silences.open.contains_key(run) {
            let (alertmanager, labels) = (wanted.alertmanager.clone(), wanted.labels.clone());
            self.write(Silence::Asked { run: run.clone(), alertmanager, labels }).await?;
        }
        let until = now.plus(LENGTH);
        // Past also by a clock that is behind this one: it counts at once.
        let from = now.minus(LENGTH);
        match place(&peer, run, &wanted.labels, placed.map(|(id, _)| id), from, until).await {
            Ok(id) => self.write(Silence::Placed { run: run.clone(), id, until }).await,
            Err(error) => {
                complain(run, &wanted.alertmanager, &error);
                Ok(())
            }
        }
    }

    async fn refuse(&mut self, run: &RunId, why: &str) -> Result<(), JournalError> {
        self.refused.insert(run.clone());
        tracing::warn!(%run, "its alert is not silenced: {why}");
        if self.silences.open.contains_key(run) {
            return self.lift(run).await;
        }
        self.write(Silence::Lifted { run: run.clone(), why: format!("never placed: {why}") }).await
    }

    async fn lift(&mut self, run: &RunId) -> Result<(), JournalError> {
        let Some(Open { alertmanager, placed, .. }) = self.silences.open.get(run).cloned() else { return Ok(()) };
        let host = self.host.clone();
        let why = match host.services().site.alertmanagers.get(&alertmanager) {
            // It ends by itself.
            None => format!("the site file has no `alertmanagers: {alertmanager}` any more"),
            Some(settings) => match lift(&Peer { host: &host, settings }, run, placed).await {
                Ok(()) => "the run no longer works on it".to_owned(),
                Err(error) => {
                    complain(run, &alertmanager, &error);
                    return Ok(());
                }
            },
        };
        self.write(Silence::Lifted { run: run.clone(), why }).await
    }

    async fn write(&mut self, fact: Silence) -> Result<(), JournalError> {
        let seq = self.silences.seq + 1;
        let record = Record { run: stream(), seq, at: self.host.clock.now(), event: Event::Silence(fact.clone()) };
        self.host.journal.append(&stream(), Redacted::of(vec![record])?).await?;
        self.silences.seq = seq;
        self.silences.apply(&fact);
        Ok(())
    }
}

/// Places a silence or prolongs it. One whose name was not written down in time is found by its comment.
async fn place(
    peer: &Peer<'_>,
    run: &RunId,
    labels: &Labels,
    known: Option<String>,
    from: Timestamp,
    until: Timestamp,
) -> Result<String, PeerError> {
    let known = match known {
        Some(id) => Some(id),
        None => peer.of_run(run).await?.into_iter().next(),
    };
    peer.place(run, labels, known.as_deref(), from, until).await
}

async fn lift(peer: &Peer<'_>, run: &RunId, placed: Option<(String, Timestamp)>) -> Result<(), PeerError> {
    let mut ids = peer.of_run(run).await?;
    ids.extend(placed.map(|(id, _)| id).filter(|id| !ids.contains(id)));
    for id in ids {
        peer.lift(&id).await?;
    }
    Ok(())
}

/// Whether labels tell an alert from others: a label without a value is as good as none.
fn says_something(labels: &Labels) -> bool {
    labels.values().any(|value| !value.is_empty())
}

fn complain(run: &RunId, alertmanager: &str, error: &PeerError) {
    tracing::warn!(%run, "the Alertmanager {alertmanager} was not told: {error}; it is tried again");
}

/// Whether a run has begun to change something and goes on. One that waits for a person does not: the alert has to be
/// heard then.
fn works(records: &[Record]) -> bool {
    let mut works = false;
    for record in records {
        match &record.event {
            event if event.is_remediation_intent() => works = true,
            Event::RunFinished { .. } => works = false,
            _ => {}
        }
    }
    works
}

/// Until something happens that may change what is to be silenced.
async fn concerns(events: &mut tokio::sync::broadcast::Receiver<Record>) {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        match events.recv().await {
            Ok(record) if record.event.is_remediation_intent() => return,
            Ok(Record { event: Event::RunFinished { .. }, .. }) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            // Nobody tells any more; what is left is to look every now and then.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_every_alert_has_silence_nothing() {
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert!(!says_something(&labels(&[])));
        assert!(!says_something(&labels(&[("alertname", ""), ("target", "")])));
        assert!(says_something(&labels(&[("alertname", "Broken"), ("target", "")])));
    }
}
