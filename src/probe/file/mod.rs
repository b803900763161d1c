//! The `file` kind: what lies at a path, or all files of a kind below a folder.

mod many;
mod owner;
mod traits;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blocking::run_blocking;
use super::files::{file_error, is_absent};
use crate::base::Timestamp;
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};
use owner::Names;
use traits::{Wanted, is_readable, kind_of, mode_text};

/// Looks at a path. A missing file is an answer (`exists` is false), not a failure: write
/// `expect: exists && size > 0` to demand one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file or folder. A symbolic link is followed.
    #[schemars(extend("x-encode" = "path"))]
    pub path: String,
    /// Look at all files below the folder `path` whose name matches, such as `*.onnx` or
    /// `{*.bin,*.pt}`, at any depth. A pattern with a slash is matched against the path below the
    /// folder, where `**` stands for any folders. Symbolic links to folders are not entered.
    #[serde(default)]
    pub pattern: Option<String>,
    /// The permissions every file should have, such as `'0644'`; what differs is counted in `mode_mismatches`.
    #[serde(default)]
    pub mode: Option<String>,
    /// The permissions every folder should have, such as `'0755'`, `path` itself included.
    #[serde(default)]
    pub dir_mode: Option<String>,
    /// The user who should own everything, by name or number; what differs is counted in `owner_mismatches`.
    #[serde(default)]
    pub owner: Option<String>,
    /// The group everything should belong to, by name or number; counted in `owner_mismatches` too.
    #[serde(default)]
    pub group: Option<String>,
}

/// What lies at a path. A link is one that leads to nothing; pipes, sockets and devices are other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum FileKind {
    File,
    Folder,
    Link,
    Other,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Output {
    /// The path as given.
    pub path: String,
    /// True when something is there. A link to nothing does not exist.
    pub exists: bool,
    /// Bytes; 0 when nothing is there.
    pub size: u64,
    /// True when it is there and holds nothing: no bytes, or no entries in a folder.
    pub empty: bool,
    /// `file`, `folder`, `link` (a symbolic link that leads to nothing) or `other` (pipe,
    /// socket, device); null when nothing is there.
    pub kind: Option<FileKind>,
    /// Permissions as four octal digits, such as `0644`.
    pub mode: Option<String>,
    /// Name of the owner, or the number when it has no name on this machine.
    pub owner: Option<String>,
    /// Name of the group, or its number.
    pub group: Option<String>,
    /// When its content was last changed, in seconds since 1970.
    pub modified_at: Option<f64>,
    /// Seconds since then; null when nothing is there.
    pub age: Option<f64>,
    /// True when this user may read it (and enter it, a folder).
    pub readable: bool,
    /// Where a symbolic link points.
    pub link_target: Option<String>,
    /// Files looked at: those that match `pattern`, or 1 or 0 without one.
    pub count: u64,
    /// Bytes of all files looked at.
    pub total_size: u64,
    /// Files looked at that have no bytes.
    pub empty_count: u64,
    /// Files looked at that this user may not read.
    pub unreadable_count: u64,
    /// Seconds since the newest of the files looked at was changed; null when there are none.
    pub newest_age: Option<f64>,
    /// Seconds since the oldest of them was changed.
    pub oldest_age: Option<f64>,
    /// Files and folders whose permissions differ from `mode` and `dir_mode`.
    pub mode_mismatches: u64,
    /// Files and folders whose owner or group differs from `owner` and `group`.
    pub owner_mismatches: u64,
    /// The first fifty files that match `pattern`, by path.
    pub entries: Vec<Entry>,
    /// The first fifty whose permissions, owner or group differ.
    pub mismatches: Vec<Entry>,
}

/// One of many files.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Entry {
    /// The path, `path` of the step included.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Permissions as four octal digits.
    pub mode: String,
    /// Name or number of the owner.
    pub owner: String,
    /// Name or number of the group.
    pub group: String,
    /// When its content was last changed, in seconds since 1970.
    pub modified_at: f64,
}

