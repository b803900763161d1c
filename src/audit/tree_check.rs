//! The Merkle tree of the entries as they are read, held against signed checkpoints.

use super::tree::Peaks;
use super::trust::Known;
use super::{Entry, Finding, Hash, Tampering, Trust};

/// Grows a tree entry by entry and compares its root wherever a checkpoint names one.
#[derive(Debug, Default)]
pub(super) struct TreeCheck {
    peaks: Peaks,
    /// By size, the largest first: the next one to be met is the last.
    ahead: Vec<Known>,
    differing: Vec<Finding>,
    foreign: Vec<Finding>,
    /// How many checkpoints beside the entries have a valid signature.
    pub signed: u64,
    /// The size of the largest anchored checkpoint whose root was met.
    pub anchored: u64,
    anchored_at: Option<i64>,
    /// The root that the kept nodes give for all entries.
    pub end: Option<Hash>,
}

impl TreeCheck {
    pub fn new(trust: &Trust, inside: &[String]) -> Self {
        let (mut ahead, mut foreign) = trust.inside(inside);
        let signed = ahead.len() as u64;
        ahead.extend(trust.anchored.iter().cloned());
        ahead.sort_by_key(|known| std::cmp::Reverse(known.checkpoint.size));
        foreign.extend(trust.findings.iter().cloned());
        TreeCheck { ahead, foreign, signed, ..TreeCheck::default() }
    }

    pub fn feed(&mut self, entry: &Entry) {
        self.peaks.push(entry.hash);
        let size = self.peaks.size();
        while let Some(known) = self.ahead.pop_if(|known| known.checkpoint.size <= size) {
            if known.checkpoint.root != self.peaks.root() {
                let what = Tampering::CheckpointDiffers { size, place: known.place };
                self.differing.push(Finding { seq: size, run: None, event: None, what });
            } else if known.anchored {
                (self.anchored, self.anchored_at) = (size, Some(entry.content.at));
            }
        }
    }

    /// When the entry with this number was written, if a checkpoint vouches for it.
    pub fn written_at(&self, number: u64) -> Option<i64> {
        self.anchored_at.filter(|_| number == self.anchored)
    }

    /// What is wrong: signatures always, roots and sizes only when the chain itself is sound.
    pub fn finish(mut self, chain_is_sound: bool) -> Vec<Finding> {
        let mut findings = std::mem::take(&mut self.foreign);
        if chain_is_sound {
            // The first one says from where on; all later ones differ because of it.
            findings.extend(self.differing.drain(..).take(1));
            findings.extend(self.lost());
            if findings.is_empty() && self.end.is_some_and(|root| root != self.peaks.root()) {
                findings.push(Finding { seq: self.peaks.size(), run: None, event: None, what: Tampering::TreeDiffers });
            }
        }
        findings
    }

    /// A checkpoint that names more entries than there are.
    fn lost(&self) -> Option<Finding> {
        let last = self.ahead.first()?.checkpoint.size;
        let what = Tampering::Missing { last, events: Vec::new() };
        Some(Finding { seq: self.peaks.size() + 1, run: None, event: None, what })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::chain;
    use super::*;
    use crate::audit::{Checkpoint, SigningKey, Verifier};

    const LENGTH: u64 = 24;

    fn key(seed: u8) -> SigningKey {
        SigningKey::new("runbook/web-1/5f0c9a12", &[seed; 32]).unwrap()
    }

    /// The root over the first entries of the chain.
    fn root(size: u64) -> Hash {
        let mut peaks = Peaks::default();
        chain(size).iter().for_each(|entry| drop(peaks.push(entry.hash)));
        peaks.root()
    }

    /// What is found when the journal holds this checkpoint and this is the root of its kept nodes.
    fn found(signer: &SigningKey, size: u64, root: Hash, end: Hash) -> Vec<Tampering> {
        let checkpoint = Checkpoint { origin: signer.name().into(), size, root };
        let trust = Trust::default().keys([key(3).public()]);
        let mut verifier = Verifier::new().trusting(&trust, &[checkpoint.sign(signer).to_string()]);
        verifier.tree_ends_with(end);
        chain(LENGTH).into_iter().for_each(|entry| verifier.feed(entry));
        verifier.finish().findings.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn t58_a_checkpoint_of_the_trail_itself_is_no_finding() {
        assert_eq!(found(&key(3), 17, root(17), root(LENGTH)), []);
    }

    #[test]
    fn t58_another_root_more_entries_and_another_key_are_told() {
        let told = found(&key(3), 17, root(16), root(LENGTH));
        assert!(matches!(&told[..], [Tampering::CheckpointDiffers { size: 17, .. }]), "{told:?}");
        let told = found(&key(3), LENGTH + 1, root(LENGTH), root(LENGTH));
        assert!(matches!(&told[..], [Tampering::Missing { last: 25, .. }]), "{told:?}");
        let told = found(&key(4), 17, root(17), root(LENGTH));
        assert!(matches!(&told[..], [Tampering::ForeignCheckpoint { .. }]), "{told:?}");
    }

    #[test]
    fn t58_kept_nodes_that_give_another_root_are_told() {
        assert_eq!(found(&key(3), 17, root(17), root(LENGTH - 1)), [Tampering::TreeDiffers]);
    }
}
