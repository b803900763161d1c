//! Wrong deployments: another model file together with a manifest that agrees with it, so that no
//! checksum shows the fault.

use std::path::Path;

use crate::error::LabError;
use crate::folder::Folder;
use crate::models;

pub fn future_opset(folder: &Folder) -> Result<(), LabError> {
    deploy(folder, "future-opset", &folder.models())
}

pub fn nan(folder: &Folder) -> Result<(), LabError> {
    deploy(folder, "nan", &folder.models())
}

pub fn wrong_shape(folder: &Folder) -> Result<(), LabError> {
    deploy(folder, "wrong-shape", &folder.models())
}

pub fn wrong_labels(folder: &Folder) -> Result<(), LabError> {
    deploy(folder, "wrong-labels", &folder.models())
}

pub fn underconfident(folder: &Folder) -> Result<(), LabError> {
    deploy(folder, "underconfident", &folder.models())
}

pub fn slow(folder: &Folder) -> Result<(), LabError> {
    deploy(folder, "slow", &folder.models())
}

/// The mirror's model differs from the deployed one and is no better, so that a fix changes the file
/// and does not help.
pub fn no_good_copy(folder: &Folder) -> Result<(), LabError> {
    nan(folder)?;
    deploy(folder, "wrong-shape", &folder.mirror())?;
    models::write_digest_of_manifest(&folder.mirror().join(folder.profile.first().name))
}

/// Puts a broken twin of the first provider's model below `root`, which is the models or the mirror.
fn deploy(folder: &Folder, twin: &str, root: &Path) -> Result<(), LabError> {
    let provider = folder.profile.first().name;
    let target = root.join(provider);
    let file = folder.profile.twin(twin).ok_or_else(|| {
        let what = format!("the {} has no release of that kind", folder.profile.title);
        LabError::impossible(what, "try it with another --profile")
    })?;
    models::copy(&file, &target.join("model.onnx"))?;
    models::write_manifest(&target)
}
