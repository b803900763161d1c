//! Secrets by reference: the site file says where a secret is, never what it is.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{Secret, environment};

/// Where a secret is kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum SecretReference {
    /// An environment variable of this program.
    Env(String),
    /// A file that only its owner can read.
    File(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the environment variable {0} is not set")]
    Unset(String),
    #[error("cannot read the secret file {path}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the secret file {path} can be read by others (mode {mode:o}); make it 0600")]
    TooOpen { path: PathBuf, mode: u32 },
    #[error("the secret at {0} is empty")]
    Empty(String),
}

impl SecretReference {
    /// Fetches the secret. A trailing line break of a file is not part of it.
    pub fn resolve(&self) -> Result<Secret<String>, SecretError> {
        match self {
            SecretReference::Env(name) => {
                environment::variable(name).map(Secret::new).ok_or_else(|| SecretError::Unset(name.clone()))
            }
            SecretReference::File(path) => read_file(path),
        }
    }
}

fn read_file(path: &PathBuf) -> Result<Secret<String>, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.clone(), source };
    let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::TooOpen { path: path.clone(), mode });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        Err(SecretError::Empty(path.display().to_string()))
    } else {
        Ok(Secret::new(secret.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "abcdefgh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(SecretReference::File(path.clone()).resolve(), Err(SecretError::TooOpen { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(SecretReference::File(path).resolve().unwrap().reveal(), "abcdefgh");
    }
}
