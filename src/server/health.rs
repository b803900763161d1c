//! Whether the server does what it is for: the journal can be written, the scheduler ticks, the queue moves. What is
//! said here was tried, not assumed, and each part that fails says since when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Mutex;

use super::Shared;
use crate::base::{Clock, Timestamp};
use crate::journal::{Journal, JournalError, Pending};

/// A loop that has not come round for this long is stuck: each comes round every five seconds when there is nothing
/// to do, and what it waits for (the disk) answers in less on any machine that is not about to fail.
const STUCK: Duration = Duration::from_secs(20);

/// How long the last try of the journal stands for the next ones, so that whoever asks often costs no disk.
const FRESH: Duration = Duration::from_secs(5);

/// A disk that needs longer for one small write is of no use to anybody who waits for a run.
const PROBE_TIME: Duration = Duration::from_secs(5);

/// Tells that a loop has come round.
#[derive(Debug, Clone)]
pub(super) struct Beat {
    clock: Clock,
    /// Milliseconds of the clock.
    at: Arc<AtomicU64>,
}

impl Beat {
    fn new(clock: Clock) -> Self {
        let now = clock.elapsed().as_millis() as u64;
        Beat { clock, at: Arc::new(AtomicU64::new(now)) }
    }

    pub(super) fn strike(&self) {
        self.at.store(self.clock.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// What is wrong when it has been silent for too long.
    fn trouble(&self, why: &'static str) -> Option<Trouble> {
        let silent = self.clock.elapsed().saturating_sub(Duration::from_millis(self.at.load(Ordering::Relaxed)));
        (silent > STUCK).then(|| Trouble { since: Timestamp(self.clock.now().0 - silent.as_millis() as i64), why })
    }
}

/// What is wrong with a part, and since when.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Trouble {
    pub since: Timestamp,
    pub why: &'static str,
}

/// How all parts are.
#[derive(Debug)]
pub(super) struct Report(BTreeMap<&'static str, Option<Trouble>>);

impl Report {
    /// Each part, with what is wrong.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, Option<&Trouble>)> {
        self.0.iter().map(|(part, trouble)| (*part, trouble.as_ref()))
    }

    pub(super) fn is_good(&self) -> bool {
        self.0.values().all(Option::is_none)
    }
}

/// What is known of the journal.
#[derive(Debug, Default)]
struct Tried {
    /// When it was last known whether it can be written.
    at: Option<Duration>,
    trouble: Option<Trouble>,
    /// A try that the disk has not answered yet; another one would only wait behind it.
    open: Option<Pending>,
}

pub(super) struct Health {
    clock: Clock,
    tried: Mutex<Tried>,
    pub(super) desk: Beat,
    pub(super) scheduler: Beat,
}

impl Health {
    pub(super) fn new(clock: Clock) -> Self {
        Health { clock, tried: Mutex::default(), desk: Beat::new(clock), scheduler: Beat::new(clock) }
    }

    /// When the server started.
    pub(super) fn started(&self) -> Timestamp {
        Timestamp(self.clock.now().0 - self.clock.elapsed().as_millis() as i64)
    }

    /// Tries what has to be tried. Takes as long as one write to the disk, and never longer than its time.
    pub(super) async fn look(&self, shared: &Shared) -> Report {
        let journal = self.journal(shared.host.journal.as_ref()).await;
        // A server that stops starts nothing by itself any more, as it should.
        let scheduler = Some(&self.scheduler).filter(|_| !shared.stopping.is_cancelled());
        let scheduler = scheduler.and_then(|beat| beat.trouble("schedules and watches have not been looked at"));
        Report(BTreeMap::from([
            ("journal", journal),
            ("scheduler", scheduler),
            ("queue", self.desk.trouble("what came in has not been taken up")),
        ]))
    }

    async fn journal(&self, journal: &dyn Journal) -> Option<Trouble> {
        // Whoever asks at the same time waits for the same answer.
        let mut tried = self.tried.lock().await;
        let now = self.clock.elapsed();
        if tried.at.is_some_and(|at| now.saturating_sub(at) < FRESH) {
            return tried.trouble.clone();
        }
        let mut probe = tried.open.take().unwrap_or_else(|| journal.probe());
        let why = match tokio::time::timeout(PROBE_TIME, &mut probe).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(said(&error)),
            Err(_) => {
                tried.open = Some(probe);
                Some("the disk does not answer")
            }
        };
        let since = tried.trouble.as_ref().map_or_else(|| self.clock.now(), |trouble| trouble.since);
        tried.trouble = why.map(|why| Trouble { since, why });
        tried.at = Some(self.clock.elapsed());
        tried.trouble.clone()
    }
}

/// In words that tell strangers nothing of this machine; the log has all of it.
fn said(error: &JournalError) -> &'static str {
    tracing::error!(%error, "the journal cannot be written");
    match error {
        JournalError::DiskFull { .. } => "the disk is full",
        _ => "it cannot be written",
    }
}
