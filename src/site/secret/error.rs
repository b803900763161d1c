//! Why a secret cannot be had. None of these shows any of it.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::redaction::TooShort;
use crate::base::units::show_duration;

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the site file has no secret '{name}'{}", near.as_ref().map(|near| format!("; did you mean '{near}'?")).unwrap_or_default())]
    Unknown { name: String, near: Option<String> },
    #[error("the environment variable {0} is not set")]
    Unset(String),
    #[error("cannot read the secret file {path}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the secret file {path} is not a file")]
    NotAFile { path: PathBuf },
    #[error("the secret file {path} can be read by others (mode {mode:o}); make it 0600")]
    TooOpen { path: PathBuf, mode: u32 },
    #[error("the secret file {path} belongs to another account (number {owner}), who can change it")]
    Foreign { path: PathBuf, owner: u32 },
    #[error("'{0}' is not the name of a credential: it must be the name of a file, without a folder")]
    NotAName(String),
    #[error("systemd hands no credentials to this program (CREDENTIALS_DIRECTORY is not set), so '{0}' is not there")]
    NoCredentials(String),
    #[error("the program {program} for a secret cannot be started")]
    NotStarted { program: String, source: std::io::Error },
    #[error("the program {program} gave no secret within {}", show_duration(*limit))]
    Slow { program: String, limit: Duration },
    #[error("the program {program} gave no secret: {ending}")]
    Refused { program: String, ending: String },
    #[error("the secret from {0} is larger than 64 KiB")]
    TooLong(String),
    #[error("the secret from {0} is not text in UTF-8")]
    NotText(String),
    #[error("the secret from {0} is empty")]
    Empty(String),
    #[error("the secret from {place} cannot be used")]
    TooShort { place: String, source: TooShort },
}

impl SecretError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            SecretError::Unknown { .. } => "add it to the site file: secrets: {NAME: {file: /run/secrets/NAME}}",
            SecretError::Unset(_) => "set it for this program, and for nothing else",
            SecretError::TooOpen { .. } => "`chmod 600` it, and replace the secret if others may have read it",
            SecretError::Foreign { .. } => "`chown` it to the account that this program runs under",
            SecretError::NoCredentials(_) | SecretError::NotAName(_) => {
                "name it in the unit: LoadCredential=NAME:/path, or LoadCredentialEncrypted="
            }
            SecretError::NotStarted { .. } | SecretError::Refused { .. } | SecretError::Slow { .. } => {
                "run the program by hand as the same account; what it writes to its standard error is not shown here"
            }
            SecretError::TooShort { .. } => "make a longer one; `openssl rand -base64 24` gives a good one",
            SecretError::Unreadable { .. } | SecretError::NotAFile { .. } => "write it to a file with mode 0600",
            SecretError::TooLong(_) | SecretError::NotText(_) | SecretError::Empty(_) => {
                "what is there must be the secret and nothing else, as text"
            }
        }
    }
}
