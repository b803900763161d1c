//! Folders and files of the state folder, which nobody else may look into.
//!
//! The modes are given file by file: a mask of the process (`umask`) would pass to the programs that steps
//! start, and what those write, such as the configuration of a service, must stay readable as before.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Creates the folder and those above it that are missing, for the owner alone (0700).
pub fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// An empty file for the owner alone (0600), to be written. One that is there keeps its mode.
pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Writes a file for the owner alone.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create(path)?.write_all(bytes)
}

/// Writes a file for the owner alone, all of it or nothing: it survives a power failure when this returns.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Written beside and renamed, so that a crash leaves no half text under the final name.
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    // A name is as durable as the folder that holds it, and so is the name of that folder.
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    File::open(folder.join(".."))?.sync_all()
}
