//! Puts a lab into its good state and writes the inputs that a playbook needs to work on it.

use std::fs;

use serde_json::{Value, json};

use crate::error::LabError;
use crate::folder::Folder;
use crate::platform::overrides::Overrides;
use crate::{models, supervisor};

/// Good models, a good mirror, the default configuration.
pub fn restore(folder: &Folder) -> Result<(), LabError> {
    for provider in folder.profile.providers {
        for root in [folder.models(), folder.mirror()] {
            models::copy_good(provider.name, folder.profile.twin("quantised").as_deref(), &root.join(provider.name))?;
        }
        models::write_digest_of_manifest(&folder.mirror().join(provider.name))?;
    }
    if folder.profile.columns {
        models::copy(&models::shipped("column-classifier/data/valid.npz"), &folder.traffic_file())?;
    }
    Overrides::shipped(folder.profile).write(&folder.config_file())
}

/// Empty logs, so that what is found in them happened in this lab.
pub fn clear_logs(folder: &Folder) -> Result<(), LabError> {
    for path in [folder.log_file(), folder.console_file()] {
        fs::write(&path, "").map_err(LabError::file("write", &path))?;
    }
    Ok(())
}

/// Writes the file for `runbook run … --inputs`.
pub fn write_inputs(folder: &Folder) -> Result<(), LabError> {
    let start_command = supervisor::start_command(folder)?;
    let providers: Vec<&str> = folder.profile.providers.iter().map(|provider| provider.name).collect();
    let inputs: [(&str, Value); 9] = [
        ("providers", json!(providers)),
        ("provider", json!(folder.profile.first().name)),
        ("api", json!(folder.api())),
        ("models_dir", json!(folder.models())),
        ("mirror", json!(folder.facts.mirror)),
        ("log_file", json!(folder.log_file())),
        ("overrides", json!(folder.config_file())),
        ("pid_file", json!(folder.pid_file())),
        ("start_command", json!(start_command)),
    ];
    // JSON values are YAML values, with every special character already quoted.
    let data = folder.profile.data.iter().map(|(name, file)| (*name, json!(models::shipped(file))));
    let written = [("samples", json!(folder.samples_file())), ("recent", json!(folder.recent_file()))];
    let written = written.into_iter().filter(|_| folder.profile.columns);
    let inputs: Vec<(&str, Value)> = inputs.into_iter().chain(data).chain(written).collect();
    let text: String = inputs.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let path = folder.inputs_file();
    fs::write(&path, text).map_err(LabError::file("write", &path))
}
