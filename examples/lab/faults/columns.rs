//! Faults of what is done around a model that classifies columns.

use super::operation::edit;
use crate::error::LabError;
use crate::folder::Folder;
use crate::models;
use crate::platform::overrides::ColumnSettings;

pub fn leak(folder: &Folder) -> Result<(), LabError> {
    edit_columns(folder, |columns| columns.cache_columns = 0)
}

pub fn one_by_one(folder: &Folder) -> Result<(), LabError> {
    edit_columns(folder, |columns| columns.batch_size = 1)
}

pub fn shorten(folder: &Folder) -> Result<(), LabError> {
    edit_columns(folder, |columns| columns.feature_length = 375)
}

pub fn leave_gaps(folder: &Folder) -> Result<(), LabError> {
    edit_columns(folder, |columns| columns.fill_missing = false)
}

/// Other tables come in than those that the model was trained for.
pub fn shift(folder: &Folder) -> Result<(), LabError> {
    check(folder)?;
    models::copy(&models::shipped("column-classifier/data/shifted.npz"), &folder.traffic_file())
}

fn edit_columns(folder: &Folder, change: impl FnOnce(&mut ColumnSettings)) -> Result<(), LabError> {
    check(folder)?;
    edit(folder, |settings| change(settings.columns.get_or_insert_default()))
}

fn check(folder: &Folder) -> Result<(), LabError> {
    if folder.profile.columns {
        return Ok(());
    }
    let what = format!("the {} classifies no columns", folder.profile.title);
    Err(LabError::impossible(what, "try it with --profile column-classifier"))
}
