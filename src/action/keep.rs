//! Replacing a file so that it can be put back: write beside, keep the old one beside, rename.
//!
//! ```text
//! .model.onnx.new-RUN-STEP   written, flushed to disk, owner and mode set
//! .model.onnx.kept-RUN-STEP  the old file under a second name (a hard link where possible)
//! model.onnx                 renamed over: readers see the old file or the new one, never half of one
//! ```
//!
//! Kept copies lie beside the file and not in the state folder, because only on the same file system
//! is undoing one atomic rename that needs no free space. Their names start with a dot, so that
//! services which read every `*.conf` of a folder do not read them. Names carry run and step: an
//! attempt that is repeated after a crash finds what the interrupted one kept.
//!
//! Everything here blocks; call it from a thread that may block. Content, owner and mode are carried
//! over; extended attributes are not.

mod error;
mod restore;
mod staged;

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{RunId, StepKey};
use crate::kind::Context;
use error::IoContext as _;
pub use error::KeepError;
pub use restore::{Restored, restore};
pub use staged::{StagedFile, sha256_of_file};

/// What a new file gets when nothing says otherwise: readable by the service that needs it, writable
/// by its owner only.
const DEFAULT_MODE: u32 = 0o644;

/// Which file is replaced, by whom, and what is kept of the old one.
#[derive(Debug, Clone)]
pub struct Replacement {
    path: PathBuf,
    mode: Option<u32>,
    keep: usize,
    run: RunId,
    step: StepKey,
}

/// The new content of a file.
#[derive(Debug)]
pub enum NewContent {
    Bytes(Vec<u8>),
    /// Written before with [`Replacement::stage`], for what is too large for memory.
    Staged(StagedFile),
}

/// What became of a replaced file. Steps that replace files have these fields in their output, and
/// `restore_kept` reads them from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replaced {
    /// The file, with symbolic links followed.
    pub path: PathBuf,
    /// Whether this step changed the file; false when it already had the wanted content and mode.
    pub changed: bool,
    /// Whether there was a file before.
    pub existed_before: bool,
    /// The copy of the old file, beside the new one; null when there is none.
    pub kept: Option<PathBuf>,
    /// SHA-256 of the content the file has now, in hexadecimal.
    pub sha256: String,
    /// SHA-256 of the content the file had before; null when there was none.
    #[serde(default)]
    pub sha256_before: Option<String>,
}

impl Replacement {
    /// A replacement of `path` by the step of `context` that keeps one old copy. A symbolic link is
    /// followed, so that the link stays and the file it names is replaced.
    pub fn new(path: &Path, context: &Context) -> Result<Self, KeepError> {
        let path = resolve(path)?;
        Ok(Replacement { path, mode: None, keep: 1, run: context.run.clone(), step: context.step.clone() })
    }

    /// The permission bits of the new file; without it those of the old file, else `0644`.
    #[must_use]
    pub fn mode(mut self, mode: Option<u32>) -> Self {
        self.mode = mode;
        self
    }

    /// How many old copies to keep; 0 keeps none and makes undoing impossible.
    #[must_use]
    pub fn keep(mut self, keep: usize) -> Self {
        self.keep = keep;
        self
    }

    /// The file, with symbolic links followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An empty file on the same file system that takes the new content; it removes itself when it
    /// is dropped before it became the file.
    pub fn stage(&self) -> Result<StagedFile, KeepError> {
        StagedFile::create(self.beside("new"))
    }

    fn beside(&self, role: &str) -> PathBuf {
        let mut name = hidden_prefix(&self.path, role);
        name.push(tag(&self.run, &self.step));
        self.path.with_file_name(name)
    }
}

/// Gives a file new content in one atomic step that survives a loss of power, and keeps the old file.
pub fn replace_file(replacement: &Replacement, new: NewContent) -> Result<Replaced, KeepError> {
    let staged = match new {
        NewContent::Staged(staged) => staged,
        NewContent::Bytes(bytes) => stage_bytes(replacement, &bytes)?,
    };
    let old = read_old(&replacement.path)?;
    let wanted_mode = replacement.mode.or(old.as_ref().map(Old::mode)).unwrap_or(DEFAULT_MODE);
    match old {
        Some(old) if old.sha256 == staged.sha256() && old.mode() == wanted_mode => unchanged(replacement, old),
        old => swap(replacement, staged, old, wanted_mode),
    }
}

/// What [`replace_file`] reports when the file has the wanted content already, without writing anything;
/// `None` when it has not.
pub fn already_in_place(replacement: &Replacement, sha256: &str) -> Result<Option<Replaced>, KeepError> {
    match read_old(&replacement.path)? {
        Some(old) if old.sha256 == sha256 && replacement.mode.is_none_or(|mode| mode == old.mode()) => {
            unchanged(replacement, old).map(Some)
        }
        _ => Ok(None),
    }
}

/// The file as it is before the replacement.
struct Old {
    metadata: Metadata,
    sha256: String,
}

impl Old {
    fn mode(&self) -> u32 {
        self.metadata.permissions().mode() & 0o7777
    }
}

fn read_old(path: &Path) -> Result<Option<Old>, KeepError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing("look at", path),
        Ok(metadata) if !metadata.is_file() => Err(KeepError::NotAFile { path: path.to_owned() }),
        Ok(metadata) => Ok(Some(Old { metadata, sha256: sha256_of_file(path)? })),
    }
}

fn stage_bytes(replacement: &Replacement, bytes: &[u8]) -> Result<StagedFile, KeepError> {
    let mut staged = replacement.stage()?;
    staged.write_all(bytes).doing("write", staged.path())?;
    Ok(staged)
}

