//! Damage to the model file itself; its manifest stays and no longer agrees.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use runbook::model::Engine;
use runbook::model::embedded::EmbeddedEngine;
use runbook::model::golden::{self, Golden, Values, Verdict};

use crate::error::LabError;
use crate::folder::Folder;
use crate::models;

fn target(folder: &Folder) -> PathBuf {
    folder.model_file(folder.profile.first().name)
}

fn remove(path: &Path) -> Result<(), LabError> {
    match fs::remove_file(path) {
        // Broken twice is as broken as once.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LabError::file("delete", path)(error)),
        _ => Ok(()),
    }
}

pub fn delete(folder: &Folder) -> Result<(), LabError> {
    remove(&target(folder))
}

pub fn delete_all(folder: &Folder) -> Result<(), LabError> {
    folder.profile.providers.iter().try_for_each(|provider| remove(&folder.model_file(provider.name)))
}

pub fn empty(folder: &Folder) -> Result<(), LabError> {
    shorten(&target(folder), |_| 0)
}

pub fn truncate(folder: &Folder) -> Result<(), LabError> {
    shorten(&target(folder), |length| length / 2)
}

fn shorten(path: &Path, length: impl FnOnce(u64) -> u64) -> Result<(), LabError> {
    let file = OpenOptions::new().write(true).open(path);
    file.and_then(|file| file.set_len(length(file.metadata()?.len()))).map_err(LabError::file("shorten", path))
}

pub fn forbid(folder: &Folder) -> Result<(), LabError> {
    if rustix::process::geteuid().is_root() {
        let what = "root can read every file, so taking the permissions away changes nothing";
        return Err(LabError::impossible(what, "run the lab as another user to try this fault"));
    }
    let path = target(folder);
    fs::set_permissions(&path, Permissions::from_mode(0o000))
        .map_err(LabError::file("change the permissions of", &path))
}

/// Flips the first bit, from the middle of the file on, that no load notices: the model still answers,
/// with numbers of the right shape that are wrong.
pub fn flip_bit(folder: &Folder) -> Result<(), LabError> {
    // The top bits of a float's last byte are its exponent, where one bit changes the most.
    const EXPONENT_BIT: u8 = 0x20;
    let path = target(folder);
    let trial = path.with_extension("trial");
    let provider = folder.profile.first().name;
    let golden = Golden::read(&models::shipped(&format!("{provider}/golden.json")))
        .map_err(|error| LabError::impossible(error.to_string(), "restore the golden cases of the repository"))?;
    let mut bytes = fs::read(&path).map_err(LabError::file("read", &path))?;
    for place in bytes.len() / 2..bytes.len() {
        bytes[place] ^= EXPONENT_BIT;
        fs::write(&trial, &bytes).map_err(LabError::file("write", &trial))?;
        if quietly_wrong(&trial, &golden) {
            return fs::rename(&trial, &path).map_err(LabError::file("replace", &path));
        }
        bytes[place] ^= EXPONENT_BIT;
    }
    remove(&trial)?;
    Err(LabError::impossible("every flipped bit breaks the model in a way that shows", "heal the lab first"))
}

fn quietly_wrong(path: &Path, golden: &Golden) -> bool {
    let Ok(model) = EmbeddedEngine.load(path) else { return false };
    let verdict = |case: &golden::Case| {
        let answers = case.tensors(model.inputs()).and_then(|inputs| model.run(inputs)).ok()?;
        let answers: BTreeMap<String, Values> =
            answers.iter().map(|(name, tensor)| (name.clone(), Values::from(tensor))).collect();
        Some(golden::compare(case, &answers, golden.tolerance).verdict)
    };
    golden.cases.iter().map(verdict).try_fold(Verdict::Match, |worst, verdict| verdict.map(|next| worst.max(next)))
        == Some(Verdict::Differs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Facts;
    use crate::profile::Profile;
    use crate::setup;

    #[test]
    fn one_flipped_bit_is_enough_to_be_wrong() {
        let root = tempfile::tempdir().unwrap();
        let facts = Facts { profile: "cad".into(), port: 0, mirror: String::new(), owner: 0 };
        let folder = Folder::create(root.path(), Profile::find("cad").unwrap(), facts).unwrap();
        setup::restore(&folder).unwrap();
        let good = fs::read(target(&folder)).unwrap();
        flip_bit(&folder).unwrap();
        let bad = fs::read(target(&folder)).unwrap();
        let flipped: u32 = good.iter().zip(&bad).map(|(good, bad)| (good ^ bad).count_ones()).sum();
        assert_eq!((flipped, bad.len()), (1, good.len()));
        assert!(!target(&folder).with_extension("trial").exists());
    }
}
