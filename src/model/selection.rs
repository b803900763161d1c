//! Which engine this machine offers: ONNX Runtime where a working library is found, else the embedded one.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::library::{self, Known};
use super::{EngineChoice, Library};
use crate::base::environment;

/// The name that builds of ONNX Runtime give their library.
const FILE: &str = "libonnxruntime.so";
/// The name by which a system's linker knows it.
const SYSTEM_FILE: &str = "libonnxruntime.so.1";

/// Where a library was looked for, in the order of looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    SiteFile,
    Variable,
    BesideProgram,
    WorkingFolder,
    System,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Place::SiteFile => "models.onnxruntime of the site file",
            Place::Variable => "ORT_DYLIB_PATH",
            Place::BesideProgram => "beside the program",
            Place::WorkingFolder => ".onnxruntime in the working folder",
            Place::System => "the system's libraries",
        })
    }
}

impl Place {
    /// Somebody named this library, so that another engine in its stead is worth a word.
    fn is_named(self) -> bool {
        matches!(self, Place::SiteFile | Place::Variable)
    }
}

/// A library that may be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    pub place: Place,
    pub path: PathBuf,
}

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trial {
    Works(Library),
    Refused(String),
    /// Nothing is there, and nobody said that there is.
    Absent,
}

/// The engine, and how it came to be this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub choice: EngineChoice,
    /// In the order of looking; after the first that works, nothing more was tried.
    pub tried: Vec<(Candidate, Trial)>,
}

impl Selection {
    /// Every library that was refused, and why.
    pub fn tried_and_refused(&self) -> Vec<String> {
        let refused = self.tried.iter().filter_map(|(candidate, trial)| match trial {
            Trial::Refused(why) => Some(format!("{} {why}", candidate.path.display())),
            _ => None,
        });
        refused.collect()
    }

    /// Libraries that somebody named and that do not work, so that another engine judges.
    pub fn warnings(&self) -> Vec<String> {
        let engine = self.choice.identity().engine;
        let passed_over = self.tried.iter().take_while(|(_, trial)| !matches!(trial, Trial::Works(_)));
        passed_over
            .filter(|(candidate, _)| candidate.place.is_named())
            .filter_map(|(candidate, trial)| match trial {
                Trial::Refused(why) => Some(format!(
                    "{engine} judged, because the ONNX Runtime of {} ({}) {why}",
                    candidate.place,
                    candidate.path.display()
                )),
                _ => None,
            })
            .collect()
    }
}

/// How to look.
#[derive(Debug, Clone)]
pub struct Search {
    /// This program, which tries a library in a child.
    pub program: PathBuf,
    /// The library that the site file names.
    pub named: Option<PathBuf>,
    /// Remembers libraries that worked.
    pub known: PathBuf,
}

impl Search {
    /// The first library that works, else the embedded engine.
    pub async fn select(&self) -> Selection {
        let mut known = Known::read(&self.known);
        let mut tried = Vec::new();
        for candidate in self.candidates() {
            let remembered = known.find(&candidate.path).map(Trial::Works);
            let fresh = remembered.is_none();
            let trial = match remembered {
                Some(trial) => trial,
                None => self.attempt(&candidate).await,
            };
            tried.push((candidate, trial.clone()));
            if let Trial::Works(library) = trial {
                if fresh {
                    known.add(&library);
                    known.write(&self.known);
                }
                return Selection { choice: EngineChoice::OnnxRuntime(library), tried };
            }
        }
        Selection { choice: EngineChoice::Embedded, tried }
    }

    /// Every candidate, tried anew.
    pub async fn survey(&self) -> Selection {
        let mut tried = Vec::new();
        for candidate in self.candidates() {
            let trial = self.attempt(&candidate).await;
            tried.push((candidate, trial));
        }
        let works = tried.iter().find_map(|(_, trial)| match trial {
            Trial::Works(library) => Some(EngineChoice::OnnxRuntime(library.clone())),
            _ => None,
        });
        Selection { choice: works.unwrap_or(EngineChoice::Embedded), tried }
    }

