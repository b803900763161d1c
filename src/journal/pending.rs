//! The answer to an append.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::JournalError;

/// Resolves when the events are durable. Dropping it does not take the append back.
#[derive(Debug)]
#[must_use = "nothing may depend on an event before its append has resolved"]
pub struct Pending(State);

#[derive(Debug)]
enum State {
    Known(Result<(), JournalError>),
    Waiting(oneshot::Receiver<Result<(), JournalError>>),
}

impl Pending {
    pub(super) fn known(result: Result<(), JournalError>) -> Self {
        Pending(State::Known(result))
    }

    pub(super) fn waiting(receiver: oneshot::Receiver<Result<(), JournalError>>) -> Self {
        Pending(State::Waiting(receiver))
    }

    /// Blocks until the events are durable; for code outside of the async runtime only.
    pub fn wait(self) -> Result<(), JournalError> {
        match self.0 {
            State::Known(result) => result,
            State::Waiting(receiver) => receiver.blocking_recv().unwrap_or_else(|_| Err(writer_gone())),
        }
    }
}

impl Future for Pending {
    type Output = Result<(), JournalError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            State::Known(result) => Poll::Ready(result.clone()),
            State::Waiting(receiver) => {
                Pin::new(receiver).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(writer_gone())))
            }
        }
    }
}

/// The writer always answers; without an answer it is gone, and the append may or may not be durable.
pub(super) fn writer_gone() -> JournalError {
    JournalError::Stopped { cause: "the writer ended without an answer".into() }
}
