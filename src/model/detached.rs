//! Runs blocking work on models on a thread of its own.
//!
//! Not on the runtime's pool for blocking work: the runtime waits for that pool when it shuts down, so
//! a model that never ends (a loop of 2^40 rounds loads like any other) would keep the program from
//! exiting. A thread that nobody waits for ends with the process.
//!
//! What this does not hold back: a model that asks for more memory than there is ends the process, and an
//! abandoned endless model keeps one core busy. Both need a process of their own.

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum DetachedError {
    #[error("cannot start a thread for the model")]
    Start(#[source] std::io::Error),
    #[error("the check of the model broke down; its panic message is in the standard error output")]
    Panicked,
}

/// The result of `work`. When the returned future is dropped, `work` can see it by asking the function it
/// is given, and should stop; inside of one call of an engine it cannot.
pub async fn run<T, Work>(work: Work) -> Result<T, DetachedError>
where
    T: Send + 'static,
    Work: FnOnce(&dyn Fn() -> bool) -> T + Send + 'static,
{
    let (sender, receiver) = tokio::sync::oneshot::channel::<T>();
    std::thread::Builder::new()
        .name("model".into())
        // The reader descends into nested graphs; the usual 2 MiB are little for an unoptimised build.
        .stack_size(8 << 20)
        // The receiver is gone when the step was cancelled; then nobody wants the result.
        .spawn(move || {
            let result = work(&|| sender.is_closed());
            drop(sender.send(result));
        })
        .map_err(DetachedError::Start)?;
    receiver.await.map_err(|_| DetachedError::Panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_not_the_end() {
        assert_eq!(run(|_| 1 + 1).await.unwrap(), 2);
        assert!(matches!(run(|_| -> u8 { std::panic::panic_any("boom") }).await, Err(DetachedError::Panicked)));
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_sees_it() {
        let (started, wait_for_start) = tokio::sync::oneshot::channel();
        let (ended, wait_for_end) = tokio::sync::oneshot::channel();
        let waiting = run(move |abandoned| {
            started.send(()).unwrap();
            while !abandoned() {
                std::thread::yield_now();
            }
            ended.send(()).unwrap();
        });
        tokio::select! {
            _ = waiting => panic!("the work ended by itself"),
            _ = wait_for_start => {}
        }
        wait_for_end.await.unwrap();
    }
}