pub struct Step;

impl Kind for Step {
    const NAME: &'static str = "file";
    const SUMMARY: &'static str =
        "Looks at a file or at all files of a kind below a folder: size, age, permissions, owner.";
    const EXAMPLE: &'static str = "file: {path: models/cad, pattern: '*.onnx', mode: '0644'}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        let now = context.services.clock.now();
        let output = run_blocking(&context, move |stop| {
            let wanted = Wanted::of(&config)?;
            let output = look(&config.path, now)?;
            match &config.pattern {
                Some(pattern) => many::look(output, pattern, &wanted, now, stop),
                None => Ok(alone(output, &wanted)),
            }
        });
        Ok(Outcome::passed(output.await?))
    }
}

/// The path itself.
fn look(path: &str, now: Timestamp) -> Result<Output, StepError> {
    if path.is_empty() {
        return Err(StepError::new("the path is empty").help("see what the template in `path` was filled with"));
    }
    let mut output = Output { path: path.to_owned(), ..Output::default() };
    let path = PathBuf::from(path);
    output.link_target = path.read_link().ok().map(|target| target.to_string_lossy().into_owned());
    match path.metadata() {
        Ok(metadata) => fill(&mut output, &path, &metadata, now)?,
        Err(error) if is_absent(&error) => output.kind = output.link_target.as_ref().map(|_| FileKind::Link),
        Err(error) => return Err(file_error("look at", &path, &error)),
    }
    Ok(output)
}

fn fill(output: &mut Output, path: &Path, metadata: &std::fs::Metadata, now: Timestamp) -> Result<(), StepError> {
    let mut names = Names::read();
    output.exists = true;
    output.size = metadata.len();
    output.readable = is_readable(path, metadata);
    output.empty = is_empty(path, metadata, output.readable)?;
    output.kind = Some(kind_of(metadata));
    output.mode = Some(mode_text(metadata.mode()));
    output.owner = Some(names.user(metadata.uid()));
    output.group = Some(names.group(metadata.gid()));
    output.modified_at = Some(modified_at(metadata));
    output.age = Some(age(modified_at(metadata), now));
    Ok(())
}

fn is_empty(path: &Path, metadata: &std::fs::Metadata, readable: bool) -> Result<bool, StepError> {
    // A folder that may not be listed is not known to be empty.
    if metadata.is_dir() && readable {
        let mut listing = path.read_dir().map_err(|error| file_error("list", path, &error))?;
        return Ok(listing.next().is_none());
    }
    Ok(metadata.is_file() && metadata.len() == 0)
}

/// The counts for a single path, so that an expression need not know whether there was a pattern.
fn alone(mut output: Output, wanted: &Wanted) -> Output {
    let (Some(modified_at), Some(mode)) = (output.modified_at, output.mode.clone()) else { return output };
    let entry = Entry {
        path: output.path.clone(),
        size: output.size,
        mode,
        owner: output.owner.clone().unwrap_or_default(),
        group: output.group.clone().unwrap_or_default(),
        modified_at,
    };
    let is_folder = output.kind == Some(FileKind::Folder);
    if !is_folder {
        output.count = 1;
        output.total_size = output.size;
        output.empty_count = u64::from(output.empty);
        output.unreadable_count = u64::from(!output.readable);
        (output.newest_age, output.oldest_age) = (output.age, output.age);
    }
    wanted.compare(&mut output, entry, is_folder);
    output
}

/// Seconds since 1970, to the nanosecond the file system keeps.
fn modified_at(metadata: &std::fs::Metadata) -> f64 {
    metadata.mtime() as f64 + metadata.mtime_nsec() as f64 / 1e9
}

/// A file from the future is new, not of negative age.
fn age(modified_at: f64, now: Timestamp) -> f64 {
    (now.0 as f64 / 1000.0 - modified_at).max(0.0)
}

#[cfg(test)]
mod tests;
