//! What an attempt leaves in the state folder, so that a later engine knows how it ended.
//!
//! ```text
//! folder made, then the intent is journaled ─ `begun` ─ the program runs ─ `ended`
//! ```
//!
//! `begun` appears whole and only once (a hard link), whoever makes it: the shim, before it starts the
//! program, or an engine that takes the attempt over and so makes sure that it never begins. Both files are
//! on the disk before anything follows from them.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::action::process::{Finished, Identity};
use crate::kind::StepError;

/// A folder for one attempt.
#[derive(Debug, Clone)]
pub struct Receipt {
    folder: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    /// Nobody when it was taken over before it began.
    shim: Option<Identity>,
}

/// How an attempt under a shim ended.
pub type Ended = Result<Finished, StepError>;

/// Where an attempt is.
#[derive(Debug)]
pub enum Progress {
    /// It had not begun, and never will.
    NotBegun,
    Running(Identity),
    Ended(Box<Ended>),
    /// It had begun, and nobody is there who could say how it ended.
    Lost,
}

impl Receipt {
    /// The receipt in this folder, which the runtime has made.
    pub fn new(folder: &Path) -> Self {
        Receipt { folder: folder.to_owned() }
    }

    /// Where the launcher reports.
    pub fn launch_report(&self) -> PathBuf {
        self.folder.join("launched")
    }

    /// Begins the attempt; `false` when it was taken over before.
    pub fn begin(&self, shim: Identity) -> io::Result<bool> {
        self.claim(&Begun { shim: Some(shim) })
    }

    /// Writes down how it ended.
    pub fn end(&self, ended: &Ended) -> io::Result<()> {
        let (fresh, place) = (self.folder.join("ended.new"), self.folder.join("ended"));
        write_durably(&fresh, ended)?;
        fs::rename(fresh, place)?;
        self.sync()
    }

    /// Where the attempt is. One that has not begun is taken over by this very look.
    pub fn look(&self) -> io::Result<Progress> {
        if let Some(ended) = read(&self.folder.join("ended"))? {
            return Ok(Progress::Ended(Box::new(ended)));
        }
        let Some(begun) = read::<Begun>(&self.folder.join("begun"))? else {
            // Somebody else may have been faster; then there is something to see now.
            return if self.claim(&Begun { shim: None })? { Ok(Progress::NotBegun) } else { self.look() };
        };
        match begun.shim {
            None => Ok(Progress::NotBegun),
            Some(shim) if shim.is_alive() => Ok(Progress::Running(shim)),
            // Perhaps it has ended between the two looks.
            Some(_) => {
                Ok(read(&self.folder.join("ended"))?.map_or(Progress::Lost, |ended| Progress::Ended(Box::new(ended))))
            }
        }
    }

    fn claim(&self, begun: &Begun) -> io::Result<bool> {
        let fresh = self.folder.join(format!("begun.{}", std::process::id()));
        write_durably(&fresh, begun)?;
        let linked = fs::hard_link(&fresh, self.folder.join("begun"));
        fs::remove_file(&fresh)?;
        match linked {
            Ok(()) => self.sync().map(|()| true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Names are as durable as the folder that holds them.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()?;
        self.folder.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
    }
}

fn write_durably(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut file = File::create(path)?;
    // Output of programs is nobody else's business.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_begins_once_or_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let receipt = Receipt::new(folder.path());
        assert!(receipt.begin(Identity::own().unwrap()).unwrap());
        assert!(!receipt.begin(Identity::own().unwrap()).unwrap());
        assert!(matches!(receipt.look().unwrap(), Progress::Running(shim) if shim == Identity::own().unwrap()));

        let folder = tempfile::tempdir().unwrap();
        let receipt = Receipt::new(folder.path());
        assert!(matches!(receipt.look().unwrap(), Progress::NotBegun));
        assert!(!receipt.begin(Identity::own().unwrap()).unwrap(), "it never begins any more");
        assert!(matches!(receipt.look().unwrap(), Progress::NotBegun));
    }

    #[test]
    fn an_attempt_whose_shim_is_gone_is_lost_unless_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let receipt = Receipt::new(folder.path());
        let own = Identity::own().unwrap();
        receipt.begin(Identity { start: own.start + 1, ..own }).unwrap();
        assert!(matches!(receipt.look().unwrap(), Progress::Lost));
        receipt.end(&Err(StepError::new("it could not start"))).unwrap();
        assert!(matches!(receipt.look().unwrap(), Progress::Ended(ended) if ended.is_err()));
    }

    #[test]
    fn a_damaged_receipt_is_an_error_and_no_result() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ended"), "{\"Ok\": {\"code\": 0").unwrap();
        assert!(Receipt::new(folder.path()).look().is_err());
    }
}
