//! `validate`, `history`, `show`: what can be read.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::notice;
use super::output::{self, Failure};
use super::{Exit, Format, HistoryArguments, ShowArguments, ValidateArguments, ack, run, setup};
use crate::base::{Clock, Diagnostic};
use crate::journal::{Journal, RunFilter};
use crate::notify::Templates;
use crate::plan;
use crate::playbook;
use crate::playbook::library::{self, Library};
use crate::report::{HistoryRow, RunView};
use crate::runtime::routing;
use crate::site::Site;

pub fn validate(config: Option<&Path>, arguments: &ValidateArguments) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    notice::without_journal(&site);
    let library = Library::new(site.playbooks.clone());
    let templates = setup::templates(&site)?;
    let files = files(&library, &arguments.playbooks)?;
    warn_of_gap(&site, &files);
    let mut problems: Vec<Diagnostic> = Vec::new();
    for file in &files {
        problems.extend(problems_of(file, &library, &site, &templates));
    }
    match arguments.format {
        Format::Json => output::json(&Value::Array(problems.iter().map(Diagnostic::to_json).collect())),
        Format::Text => show_problems(&problems, files.len()),
    }
    Ok(if problems.is_empty() { Exit::Done } else { Exit::Invalid })
}

/// Where there are routes, says whether they leave a fault to nobody. A warning: the playbooks are valid.
fn warn_of_gap(site: &Site, files: &[PathBuf]) {
    if site.notify.routes.is_empty() {
        return;
    }
    let headers: Vec<_> = files.iter().filter_map(|file| library::load(file).ok()).map(|one| one.header).collect();
    if let Some(gap) = routing::warning(site, headers.iter(), Clock::start().now()) {
        output::error(&format!("warning: {gap}"));
    }
}

/// Every mistake of a file, whatever its kind, in the order of the text.
fn problems_of(file: &Path, library: &Library, site: &Site, templates: &Templates) -> Vec<Diagnostic> {
    let source = match library::source(file) {
        Ok(source) => source,
        Err(problems) => return problems,
    };
    let (playbook, mut problems) = playbook::examine(&source);
    if let Some(playbook) = &playbook {
        problems.extend(plan::check(playbook));
        problems.extend(plan::check_calls(playbook, library));
        problems.extend(playbook::check_people(playbook, site, templates));
    }
    problems.sort_by_key(|problem| problem.place.as_ref().map(|(_, span)| span.start));
    problems
}

fn files(library: &Library, named: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for name in named {
        let path = Path::new(name);
        if path.exists() {
            files.extend(library::yaml_files(path));
            continue;
        }
        let playbook = library.find(name).map_err(|problems| Failure::diagnostics(&problems))?;
        files.push(playbook.source.path);
    }
    if named.is_empty() {
        files = library.files();
    }
    if files.is_empty() {
        let help = "name a file or folder, or list folders under `playbooks:` in the site file".to_owned();
        return Err(Failure::new(Exit::Invalid, "there are no playbooks to check").help(help));
    }
    Ok(files)
}

fn show_problems(problems: &[Diagnostic], files: usize) {
    let colour = output::colour(&std::io::stdout());
    for problem in problems {
        output::line(&format!("{}\n", problem.render(colour)));
    }
    let counted = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    output::line(&match problems.len() {
        0 => format!("{}: no problems", counted(files, "playbook")),
        found => format!("{}: {}", counted(files, "playbook"), counted(found, "problem")),
    });
}

pub fn history(config: Option<&Path>, arguments: &HistoryArguments) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    let journal = setup::journal(&site)?;
    let filter = RunFilter {
        limit: arguments.limit,
        children: arguments.all,
        playbook: arguments.playbook.clone(),
        ..RunFilter::default()
    };
    let runs = journal.runs(&filter).map_err(|error| setup::journal_failure(&error))?;
    if arguments.format == Format::Json {
        output::json(&json!(runs));
        return Ok(Exit::Done);
    }
    if runs.is_empty() {
        output::line("no runs yet");
        return Ok(Exit::Done);
    }
    let mut rows = Vec::new();
    for summary in &runs {
        match journal.read(&summary.run) {
            Ok(records) => rows.push(HistoryRow::of(&RunView::of(&records))),
            Err(error) => output::error(&format!("run {} cannot be read: {error}", summary.run)),
        }
    }
    output::text(&crate::report::history(&rows, setup::look()));
    Ok(Exit::Done)
}

/// A run with what became of its escalation.
fn view(config: Option<&Path>, named: Option<&str>) -> Result<RunView, Failure> {
    let journal = setup::journal(&setup::site(config)?)?;
    let run = match named {
        Some(named) => run::named(journal.as_ref(), named)?,
        None => newest(journal.as_ref())?,
    };
    let records = journal.read(&run).map_err(|error| setup::journal_failure(&error))?;
    let escalation = ack::of(journal.as_ref(), &run)?;
    let mut view = RunView::of(&records);
    view.escalation = escalation;
    Ok(view)
}

fn newest(journal: &dyn Journal) -> Result<crate::base::RunId, Failure> {
    let runs = journal
        .runs(&RunFilter { limit: 1, ..RunFilter::default() })
        .map_err(|error| setup::journal_failure(&error))?;
    runs.into_iter().next().map(|run| run.run).ok_or_else(|| Failure::new(Exit::Invalid, "there are no runs yet"))
}

pub fn show(config: Option<&Path>, arguments: &ShowArguments) -> Result<Exit, Failure> {
    let view = view(config, arguments.run.as_deref())?;
    match arguments.format {
        Format::Json => output::json(&view.to_json()),
        Format::Text => output::text(&crate::report::show(&view, setup::look())),
    }
    Ok(Exit::Done)
}
