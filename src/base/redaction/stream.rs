//! Masks secrets in bytes that arrive in pieces, wherever the pieces are cut.

use std::sync::Arc;

use super::{MARK, Redactor, known};

/// What is masked comes out as soon as no later byte can change it; `finish` gives the rest. The pieces
/// joined are what masking the whole at once would have given.
#[derive(Debug)]
pub struct Stream {
    redactor: Arc<Redactor>,
    /// What may still be the beginning of a secret.
    held: Vec<u8>,
    /// How much of the beginning of `held` belongs to a secret whose mark has been given out.
    covered: usize,
}

impl Default for Stream {
    /// Masks the secrets that this process knows now.
    fn default() -> Self {
        Stream::new(known())
    }
}

impl Stream {
    pub fn new(redactor: Arc<Redactor>) -> Self {
        Stream { redactor, held: Vec::new(), covered: 0 }
    }

    /// Takes the next bytes and gives out what is settled.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.redactor.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let settled = self.redactor.settled(&self.held);
        self.release(settled)
    }

    /// The rest, after the last bytes.
    pub fn finish(&mut self) -> Vec<u8> {
        self.release(self.held.len())
    }

    fn release(&mut self, end: usize) -> Vec<u8> {
        let mut result = Vec::with_capacity(end);
        let mut at = self.covered.min(end);
        let mut covered = self.covered;
        for range in self.redactor.covered(&self.held).into_iter().take_while(|range| range.start < end) {
            // What begins inside the part that is masked already belongs to the same mark.
            if range.start >= covered {
                result.extend_from_slice(&self.held[at..range.start]);
                result.extend_from_slice(MARK.as_bytes());
            }
            covered = covered.max(range.end);
            at = covered.min(end);
        }
        result.extend_from_slice(&self.held[at..end]);
        self.covered = covered.saturating_sub(end);
        self.held.drain(..end);
        result
    }
}
