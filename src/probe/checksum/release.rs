//! What a release says of one file: its SHA-256 and, where its list tells it, its length.

use std::path::Path;

use serde::Deserialize;

use super::digest::{Algorithm, check_digest};
use super::manifest::Item;
use super::{MANIFEST_BYTES, folder_of, manifest_items};
use crate::kind::StepError;
use crate::model::preflight::Released;
use crate::probe::files::read_small;

/// A list in JSON, such as `{"files": [{"file": "model.onnx", "bytes": 51876, "sha256": "…"}]}`; what else it tells is
/// left to its other readers.
#[derive(Deserialize)]
struct List {
    files: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    /// Relative to the folder of the list.
    file: String,
    bytes: Option<u64>,
    sha256: String,
}

/// What a list of digests gives a file: by its place below the folder of the list, else by its name alone. A list whose
/// name ends in `.json` is one in JSON, any other is one as `sha256sum` writes it. Blocking.
pub fn released(manifest: &Path, file: &Path) -> Result<Released, StepError> {
    let json = manifest.extension().is_some_and(|extension| extension == "json");
    let found = if json { in_json(manifest, file)? } else { in_lines(manifest, file)? };
    found.ok_or_else(|| {
        StepError::new(format!("the manifest {} gives {} no SHA-256", manifest.display(), file.display()))
            .help("name the manifest of the release that the file is from")
    })
}

fn in_lines(manifest: &Path, file: &Path) -> Result<Option<Released>, StepError> {
    let items = manifest_items(manifest, None, &[])?;
    let listed: Vec<&Item> = items.iter().filter(|item| item.algorithm == Algorithm::Sha256).collect();
    let found = nearest(&listed, manifest, file, |item| &item.path);
    Ok(found.map(|item| Released { sha256: item.digest.clone(), bytes: None }))
}

fn in_json(manifest: &Path, file: &Path) -> Result<Option<Released>, StepError> {
    let unusable = |error: &(dyn std::error::Error + 'static)| {
        StepError::because(format!("cannot read the manifest {}", manifest.display()), error)
            .help(r#"its form is {"files": [{"file": "model.onnx", "bytes": 51876, "sha256": "…"}]}"#)
    };
    let text = read_small(manifest, MANIFEST_BYTES)?;
    let list: List = serde_json::from_slice(&text).map_err(|error| unusable(&error))?;
    let listed: Vec<&Listed> = list.files.iter().collect();
    let Some(found) = nearest(&listed, manifest, file, |listed| Path::new(&listed.file)) else { return Ok(None) };
    let sha256 = check_digest(Algorithm::Sha256, &found.sha256).map_err(|fault| unusable(&fault))?;
    Ok(Some(Released { sha256, bytes: found.bytes }))
}

fn nearest<'a, T>(listed: &[&'a T], manifest: &Path, file: &Path, path: impl Fn(&T) -> &Path) -> Option<&'a T> {
    let folder = folder_of(manifest);
    let same_place = listed.iter().find(|item| folder.join(path(item)) == file);
    same_place.or_else(|| listed.iter().find(|item| path(item).file_name() == file.file_name())).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn the_place_counts_before_the_name() {
        let [old, new] = ["1", "2"].map(|digit| digit.repeat(64));
        let (folder, path) = list(
            "release.json",
            &format!(
                r#"{{"made": "today", "files": [{{"file": "old/m.onnx", "sha256": "{old}"}},
                {{"file": "m.onnx", "bytes": 7, "sha256": "{new}"}}]}}"#
            ),
        );
        let at = |file: &Path| released(&path, file).unwrap();
        assert_eq!(at(&folder.path().join("m.onnx")), Released { sha256: new, bytes: Some(7) });
        assert_eq!(at(Path::new("elsewhere/m.onnx")), Released { sha256: old, bytes: None });
        assert!(released(&path, Path::new("x.onnx")).unwrap_err().message.contains("no SHA-256"));
    }

    #[test]
    fn a_list_without_digests_is_told() {
        for text in ["[]", r#"{"files": [{"file": "m.onnx", "sha256": "todo"}]}"#] {
            let (_folder, path) = list("release.json", text);
            let error = released(&path, Path::new("m.onnx")).unwrap_err();
            assert!(error.help.unwrap().contains("files"), "{text}");
        }
    }
}
