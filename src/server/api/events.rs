//! `GET /api/v1/runs/RUN/events`: the events of a run as they become durable (server-sent events, WHATWG HTML),
//! from the first one or after the one that `last-event-id` or `?after=` names.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::named;
use crate::base::RunId;
use crate::engine::event::Outcome;
use crate::engine::{Event, Record};
use crate::journal::Journal;
use crate::server::reply;
use crate::server::route::Call;

/// Proxies close what is silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// One who looks on.
struct Onlooker {
    run: RunId,
    journal: Arc<dyn Journal>,
    news: Receiver<Record>,
    /// Read and not sent yet, the next one last.
    ready: Vec<Record>,
    seen: u64,
    over: bool,
    stopping: CancellationToken,
    /// The right to look on ends when the site file does not give it any more.
    withdrawn: CancellationToken,
    _place: OwnedSemaphorePermit,
}

pub async fn stream(call: Call) -> Response {
    let Ok(place) = call.shared.streams.clone().try_acquire_owned() else {
        return reply::later("too many look on");
    };
    // Before the journal is read, so that nothing falls between the two.
    let news = call.shared.watch.subscribe();
    let found = match named(&call) {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    let again = call.headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    // A browser cannot choose the header when it begins.
    let seen = again.or_else(|| call.query.get("after")?.parse().ok()).unwrap_or(0);
    let mut onlooker = Onlooker {
        run: found.run,
        journal: call.shared.host.journal.clone(),
        news,
        ready: Vec::new(),
        seen,
        over: false,
        stopping: call.shared.stopping.clone(),
        withdrawn: call.who.withdrawn.clone(),
        _place: place,
    };
    onlooker.take(found.records);
    let events = stream::unfold(onlooker, |mut onlooker| async move {
        let record = onlooker.next().await?;
        let text = serde_json::to_string(&record).unwrap_or_default();
        Some((Ok::<_, Infallible>(Sent::default().id(record.seq.to_string()).data(text)), onlooker))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

impl Onlooker {
    fn take(&mut self, records: Vec<Record>) {
        let seen = self.seen;
        self.ready = records.into_iter().filter(|record| record.seq > seen).rev().collect();
    }

    /// The next event of the run; `None` after its end.
    async fn next(&mut self) -> Option<Record> {
        loop {
            if self.withdrawn.is_cancelled() {
                return None;
            }
            if let Some(record) = self.ready.pop() {
                self.seen = record.seq;
                self.over = matches!(&record.event, Event::RunFinished { outcome, .. } if *outcome != Outcome::Parked);
                return Some(record);
            }
            if self.over {
                return None;
            }
            let told = tokio::select! {
                told = self.news.recv() => told,
                () = self.stopping.cancelled() => return None,
                () = self.withdrawn.cancelled() => return None,
            };
            match told {
                Ok(record) if record.run == self.run && record.seq > self.seen => self.ready.push(record),
                Ok(_) => {}
                // What was missed is in the journal.
                Err(RecvError::Lagged(_)) => {
                    let records = self.journal.read(&self.run).ok()?;
                    self.take(records);
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
