//! Standing orders in the journal: reading them, and giving one.

use crate::base::{Redacted, RunId, Timestamp};
use crate::engine::event::{Event, Record};
use crate::engine::standing::{Order, STREAM, Standing};
use crate::journal::{Journal, JournalError};

/// Other programs give orders too; so often two may meet at the same number.
const TRIES: usize = 5;

fn stream() -> RunId {
    RunId::from(STREAM.to_owned())
}

/// What stands now.
pub fn standing(journal: &dyn Journal) -> Result<Standing, JournalError> {
    Ok(Standing::replay(&journal.read(&stream())?))
}

/// Gives an order and returns its number; it is durable when this returns.
pub async fn give(journal: &dyn Journal, at: Timestamp, order: Order) -> Result<u64, JournalError> {
    let mut tries = 0;
    loop {
        let seq = standing(journal)?.seq + 1;
        let record = Record { run: stream(), seq, at, event: Event::StandingOrder(order.clone()) };
        tries += 1;
        match journal.append(&stream(), Redacted::of(vec![record])?).await {
            Err(JournalError::Conflict { .. }) if tries < TRIES => {}
            done => return done.map(|()| seq),
        }
    }
}
