//! What the program of a step prints while it runs, for whoever looks on: a small file for each, which holds the end
//! of its output and is gone when the step has ended. It is a window and no record: nothing is decided by it, it is not
//! synced, and what cannot be written is not shown.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::{RunId, StepKey, private};

/// Some screens of text.
const KEPT: usize = 8 << 10;
/// A file that has grown to this is begun anew with what is kept.
const LONGEST: u64 = 4 * KEPT as u64;

/// The folder of all these files below the state folder.
fn folder(state: &Path) -> PathBuf {
    state.join("live")
}

/// Where the output of a step can be looked at. Names of runs and steps may hold what a file name cannot.
pub fn place(state: &Path, run: &RunId, step: &StepKey) -> PathBuf {
    folder(state).join(hex::encode(&Sha256::digest(format!("{run}\n{step}"))[..16]))
}

/// The end of what a step has printed so far; none when it has printed nothing, or does not run.
pub fn read(state: &Path, run: &RunId, step: &StepKey) -> Option<String> {
    let bytes = fs::read(place(state, run, step)).ok()?;
    let end = &bytes[bytes.len().saturating_sub(KEPT)..];
    (!end.is_empty()).then(|| String::from_utf8_lossy(end).into_owned())
}

/// Removes what an earlier process left there.
pub fn clear(state: &Path) {
    // Often there is nothing.
    drop(fs::remove_dir_all(folder(state)));
}

/// Writes the outputs of one step, as they come, which must have been through the redactor.
#[derive(Debug, Clone)]
pub struct Tail(Arc<Mutex<Written>>);

#[derive(Debug)]
struct Written {
    place: PathBuf,
    /// Made when there is something to write.
    file: Option<File>,
    length: u64,
    kept: Vec<u8>,
    failed: bool,
}

impl Tail {
    pub fn new(place: PathBuf) -> Self {
        Tail(Arc::new(Mutex::new(Written { place, file: None, length: 0, kept: Vec::new(), failed: false })))
    }

    pub fn push(&self, bytes: &[u8]) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !bytes.is_empty() && !written.failed {
            written.failed = written.push(bytes).is_err();
        }
    }
}

impl Written {
    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = &bytes[bytes.len().saturating_sub(KEPT)..];
        self.kept.extend_from_slice(end);
        let surplus = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..surplus);
        if self.file.is_none() {
            private::create_folder(self.place.parent().unwrap_or(Path::new(".")))?;
            self.file = Some(private::create(&self.place)?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let begun_anew = self.length + end.len() as u64 > LONGEST;
        let written = if begun_anew { self.kept.as_slice() } else { end };
        if begun_anew {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            self.length = 0;
        }
        self.length += written.len() as u64;
        file.write_all(written)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_end_of_an_output_can_be_read_while_it_grows_and_takes_little_room() {
        let state = tempfile::tempdir().unwrap();
        let (run, step) = (RunId::from("1122-174012-k3f9".to_owned()), StepKey::plain("diagnose.log"));
        let place = place(state.path(), &run, &step);
        let tail = Tail::new(place.clone());
        tail.push(b"");
        assert_eq!(read(state.path(), &run, &step), None);
        tail.push(b"loading\n");
        tail.clone().push(b"\xff loaded\n");
        assert_eq!(read(state.path(), &run, &step).as_deref(), Some("loading\n\u{fffd} loaded\n"));
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        for line in 0..10_000 {
            tail.push(format!("line {line}\n").as_bytes());
            assert!(fs::metadata(&place).unwrap().len() <= LONGEST);
        }
        tail.push(&vec![b'x'; 100_000]);
        tail.push(b"the end");
        let text = read(state.path(), &run, &step).unwrap();
        assert!(text.len() <= KEPT && text.ends_with("xxthe end"), "{}", text.len());
        clear(state.path());
        assert_eq!(read(state.path(), &run, &step), None);
    }

    #[test]
    fn what_cannot_be_written_is_not_shown_and_nothing_else_happens() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("live"), "in the way").unwrap();
        let (run, step) = (RunId::from("1122-174012-k3f9".to_owned()), StepKey::plain("diagnose.log"));
        let tail = Tail::new(place(state.path(), &run, &step));
        tail.push(b"loading\n");
        tail.push(b"loaded\n");
        assert_eq!(read(state.path(), &run, &step), None);
    }
}
