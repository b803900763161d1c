//! Finding playbooks by name in the folders of the site file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::{Playbook, parse};
use crate::base::{Diagnostic, Source, suggestion};
use crate::site::FILE_NAME;

/// Deeper folders are not searched: a link that leads back must not make the search endless.
const MAX_DEPTH: usize = 8;

/// The folders that hold playbooks.
#[derive(Debug, Clone)]
pub struct Library {
    /// Shared by all copies of this value, as what is kept is.
    folders: Arc<RwLock<Arc<Vec<PathBuf>>>>,
    /// Playbooks by name that stand in for the files.
    kept: Arc<RwLock<Arc<Kept>>>,
}

/// Playbooks by name.
pub type Kept = BTreeMap<String, Playbook>;

impl Library {
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Library { folders: Arc::new(RwLock::new(Arc::new(folders))), kept: Arc::default() }
    }

    /// From now on playbooks are looked for in these folders.
    pub fn search(&self, folders: Vec<PathBuf>) {
        *self.folders.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(folders);
    }

    fn folders(&self) -> Arc<Vec<PathBuf>> {
        self.folders.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these are found, whatever becomes of their files.
    pub fn keep(&self, playbooks: Kept) {
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(playbooks);
    }

    /// What is kept.
    pub fn kept(&self) -> Arc<Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every playbook file, in a stable order.
    pub fn files(&self) -> Vec<PathBuf> {
        self.folders().iter().flat_map(|folder| yaml_files(folder)).collect()
    }

    /// The playbook of that name or in that file.
    pub fn find(&self, name: &str) -> Result<Playbook, Vec<Diagnostic>> {
        if name.contains('/') || is_yaml(Path::new(name)) {
            return load(Path::new(name));
        }
        if let Some(playbook) = self.kept().get(name) {
            return Ok(playbook.clone());
        }
        // A file named like the playbook is looked at first, so that a large library costs nothing.
        let files = self.files();
        let (same, others): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|file| file.file_stem().is_some_and(|stem| stem == name));
        if let Some(file) = same.first() {
            return load(file);
        }
        match others.iter().find(|file| declared_name(file).as_deref() == Some(name)) {
            Some(file) => load(file),
            None => Err(vec![self.no_such(name, &others)]),
        }
    }

    fn no_such(&self, name: &str, files: &[PathBuf]) -> Diagnostic {
        let known: Vec<String> = files.iter().filter_map(|file| declared_name(file)).collect();
        let folders: Vec<String> = self.folders().iter().map(|folder| folder.display().to_string()).collect();
        let help = suggestion::did_you_mean(name, known.iter().map(String::as_str))
            .unwrap_or_else(|| "`runbook list` shows all; a file is named with its path".to_owned());
        Diagnostic::error("no-such-playbook", format!("there is no playbook '{name}' in {}", folders.join(", ")))
            .help(help)
    }
}

/// The playbooks of a library by their names; one that is not valid is for `validate`.
pub fn valid(library: &Library) -> BTreeMap<String, Playbook> {
    let playbooks = library.files().into_iter().filter_map(|file| load(&file).ok());
    playbooks.map(|playbook| (playbook.header.name.clone(), playbook)).collect()
}

/// Reads and parses a playbook file.
pub fn load(path: &Path) -> Result<Playbook, Vec<Diagnostic>> {
    parse(&source(path)?)
}

/// The text of a playbook file.
pub fn source(path: &Path) -> Result<Source, Vec<Diagnostic>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let help = "give the path of a playbook file, or a name that `runbook list` shows".to_owned();
        vec![Diagnostic::error("unreadable", format!("cannot read {}: {error}", path.display())).help(help)]
    })?;
    Ok(Source::new(path, text))
}

/// The YAML files below a folder, or the file itself.
pub fn yaml_files(path: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(path, 0, &mut files);
    files.sort();
    files
}

fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        if depth == 0 || is_yaml(path) {
            files.push(path.to_owned());
        }
        return;
    }
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) && depth > 0;
    if depth < MAX_DEPTH && !hidden {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.for_each(|entry| collect(&entry.path(), depth + 1, files));
    }
}

/// A YAML file that may be a playbook; the site file is none.
fn is_yaml(path: &Path) -> bool {
    let site_file = path.file_name().is_some_and(|name| name == FILE_NAME);
    !site_file && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// The `name:` of a playbook file without parsing the rest of it.
fn declared_name(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("name:"))?;
    let name = line.split('#').next().unwrap_or(line).trim().trim_matches(['"', '\'']);
    Some(name.to_owned())
}
