//! The thread that writes: takes everything that waits, writes it as one transaction, answers all.
//!
//! While one group is being synced to the disk the next one gathers in the queue, so that many runs
//! share one sync and a single run waits for exactly one.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::pending::writer_gone;
use super::store::{Answers, Batch};
use super::{Group, JournalError, Observer, Pending};
use crate::base::Clock;

/// Appends that may wait. A run rarely has more than one on its way, so a full queue means that the
/// disk hangs while thousands of runs go on; they are held back then.
const QUEUE: usize = 4096;

/// Appends in one transaction: enough that syncing costs next to nothing for each, few enough that
/// the first of them is not kept waiting.
const GROUP: usize = 512;

type Answer = Result<(), JournalError>;

struct Job {
    batch: Batch,
    /// Runs since it was handed over.
    clock: Clock,
    done: oneshot::Sender<Answer>,
}

/// A group that was not written, and whether the disk may now hold something else than was said.
pub(super) struct Failure {
    pub error: JournalError,
    pub in_doubt: bool,
}

/// The queue's end that is held by the journal. Dropping it writes what is queued and ends the thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// `observer` and `write` are called on the new thread only.
    pub fn start(
        observer: Option<Arc<dyn Observer>>,
        write: impl FnMut(Vec<Batch>) -> Result<Answers, Failure> + Send + 'static,
    ) -> Result<Self, std::io::Error> {
        let (queue, jobs) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || work(&jobs, observer.as_deref(), write))?;
        Ok(Writer { queue: Some(queue), thread: Some(thread) })
    }

    /// What adds to the queue; held apart so that nobody else waits while the queue is full.
    pub fn entrance(&self) -> Option<Entrance> {
        self.queue.clone().map(Entrance)
    }
}

pub(super) struct Entrance(SyncSender<Job>);

impl Entrance {
    pub fn add(self, batch: Batch) -> Pending {
        let (done, answer) = oneshot::channel();
        match self.0.send(Job { batch, clock: Clock::start(), done }) {
            Ok(()) => Pending::waiting(answer),
            Err(_) => Pending::known(Err(writer_gone())),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was answered to whoever waited; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

fn work(
    jobs: &Receiver<Job>,
    observer: Option<&dyn Observer>,
    mut write: impl FnMut(Vec<Batch>) -> Result<Answers, Failure>,
) {
    let mut stopped: Option<JournalError> = None;
    while let Ok(first) = jobs.recv() {
        let group = std::iter::once(first).chain(jobs.try_iter().take(GROUP - 1));
        let (batches, waiting): (Vec<Batch>, Vec<(Clock, oneshot::Sender<Answer>)>) =
            group.map(|job| (job.batch, (job.clock, job.done))).unzip();
        let clock = stopped.is_none().then(Clock::start);
        // After a failed sync the pages may be marked clean although they never reached the disk, so
        // a second try would succeed without having written anything.
        let outcome = match &stopped {
            Some(error) => Err(error.clone()),
            None => write(batches).map_err(|failure| {
                if failure.in_doubt {
                    stopped = Some(JournalError::Stopped { cause: with_sources(&failure.error) });
                }
                failure.error
            }),
        };
        if let Some(observer) = observer {
            let waited: Vec<Duration> = waiting.iter().map(|(clock, _)| clock.elapsed()).collect();
            let took = clock.map(|clock| clock.elapsed());
            observer.wrote(&Group { waited: &waited, took, durable: outcome.is_ok() });
        }
        answer(waiting, outcome);
    }
}

fn answer(waiting: Vec<(Clock, oneshot::Sender<Answer>)>, outcome: Result<Answers, JournalError>) {
    let answers = outcome.unwrap_or_else(|error| vec![Err(error); waiting.len()]);
    for ((_, done), answer) in waiting.into_iter().zip(answers) {
        // Whoever asked may have been dropped meanwhile; the append stands all the same.
        let _ = done.send(answer);
    }
}

fn with_sources(error: &JournalError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};

    use super::*;

    fn batch() -> Batch {
        Batch { run: "one".into(), contents: Vec::new(), seal: false, probe: false }
    }

    fn disk_error() -> JournalError {
        let cause = std::io::Error::other("the disk is on fire");
        JournalError::of_io(std::path::Path::new("journal.db"), "write", cause)
    }

    fn add(writer: &Writer) -> Pending {
        writer.entrance().unwrap().add(batch())
    }

    #[test]
    fn after_a_failed_sync_nothing_is_written_any_more() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        // Were it asked again, this disk would claim success, as real ones do.
        let writer = Writer::start(None, move |batches| match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Failure { error: disk_error(), in_doubt: true }),
            _ => Ok(batches.iter().map(|_| Ok(())).collect()),
        })
        .unwrap();
        assert!(matches!(add(&writer).wait(), Err(JournalError::Io { .. })));
        for _ in 0..3 {
            let stopped = add(&writer).wait().unwrap_err();
            let JournalError::Stopped { cause } = &stopped else { panic!("{stopped}") };
            assert_eq!(cause, "cannot write the journal journal.db: the disk is on fire");
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_failure_that_leaves_no_doubt_is_tried_again() {
        let mut calls = 0;
        let writer = Writer::start(None, move |batches| {
            calls += 1;
            if calls == 1 {
                return Err(Failure { error: JournalError::DiskFull { path: "journal.db".into() }, in_doubt: false });
            }
            Ok(batches.iter().map(|_| Ok(())).collect())
        })
        .unwrap();
        assert!(matches!(add(&writer).wait(), Err(JournalError::DiskFull { .. })));
        assert!(add(&writer).wait().is_ok());
    }

    #[test]
    fn what_waits_is_written_together_and_everyone_is_answered() {
        let (gate, sizes) = (Arc::new(Barrier::new(2)), Arc::new(std::sync::Mutex::new(Vec::new())));
        let (held, seen) = (Arc::clone(&gate), Arc::clone(&sizes));
        let writer = Writer::start(None, move |batches| {
            let first = seen.lock().unwrap().is_empty();
            seen.lock().unwrap().push(batches.len());
            if first {
                held.wait();
                held.wait();
            }
            Err(Failure { error: JournalError::DiskFull { path: "journal.db".into() }, in_doubt: false })
        })
        .unwrap();
        let first = add(&writer);
        gate.wait();
        let rest: Vec<Pending> = (0..10).map(|_| add(&writer)).collect();
        gate.wait();
        for pending in std::iter::once(first).chain(rest) {
            assert!(matches!(pending.wait(), Err(JournalError::DiskFull { .. })));
        }
        assert_eq!(*sizes.lock().unwrap(), [1, 10]);
    }

    #[test]
    fn a_writer_that_died_is_an_error_and_not_a_hang() {
        let writer = Writer::start(None, |_| panic!("bug")).unwrap();
        assert!(matches!(add(&writer).wait(), Err(JournalError::Stopped { .. })));
        assert!(matches!(add(&writer).wait(), Err(JournalError::Stopped { .. })));
    }

    #[test]
    fn dropping_the_writer_writes_what_is_queued() {
        let written = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&written);
        let writer = Writer::start(None, move |batches| {
            counted.fetch_add(batches.len(), Ordering::SeqCst);
            Ok(batches.iter().map(|_| Ok(())).collect())
        })
        .unwrap();
        (0..1000).for_each(|_| drop(add(&writer)));
        drop(writer);
        assert_eq!(written.load(Ordering::SeqCst), 1000);
    }
}