    async fn attempt(&self, candidate: &Candidate) -> Trial {
        if !candidate.place.is_named() && !candidate.path.exists() {
            return Trial::Absent;
        }
        match library::probe(&self.program, &candidate.path).await {
            Ok(library) => Trial::Works(library),
            Err(error) => Trial::Refused(error.to_string()),
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join(FILE)));
        let places = [
            (Place::SiteFile, self.named.clone()),
            (Place::Variable, environment::path("ORT_DYLIB_PATH")),
            (Place::BesideProgram, beside),
            (Place::WorkingFolder, Some(Path::new(".onnxruntime").join(FILE))),
            (Place::System, Some(system_library())),
        ];
        // Absolute: the linker and the binding each have their own idea of what a relative path is relative to.
        let candidate = |(place, path): (Place, Option<PathBuf>)| {
            path.and_then(|path| std::path::absolute(path).ok()).map(|path| Candidate { place, path })
        };
        places.into_iter().filter_map(candidate).collect()
    }
}

/// What the linker would take for the library's bare name; found by reading its tables, because asking it
/// loads the library.
fn system_library() -> PathBuf {
    let listed = environment::path("LD_LIBRARY_PATH");
    let of_variable = listed.iter().flat_map(std::env::split_paths).map(|folder| folder.join(SYSTEM_FILE));
    let cache = std::fs::read("/etc/ld.so.cache").unwrap_or_default();
    let usual =
        ["/lib", "/usr/lib", "/lib64", "/usr/lib64"].into_iter().map(|folder| Path::new(folder).join(SYSTEM_FILE));
    let found = of_variable.chain(of_linker_cache(&cache)).chain(usual).find(|path| path.is_file());
    // Named all the same, so that a person sees that it was looked for.
    found.unwrap_or_else(|| Path::new("/usr/lib").join(SYSTEM_FILE))
}

/// The paths of the library in the linker's cache, a table of texts that each end with a zero.
fn of_linker_cache(cache: &[u8]) -> impl Iterator<Item = PathBuf> {
    let texts = cache.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
    texts.filter(|text| text.starts_with('/') && text.ends_with(&format!("/{SYSTEM_FILE}"))).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(folder: &Path, named: Option<PathBuf>) -> Search {
        // This test program is no `runbook`: what it is asked to try, it does not know.
        let program = std::env::current_exe().unwrap();
        Search { program, named, known: folder.join("engines.json") }
    }

    #[tokio::test]
    async fn a_named_library_that_is_not_there_is_refused_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let selection = search(folder.path(), Some(folder.path().join("absent.so"))).select().await;
        let (candidate, trial) = &selection.tried[0];
        assert_eq!(candidate.place, Place::SiteFile);
        assert!(matches!(trial, Trial::Refused(why) if why.contains("cannot be read")), "{trial:?}");
        assert!(selection.warnings()[0].contains("absent.so"), "{:?}", selection.warnings());
    }

    #[tokio::test]
    async fn a_remembered_library_is_not_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        std::fs::write(&path, b"not a library").unwrap();
        let search = search(folder.path(), Some(path.clone()));
        assert!(matches!(search.select().await.tried[0].1, Trial::Refused(_)));
        let library = Library { path, version: "1.31.1".into(), sha256: "00".into() };
        let mut known = Known::default();
        known.add(&library);
        known.write(&search.known);
        assert_eq!(search.select().await.choice, EngineChoice::OnnxRuntime(library));
        // A survey believes nothing.
        assert!(matches!(search.survey().await.tried[0].1, Trial::Refused(_)));
    }

    #[test]
    fn the_linker_cache_is_a_list_of_texts() {
        let cache = b"glibc-ld.so.cache1.1\x02\0libonnxruntime.so.1\0/opt/ort/libonnxruntime.so.1\0/lib/libc.so.6\0";
        assert_eq!(of_linker_cache(cache).collect::<Vec<_>>(), [PathBuf::from("/opt/ort/libonnxruntime.so.1")]);
    }
}
