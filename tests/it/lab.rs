//! The lab as a test uses it: a platform that suffers from faults, and what the program says about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::LazyLock;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The lab's program. `cargo test` builds an example that has tests of its own only as those tests, so
/// the program is built here, once.
pub fn lab_program() -> PathBuf {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let runbook = Path::new(env!("CARGO_BIN_EXE_runbook"));
        let folder = runbook.parent().expect("a program stands in a folder");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--example", "lab"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        // Set for a test, these make build scripts of our dependencies run again, and again in the next build without.
        for about in ["MANIFEST_DIR", "MANIFEST_LINKS", "PKG_NAME"] {
            build.env_remove(format!("CARGO_{about}"));
        }
        for part in ["MAJOR", "MINOR", "PATCH", "PRE"] {
            build.env_remove(format!("CARGO_PKG_VERSION_{part}"));
        }
        assert!(build.status().expect("cargo runs").success(), "the lab cannot be built");
        folder.join("examples").join("lab")
    });
    PROGRAM.clone()
}

pub fn in_repository(program: impl AsRef<Path>, state: &Path) -> Command {
    let mut command = Command::new(program.as_ref());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("RUNBOOK_STATE", state).env_remove("RUNBOOK_CONFIG");
    command
}

/// A platform that suffers from faults; it ends with this value.
pub struct Lab {
    place: TempDir,
    child: Child,
    /// Open for as long as the lab may have something to say.
    _output: BufReader<ChildStdout>,
}

impl Lab {
    pub fn of(profile: &str, faults: &[&str]) -> Self {
        let place = tempfile::tempdir().expect("a temporary folder");
        let mut command = in_repository(lab_program(), place.path());
        command.args(["up", "--profile", profile, "--port", "0", "--dir"]).arg(place.path().join("lab"));
        command.args(faults.iter().flat_map(|fault| ["--break", fault]));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the lab starts");
        let mut output = BufReader::new(child.stdout.take().expect("a piped output"));
        let up = output.by_ref().lines().map_while(Result::ok).any(|line| line == "Ctrl-C ends it.");
        assert!(up, "the lab with {faults:?} did not come up");
        Lab { place, child, _output: output }
    }

    pub fn folder(&self) -> PathBuf {
        self.place.path().join("lab")
    }

    pub fn call(&self, arguments: &[&str], inputs: &[&str]) -> Called {
        let mut command = in_repository(env!("CARGO_BIN_EXE_runbook"), &self.place.path().join("state"));
        command.args(arguments).arg("--inputs").arg(self.folder().join("inputs.yaml"));
        command.args(inputs.iter().flat_map(|input| ["--input", input])).args(["--format", "json"]);
        Called::of(&mut command)
    }

    /// Every file whose content a playbook may touch, with what is in it.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        ["models", "mirror", "config"].into_iter().flat_map(|name| files_below(&self.folder().join(name))).collect()
    }

    /// Injects a fault into the platform as it runs.
    pub fn suffer(&self, fault: &str) {
        let mut command = in_repository(lab_program(), self.place.path());
        let broken = command.args(["break", fault, "--dir"]).arg(self.folder()).output().expect("the lab answers");
        assert!(broken.status.success(), "{}", String::from_utf8_lossy(&broken.stderr));
    }

    /// Where the platform answers: host and port.
    pub fn address(&self) -> String {
        let inputs = fs::read_to_string(self.folder().join("inputs.yaml")).expect("the lab's inputs");
        let api = inputs.lines().find_map(|line| line.strip_prefix("api: \"http://")).expect("its address");
        api.trim_end_matches('"').to_owned()
    }

    pub fn is_healthy(&self) -> bool {
        let mut status = in_repository(lab_program(), self.place.path());
        let status = status.arg("status").arg("--dir").arg(self.folder()).output().expect("the lab answers");
        status.status.success()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Asked to end, it stops its platform first. It was not waited for, so the number is still its own.
        // It may have ended by itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        drop(self.child.wait());
    }
}

fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files_below(&path),
            false => vec![(path.clone(), fs::read(path).expect("a file"))],
        })
        .collect()
}

/// What a call of the program answered.
pub struct Called {
    pub status: ExitStatus,
    pub events: Vec<Value>,
    pub everything: String,
}

impl Called {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the program starts");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let events = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let everything = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
        Called { status: output.status, events, everything }
    }

    pub fn last(&self) -> &Value {
        self.events.last().unwrap_or_else(|| panic!("no answer:\n{}", self.everything))
    }

    pub fn ends(&self, outcome: &str, exit: i32) -> &Self {
        let (last, all) = (self.last(), &self.everything);
        assert_eq!((&last["event"], &last["outcome"]), (&"run_finished".into(), &outcome.into()), "{all}");
        assert_eq!(self.status.code(), Some(exit), "{all}");
        self
    }

    pub fn finds(&self, causes: &[&str], severity: &str) -> &Self {
        assert_eq!(self.last()["causes"], serde_json::json!(causes), "{}", self.everything);
        assert_eq!(self.last()["severity"], severity, "{}", self.everything);
        self
    }

    /// The remediations of this run itself that succeeded, each as a whole.
    pub fn done(&self) -> BTreeSet<&str> {
        let own = |event: &&Value| event["run"] == self.last()["run"];
        let passed = |event: &&Value| event["event"] == "step_finished" && event["status"] == "passed";
        let keys = self.events.iter().filter(own).filter(passed).filter_map(|event| event["key"].as_str());
        keys.filter_map(|key| key.strip_prefix("remediate.")).filter(|name| !name.contains('[')).collect()
    }

    pub fn does(&self, steps: &[&str]) -> &Self {
        assert_eq!(self.done(), steps.iter().copied().collect(), "{}", self.everything);
        self
    }
}
