//! A log for the tests of anchors.

use std::sync::Arc;

use super::{History, Offer};
use crate::audit::tree::{Peaks, node_hash, range_hash};
use crate::audit::{Checkpoint, Hash, SigningKey, proof};

/// A log of some entries, whose leaves are made up.
#[derive(Clone)]
pub(super) struct Log(Arc<Vec<Hash>>);

impl Log {
    pub fn of(size: u8) -> Self {
        Log(Arc::new((0..size).map(|number| [number; 32]).collect()))
    }

    /// A log that begins as the other one and goes another way after three entries.
    pub fn forked(size: u8) -> Self {
        Log(Arc::new((0..size).map(|number| [if number < 3 { number } else { 200 + number }; 32]).collect()))
    }

    pub fn key() -> SigningKey {
        SigningKey::new("runbook/test/00000000", &[1; 32]).unwrap()
    }

    fn node(&self, level: u8, index: u64) -> Hash {
        if level == 0 {
            return self.0[index as usize];
        }
        node_hash(&self.node(level - 1, index * 2), &self.node(level - 1, index * 2 + 1))
    }

    fn kept(&self) -> impl FnMut(u8, u64) -> Result<Hash, String> + '_ {
        |level, index| Ok(self.node(level, index))
    }

    pub fn checkpoint(&self, size: u64) -> Checkpoint {
        let root = if size == 0 { Peaks::default().root() } else { range_hash(0, size, &mut self.kept()).unwrap() };
        Checkpoint { origin: Self::key().name().into(), size, root }
    }

    pub fn offer(&self, size: u64) -> Offer {
        let checkpoint = self.checkpoint(size);
        let note = checkpoint.sign(&Self::key());
        let http = crate::kind::Context::for_tests().services.http().clone();
        Offer { checkpoint, note, history: Arc::new(self.clone()), http }
    }
}

impl History for Log {
    fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, String> {
        proof::consistency(old, new, self.kept())
    }
}
