//! `report`: the incident report of a run.

use std::path::Path;

use super::output::{self, Failure};
use super::{Exit, ReportArguments, ReportFormat, ack, run, setup};
use crate::playbook::registry;
use crate::report::{Gallery, Incident, Placement, html, markdown, picture_files};

pub fn report(config: Option<&Path>, arguments: &ReportArguments) -> Result<Exit, Failure> {
    if arguments.format == ReportFormat::Html && arguments.pictures.is_some() {
        let help = "leave --pictures out: the page holds its pictures".to_owned();
        return Err(Failure::new(Exit::Invalid, "--pictures is for Markdown").help(help));
    }
    let journal = setup::journal(&setup::site(config)?)?;
    let run = run::named(journal.as_ref(), &arguments.run)?;
    let records = journal.read(&run).map_err(|error| setup::journal_failure(&error))?;
    let head = journal.head().map_err(|error| setup::journal_failure(&error))?;
    let (gallery, audit_head) = (Gallery::new(registry::pictures), Some(head.to_string()));
    let escalation = ack::of(journal.as_ref(), &run)?;
    let incident = Incident { records: &records, gallery, audit_head, escalation };
    let document = incident.document();
    match (arguments.format, &arguments.pictures) {
        (ReportFormat::Html, _) => output::text(&html(&document)),
        (ReportFormat::Markdown, None) => output::text(&markdown(&document, Placement::Inline)),
        (ReportFormat::Markdown, Some(folder)) => {
            write_pictures(folder, &picture_files(&document))?;
            output::text(&markdown(&document, Placement::Below(&folder.to_string_lossy())));
        }
    }
    Ok(Exit::Done)
}

fn write_pictures(folder: &Path, files: &[(String, String)]) -> Result<(), Failure> {
    let failure = |path: &Path, error: &std::io::Error| {
        Failure::new(Exit::Invalid, format!("cannot write {}: {error}", path.display()))
            .help("name a folder that can be written with --pictures, or leave it out".to_owned())
    };
    std::fs::create_dir_all(folder).map_err(|error| failure(folder, &error))?;
    for (name, svg) in files {
        let path = folder.join(name);
        std::fs::write(&path, svg).map_err(|error| failure(&path, &error))?;
    }
    Ok(())
}
