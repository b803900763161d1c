//! Where a program is. The engine looks it up itself: with a changed environment, a bare name would cost
//! the standard library its fast way of starting processes, and its error would not say what was searched.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::StartError;

/// The full path of a program: a bare name is looked up in `search_path`; a path is taken relative to
/// `folder`.
pub fn find(name: &str, search_path: &OsStr, folder: Option<&Path>) -> Result<PathBuf, StartError> {
    if name.contains('/') {
        let path = folder.map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
        return checked(path, name);
    }
    std::env::split_paths(search_path)
        .map(|place| place.join(name))
        .find(|path| is_program(path))
        .ok_or_else(|| not_found(name, search_path))
}

fn checked(path: PathBuf, name: &str) -> Result<PathBuf, StartError> {
    if !path.exists() {
        return Err(not_found(name, path.parent().unwrap_or(Path::new(".")).as_os_str()));
    }
    if !is_program(&path) {
        return Err(StartError::NotExecutable { path });
    }
    // The folder is changed before the program is looked for, so the path must not depend on it.
    Ok(std::path::absolute(&path).unwrap_or(path))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

fn not_found(name: &str, searched: &OsStr) -> StartError {
    StartError::NotFound { program: name.to_owned(), searched: searched.to_string_lossy().into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_searched_and_paths_are_not() {
        let search = OsStr::new("/nonexistent:/bin:/usr/bin");
        assert!(find("sh", search, None).unwrap().ends_with("sh"));
        assert!(find("./sh", search, Some(Path::new("/bin"))).unwrap().is_absolute());
        assert!(matches!(find("sh", OsStr::new("/nonexistent"), None), Err(StartError::NotFound { .. })));
    }

    #[test]
    fn a_folder_or_a_plain_file_is_not_a_program() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("text"), "hello").unwrap();
        assert!(matches!(find("./text", OsStr::new(""), Some(folder.path())), Err(StartError::NotExecutable { .. })));
        assert!(find("text", folder.path().as_os_str(), None).is_err());
        assert!(matches!(find("/", OsStr::new(""), None), Err(StartError::NotExecutable { .. })));
    }
}
