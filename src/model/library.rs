//! Tries a shared library of ONNX Runtime, in a process of its own: one that was cut off ends the process
//! that loads it (a bus error inside the linker), and one that is something else may do anything.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::onnxruntime::{self, OpenError};
use super::{Library, child, runner};

/// The hidden subcommand of the child that tries.
pub const SUBCOMMAND: &str = "__probe-library";

/// Loading takes a tenth of a second; a library that takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a library is not used.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("is not a regular file")]
    NotAFile,
    #[error("belongs to user {0}, and loading a library runs its code: make it yours or root's")]
    Owner(u32),
    #[error("can be changed by anybody, and loading a library runs its code: take that right away (chmod o-w)")]
    WritableByAll,
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What the child that tried it said, or how it ended.
    #[error("{0}")]
    Child(String),
}

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Works(Library),
    Refused(String),
}

/// Tries a library in this process and says on standard output how it went.
pub fn probe_and_tell(path: &Path) -> io::Result<()> {
    child::no_core_file();
    let verdict = match probe_here(path) {
        Ok(library) => Verdict::Works(library),
        Err(error) => Verdict::Refused(error.to_string()),
    };
    let mut output = io::stdout();
    serde_json::to_writer(&mut output, &verdict)?;
    output.flush()
}

fn probe_here(path: &Path) -> Result<Library, LibraryError> {
    let content = std::fs::read(path).map_err(LibraryError::Read)?;
    onnxruntime::open(path)?;
    Ok(Library {
        path: path.to_owned(),
        version: version(&content).unwrap_or_else(|| "unknown".to_owned()),
        sha256: hex::encode(Sha256::digest(&content)),
    })
}

/// The version is the name of the set of symbols that every build exports: `VERS_1.31.1`.
fn version(content: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"VERS_1.";
    let start = content.windows(NAME.len()).position(|window| window == NAME)? + b"VERS_".len();
    let version: Vec<u8> =
        content[start..].iter().copied().take(20).take_while(|byte| byte.is_ascii_digit() || *byte == b'.').collect();
    String::from_utf8(version).ok()
}

/// Tries a library in a child of `program`.
pub async fn probe(program: &Path, path: &Path) -> Result<Library, LibraryError> {
    refuse_unsafe(path)?;
    let mut command = runner::command(program, SUBCOMMAND);
    command.arg(path);
    let ended = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = ended
        .map_err(|_| LibraryError::Child(format!("did not load within {} seconds", PATIENCE.as_secs())))?
        .map_err(|error| LibraryError::Child(format!("could not be tried: {error}")))?;
    match serde_json::from_slice(&output.stdout) {
        Ok(Verdict::Works(library)) => Ok(library),
        Ok(Verdict::Refused(why)) => Err(LibraryError::Child(why)),
        Err(_) => Err(LibraryError::Child(format!("takes its process down: {}", runner::End::of(output.status)))),
    }
}

/// A library is code that runs with the rights of this program.
fn refuse_unsafe(path: &Path) -> Result<(), LibraryError> {
    let about = std::fs::metadata(path).map_err(LibraryError::Read)?;
    let mine = rustix::process::geteuid().as_raw();
    if !about.is_file() {
        return Err(LibraryError::NotAFile);
    }
    if about.uid() != 0 && about.uid() != mine {
        return Err(LibraryError::Owner(about.uid()));
    }
    // Others may write here; a group is somebody's decision.
    if about.mode() & 0o002 != 0 {
        return Err(LibraryError::WritableByAll);
    }
    Ok(())
}

/// What tells one file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    size: u64,
    modified: (i64, i64),
    /// Changes with the content whatever a copying tool sets as the time of modification.
    changed: (i64, i64),
    inode: u64,
}

impl Fingerprint {
    pub fn of(path: &Path) -> io::Result<Self> {
        let about = std::fs::metadata(path)?;
        Ok(Fingerprint {
            size: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
            inode: about.ino(),
        })
    }
}

