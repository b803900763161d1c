//! Open connections, bounded: when there are too many, the one that has been idle the longest makes room. A crowd
//! of slow or silent senders so pushes out itself and nobody whose request is being answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

#[derive(Clone)]
pub(super) struct Connections {
    most: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    last: u64,
    /// By the number of each connection, so the oldest first.
    all: BTreeMap<u64, State>,
}

struct State {
    close: CancellationToken,
    answering: usize,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Connections { most, open: Arc::default() }
    }

    /// A new connection; `None` when there are too many and all of them are being answered.
    pub(super) fn open(&self) -> Option<Connection> {
        let mut open = self.lock();
        if open.all.len() >= self.most {
            let idle = open.all.iter().find(|(_, state)| state.answering == 0).map(|(number, _)| *number)?;
            if let Some(state) = open.all.remove(&idle) {
                state.close.cancel();
            }
        }
        open.last += 1;
        let (number, close) = (open.last, CancellationToken::new());
        open.all.insert(number, State { close: close.clone(), answering: 0 });
        drop(open);
        Some(Connection { number, close, connections: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.lock().all.get_mut(&number) {
            change(state);
        }
    }
}

/// One open connection; closed for the count when this is dropped.
pub(super) struct Connection {
    number: u64,
    /// Cancelled when it has to make room.
    pub close: CancellationToken,
    connections: Connections,
}

impl Connection {
    /// Marks it as being answered for as long as the result lives.
    pub(super) fn answering(&self) -> Answering {
        self.connections.change(self.number, |state| state.answering += 1);
        Answering { number: self.number, connections: self.connections.clone() }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.lock().all.remove(&self.number);
    }
}

pub(super) struct Answering {
    number: u64,
    connections: Connections,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.connections.change(self.number, |state| state.answering = state.answering.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t43_the_oldest_idle_connection_makes_room() {
        let connections = Connections::new(2);
        let (first, second) = (connections.open().unwrap(), connections.open().unwrap());
        let answering = first.answering();
        let third = connections.open().unwrap();
        assert!(second.close.is_cancelled() && !first.close.is_cancelled() && !third.close.is_cancelled());
        drop(answering);
        let _fourth = connections.open().unwrap();
        assert!(first.close.is_cancelled(), "answered, it is idle again, and the oldest");
    }

    #[test]
    fn t43_none_is_pushed_out_while_it_is_answered() {
        let connections = Connections::new(1);
        let first = connections.open().unwrap();
        let _answering = first.answering();
        assert!(connections.open().is_none());
        assert!(!first.close.is_cancelled());
    }
}
