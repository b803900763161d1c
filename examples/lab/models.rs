//! The models that come with the repository, and manifests over copies of them.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::LabError;

/// What a provider's folder holds, and the order of its manifest.
const LISTED: [&str; 3] = ["model.onnx", "golden.json", QUANTISED];
/// The quantised twin, which not every model has.
pub const QUANTISED: &str = "model.int8.onnx";
const MANIFEST: &str = "SHA256SUMS";
/// What a mirror has beside a manifest, so that the manifest itself can be checked when it is fetched.
const DIGEST_OF_MANIFEST: &str = "SHA256SUMS.sha256";

/// A file below the repository's `models` folder.
pub fn shipped(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(relative)
}

/// A good model with its golden cases and its manifest, over whatever is there.
pub fn copy_good(provider: &str, quantised: Option<&Path>, into: &Path) -> Result<(), LabError> {
    for file in ["model.onnx", "golden.json"] {
        copy(&shipped(&format!("{provider}/{file}")), &into.join(file))?;
    }
    if let Some(quantised) = quantised {
        copy(quantised, &into.join(QUANTISED))?;
    }
    write_manifest(into)
}

pub fn copy(from: &Path, to: &Path) -> Result<(), LabError> {
    let bytes = fs::read(from).map_err(LabError::file("read", from))?;
    // Removed first: a file without permissions could not be opened for writing, and the new one has the usual mode.
    match fs::remove_file(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LabError::file("replace", to)(error)),
        _ => fs::write(to, bytes).map_err(LabError::file("write", to)),
    }
}

/// Makes the manifest agree with the files beside it, right or wrong.
pub fn write_manifest(folder: &Path) -> Result<(), LabError> {
    let listed: Vec<&str> = LISTED.into_iter().filter(|file| folder.join(file).exists()).collect();
    write_digests(folder, &listed, MANIFEST)
}

pub fn write_digest_of_manifest(folder: &Path) -> Result<(), LabError> {
    write_digests(folder, &[MANIFEST], DIGEST_OF_MANIFEST)
}

fn write_digests(folder: &Path, files: &[&str], into: &str) -> Result<(), LabError> {
    let mut text = String::new();
    for file in files {
        let path = folder.join(file);
        let bytes = fs::read(&path).map_err(LabError::file("read", &path))?;
        text += &format!("{}  {file}\n", hex::encode(Sha256::digest(bytes)));
    }
    let path = folder.join(into);
    fs::write(&path, text).map_err(LabError::file("write", &path))
}
