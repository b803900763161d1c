//! Secrets by reference: the site file and playbooks say where a secret is, never what it is.
//!
//! One file a source. A secret is fetched when it is first needed, once until the site file is read again, and is masked from
//! then on in everything that the program writes, shows or sends ([`crate::base::redaction`]).

mod age;
mod command;
mod credential;
mod environment;
mod error;
mod file;
mod kept;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use age::AgeFile;
pub use command::SecretCommand;
pub use error::SecretError;

use crate::base::{Secret, suggestion};

/// Where a secret is kept. Nothing of it can be a template.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum SecretReference {
    /// The name of a secret of the site file.
    Secret(#[schemars(extend("x-constant" = true, "x-secret" = true))] String),
    /// An environment variable of this program.
    Env(#[schemars(extend("x-constant" = true))] String),
    /// A file of the account this program runs under that nobody else can read (mode 0600).
    File(#[schemars(extend("x-constant" = true))] PathBuf),
    /// A credential that systemd hands to this program (`LoadCredential=` and the like).
    Credential(#[schemars(extend("x-constant" = true))] String),
    /// A program that prints the secret.
    Command(SecretCommand),
    /// A file that is encrypted with age.
    Age(AgeFile),
}

impl SecretReference {
    /// Fetches the secret, at the first call since the site file was read; a name is looked up in `named`.
    pub async fn resolve(&self, named: &Secrets) -> Result<Secret<String>, SecretError> {
        kept::once(named.behind(self)?).await
    }

    /// Fetches the secret now, whatever was fetched before.
    pub async fn resolve_anew(&self, named: &Secrets) -> Result<Secret<String>, SecretError> {
        kept::fetch_and_learn(named.behind(self)?).await
    }

    /// Fetches it now. A trailing line break is not part of a secret.
    async fn fetch(&self) -> Result<Secret<String>, SecretError> {
        let fetched = match self {
            SecretReference::Secret(name) => return Err(SecretError::Unknown { name: name.clone(), near: None }),
            SecretReference::Env(name) => environment::fetch(name)?,
            SecretReference::File(path) => file::fetch(path)?,
            SecretReference::Credential(name) => credential::fetch(name)?,
            SecretReference::Command(command) => command::fetch(command).await?,
            SecretReference::Age(file) => age::fetch(file).await?,
        };
        let text = fetched.reveal().trim_end_matches(['\n', '\r']);
        match text.is_empty() {
            true => Err(SecretError::Empty(self.to_string())),
            false => Ok(Secret::new(text.to_owned())),
        }
    }

    /// Whether fetching it starts no program.
    fn at_hand(&self) -> bool {
        !matches!(self, SecretReference::Command(_) | SecretReference::Age(_))
    }

    fn based_at(self, folder: &Path) -> Self {
        match self {
            SecretReference::File(path) => SecretReference::File(folder.join(path)),
            SecretReference::Age(file) => SecretReference::Age(file.based_at(folder)),
            other => other,
        }
    }
}

impl std::fmt::Display for SecretReference {
    /// The place, as an error names it.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SecretReference::Secret(name) => write!(formatter, "the secret '{name}'"),
            SecretReference::Env(name) => write!(formatter, "the environment variable {name}"),
            SecretReference::File(path) => write!(formatter, "the file {}", path.display()),
            SecretReference::Credential(name) => write!(formatter, "the systemd credential '{name}'"),
            SecretReference::Command(command) => write!(formatter, "the program {}", command.name()),
            SecretReference::Age(file) => write!(formatter, "the encrypted file {}", file.file.display()),
        }
    }
}

/// The secrets of a site file, by name: where each is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secrets(BTreeMap<String, SecretReference>);

impl Secrets {
    /// From now on each secret is fetched again when it is needed.
    pub(super) fn forget() {
        kept::forget();
    }

    /// Fetches these and the others, as far as no program has to be started for it. What cannot be had is said
    /// when it is needed.
    pub(super) async fn meet(&self, others: impl Iterator<Item = SecretReference>) {
        for kept in others.chain(self.0.values().cloned()).filter(SecretReference::at_hand) {
            if let Err(error) = kept.resolve(self).await {
                tracing::debug!("{kept} is not masked: {error}");
            }
        }
    }

    /// What a reference says, with a name replaced by what the site file says about it.
    fn behind<'a>(&'a self, reference: &'a SecretReference) -> Result<&'a SecretReference, SecretError> {
        match reference {
            SecretReference::Secret(name) => self.named(name),
            direct => Ok(direct),
        }
    }

    fn named(&self, name: &str) -> Result<&SecretReference, SecretError> {
        self.0.get(name).ok_or_else(|| SecretError::Unknown {
            name: name.to_owned(),
            near: suggestion::nearest(name, self.0.keys().map(String::as_str)).first().map(|near| (*near).to_owned()),
        })
    }

    /// Puts what the site file says about a name in the place of each `{secret: NAME}` of the settings.
    pub fn insert_into(&self, settings: &mut Value) -> Result<(), SecretError> {
        if let Some(name) = alone(settings) {
            let kept = self.named(name)?;
            *settings = serde_json::to_value(kept).map_err(|_| SecretError::Empty(kept.to_string()))?;
            return Ok(());
        }
        match settings {
            Value::Object(fields) => fields.values_mut().try_for_each(|field| self.insert_into(field)),
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.insert_into(item)),
            _ => Ok(()),
        }
    }

    #[must_use]
    pub fn based_at(self, folder: &Path) -> Self {
        Secrets(self.0.into_iter().map(|(name, kept)| (name, kept.based_at(folder))).collect())
    }
}

/// Every reference in the settings of a channel.
pub(super) fn references_in(settings: &Value) -> Vec<SecretReference> {
    match (SecretReference::deserialize(settings), settings) {
        (Ok(reference), Value::Object(_)) => vec![reference],
        (_, Value::Object(fields)) => fields.values().flat_map(references_in).collect(),
        (_, Value::Array(items)) => items.iter().flat_map(references_in).collect(),
        _ => Vec::new(),
    }
}

/// The name in a mapping that is nothing but `{secret: NAME}`.
fn alone(settings: &Value) -> Option<&str> {
    let fields = settings.as_object().filter(|fields| fields.len() == 1)?;
    fields.get("secret")?.as_str()
}

/// Text, or a secret that takes its place when it is used: a secret never becomes a value of a run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TextOrSecret {
    Text(String),
    Secret(SecretReference),
}

#[cfg(test)]
mod tests;
