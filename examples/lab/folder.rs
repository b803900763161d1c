//! The folder of a lab: what lies where, and the facts that every command needs.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::profile::Profile;

/// A lab on disk.
pub struct Folder {
    root: PathBuf,
    pub profile: &'static Profile,
    pub facts: Facts,
}

/// What `lab up` decided, kept for the other commands in `lab.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    pub profile: String,
    pub port: u16,
    /// The address of the mirror.
    pub mirror: String,
    /// The process of `up`. The platform ends when it is gone, whoever started the platform last.
    pub owner: u32,
}

impl Folder {
    /// Creates the folder with its sub-folders and writes the facts down.
    pub fn create(root: &Path, profile: &'static Profile, facts: Facts) -> Result<Self, LabError> {
        fs::create_dir_all(root).map_err(LabError::file("create", root))?;
        let folder = Folder { root: absolute(root)?, profile, facts };
        for path in [folder.config_file(), folder.log_file()] {
            create_parent(&path)?;
        }
        for provider in profile.providers {
            create_parent(&folder.model_file(provider.name))?;
            create_parent(&folder.mirror_file(provider.name, "model.onnx"))?;
        }
        let path = folder.facts_file();
        fs::write(&path, serde_json::json!(folder.facts).to_string()).map_err(LabError::file("write", &path))?;
        Ok(folder)
    }

    /// Opens a folder that `create` has made.
    pub fn open(root: &Path) -> Result<Self, LabError> {
        let not_a_lab = || {
            let what = format!("{} is not the folder of a lab", root.display());
            LabError::impossible(what, "set it up with `lab up --dir …`, or name the right folder with --dir")
        };
        let text = fs::read(root.join("lab.json")).map_err(|_| not_a_lab())?;
        let facts: Facts = serde_json::from_slice(&text).map_err(|_| not_a_lab())?;
        let profile = Profile::find(&facts.profile).ok_or_else(not_a_lab)?;
        Ok(Folder { root: absolute(root)?, profile, facts })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.facts.port)
    }

    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    pub fn model_file(&self, provider: &str) -> PathBuf {
        self.models().join(provider).join("model.onnx")
    }

    pub fn mirror(&self) -> PathBuf {
        self.root.join("mirror")
    }

    pub fn mirror_file(&self, provider: &str, file: &str) -> PathBuf {
        self.mirror().join(provider).join(file)
    }

    pub fn config_file(&self) -> PathBuf {
        self.root.join("config/overrides.yaml")
    }

    /// The columns that come in, where the profile classifies columns.
    pub fn traffic_file(&self) -> PathBuf {
        self.root.join("traffic.npz")
    }

    /// The features that were last taken from columns.
    pub fn samples_file(&self) -> PathBuf {
        self.root.join("samples.json")
    }

    /// The features of the last 256 columns, as plain float32.
    pub fn recent_file(&self) -> PathBuf {
        self.root.join("recent.f32")
    }

    pub fn log_file(&self) -> PathBuf {
        self.root.join("logs/app.log")
    }

    /// What the platform's process writes to its standard output and error, a panic for example.
    pub fn console_file(&self) -> PathBuf {
        self.root.join("logs/console.log")
    }

    pub fn pid_file(&self) -> PathBuf {
        self.root.join("platform.pid")
    }

    pub fn inputs_file(&self) -> PathBuf {
        self.root.join("inputs.yaml")
    }

    /// The state folder for runs of `runbook` against this lab.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    fn facts_file(&self) -> PathBuf {
        self.root.join("lab.json")
    }
}

/// Absolute, because a playbook may run from elsewhere and a process is recognised by this path.
fn absolute(root: &Path) -> Result<PathBuf, LabError> {
    root.canonicalize().map_err(LabError::file("find", root))
}

fn create_parent(path: &Path) -> Result<(), LabError> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(LabError::file("create", parent)),
        None => Ok(()),
    }
}