/// Libraries that worked when they were last tried, kept in the state folder: trying one costs a tenth of
/// a second. What was refused is tried again, for it may have been mended.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Known {
    /// The version of this program; another one may accept other libraries.
    program: String,
    works: Vec<(Fingerprint, Library)>,
}

impl Known {
    /// More libraries than this are on no machine; a list that grew for years would be.
    const MOST: usize = 8;

    pub fn read(file: &Path) -> Self {
        let known = std::fs::read(file).ok().and_then(|text| serde_json::from_slice::<Known>(&text).ok());
        known.filter(|known| known.program == env!("CARGO_PKG_VERSION")).unwrap_or_default()
    }

    /// The library at `path`, if it is still the file that worked.
    pub fn find(&self, path: &Path) -> Option<Library> {
        let fingerprint = Fingerprint::of(path).ok()?;
        let found = self.works.iter().find(|(known, library)| library.path == path && *known == fingerprint);
        // The owner or the rights may have changed since; the fingerprint's change time covers that.
        found.map(|(_, library)| library.clone())
    }

    pub fn add(&mut self, library: &Library) {
        let Ok(fingerprint) = Fingerprint::of(&library.path) else { return };
        self.program = env!("CARGO_PKG_VERSION").to_owned();
        self.works.retain(|(_, known)| known.path != library.path);
        self.works.insert(0, (fingerprint, library.clone()));
        self.works.truncate(Self::MOST);
    }

    /// Best effort: without it the next process tries again.
    pub fn write(&self, file: &Path) {
        let unfinished: PathBuf = file.with_extension(format!("{}.new", std::process::id()));
        let written = serde_json::to_vec(self).map_err(io::Error::from).and_then(|text| {
            file.parent().map_or(Ok(()), crate::base::private::create_folder)?;
            std::fs::write(&unfinished, text)?;
            std::fs::rename(&unfinished, file)
        });
        if let Err(error) = written {
            tracing::debug!("the tried library is not remembered in {}: {error}", file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_version_is_read_from_the_exported_names() {
        assert_eq!(version(b"\0libc\0VERS_1.31.1\0OrtGetApiBase").as_deref(), Some("1.31.1"));
        assert_eq!(version(b"GLIBC_2.28"), None);
    }

    #[test]
    fn a_library_that_anybody_can_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        std::fs::write(&path, b"code").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(refuse_unsafe(&path).is_ok());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(refuse_unsafe(&path), Err(LibraryError::WritableByAll)));
        assert!(matches!(refuse_unsafe(folder.path()), Err(LibraryError::NotAFile)));
        assert!(matches!(refuse_unsafe(&folder.path().join("absent")), Err(LibraryError::Read(_))));
    }

    #[test]
    fn a_changed_file_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let (path, cache) = (folder.path().join("library"), folder.path().join("state/engines.json"));
        std::fs::write(&path, b"one").unwrap();
        let library = Library { path: path.clone(), version: "1.31.1".into(), sha256: "00".into() };
        let mut known = Known::default();
        known.add(&library);
        known.write(&cache);
        assert_eq!(Known::read(&cache).find(&path), Some(library));
        std::fs::write(&path, b"other").unwrap();
        assert_eq!(Known::read(&cache).find(&path), None);
        std::fs::write(&cache, b"{").unwrap();
        assert_eq!(Known::read(&cache).find(&path), None);
    }

    #[test]
    fn another_program_version_knows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, cache) = (folder.path().join("library"), folder.path().join("engines.json"));
        std::fs::write(&path, b"one").unwrap();
        let mut known = Known::default();
        known.add(&Library { path: path.clone(), version: "1.31.1".into(), sha256: "00".into() });
        known.program = "0.0.0".into();
        known.write(&cache);
        assert_eq!(Known::read(&cache).find(&path), None);
    }
}
