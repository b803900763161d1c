//! `doctor`: what the program finds on this machine, what it lacks, and what to do about it. It changes
//! nothing.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use serde::Serialize;
use serde_json::json;

use super::notice;
use super::output::{self, Failure};
use super::{Exit, Format, model, setup};
use crate::base::environment;
use crate::journal::{self, Journal, RunFilter, SqliteJournal};
use crate::model::EngineChoice;
use crate::model::selection::{Candidate, Selection, Trial};
use crate::playbook::library::Library;
use crate::report::escape_control;
use crate::site::{FILE_NAME, Site};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Good,
    /// Something is missing that not everybody needs.
    Note,
    /// Runs will fail or mislead until it is mended.
    Bad,
}

/// What was looked at, and what was found.
#[derive(Debug, Serialize)]
struct Finding {
    name: &'static str,
    status: Status,
    found: String,
    /// More lines, such as what was tried.
    details: Vec<String>,
    help: Option<String>,
}

impl Finding {
    fn new(name: &'static str, status: Status, found: impl Into<String>) -> Self {
        Finding { name, status, found: found.into(), details: Vec::new(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

pub fn doctor(config: Option<&Path>, format: Format) -> Result<Exit, Failure> {
    let (site, site_file) = site_file(config);
    notice::without_journal(&site);
    let selection = setup::block_on(async { Ok(model::search(&site).survey().await) })?;
    let findings = [
        program(),
        site_file,
        playbooks(&site),
        state_folder(&site),
        journal_file(&site),
        engine(&selection),
        tool("journalctl", "`log_scan` steps read the system's journal with it"),
        tool("systemctl", "`service` steps with the systemd backend need it"),
    ];
    let sound = findings.iter().all(|finding| finding.status != Status::Bad);
    match format {
        Format::Json => output::json(&json!({
            "sound": sound,
            "findings": findings,
            "engine": selection.choice.identity(),
            "engines_tried": selection.tried.iter().map(tried_as_json).collect::<Vec<_>>(),
        })),
        Format::Text => findings.iter().flat_map(as_text).for_each(|line| output::line(&escape_control(&line))),
    }
    Ok(if sound { Exit::Done } else { Exit::Error })
}

fn as_text(finding: &Finding) -> Vec<String> {
    let mark = match finding.status {
        Status::Good => "✓",
        Status::Note => "–",
        Status::Bad => "✗",
    };
    let below = |text: &str| format!("{:16}{text}", "");
    let mut lines = vec![format!("{mark} {:<12}  {}", finding.name, finding.found)];
    lines.extend(finding.details.iter().map(|detail| below(detail)));
    lines.extend(finding.help.iter().map(|help| below(&format!("help: {help}"))));
    lines
}

fn tried_as_json((candidate, trial): &(Candidate, Trial)) -> serde_json::Value {
    json!({"place": candidate.place, "path": candidate.path, "result": trial})
}

fn program() -> Finding {
    let place = std::env::current_exe().map(|path| format!(" at {}", path.display())).unwrap_or_default();
    Finding::new("program", Status::Good, format!("runbook {}{place}", env!("CARGO_PKG_VERSION")))
}

/// The site, or the defaults when its file cannot be used: the rest can still be looked at.
fn site_file(config: Option<&Path>) -> (Site, Finding) {
    let here = Path::new(FILE_NAME);
    let named = config.map(Path::to_owned).or_else(|| here.exists().then(|| here.to_owned()));
    match (setup::site(config), named) {
        (Ok(site), Some(path)) => (site, Finding::new("site file", Status::Good, path.display().to_string())),
        (Ok(site), None) => {
            let found = format!("none; everything has its default (a {FILE_NAME} here would be read)");
            (site, Finding::new("site file", Status::Note, found))
        }
        (Err(failure), named) => {
            let mut site = Site::default();
            site.resolve_state(false);
            let path = named.unwrap_or_else(|| here.to_owned());
            let mut finding = Finding::new("site file", Status::Bad, format!("{} is not valid", path.display()));
            finding.details = failure.to_string().lines().map(str::to_owned).collect();
            (site, finding)
        }
    }
}

fn playbooks(site: &Site) -> Finding {
    let count = Library::new(site.playbooks.clone()).files().len();
    let folders: Vec<String> = site.playbooks.iter().map(|folder| folder.display().to_string()).collect();
    let found = format!("{count} in {}", folders.join(", "));
    if count == 0 {
        let help = "name the folders of your playbooks under `playbooks:` in the site file, or write one there";
        return Finding::new("playbooks", Status::Note, found).help(help);
    }
    Finding::new("playbooks", Status::Good, found)
}

fn state_folder(site: &Site) -> Finding {
    let folder = &site.state;
    // Made by the first run: then the nearest folder above it must allow that.
    let nearest = folder.ancestors().map(non_empty).find(|above| above.exists());
    let is_writable = nearest.as_deref().is_some_and(|nearest| nearest.is_dir() && is_writable(nearest));
    let shown = folder.display();
    match (is_writable, folder.exists()) {
        (true, true) => Finding::new("state", Status::Good, format!("{shown}, writable")),
        (true, false) => Finding::new("state", Status::Good, format!("{shown}, made by the first run")),
        (false, _) => Finding::new("state", Status::Bad, format!("{shown} cannot be written to"))
            .help("give the user that runs this program write permission, or set `state:` or RUNBOOK_STATE"),
    }
}

/// The working folder is above a relative path, and has an empty name there.
fn non_empty(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() }
}

fn is_writable(path: &Path) -> bool {
    access(path, Access::WRITE_OK).is_ok()
}

fn journal_file(site: &Site) -> Finding {
    let path = site.journal_file();
    let with = format!("SQLite {}", journal::sqlite_version());
    if !path.exists() {
        return Finding::new("journal", Status::Good, format!("none yet, with {with}"));
    }
    let newest =
        SqliteJournal::open(&path).and_then(|journal| journal.runs(&RunFilter { limit: 1, ..RunFilter::default() }));
    match newest {
        Err(error) => Finding::new("journal", Status::Bad, Failure::because(Exit::Error, &error).message)
            .help(error.help().to_owned()),
        Ok(_) if !is_writable(&path) => {
            Finding::new("journal", Status::Bad, format!("{} cannot be written to", path.display()))
                .help("give the user that runs this program write permission on it and on its folder")
        }
        Ok(runs) => {
            let newest = runs.first().map_or("no run yet".to_owned(), |run| format!("the newest run is {}", run.run));
            Finding::new("journal", Status::Good, format!("{}, writable, {newest}, {with}", path.display()))
        }
    }
}

fn engine(selection: &Selection) -> Finding {
    let identity = selection.choice.identity();
    let found = format!("{} {}", identity.engine, identity.engine_version);
    let mut finding = match &selection.choice {
        EngineChoice::OnnxRuntime(library) => {
            Finding::new("models", Status::Good, format!("{found}, {}", library.path.display()))
        }
        EngineChoice::Embedded => Finding::new("models", Status::Note, format!("{found}, the embedded engine")).help(
            "enough for most models; `sh scripts/get-onnxruntime.sh` brings ONNX Runtime, and `models: {onnxruntime: \
             PATH}` in the site file names one",
        ),
    };
    finding.details = selection.tried.iter().map(tried_as_text).collect();
    // Somebody asked for an engine and does not get it.
    if !selection.warnings().is_empty() {
        finding.status = Status::Bad;
    }
    finding
}

fn tried_as_text((candidate, trial): &(Candidate, Trial)) -> String {
    let place = format!("{}: {}", candidate.place, candidate.path.display());
    match trial {
        Trial::Works(library) => format!("{place} works, version {}, sha256 {}", library.version, library.sha256),
        Trial::Refused(why) => format!("{place} refused: {why}"),
        Trial::Absent => format!("{place} is not there"),
    }
}

fn tool(name: &'static str, why: &str) -> Finding {
    let path = environment::path("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    match found {
        Some(file) => Finding::new(name, Status::Good, file.display().to_string()),
        None => Finding::new(name, Status::Note, format!("not there; {why}")),
    }
}
