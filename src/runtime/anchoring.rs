//! Carries signed checkpoints to the anchors while runs go on: before a remediation if an anchor is
//! required, else beside it; on a timer, and at the end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::anchor::{self, AnchorEntry, AnchorError, History, Offer};
use crate::audit::{Checkpoint, Hash};
use crate::engine::Record;
use crate::journal::{Journal, JournalError};
use crate::kind::Services;

/// One try; an anchor on the network that takes longer is as good as gone.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// How often a remediation asks a required anchor, and how long it waits between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// How soon an anchor that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The journal and its anchors.
pub(super) struct Anchoring {
    journal: Arc<dyn Journal>,
    anchors: Vec<Held>,
    every: Duration,
    /// For its HTTP client, which is made when it is first needed.
    services: Arc<Services>,
    changed: Notify,
}

/// An anchor of the site file.
struct Held {
    entry: &'static AnchorEntry,
    config: Value,
    required: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The size of the last checkpoint that this program brought there.
    size: u64,
    failure: Option<AnchorError>,
}

impl Held {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing is left half-done in it by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a failure once, and its end.
    fn note(&self, size: u64, result: Result<(), AnchorError>) {
        let mut state = self.state();
        let name = self.entry.name;
        match &result {
            Ok(()) if state.failure.is_some() => tracing::warn!("the {name} anchor works again"),
            Err(error) if state.failure.as_ref() != Some(error) && error.contradicts => {
                tracing::error!(
                    "the {name} anchor refuses the audit trail: {error}; check it with `runbook audit verify`"
                );
            }
            Err(error) if state.failure.as_ref() != Some(error) => {
                tracing::warn!("the {name} anchor did not take a checkpoint: {error}; it is tried again");
            }
            _ => {}
        }
        if result.is_ok() {
            state.size = state.size.max(size);
        }
        state.failure = result.err();
    }
}

/// Stops the work beside a run when the run ends in whatever way.
pub(super) struct Beside(AbortHandle);

impl Drop for Beside {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Anchoring {
    pub fn new(journal: Arc<dyn Journal>, services: Arc<Services>) -> Arc<Self> {
        let held = |setting: &crate::site::AnchorSetting| {
            let (name, config) = setting.anchor.iter().next()?;
            // The site file was checked against the registry when it was read.
            let entry = anchor::find(name)?;
            Some(Held { entry, config: config.clone(), required: setting.required, state: Mutex::default() })
        };
        let settings = &services.site.audit;
        let anchors = settings.anchors.iter().filter_map(held).collect();
        let every = Duration::try_from_secs_f64(settings.every).unwrap_or(Duration::from_secs(60));
        Arc::new(Anchoring { journal, anchors, every, services, changed: Notify::new() })
    }

    /// Signs and anchors while a run goes on, until the result is dropped.
    pub fn beside(self: &Arc<Self>) -> Option<Beside> {
        self.journal.proofs()?;
        let this = self.clone();
        Some(Beside(tokio::spawn(async move { this.work().await }).abort_handle()))
    }

    async fn work(&self) {
        loop {
            let failing = self.anchors.iter().any(|anchor| anchor.state().failure.is_some());
            let wait = if failing { RETRY.min(self.every) } else { self.every };
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(wait) => {
                    // The next event of a run meets the same failure and tells it.
                    drop(self.journal.checkpoint().await);
                }
            }
            self.offer(|_| true).await;
        }
    }

    /// Called when `records` are durable, before their effects start: the reason why none may start.
    pub async fn before_effects(&self, records: &[Record]) -> Result<(), String> {
        if !records.iter().any(|record| record.event.is_remediation_intent()) {
            return Ok(());
        }
        self.changed.notify_one();
        for attempt in 1..=TRIES {
            self.offer(|anchor| anchor.required).await;
            let failing = self.anchors.iter().filter(|anchor| anchor.required);
            let failure = failing.filter_map(|held| Some((held.entry.name, held.state().failure.clone()?))).next();
            match failure {
                None => return Ok(()),
                Some((name, error)) if attempt == TRIES || error.contradicts => {
                    return Err(format!("the {name} anchor, which is required, did not take the checkpoint: {error}"));
                }
                Some(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        Ok(())
    }

    /// Signs what came last and gives every anchor a last chance.
    pub async fn finish(&self) -> Result<(), JournalError> {
        if self.journal.proofs().is_some() {
            self.journal.checkpoint().await?;
            self.offer(|_| true).await;
        }
        Ok(())
    }

    /// Offers the newest checkpoint to the anchors that do not have it.
    async fn offer(&self, wanted: impl Fn(&Held) -> bool) {
        let Some(offer) = self.newest() else { return };
        let size = offer.checkpoint.size;
        let missing = self.anchors.iter().filter(|anchor| wanted(anchor) && anchor.state().size < size);
        join_all(missing.map(|held| async {
            let kept = tokio::time::timeout(TIME_LIMIT, (held.entry.keep)(held.config.clone(), offer.clone())).await;
            let late = || AnchorError::failed(format!("it takes longer than {} s", TIME_LIMIT.as_secs()));
            held.note(size, kept.unwrap_or_else(|_| Err(late())));
        }))
        .await;
    }

    fn newest(&self) -> Option<Offer> {
        if self.anchors.is_empty() {
            return None;
        }
        let note = match self.journal.proofs()?.newest_checkpoint() {
            Ok(note) => note?,
            Err(error) => {
                tracing::warn!("the newest checkpoint cannot be read: {error}");
                return None;
            }
        };
        let checkpoint = Checkpoint::parse(&note.text).ok()?;
        let history = Arc::new(JournalHistory(self.journal.clone()));
        Some(Offer { checkpoint, note, history, http: self.services.http().clone() })
    }
}

struct JournalHistory(Arc<dyn Journal>);

impl History for JournalHistory {
    fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, String> {
        let proofs = self.0.proofs().ok_or("this journal keeps no tree")?;
        proofs.consistency(old, new).map_err(|error| error.to_string())
    }
}
