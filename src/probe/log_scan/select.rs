//! Which files a scan reads: those named, and the rotated ones the window reaches back to.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Settings;
use crate::base::Timestamp;
use crate::kind::StepError;
use crate::probe::blocking::Stop;
use crate::probe::files::{file_error, is_absent};
use crate::probe::glob::expand;

/// What log rotation packs with.
const PACKED: [&str; 5] = ["gz", "xz", "zst", "bz2", "lz4"];

/// A file system may keep times to the second only.
const SLACK: i64 = 1000;

#[derive(Debug, Default, PartialEq)]
pub(super) struct Selection {
    /// Oldest first.
    pub files: Vec<PathBuf>,
    /// Needed, but packed.
    pub skipped: Vec<PathBuf>,
}

pub(super) fn select(
    patterns: &[String],
    missing_ok: bool,
    settings: &Settings,
    stop: &Stop,
) -> Result<Selection, StepError> {
    let mut paths = BTreeSet::new();
    for pattern in patterns {
        let found = expand(pattern, stop)?;
        if found.is_empty() && !missing_ok {
            return Err(StepError::new(format!("there is no log file {pattern}"))
                .help("check the path, or set `missing_ok: true` where a missing log is as good as an empty one"));
        }
        if settings.rotated && settings.tail.is_none() && settings.since.is_some() {
            for path in &found {
                paths.extend(rotated_from(path)?);
            }
        }
        paths.extend(found);
    }
    in_order(paths, settings.since)
}

/// The files rotation made from `path`: its name, a dot or dash, and a number or date.
fn rotated_from(path: &Path) -> Result<Vec<PathBuf>, StepError> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(Vec::new()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let listing = folder.read_dir().map_err(|error| file_error("list", folder, &error))?;
    let is_rotated = |other: &[u8]| other.strip_prefix(name.as_bytes()).is_some_and(is_rotation_suffix);
    let rotated = listing.flatten().filter(|entry| is_rotated(entry.file_name().as_bytes()));
    Ok(rotated.map(|entry| path.with_file_name(entry.file_name())).collect())
}

/// `.1`, `-20260131`, `.2026-01-31_12`, each perhaps with the ending of a packer.
fn is_rotation_suffix(suffix: &[u8]) -> bool {
    let suffix = match suffix.iter().rposition(|byte| *byte == b'.') {
        Some(dot) if is_packed_ending(&suffix[dot + 1..]) => &suffix[..dot],
        _ => suffix,
    };
    let Some((b'.' | b'-', rest)) = suffix.split_first() else { return false };
    let is_date_letter = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.' | b'T');
    rest.first().is_some_and(u8::is_ascii_digit) && rest.iter().all(is_date_letter)
}

fn is_packed_ending(ending: &[u8]) -> bool {
    PACKED.iter().any(|packed| packed.as_bytes() == ending)
}

/// Leaves out what was last written before the window, and sorts the rest by that time.
fn in_order(paths: BTreeSet<PathBuf>, since: Option<Timestamp>) -> Result<Selection, StepError> {
    let mut dated = Vec::new();
    for path in paths {
        match path.metadata() {
            Ok(metadata) => dated.push((metadata.mtime(), metadata.mtime_nsec(), path)),
            // Rotated away since it was listed.
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(file_error("look at", &path, &error)),
        }
    }
    dated.sort();
    let reaches = |seconds: i64| since.is_none_or(|since| seconds.saturating_mul(1000) + SLACK >= since.0);
    let needed = dated.into_iter().filter(|(seconds, ..)| reaches(*seconds)).map(|(_, _, path)| path);
    let is_packed = |path: &PathBuf| path.extension().is_some_and(|ending| is_packed_ending(ending.as_bytes()));
    let (skipped, files) = needed.partition(is_packed);
    Ok(Selection { files, skipped })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn names_rotation_gives() {
        for suffix in [".1", ".10", ".1.gz", "-20260131", "-20260131.zst", ".2026-01-31_12", ".2026-01-31T12"] {
            assert!(is_rotation_suffix(suffix.as_bytes()), "{suffix}");
        }
        for suffix in ["", ".", ".bak", ".gz", "-web", "1", ".1~", "2.log", ".swp"] {
            assert!(!is_rotation_suffix(suffix.as_bytes()), "{suffix}");
        }
    }

    #[test]
    fn the_window_decides_how_far_back() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            ("app.log", 500),
            ("app.log.1", 400),
            ("app.log.2.gz", 300),
            ("app.log.3", 100),
            ("app.log.4.gz", 90),
            ("app.log.bak", 450),
        ];
        for (name, seconds) in names {
            let file = std::fs::File::create(folder.path().join(name)).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        }
        let mut paths: BTreeSet<PathBuf> = rotated_from(&folder.path().join("app.log")).unwrap().into_iter().collect();
        paths.insert(folder.path().join("app.log"));
        paths.insert(folder.path().join("gone.log"));
        let selection = in_order(paths, Some(Timestamp(250_000))).unwrap();
        let shown =
            |paths: &[PathBuf]| paths.iter().map(|path| path.file_name().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(shown(&selection.files), ["app.log.1", "app.log"]);
        assert_eq!(shown(&selection.skipped), ["app.log.2.gz"]);
    }
}
