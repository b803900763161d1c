//! Faults of operation: good models, badly run.

use crate::error::LabError;
use crate::folder::Folder;
use crate::platform::overrides::{Overrides, Settings};

pub fn disable(folder: &Folder) -> Result<(), LabError> {
    edit(folder, |settings| settings.enabled = false)
}

pub fn slow_down(folder: &Folder) -> Result<(), LabError> {
    edit(folder, |settings| settings.batch_window_ms = 400)
}

pub fn misname_execution_provider(folder: &Folder) -> Result<(), LabError> {
    edit(folder, |settings| settings.execution_providers = vec!["cuda".into()])
}

/// For faults that are not in a file.
pub fn leave_files(_: &Folder) -> Result<(), LabError> {
    Ok(())
}

/// Changes the configuration of the first provider.
pub(super) fn edit(folder: &Folder, change: impl FnOnce(&mut Settings)) -> Result<(), LabError> {
    let path = folder.config_file();
    let mut overrides = Overrides::read(&path)
        .map_err(|error| LabError::impossible(error.to_string(), "put it right by hand, or run `lab heal`"))?;
    change(overrides.providers.entry(folder.profile.first().name.to_owned()).or_default());
    overrides.write(&path)
}
