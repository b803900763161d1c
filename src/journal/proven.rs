//! Proofs about the journal as texts that others can check, without the journal and without this program.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{JournalError, Proofs};
use crate::audit::{Checkpoint, Note};

/// The newest signed checkpoint, and what it says; `None` when nothing is signed.
pub fn newest_checkpoint(proofs: &dyn Proofs) -> Result<Option<(Checkpoint, Note)>, JournalError> {
    let note = proofs.newest_checkpoint()?;
    Ok(note.and_then(|note| Some((Checkpoint::parse(&note.text).ok()?, note))))
}

/// The proof that entry `number` is among those that a checkpoint covers (C2SP tlog-proof), with the entry itself;
/// `None` when the entry is missing. The checkpoint must cover it.
pub fn proof_text(
    proofs: &dyn Proofs,
    number: u64,
    (checkpoint, note): &(Checkpoint, Note),
) -> Result<Option<String>, JournalError> {
    let Some(entry) = proofs.entry(number)? else { return Ok(None) };
    let path = proofs.inclusion(number, checkpoint.size)?;
    let path: String = path.iter().map(|hash| BASE64_STANDARD.encode(hash) + "\n").collect();
    let extra = BASE64_STANDARD.encode(entry.canonical());
    Ok(Some(format!("c2sp.org/tlog-proof@v1\nextra {extra}\nindex {}\n{path}\n{note}", number - 1)))
}
