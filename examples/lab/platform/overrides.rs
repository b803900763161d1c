//! `config/overrides.yaml`: what operators may change while the platform runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use runbook::base::Source;
use runbook::yaml;
use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::profile::Profile;

/// The content of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    pub providers: BTreeMap<String, Settings>,
}

/// The settings of one provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub enabled: bool,
    /// Requests per second from outside; more are answered with 429.
    pub rate_limit: f64,
    /// How long a request waits for others to join its batch, in milliseconds.
    pub batch_window_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        // Enough for a burst of golden cases, little enough to be reached by a loop.
        Settings { enabled: true, rate_limit: 50.0, batch_window_ms: 0 }
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OverridesError {
    #[error("cannot read the configuration: {0}")]
    Read(#[from] std::io::Error),
    #[error("the configuration is not valid: {0}")]
    Invalid(String),
}

impl Overrides {
    /// The settings that a lab starts with, written out so that there is something to edit.
    pub fn shipped(profile: &Profile) -> Self {
        let providers = profile.providers.iter().map(|spec| (spec.name.to_owned(), Settings::default()));
        Overrides { providers: providers.collect() }
    }

    /// Reads the file; a missing one overrides nothing.
    pub fn read(path: &Path) -> Result<Self, OverridesError> {
        match fs::read_to_string(path) {
            Ok(text) => Overrides::parse(path, text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Overrides::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn parse(path: &Path, text: String) -> Result<Self, OverridesError> {
        let source = Source::new(path, text);
        let node = yaml::parse(&source).map_err(|problems| {
            let messages: Vec<String> = problems.iter().map(|problem| problem.message.clone()).collect();
            OverridesError::Invalid(messages.join("; "))
        })?;
        let overrides: Overrides =
            serde_json::from_value(node.to_json()).map_err(|error| OverridesError::Invalid(error.to_string()))?;
        match overrides.providers.iter().find(|(_, settings)| settings.rate_limit <= 0.0) {
            Some((name, _)) => Err(OverridesError::Invalid(format!("rate_limit of {name} must be more than 0"))),
            None => Ok(overrides),
        }
    }

    pub fn write(&self, path: &Path) -> Result<(), LabError> {
        let mut text = "# Read at start, on SIGHUP and on a reload.\nproviders:\n".to_owned();
        for (name, Settings { enabled, rate_limit, batch_window_ms }) in &self.providers {
            text += &format!("  {name}:\n    enabled: {enabled}\n    rate_limit: {rate_limit}\n");
            text += &format!("    batch_window_ms: {batch_window_ms}\n");
        }
        fs::write(path, text).map_err(LabError::file("write", path))
    }

    /// The settings of a provider, the defaults when the file does not name it.
    pub fn of(&self, provider: &str) -> Settings {
        self.providers.get(provider).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("overrides.yaml");
        let mut overrides = Overrides::shipped(Profile::find("cad").unwrap());
        overrides.providers.get_mut("ocr-text").unwrap().rate_limit = 0.5;
        overrides.write(&path).unwrap();
        assert_eq!(Overrides::read(&path).unwrap().providers, overrides.providers);
    }

    #[test]
    fn a_mistake_is_named() {
        let message = |text: &str| Overrides::parse(Path::new("x"), text.to_owned()).unwrap_err().to_string();
        assert!(message("providers: {a: {enable: true}}").contains("enable"));
        assert!(message("providers: {a: {rate_limit: 0}}").contains("rate_limit of a"));
        assert!(message("providers.a.enabled: false\nproviders.a.enabled: false\n").contains("given twice"));
    }
}
