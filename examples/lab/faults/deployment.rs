//! Wrong deployments: another model file together with a manifest that agrees with it, so that no
//! checksum shows the fault.

use std::path::Path;

use crate::error::LabError;
use crate::folder::Folder;
use crate::models;

pub fn future_opset(folder: &Folder) -> Result<(), LabError> {
    deploy(folder, "future-opset.onnx", &folder.models())
}

pub fn nan(folder: &Folder) -> Result<(), LabError> {
    deploy(folder, "nan.onnx", &folder.models())
}

pub fn wrong_shape(folder: &Folder) -> Result<(), LabError> {
    deploy(folder, "wrong-shape.onnx", &folder.models())
}

/// The mirror's model differs from the deployed one and is no better, so that a fix changes the file
/// and does not help.
pub fn no_good_copy(folder: &Folder) -> Result<(), LabError> {
    nan(folder)?;
    deploy(folder, "wrong-shape.onnx", &folder.mirror())?;
    models::write_digest_of_manifest(&folder.mirror().join(folder.profile.first().name))
}

/// Puts a broken twin of the first provider's model below `root`, which is the models or the mirror.
fn deploy(folder: &Folder, twin: &str, root: &Path) -> Result<(), LabError> {
    let provider = folder.profile.first().name;
    let target = root.join(provider);
    models::copy(&models::shipped(&format!("faults/{provider}/{twin}")), &target.join("model.onnx"))?;
    models::write_manifest(&target)
}
