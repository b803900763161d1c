//! Escalations of runs: writing down who is to be told, telling them, and writing down how that went. Any program on
//! the journal may do it, the server and the command line alike; whoever writes the intent sends, so nothing is
//! sent twice.

mod link;
mod observed;
mod wording;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::host::Host;
use super::messages;
use crate::base::{Clock, Redacted, RunId, Timestamp};
use crate::engine::escalation::{self, Cases, Fact, Follow, Input, Ladder, Level, STREAM, What, Words};
use crate::engine::{Event, Record};
use crate::journal::{Journal, JournalError};
use crate::site::Site;
pub use link::{BadLink, Links};
pub use observed::{ended_since, observe};

/// Other programs write too; so often two may meet at the same number.
const TRIES: usize = 8;

/// How often a run that people are kept informed about is looked at.
pub const GLANCE: Duration = Duration::from_secs(2);

fn stream() -> RunId {
    RunId::from(STREAM.to_owned())
}

/// What is known of all escalations.
pub fn cases(journal: &dyn Journal) -> Result<Cases, JournalError> {
    Ok(Cases::replay(&journal.read(&stream())?))
}

/// The wall clock as it is now: somebody may have set it since the program was started, and deadlines are those of
/// people.
pub fn now() -> Timestamp {
    Clock::start().now()
}

/// Whom a policy or contact of the site file tells, in which order; `None` when the site file has neither.
pub fn ladder(site: &Site, policy: &str, severity: &str) -> Option<Ladder> {
    let Some(known) = site.escalation.get(policy) else {
        let to = site.channels_of(policy);
        let level = Level { names: vec![policy.to_owned()], to, within_ms: None };
        return (!level.to.is_empty()).then(|| Ladder { levels: vec![level], ..Ladder::default() });
    };
    let path = known.path(severity);
    // A policy whose times make no sense is refused when the site file is read.
    let times = path.times().unwrap_or_else(|_| vec![None; path.levels.len()]);
    let reached = |names: &[String]| names.iter().flat_map(|name| site.channels_of(name)).collect::<BTreeSet<_>>();
    let levels = path.levels.iter().zip(times).map(|(level, time)| Level {
        names: level.tell.clone(),
        to: reached(&level.tell),
        within_ms: time.map(|seconds| (seconds * 1_000.0) as u64),
    });
    let ladder = Ladder { levels: levels.collect(), repeat: path.repeat, last: reached(&path.last) };
    if ladder.levels.is_empty() {
        tracing::warn!(policy, severity, "the policy has no levels for this severity, so nobody is told");
        return None;
    }
    Some(ladder)
}

/// What became of what was taken up.
#[derive(Debug)]
pub struct Taken {
    pub facts: Vec<Fact>,
    /// What is known now.
    pub cases: Cases,
    sends: Vec<JoinHandle<()>>,
}

impl Taken {
    /// Waits until everybody was told, or could not be.
    pub async fn told(self) {
        for send in self.sends {
            // One that panicked is in doubt, as after a crash.
            let _ = send.await;
        }
    }
}

impl Host {
    /// Writes down what follows from these, and begins to tell whoever is to be told.
    pub async fn escalations(self: &Arc<Self>, whats: Vec<What>) -> Result<Taken, JournalError> {
        let (facts, cases) = self.write_escalations(&whats).await?;
        let mut sends = Vec::new();
        for fact in &facts {
            if let Fact::Tell { case, notice, words, to, .. } = fact {
                let each =
                    to.iter().map(|channel| self.clone().send(case.clone(), *notice, words.clone(), channel.clone()));
                sends.extend(each.map(tokio::spawn));
            }
        }
        Ok(Taken { facts, cases, sends })
    }

    async fn write_escalations(&self, whats: &[What]) -> Result<(Vec<Fact>, Cases), JournalError> {
        let _turn = self.turns.escalations.lock().await;
        let mut tries = 0;
        loop {
            let mut cases = cases(self.journal.as_ref())?;
            let (first, at) = (cases.seq + 1, now());
            let inputs: Vec<Input> = whats.iter().map(|what| Input { at, what: what.clone() }).collect();
            let facts = escalation::advance(&mut cases, &inputs);
            if facts.is_empty() {
                return Ok((facts, cases));
            }
            let record =
                |(seq, fact): (u64, &Fact)| Record { run: stream(), seq, at, event: Event::Escalation(fact.clone()) };
            let records: Vec<Record> = (first..).zip(&facts).map(record).collect();
            tries += 1;
            match self.journal.append(&stream(), Redacted::of(records)?).await {
                Err(JournalError::Conflict { .. }) if tries < TRIES => {}
                done => return done.map(|()| (facts, cases)),
            }
        }
    }

    /// Sends one message whose intent is durable, and writes down how it went. Boxed, since what has fallen due
    /// meanwhile is written down with it, and is told by whoever wrote it.
    fn send(
        self: Arc<Self>,
        case: RunId,
        notice: u64,
        words: Words,
        channel: String,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let Some(told) = self.tell(case, notice, words, channel).await else { return };
            match self.escalations(vec![told]).await {
                Ok(taken) => taken.told().await,
                Err(error) => {
                    tracing::error!(%error, "how a message went cannot be written down; it counts as in doubt");
                }
            }
        })
    }

    async fn tell(&self, case: RunId, notice: u64, words: Words, channel: String) -> Option<What> {
        let (delivered, error, attempts, thread) = match wording::message(self, &case, notice, &words, &channel) {
            Err(error) => (None, Some(error.to_string()), 0, None),
            Ok((message, thread)) => match messages::deliver(self, &channel, message, thread.as_ref()).await {
                Event::NotificationSent { delivered, error, attempts, thread, .. } => {
                    (delivered, error, attempts, thread)
                }
                _ => return None,
            },
        };
        if let Some(error) = &error {
            tracing::warn!(%case, channel, "not told of the escalation: {error}");
        }
        Some(What::Told { case, notice, channel, delivered, error, attempts, thread })
    }

    /// Keeps people informed about a run until it is `over`, and tells its end.
    pub(super) async fn follow(self: Arc<Self>, run: RunId, updates: Follow, over: CancellationToken) {
        loop {
            let ends = over.is_cancelled();
            match self.look_at(&run, Some(&updates)).await {
                Ok(taken) if ends => return taken.told().await,
                Ok(_) => {}
                Err(error) => tracing::error!(%run, %error, "people cannot be kept informed"),
            }
            if ends {
                return;
            }
            tokio::select! {
                () = over.cancelled() => {}
                () = tokio::time::sleep(GLANCE) => {}
            }
        }
    }

    /// Takes up how a run stands.
    pub async fn look_at(self: &Arc<Self>, run: &RunId, updates: Option<&Follow>) -> Result<Taken, JournalError> {
        let whats = observe(self, run, updates)?;
        self.escalations(whats).await
    }
}
