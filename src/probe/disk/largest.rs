//! What fills a folder.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::LargestEntry;
use crate::kind::StepError;
use crate::probe::blocking::Stop;
use crate::probe::files::{file_error, walk};

/// Blocks of `stat`, whatever the file system's own block size.
const BLOCK: u64 = 512;

pub(super) struct Largest {
    pub entries: Vec<LargestEntry>,
    pub unreadable_folders: u64,
}

/// The `number` largest entries directly below `folder`.
pub(super) fn find(folder: &Path, number: usize, stop: &Stop) -> Result<Largest, StepError> {
    let device = folder.metadata().map_err(|error| file_error("look at", folder, &error))?.dev();
    let mut sizes: Vec<(PathBuf, u64)> = Vec::new();
    let mut counted = HashSet::new();
    let mut unreadable_folders = 0;
    walk(folder, stop, |entry| {
        if entry.depth == 1 {
            sizes.push((entry.path.clone(), 0));
        }
        let metadata = &entry.metadata;
        // A file with several names takes its space once; other file systems take none of this one.
        let again = metadata.nlink() > 1 && !metadata.is_dir() && !counted.insert(metadata.ino());
        if metadata.dev() != device || again {
            return Ok(false);
        }
        if let Some((_, size)) = sizes.last_mut() {
            *size += metadata.blocks() * BLOCK;
        }
        let enters = metadata.is_dir() && entry.path.read_dir().is_ok();
        unreadable_folders += u64::from(metadata.is_dir() && !enters);
        Ok(enters)
    })?;
    sizes.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    let entries = sizes
        .into_iter()
        .take(number)
        .map(|(path, size)| LargestEntry { path: path.to_string_lossy().into_owned(), size });
    Ok(Largest { entries: entries.collect(), unreadable_folders })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_count_with_their_content_and_links_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("cache/deep")).unwrap();
        std::fs::write(root.join("cache/deep/big"), vec![1; 400_000]).unwrap();
        std::fs::write(root.join("medium"), vec![1; 200_000]).unwrap();
        std::fs::hard_link(root.join("cache/deep/big"), root.join("same")).unwrap();
        std::os::unix::fs::symlink("cache", root.join("link")).unwrap();
        let found = find(root, 2, &Stop::never()).unwrap();
        let names: Vec<_> = found.entries.iter().map(|entry| entry.path.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["cache", "medium"]);
        assert!(found.entries[0].size >= 400_000 && found.entries[0].size < 800_000);
        assert_eq!(found.unreadable_folders, 0);
    }

    #[test]
    fn a_file_has_nothing_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "x").unwrap();
        assert!(find(&path, 1, &Stop::never()).is_err());
        assert!(find(folder.path(), 5, &Stop::never()).unwrap().entries.len() == 1);
    }
}
