//! All files below a folder that match a pattern.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::owner::Names;
use super::traits::{LISTED, Wanted, is_readable, mode_text};
use super::{Entry, FileKind, Output, age, modified_at};
use crate::base::Timestamp;
use crate::kind::StepError;
use crate::probe::blocking::Stop;
use crate::probe::files::{self, walk};
use crate::probe::glob::Glob;

/// Adds what lies below the folder that `output` describes.
pub(super) fn look(
    mut output: Output,
    pattern: &str,
    wanted: &Wanted,
    now: Timestamp,
    stop: &Stop,
) -> Result<Output, StepError> {
    let matcher = Matcher::new(&output.path, pattern)?;
    if !output.exists {
        return Ok(output);
    }
    if output.kind != Some(FileKind::Folder) {
        return Err(
            StepError::new(format!("{} is not a folder", output.path)).help("leave `pattern` out to look at one file")
        );
    }
    let mut names = Names::read();
    let root = matcher.root.clone();
    let metadata = root.metadata().map_err(|error| files::file_error("look at", &root, &error))?;
    wanted.compare(&mut output, entry_of(&root, &metadata, &mut names), true);
    walk(&root, stop, |found| {
        if found.metadata.is_dir() {
            wanted.compare(&mut output, entry_of(&found.path, &found.metadata, &mut names), true);
        } else if let Some(metadata) = matcher.file(found) {
            let entry = entry_of(&found.path, &metadata, &mut names);
            add(&mut output, &entry, is_readable(&found.path, &metadata), now);
            wanted.compare(&mut output, entry, false);
        }
        Ok(true)
    })?;
    Ok(output)
}

struct Matcher {
    root: PathBuf,
    glob: Glob,
    /// A pattern without a slash is about names, at any depth.
    names_only: bool,
}

impl Matcher {
    fn new(root: &str, pattern: &str) -> Result<Self, StepError> {
        Ok(Matcher { root: PathBuf::from(root), glob: Glob::new(pattern)?, names_only: !pattern.contains('/') })
    }

    /// The file's metadata when it is one and matches; that of the target for a link to a file.
    fn file(&self, found: &files::Entry) -> Option<Metadata> {
        let name = if self.names_only {
            found.path.file_name().map(Path::new)?
        } else {
            found.path.strip_prefix(&self.root).unwrap_or(&found.path)
        };
        if !self.glob.matches(name) {
            return None;
        }
        let metadata = if found.metadata.is_symlink() { found.path.metadata().ok()? } else { found.metadata.clone() };
        metadata.is_file().then_some(metadata)
    }
}

fn entry_of(path: &Path, metadata: &Metadata, names: &mut Names) -> Entry {
    Entry {
        path: path.to_string_lossy().into_owned(),
        size: metadata.len(),
        mode: mode_text(metadata.mode()),
        owner: names.user(metadata.uid()),
        group: names.group(metadata.gid()),
        modified_at: modified_at(metadata),
    }
}

fn add(output: &mut Output, entry: &Entry, readable: bool, now: Timestamp) {
    let age = age(entry.modified_at, now);
    output.count += 1;
    output.total_size = output.total_size.saturating_add(entry.size);
    output.empty_count += u64::from(entry.size == 0);
    output.unreadable_count += u64::from(!readable);
    output.newest_age = Some(output.newest_age.map_or(age, |newest| newest.min(age)));
    output.oldest_age = Some(output.oldest_age.map_or(age, |oldest| oldest.max(age)));
    if output.entries.len() < LISTED {
        output.entries.push(entry.clone());
    }
}
