//! Opening and walking files the way a probe must: never waiting for a pipe, never following a loop,
//! never reading without a limit.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::blocking::Stop;
use crate::kind::StepError;

/// Entries looked at in one walk; more would keep a probe busy for many seconds and say little.
const MOST_ENTRIES: usize = 500_000;

/// True when nothing is at the path, a missing or wrong parent folder included.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// "cannot read /x: permission denied", with what to do about it.
pub(super) fn file_error(doing: &str, path: &Path, error: &io::Error) -> StepError {
    let failed = StepError::because(format!("cannot {doing} {}", path.display()), error);
    match error.kind() {
        ErrorKind::PermissionDenied => {
            failed.help("run as a user who may read it, or grant this user read access to it and its folders")
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            failed.help("check the path; a relative path starts at the folder the program was started in")
        }
        _ => failed,
    }
}

/// Opens a regular file for reading; `None` when nothing is there.
pub(super) fn open_regular(path: &Path) -> Result<Option<File>, StepError> {
    // Without NONBLOCK, opening a named pipe would wait for its writer; regular files ignore it.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(file_error("open", path, &error)),
    };
    let metadata = file.metadata().map_err(|error| file_error("look at", path, &error))?;
    if metadata.is_file() {
        Ok(Some(file))
    } else {
        Err(StepError::new(format!("{} is not a regular file", path.display()))
            .help("name a file, not a folder or pipe"))
    }
}

/// The whole of a small file; an error when it is larger than `limit` bytes or missing.
pub(super) fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>, StepError> {
    let absent = || file_error("open", path, &io::Error::from(ErrorKind::NotFound));
    let file = open_regular(path)?.ok_or_else(absent)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| file_error("read", path, &error))?;
    if bytes.len() as u64 > limit {
        return Err(StepError::new(format!("{} is larger than {limit} bytes", path.display()))
            .help("check that the path names the file that is meant"));
    }
    Ok(bytes)
}

/// Something found by [`walk`].
pub(super) struct Entry {
    pub path: PathBuf,
    /// 1 for what lies directly in the root.
    pub depth: usize,
    /// Of the entry itself, not of what a symbolic link points to.
    pub metadata: Metadata,
}

/// Visits everything below the folder `root`, in the order of names, without following symbolic links.
/// A folder is entered when `visit` says so. What vanishes meanwhile is left out.
pub(super) fn walk(
    root: &Path,
    stop: &Stop,
    mut visit: impl FnMut(&Entry) -> Result<bool, StepError>,
) -> Result<(), StepError> {
    // Names are taken from the end, so that a folder's content follows it.
    let mut waiting = children(root, 1)?;
    let mut seen = waiting.len();
    while let Some((path, depth)) = waiting.pop() {
        stop.check()?;
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(file_error("look at", &path, &error)),
        };
        let entry = Entry { path, depth, metadata };
        if visit(&entry)? && entry.metadata.is_dir() {
            let below = children(&entry.path, depth + 1)?;
            seen += below.len();
            waiting.extend(below);
        }
        if seen > MOST_ENTRIES {
            return Err(StepError::new(format!("more than {MOST_ENTRIES} files below {}", root.display()))
                .help("name a folder further down"));
        }
    }
    Ok(())
}

/// The content of a folder, last name first.
fn children(folder: &Path, depth: usize) -> Result<Vec<(PathBuf, usize)>, StepError> {
    let unreadable = |error: io::Error| file_error("list", folder, &error);
    let listing = match folder.read_dir() {
        Ok(listing) => listing,
        Err(error) if depth > 1 && error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = Vec::new();
    for item in listing.take(MOST_ENTRIES + 1) {
        paths.push((item.map_err(unreadable)?.path(), depth));
    }
    paths.sort_unstable_by(|left, right| right.cmp(left));
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_walk_goes_by_name_and_not_through_links() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        std::fs::write(folder.path().join("b/inner"), "").unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();
        symlink("..", folder.path().join("b/up")).unwrap();
        let mut names = Vec::new();
        walk(folder.path(), &Stop::never(), |entry| {
            names.push(entry.path.strip_prefix(folder.path()).unwrap().display().to_string());
            Ok(true)
        })
        .unwrap();
        assert_eq!(names, ["a", "b", "b/inner", "b/up"]);
    }

    #[test]
    fn a_pipe_is_refused_instead_of_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert!(open_regular(&pipe).unwrap_err().message.contains("not a regular file"));
        assert!(open_regular(folder.path()).unwrap_err().message.contains("not a regular file"));
    }

    #[test]
    fn large_and_missing_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert!(read_small(&path, 3).unwrap_err().help.is_some());
        std::fs::write(&path, "1234").unwrap();
        assert!(read_small(&path, 3).unwrap_err().message.contains("larger than 3 bytes"));
        assert_eq!(read_small(&path, 4).unwrap(), b"1234");
    }
}
