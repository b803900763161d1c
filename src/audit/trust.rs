//! What the reader of an audit trail trusts and its writer cannot change: public keys, heads and
//! checkpoints that were kept elsewhere.

use super::checkpoint::{Checkpoint, notes_in};
use super::{Finding, Head, Note, PublicKey, Tampering, Verdict};

/// Where a checkpoint stands when it stands in the trail itself.
const INSIDE: &str = "the journal";

/// What a trail is held against.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    keys: Vec<PublicKey>,
    pub(super) heads: Vec<Head>,
    pub(super) anchored: Vec<Known>,
    pub(super) findings: Vec<Finding>,
}

/// A checkpoint whose signature was verified, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub checkpoint: Checkpoint,
    pub place: String,
    /// Whether it was kept where the writer of the trail cannot change it.
    pub anchored: bool,
}

/// The file vouches for nothing.
#[derive(Debug, thiserror::Error)]
#[error("{place} holds no checkpoint that was signed with {}", names(keys))]
pub struct NothingAnchored {
    place: String,
    keys: Vec<PublicKey>,
}

fn names(keys: &[PublicKey]) -> String {
    keys.iter().map(PublicKey::name).collect::<Vec<_>>().join(" or ")
}

impl Trust {
    /// Trusts heads that were kept elsewhere.
    #[must_use]
    pub fn heads(mut self, heads: impl IntoIterator<Item = Head>) -> Self {
        self.heads.extend(heads);
        self
    }

    /// Trusts what is signed with one of these keys, and nothing that is signed otherwise.
    #[must_use]
    pub fn keys(mut self, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        self.keys.extend(keys);
        self
    }

    /// Trusts the checkpoints in the text of an anchor, called `place` in findings. Notes of other logs
    /// are passed over; one that only claims to be of this log is a finding.
    pub fn anchor(&mut self, place: &str, text: &str) -> Result<(), NothingAnchored> {
        let before = self.anchored.len();
        for (line, note) in notes_in(text) {
            let place = format!("line {line} of {place}");
            let claimed = self.keys.iter().any(|key| note.text.lines().next() == Some(key.name()));
            match self.verified(&note) {
                Some(checkpoint) => self.anchored.push(Known { checkpoint, place, anchored: true }),
                None if claimed => self.findings.push(foreign(place)),
                None => {}
            }
        }
        if self.anchored.len() == before {
            return Err(NothingAnchored { place: place.to_owned(), keys: self.keys.clone() });
        }
        Ok(())
    }

    /// The checkpoint in a note that a trusted key signed.
    fn verified(&self, note: &Note) -> Option<Checkpoint> {
        let checkpoint = Checkpoint::parse(&note.text).ok()?;
        // A key signs for the log that bears its name only.
        let mut keys = self.keys.iter().filter(|key| key.name() == checkpoint.origin);
        keys.any(|key| key.verify(note) == Verdict::Signed).then_some(checkpoint)
    }

    /// The checkpoints of the trail itself, and what is wrong with them; nothing without a key.
    pub(super) fn inside(&self, notes: &[String]) -> (Vec<Known>, Vec<Finding>) {
        let (mut known, mut findings) = (Vec::new(), Vec::new());
        for text in notes.iter().filter(|_| !self.keys.is_empty()) {
            let note = Note::parse(text).ok();
            match note.as_ref().and_then(|note| self.verified(note)) {
                Some(checkpoint) => known.push(Known { checkpoint, place: INSIDE.into(), anchored: false }),
                None => findings.push(foreign(INSIDE.into())),
            }
        }
        // One finding says it all: after a change of the key, every later checkpoint is foreign.
        findings.truncate(1);
        (known, findings)
    }
}

fn foreign(place: String) -> Finding {
    Finding { seq: 0, run: None, event: None, what: Tampering::ForeignCheckpoint { place } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::SigningKey;

    #[test]
    fn a_key_vouches_for_the_log_of_its_name_only() {
        let key = SigningKey::new("runbook/web-1/5f0c9a12", &[3; 32]).unwrap();
        let anchored = |origin: &str| {
            let checkpoint = Checkpoint { origin: origin.into(), size: 7, root: [7; 32] };
            Trust::default().keys([key.public()]).anchor("kept", &checkpoint.sign(&key).to_string())
        };
        assert!(anchored(key.name()).is_ok());
        assert!(anchored("runbook/web-2/5f0c9a12").is_err());
    }
}
