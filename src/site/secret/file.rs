//! `{file: PATH}`: a file that only its owner can read, and whose owner is this program's account.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::SecretError;
use crate::base::Secret;

/// Keys and certificates are a few kilobytes; more is the wrong file.
pub(super) const MOST: u64 = 64 * 1024;

/// The file is judged by what was opened, so that nobody can exchange it in between.
pub(super) fn fetch(path: &Path) -> Result<Secret<String>, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    // Without waiting: opening a pipe that nobody writes to would never end.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let facts = file.metadata().map_err(unreadable)?;
    if !facts.is_file() {
        return Err(SecretError::NotAFile { path: path.to_owned() });
    }
    check_owner(path, facts.uid())?;
    let mode = facts.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::TooOpen { path: path.to_owned(), mode });
    }
    read(path, file)
}

/// The administrator may keep files for others; anybody else's file can be exchanged by its owner.
fn check_owner(path: &Path, owner: u32) -> Result<(), SecretError> {
    if owner == 0 || owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(SecretError::Foreign { path: path.to_owned(), owner })
}

/// The text of a file, if it is one and small enough.
pub(super) fn read(path: &Path, file: File) -> Result<Secret<String>, SecretError> {
    let mut bytes = Vec::new();
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    text(bytes, || format!("the file {}", path.display()))
}

/// What was read, as a secret.
pub(super) fn text(bytes: Vec<u8>, place: impl Fn() -> String) -> Result<Secret<String>, SecretError> {
    if bytes.len() as u64 > MOST {
        return Err(SecretError::TooLong(place()));
    }
    String::from_utf8(bytes).map(Secret::new).map_err(|_| SecretError::NotText(place()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(content: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_others_can_read_is_refused() {
        for mode in [0o644, 0o640, 0o604, 0o660, 0o620, 0o601] {
            let (_folder, path) = written(b"abcdefgh\n", mode);
            assert!(matches!(fetch(&path), Err(SecretError::TooOpen { mode: found, .. }) if found == mode));
        }
        for mode in [0o600, 0o400] {
            let (_folder, path) = written(b"abcdefgh\n", mode);
            assert_eq!(fetch(&path).unwrap().reveal(), "abcdefgh\n");
        }
    }

    #[test]
    fn a_stranger_is_not_trusted_and_the_administrator_is() {
        let me = rustix::process::geteuid().as_raw();
        assert!(check_owner(Path::new("/x"), 0).is_ok() && check_owner(Path::new("/x"), me).is_ok());
        assert!(matches!(check_owner(Path::new("/x"), me + 1), Err(SecretError::Foreign { .. })));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let (folder, path) = written(&vec![b'x'; MOST as usize + 1], 0o600);
        assert!(matches!(fetch(&path), Err(SecretError::TooLong(_))));
        assert!(matches!(fetch(folder.path()), Err(SecretError::NotAFile { .. })));
        assert!(matches!(fetch(&folder.path().join("none")), Err(SecretError::Unreadable { .. })));
        let (_folder, path) = written(b"\xff\xfe secret", 0o600);
        assert!(matches!(fetch(&path), Err(SecretError::NotText(_))));
    }
}
