//! `file`: checkpoints in a file on another volume.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Anchor, AnchorError, Offer, blocking, is_new};
use crate::audit::{Checkpoint, Note, notes_in};

/// So much of the end is looked at for the last checkpoint: hundreds of them.
const LOOKED_AT: u64 = 64 << 10;

pub struct Keeper;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file that checkpoints are added to. Its folder must exist, so that a volume that is not
    /// mounted is noticed.
    pub path: PathBuf,
}

impl Anchor for Keeper {
    const NAME: &'static str = "file";
    const SUMMARY: &'static str =
        "Adds checkpoints to a file on another volume, such as one that only lets files grow.";
    const EXAMPLE: &'static str = "{path: /mnt/audit/web-1.checkpoints}";
    type Config = Config;

    async fn keep(config: Config, offer: Offer) -> Result<(), AnchorError> {
        blocking(move || add(&config.path, &offer, &offer.note).map(drop)).await
    }
}

/// Adds `note`, which holds the offered checkpoint, unless it is there; durable when it returns whether
/// it was new.
pub(super) fn add(path: &Path, offer: &Offer, note: &Note) -> Result<bool, AnchorError> {
    let failed = |error: std::io::Error| AnchorError::of_io(&format!("add to {}", path.display()), &error);
    let mut file = OpenOptions::new().create(true).append(true).read(true).open(path).map_err(failed)?;
    // Two programs that add at the same time would each look before the other one wrote.
    file.lock().map_err(failed)?;
    let new = is_new(last(&mut file, &offer.checkpoint.origin).map_err(failed)?.as_ref(), offer)?;
    if new {
        // The empty line ends what a crash may have left half written.
        file.write_all(format!("\n{note}").as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    Ok(new)
}

/// The last checkpoint of this log in the file.
pub(super) fn last_in(path: &Path, origin: &str) -> Option<Checkpoint> {
    last(&mut File::open(path).ok()?, origin).ok()?
}

fn last(file: &mut File, origin: &str) -> Result<Option<Checkpoint>, std::io::Error> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOOKED_AT)))?;
    let mut end = Vec::new();
    file.take(LOOKED_AT).read_to_end(&mut end)?;
    let notes = notes_in(&String::from_utf8_lossy(&end));
    let checkpoints = notes.iter().rev().filter_map(|(_, note)| Checkpoint::parse(&note.text).ok());
    Ok(checkpoints.into_iter().find(|checkpoint| checkpoint.origin == origin))
}

#[cfg(test)]
mod tests {
    use super::super::doubles::Log;
    use super::*;
    use crate::audit::Verdict;

    fn sizes(path: &Path) -> Vec<u64> {
        let text = std::fs::read_to_string(path).unwrap();
        let notes = notes_in(&text).into_iter().map(|(_, note)| note);
        let signed = notes.inspect(|note| assert_eq!(Log::key().public().verify(note), Verdict::Signed));
        signed.map(|note| Checkpoint::parse(&note.text).unwrap().size).collect()
    }

    #[tokio::test]
    async fn checkpoints_are_added_once_and_in_order() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("kept");
        for size in [2, 2, 5, 9] {
            Keeper::keep(Config { path: path.clone() }, Log::of(9).offer(size)).await.unwrap();
        }
        assert_eq!(sizes(&path), [2, 5, 9]);
        let older = Keeper::keep(Config { path: path.clone() }, Log::of(9).offer(5)).await.unwrap_err();
        assert!(older.contradicts, "{older}");
        let other = Keeper::keep(Config { path: path.clone() }, Log::forked(20).offer(20)).await.unwrap_err();
        assert!(other.contradicts, "{other}");
        assert_eq!(sizes(&path), [2, 5, 9], "what contradicts is not added");
    }

    #[tokio::test]
    async fn half_a_checkpoint_does_not_spoil_the_next() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("kept");
        let whole = Log::of(9).offer(4).note.to_string();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        Keeper::keep(Config { path: path.clone() }, Log::of(9).offer(6)).await.unwrap();
        assert_eq!(sizes(&path), [6]);
    }

    #[tokio::test]
    async fn a_volume_that_is_not_mounted_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("not mounted").join("kept");
        let missing = Keeper::keep(Config { path }, Log::of(3).offer(3)).await.unwrap_err();
        assert!(!missing.contradicts && missing.message.contains("cannot add to"), "{missing}");
    }
}
