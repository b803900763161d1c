//! `{credential: NAME}`: a credential of the systemd unit that started this program
//! (systemd.exec(5), "Credentials").

use std::fs::File;
use std::path::Path;

use super::{SecretError, file};
use crate::base::{Secret, environment};

/// systemd makes the folder readable for the unit alone, so that mode and owner of the file say nothing more.
pub(super) fn fetch(name: &str) -> Result<Secret<String>, SecretError> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(SecretError::NotAName(name.to_owned()));
    }
    let folder =
        environment::path("CREDENTIALS_DIRECTORY").ok_or_else(|| SecretError::NoCredentials(name.to_owned()))?;
    read(&folder.join(name))
}

fn read(path: &Path) -> Result<Secret<String>, SecretError> {
    let file = File::open(path).map_err(|source| SecretError::Unreadable { path: path.to_owned(), source })?;
    file::read(path, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_folder() {
        for name in ["", ".", "..", "../shadow", "/etc/shadow", "a/b"] {
            assert!(matches!(fetch(name), Err(SecretError::NotAName(_))), "{name}");
        }
    }
}
