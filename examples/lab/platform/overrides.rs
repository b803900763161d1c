//! `config/overrides.yaml`: what operators may change while the platform runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use runbook::base::Source;
use runbook::yaml;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::LabError;
use crate::profile::Profile;

/// The content of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    pub providers: BTreeMap<String, Settings>,
}

/// How columns are classified; only platforms that do this look at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnSettings {
    /// `model`, or `rules`: classify by rules alone, the emergency mode.
    pub mode: Mode,
    /// Columns in one run of the model.
    pub batch_size: usize,
    /// Columns whose features are kept; 0 keeps them all.
    pub cache_columns: usize,
    /// Features that are taken from a column.
    pub feature_length: usize,
    /// Whether a feature that a column does not have counts as 0 and not as NaN.
    pub fill_missing: bool,
}

/// What answers while no model is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// A stub: no confidence in anything, and marked as degraded.
    Stub,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Model,
    Rules,
}

impl Default for ColumnSettings {
    fn default() -> Self {
        ColumnSettings {
            mode: Mode::Model,
            batch_size: 32,
            cache_columns: 256,
            feature_length: 376,
            fill_missing: true,
        }
    }
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
    /// What executes the model, the best first.
    pub execution_providers: Vec<String>,
    /// Whether the quantised twin is served, `model.int8.onnx`.
    pub quantised: bool,
    /// Without it, requests are refused while no model is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_mode: Option<Fallback>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<ColumnSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        // Enough for a burst of golden cases, little enough to be reached by a loop.
        Settings {
            enabled: true,
            rate_limit: 50.0,
            batch_window_ms: 0,
            execution_providers: vec!["cpu".into()],
            quantised: false,
            fallback_mode: None,
            columns: None,
        }
    }
}

impl Settings {
    /// Whether going from these to other settings needs the model to be loaded anew.
    pub fn loads_otherwise(&self, other: &Settings) -> bool {
        (self.quantised, &self.execution_providers) != (other.quantised, &other.execution_providers)
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
        let columns = profile.columns.then(ColumnSettings::default);
        let settings = Settings { columns, ..Settings::default() };
        let providers = profile.providers.iter().map(|spec| (spec.name.to_owned(), settings.clone()));
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
        for (name, settings) in &self.providers {
            text += &format!("  {name}:\n{}", lines(&json!(settings), "    "));
        }
        fs::write(path, text).map_err(LabError::file("write", path))
    }

    /// The settings of a provider, the defaults when the file does not name it.
    pub fn of(&self, provider: &str) -> Settings {
        self.providers.get(provider).cloned().unwrap_or_default()
    }
}

/// The entries of an object as YAML, one a line; every other JSON value is YAML already.
fn lines(object: &Value, indent: &str) -> String {
    let line = |(key, value): (&String, &Value)| match value {
        Value::Object(_) => format!("{indent}{key}:\n{}", lines(value, &format!("{indent}  "))),
        value => format!("{indent}{key}: {value}\n"),
    };
    object.as_object().into_iter().flatten().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("overrides.yaml");
        for profile in ["cad", "column-classifier"] {
            let mut overrides = Overrides::shipped(Profile::find(profile).unwrap());
            overrides.providers.values_mut().for_each(|settings| settings.rate_limit = 0.5);
            overrides.write(&path).unwrap();
            assert_eq!(Overrides::read(&path).unwrap().providers, overrides.providers);
        }
    }

    #[test]
    fn a_mistake_is_named() {
        let message = |text: &str| Overrides::parse(Path::new("x"), text.to_owned()).unwrap_err().to_string();
        assert!(message("providers: {a: {enable: true}}").contains("enable"));
        assert!(message("providers: {a: {rate_limit: 0}}").contains("rate_limit of a"));
        assert!(message("providers.a.enabled: false\nproviders.a.enabled: false\n").contains("given twice"));
    }
}
