//! Where the signing key is kept: a file that only its owner can read, made on first use.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{InvalidKey, SigningKey};
use crate::base::entropy;

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("cannot {doing} the audit key {path}")]
    Io { path: PathBuf, doing: &'static str, source: std::io::Error },
    #[error("the audit key {path} can be read by others (mode {mode:o})")]
    TooOpen { path: PathBuf, mode: u32 },
    #[error("the audit key {path} cannot be used")]
    Invalid { path: PathBuf, source: InvalidKey },
}

impl KeyFileError {
    /// What the reader can do next.
    pub fn help(&self) -> &'static str {
        match self {
            KeyFileError::Io { .. } => "check who owns the folder of the key; `audit: {key: …}` names another place",
            KeyFileError::TooOpen { .. } => "make it 0600; whoever may have read it can sign, so consider a new key",
            KeyFileError::Invalid { .. } => {
                "restore it from a backup, or move it away and let a new key be made; checkpoints of the old key \
                 stay valid under its public key"
            }
        }
    }
}

/// The place of the key.
#[derive(Debug, Clone)]
pub struct KeyFile(pub PathBuf);

impl KeyFile {
    /// The key; makes one when there is none. Programs that do so at the same time get the same one.
    pub fn load_or_create(&self) -> Result<SigningKey, KeyFileError> {
        match self.load() {
            Err(KeyFileError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                self.create().map_err(|source| self.failed("create", source))?;
                self.load()
            }
            result => result,
        }
    }

    fn load(&self) -> Result<SigningKey, KeyFileError> {
        let path = &self.0;
        let mode = fs::metadata(path).map_err(|source| self.failed("read", source))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::TooOpen { path: path.clone(), mode });
        }
        let text = fs::read_to_string(path).map_err(|source| self.failed("read", source))?;
        text.parse().map_err(|source| KeyFileError::Invalid { path: path.clone(), source })
    }

    fn failed(&self, doing: &'static str, source: std::io::Error) -> KeyFileError {
        KeyFileError::Io { path: self.0.clone(), doing, source }
    }

    /// Written beside and linked to its name, which fails if the name is taken: so nobody ever reads
    /// half a key, and none replaces another.
    fn create(&self) -> Result<(), std::io::Error> {
        let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let new = self.0.with_extension(format!("new-{:016x}", entropy::random()));
        let written = write_durably(&new, &new_key().reveal());
        let linked = written.and_then(|()| fs::hard_link(&new, &self.0));
        drop(fs::remove_file(&new));
        match linked {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => fs::File::open(folder)?.sync_all(),
        }
    }
}

fn write_durably(path: &Path, text: &str) -> Result<(), std::io::Error> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// A random key. Its name says which machine's trail it signs, and differs between any two keys.
fn new_key() -> SigningKey {
    let words: [u64; 4] = std::array::from_fn(|_| entropy::random());
    let mut seed = [0; 32];
    seed.chunks_exact_mut(8).zip(words).for_each(|(chunk, word)| chunk.copy_from_slice(&word.to_le_bytes()));
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let kept = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.');
    let machine: String = machine.chars().filter(kept).take(40).collect();
    let name = format!("runbook/{machine}/{:08x}", entropy::random() as u32);
    SigningKey::new(&name, &seed).expect("the name has neither spaces nor plus signs: they were left out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_by_its_owner_only() {
        let place = tempfile::tempdir().unwrap();
        let file = KeyFile(place.path().join("deep").join("audit.key"));
        let keys: Vec<String> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| file.load_or_create().unwrap().reveal())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "programs that start together share one key");
        assert_eq!(fs::metadata(&file.0).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(file.0.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_key_that_cannot_be_trusted_is_refused_and_stays() {
        let place = tempfile::tempdir().unwrap();
        let file = KeyFile(place.path().join("audit.key"));
        write_durably(&file.0, "PRIVATE+KEY+nonsense").unwrap();
        assert!(matches!(file.load_or_create(), Err(KeyFileError::Invalid { .. })));
        fs::set_permissions(&file.0, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(file.load_or_create(), Err(KeyFileError::TooOpen { mode: 0o640, .. })));
        assert_eq!(fs::read_to_string(&file.0).unwrap(), "PRIVATE+KEY+nonsense\n");
        let nowhere = KeyFile(file.0.join("below a file"));
        assert!(matches!(nowhere.load_or_create(), Err(KeyFileError::Io { .. })));
    }
}
