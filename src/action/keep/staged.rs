//! A file that is being written beside the one it will replace.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::error::{IoContext as _, KeepError};
use super::folder_of;

/// Hashes what is written into it, and removes itself unless it became the file.
#[derive(Debug)]
pub struct StagedFile {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    bytes: u64,
    placed: bool,
}

impl StagedFile {
    /// Nobody else can read it while it is being written: what comes may be a secret.
    pub(super) fn create(path: PathBuf) -> Result<Self, KeepError> {
        // The name belongs to one step of one run, so what lies there is the rest of a killed attempt.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).doing("remove", &path)?,
            _ => (),
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).doing("create", &path)?;
        Ok(StagedFile { path, file, hasher: Sha256::new(), bytes: 0, placed: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of what was written so far, in hexadecimal.
    pub fn sha256(&self) -> String {
        hex::encode(self.hasher.clone().finalize())
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sets owner and mode and flushes everything to the disk.
    pub(super) fn finish(&self, owner: Option<(u32, u32)>, mode: u32) -> Result<(), KeepError> {
        if let Some((user, group)) = owner {
            // Only root may give files away. For anybody else the file keeps its writer as the owner,
            // which is the best that can be had; the mode below is set all the same.
            let _ = fchown(&self.file, Some(user), Some(group)).or_else(|_| fchown(&self.file, None, Some(group)));
        }
        // After the owner, because a change of owner clears the set-user-id bit.
        self.file.set_permissions(Permissions::from_mode(mode)).doing("set the mode of", &self.path)?;
        self.file.sync_all().doing("flush", &self.path)
    }

    /// Takes the place of `target` in one step and makes the new name durable.
    pub(super) fn become_file(mut self, target: &Path) -> Result<(), KeepError> {
        fs::rename(&self.path, target).doing("replace", target)?;
        self.placed = true;
        sync_folder(target)
    }
}

impl Write for StagedFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.placed {
            // Nobody is left to tell; the next attempt of the step removes it before it starts.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Without it a loss of power can bring back the old name although the rename was reported.
pub(super) fn sync_folder(path: &Path) -> Result<(), KeepError> {
    let folder = folder_of(path);
    File::open(folder).and_then(|folder| folder.sync_all()).doing("flush the folder", folder)
}

/// SHA-256 of a file's content, in hexadecimal. Blocking.
pub fn sha256_of_file(path: &Path) -> Result<String, KeepError> {
    let mut file = File::open(path).doing("read", path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        match io::Read::read(&mut file, &mut buffer) {
            Ok(0) => return Ok(hex::encode(hasher.finalize())),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) => return Err(error).doing("read", path),
        }
    }
}

pub(super) fn sha256_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
