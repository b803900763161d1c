//! Permissions, owners and kinds of files, and how they compare with what is wanted.

use std::fs::Metadata;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{Config, Entry, FileKind, Output};
use crate::kind::StepError;

/// Entries listed one by one in the output.
pub(super) const LISTED: usize = 50;

/// What files and folders should be like.
pub(super) struct Wanted {
    mode: Option<String>,
    dir_mode: Option<String>,
    owner: Option<String>,
    group: Option<String>,
}

impl Wanted {
    pub(super) fn of(config: &Config) -> Result<Self, StepError> {
        Ok(Wanted {
            mode: config.mode.as_deref().map(parse_mode).transpose()?,
            dir_mode: config.dir_mode.as_deref().map(parse_mode).transpose()?,
            owner: config.owner.clone(),
            group: config.group.clone(),
        })
    }

    /// Counts the entry where it differs.
    pub(super) fn compare(&self, output: &mut Output, entry: Entry, is_folder: bool) {
        let mode = if is_folder { &self.dir_mode } else { &self.mode };
        let differs = |wanted: &Option<String>, found: &String| wanted.as_ref().is_some_and(|wanted| wanted != found);
        let wrong_mode = differs(mode, &entry.mode);
        let wrong_owner = differs(&self.owner, &entry.owner) || differs(&self.group, &entry.group);
        output.mode_mismatches += u64::from(wrong_mode);
        output.owner_mismatches += u64::from(wrong_owner);
        if (wrong_mode || wrong_owner) && output.mismatches.len() < LISTED {
            output.mismatches.push(entry);
        }
    }
}

/// Four octal digits from `644`, `0644` or `0o644`.
fn parse_mode(text: &str) -> Result<String, StepError> {
    let digits = text.trim().trim_start_matches("0o");
    let number = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777 && (3..=4).contains(&digits.len()));
    number.map(mode_text).ok_or_else(|| {
        StepError::new(format!("'{text}' is not a file mode"))
            .help("write three or four octal digits in quotes, such as '0644'")
    })
}

pub(super) fn mode_text(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}

pub(super) fn kind_of(metadata: &Metadata) -> FileKind {
    match metadata.file_type() {
        kind if kind.is_file() => FileKind::File,
        kind if kind.is_dir() => FileKind::Folder,
        kind if kind.is_symlink() => FileKind::Link,
        _ => FileKind::Other,
    }
}

/// Whether the effective user may read it, asked of the kernel: modes alone do not know of access
/// lists and capabilities.
pub(super) fn is_readable(path: &Path, metadata: &Metadata) -> bool {
    let access = if metadata.is_dir() { Access::READ_OK | Access::EXEC_OK } else { Access::READ_OK };
    accessat(CWD, path, access, AtFlags::EACCESS).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        for (text, mode) in [("644", "0644"), ("0644", "0644"), ("0o600", "0600"), ("4755", "4755")] {
            assert_eq!(parse_mode(text).unwrap(), mode);
        }
        for wrong in ["", "rw-r--r--", "0999", "64", "10000", "06444", "-644"] {
            assert!(parse_mode(wrong).unwrap_err().help.is_some(), "{wrong}");
        }
    }
}
