//! Work that blocks, such as reading files, kept off the async threads and ended with its attempt.

use tokio_util::sync::CancellationToken;

use crate::kind::{Context, StepError};

/// Asked by long work between two pieces of it.
pub(super) struct Stop(CancellationToken);

impl Stop {
    /// An error once the attempt is over, so that `?` ends the work.
    pub(super) fn check(&self) -> Result<(), StepError> {
        if self.0.is_cancelled() { Err(stopped()) } else { Ok(()) }
    }

    #[cfg(test)]
    pub(super) fn never() -> Self {
        Stop(CancellationToken::new())
    }
}

fn stopped() -> StepError {
    StepError::new("stopped before it was finished")
}

/// Runs `work` on a thread that may block.
///
/// A thread cannot be ended from outside: when the attempt is cancelled or this future is dropped,
/// `work` learns it from [`Stop::check`]. A thread that hangs in the kernel, on a dead network mount
/// for example, does not hold the attempt up.
pub(super) async fn run_blocking<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&Stop) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let token = context.cancel.child_token();
    let stop = Stop(token.clone());
    let _stop_when_dropped = token.drop_guard();
    tokio::select! {
        ended = tokio::task::spawn_blocking(move || work(&stop)) => match ended {
            Ok(result) => result,
            Err(error) => Err(StepError::because("bug: the probe did not come to its end", &error)),
        },
        () = context.cancelled() => Err(stopped()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn dropping_the_future_ends_the_work() {
        let context = Context::for_tests();
        let (started, wait_for_start) = mpsc::channel();
        let (ended, wait_for_end) = mpsc::channel();
        let work = run_blocking(&context, move |stop| {
            started.send(()).unwrap();
            while stop.check().is_ok() {
                std::thread::yield_now();
            }
            ended.send(()).unwrap();
            Ok(())
        });
        {
            tokio::pin!(work);
            // One poll starts the thread; the block's end drops the future.
            assert!(futures_util::poll!(work.as_mut()).is_pending());
            wait_for_start.recv().unwrap();
        }
        wait_for_end.recv().unwrap();
    }

    #[tokio::test]
    async fn a_cancelled_attempt_does_not_wait_for_a_hanging_thread() {
        let context = Context::for_tests();
        let (release, hang) = mpsc::channel::<()>();
        context.cancel.cancel();
        let result = run_blocking(&context, move |_| {
            let _ = hang.recv();
            Ok(())
        });
        assert_eq!(result.await.unwrap_err(), stopped());
        drop(release);
    }
}