/// An interrupted attempt of the same step may have done the work: then its kept copy lies there, and
/// the step did change the file.
fn unchanged(replacement: &Replacement, old: Old) -> Result<Replaced, KeepError> {
    let kept = Some(replacement.beside("kept")).filter(|kept| kept.is_file());
    let sha256_before = match &kept {
        Some(kept) => sha256_of_file(kept)?,
        None => old.sha256.clone(),
    };
    Ok(Replaced {
        path: replacement.path.clone(),
        changed: kept.is_some(),
        existed_before: true,
        kept,
        sha256: old.sha256,
        sha256_before: Some(sha256_before),
    })
}

fn swap(replacement: &Replacement, staged: StagedFile, old: Option<Old>, mode: u32) -> Result<Replaced, KeepError> {
    let sha256 = staged.sha256();
    staged.finish(old.as_ref().map(|old| (old.metadata.uid(), old.metadata.gid())), mode)?;
    let kept = match &old {
        Some(old) if replacement.keep > 0 => Some(keep_old(replacement, old)?),
        _ => None,
    };
    staged.become_file(&replacement.path)?;
    if let Err(error) = prune(replacement, kept.as_deref()) {
        // The file is replaced; an old copy too many is no reason to call that an error.
        tracing::warn!(%error, "cannot remove old kept copies");
    }
    Ok(Replaced {
        path: replacement.path.clone(),
        changed: true,
        existed_before: old.is_some(),
        kept,
        sha256,
        sha256_before: old.map(|old| old.sha256),
    })
}

/// Gives the old file a second name. A name that an earlier attempt took is used again when it holds
/// the same content, and left alone when it does not: it may be the only copy of something.
fn keep_old(replacement: &Replacement, old: &Old) -> Result<PathBuf, KeepError> {
    let first = replacement.beside("kept");
    let mut kept = first.clone();
    let mut number = 1_u32;
    while fs::symlink_metadata(&kept).is_ok() {
        if sha256_of_file(&kept)? == old.sha256 {
            return Ok(kept);
        }
        number += 1;
        let mut name = first.clone().into_os_string();
        name.push(format!(".{number}"));
        kept = PathBuf::from(name);
    }
    link_or_copy(&replacement.path, &kept, old)?;
    Ok(kept)
}

/// Some file systems have no hard links, and the kernel refuses a link to somebody else's file.
fn link_or_copy(from: &Path, to: &Path, old: &Old) -> Result<(), KeepError> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let mut copy = StagedFile::create(to.with_added_extension("partial"))?;
    let mut source = File::open(from).doing("read", from)?;
    std::io::copy(&mut source, &mut copy).doing("write", to)?;
    copy.finish(Some((old.metadata.uid(), old.metadata.gid())), old.mode())?;
    copy.become_file(to)
}

/// Removes the oldest kept copies of other runs. Those of this run stay whatever their number, because
/// its undo may need each of them.
fn prune(replacement: &Replacement, kept: Option<&Path>) -> Result<(), KeepError> {
    let folder = folder_of(&replacement.path);
    let prefix = hidden_prefix(&replacement.path, "kept");
    let own = root_of(&replacement.run);
    let mut others = Vec::new();
    for entry in fs::read_dir(folder).doing("list", folder)? {
        let entry = entry.doing("list", folder)?;
        let name = entry.file_name();
        let Some(tag) = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes()) else { continue };
        if !tag.starts_with(own.as_bytes()) {
            let metadata = entry.metadata().doing("look at", &entry.path())?;
            // The time of the last link or rename: a hard link keeps the modification time of its file.
            others.push(((metadata.ctime(), metadata.ctime_nsec()), entry.path()));
        }
    }
    others.sort_unstable();
    let room = replacement.keep.saturating_sub(usize::from(kept.is_some()));
    let excess = others.len().saturating_sub(room);
    for (_, path) in &others[..excess] {
        fs::remove_file(path).doing("remove", path)?;
    }
    Ok(())
}

/// The file that a path means: links followed, the folder made absolute by the operating system.
fn resolve(path: &Path) -> Result<PathBuf, KeepError> {
    let name = path.file_name().ok_or_else(|| KeepError::NotAFile { path: path.to_owned() })?;
    match fs::canonicalize(path) {
        Ok(real) if real.is_file() => Ok(real),
        Ok(_) => Err(KeepError::NotAFile { path: path.to_owned() }),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).doing("look at", path),
        Err(_) if path.is_symlink() => Err(KeepError::DanglingLink { path: path.to_owned() }),
        Err(_) => {
            let folder = folder_of(path);
            Ok(fs::canonicalize(folder).doing("find the folder", folder)?.join(name))
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `.model.onnx.kept-`, to which the tag of run and step is added.
fn hidden_prefix(path: &Path, role: &str) -> OsString {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{role}-"));
    name
}

/// Run and step as a part of a file name.
fn tag(run: &RunId, step: &StepKey) -> String {
    let root = root_of(run);
    let child = &run.as_str()[root.len()..];
    let rest: String = format!("{child}-{step}").chars().map(plain_letter).collect();
    // A file name ends at 255 bytes, and nested playbooks make long run names.
    if rest.len() > 80 {
        format!("{root}-{}", &staged::sha256_of(rest.as_bytes())[..16])
    } else {
        format!("{root}{rest}")
    }
}

fn plain_letter(letter: char) -> char {
    if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-') { letter } else { '_' }
}

fn root_of(run: &RunId) -> &str {
    run.as_str().split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
