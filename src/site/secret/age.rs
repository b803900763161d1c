//! `{age: {file: PATH, identity: PATH}}`: a file encrypted with age (age-encryption.org/v1).
//!
//! The `age` program opens it: the library brings sixty crates for translated messages and plugins, which
//! is a lot to trust for one decryption.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretCommand, SecretError, command};
use crate::base::Secret;

/// Decrypting takes milliseconds, a touch of a hardware key some seconds.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// An encrypted file and the key that opens it; needs the program `age`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgeFile {
    /// The file that `age --encrypt` wrote.
    #[schemars(extend("x-constant" = true))]
    pub(super) file: PathBuf,
    /// The file with the identity that `age-keygen` wrote.
    #[schemars(extend("x-constant" = true))]
    identity: PathBuf,
}

impl AgeFile {
    pub(super) fn based_at(self, folder: &Path) -> Self {
        AgeFile { file: folder.join(self.file), identity: folder.join(self.identity) }
    }

    /// What is run; a file whose name starts with a dash is not an option.
    fn argv(&self) -> Vec<String> {
        let shown = |path: &Path| path.display().to_string();
        let words = ["age", "--decrypt", "--identity", &shown(&self.identity), "--", &shown(&self.file)];
        words.map(str::to_owned).to_vec()
    }
}

pub(super) async fn fetch(file: &AgeFile) -> Result<Secret<String>, SecretError> {
    command::fetch(&SecretCommand::new(file.argv(), TIME_LIMIT)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_gets_files_and_no_secret() {
        let file = AgeFile { file: "-x.age".into(), identity: "key.txt".into() }.based_at(Path::new("/etc/runbook"));
        let argv = ["age", "--decrypt", "--identity", "/etc/runbook/key.txt", "--", "/etc/runbook/-x.age"];
        assert_eq!(file.argv(), argv);
    }
}
