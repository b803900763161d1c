//! The keeper of escalations: takes up what runs of this journal raise, whoever ran them, tells the next level when
//! its time has come, and closes what is over. All it knows is in the journal, so it goes on where a killed one was.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::base::RunId;
use crate::engine::escalation::{Cases, What};
use crate::journal::JournalError;
use crate::runtime::Host;
use crate::runtime::escalations::{self, GLANCE, ended_since, now, observe};

/// What escalated longer ago while no server was there is told by people, not by a server that comes back.
const HISTORY: Duration = Duration::from_secs(86_400);

/// Entries that are looked at in one turn; the rest waits for the next one.
const TOGETHER: u64 = 10_000;

pub(super) struct Keeper {
    host: Arc<Host>,
    /// The last entry of the journal that was looked at.
    seen: u64,
    /// The first turn looks at every open case.
    begins: bool,
}

/// What new entries of the journal say.
#[derive(Default)]
struct News {
    raised: BTreeSet<RunId>,
    moved: BTreeSet<RunId>,
    /// Whether a run has ended.
    ended: bool,
}

impl Keeper {
    pub(super) fn new(host: Arc<Host>) -> Self {
        Keeper { host, seen: 0, begins: true }
    }

    pub(super) async fn run(mut self, stopping: CancellationToken) {
        let mut wait = Duration::ZERO;
        while !stopping.is_cancelled() {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = match self.turn().await {
                Ok(cases) => cases.next_wake().map_or(GLANCE, |due| due.since(now())).min(GLANCE),
                Err(error) => {
                    tracing::error!(%error, "escalations wait until the journal can be used");
                    GLANCE
                }
            };
        }
    }

    /// Takes up what is new and what is due.
    async fn turn(&mut self) -> Result<Cases, JournalError> {
        if self.begins {
            // The stream begins before anything is looked at: what escalated before is history.
            self.host.escalations(vec![What::Proceed]).await?;
            self.seen = self.first_of_the_day()?;
        }
        let news = self.news()?;
        let cases = escalations::cases(self.host.journal.as_ref())?;
        let mut whats = Vec::new();
        for run in &news.raised {
            whats.extend(observe(&self.host, run, None)?);
        }
        for case in cases.open_cases() {
            if self.begins || news.moved.contains(&case.run) {
                whats.extend(observe(&self.host, &case.run, None)?);
            }
            if case.climb.is_some() && (self.begins || news.ended) {
                whats.extend(ended_since(&self.host, case)?);
            }
        }
        self.begins = false;
        if whats.is_empty() && cases.next_wake().is_none_or(|due| due > now()) {
            return Ok(cases);
        }
        whats.push(What::Proceed);
        Ok(self.host.escalations(whats).await?.cases)
    }

    fn news(&mut self) -> Result<News, JournalError> {
        let (mut news, head) = (News::default(), self.host.journal.head()?.count);
        let Some(proofs) = self.host.journal.proofs() else { return Ok(news) };
        let last = head.min(self.seen.saturating_add(TOGETHER));
        for number in self.seen + 1..=last {
            let Some(entry) = proofs.entry(number)? else { continue };
            let run = RunId::from(entry.content.run);
            match entry.content.kind.as_str() {
                "escalation_raised" => drop(news.raised.insert(run.clone())),
                "run_finished" => news.ended = true,
                _ => {}
            }
            news.moved.insert(run);
        }
        self.seen = last;
        Ok(news)
    }

    /// The number of the last entry before a day ago, found without reading all of them.
    fn first_of_the_day(&self) -> Result<u64, JournalError> {
        let since = now().0 - i64::try_from(HISTORY.as_millis()).unwrap_or(i64::MAX);
        let Some(proofs) = self.host.journal.proofs() else { return Ok(0) };
        let (mut before, mut after) = (0, self.host.journal.head()?.count + 1);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            match proofs.entry(middle)? {
                Some(entry) if entry.content.at < since => before = middle,
                _ => after = middle,
            }
        }
        Ok(before)
    }
}
