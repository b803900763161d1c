//! `audit verify` and `audit export`.

use std::io::{self, BufReader};
use std::path::Path;

use serde_json::json;

use super::output::{self, Failure};
use super::{Exit, Format, setup};
use crate::audit::export::verify_export;
use crate::audit::{Head, Report};
use crate::journal;
use crate::report::escape_control;

pub fn verify(config: Option<&Path>, file: Option<&Path>, heads: &[String], format: Format) -> Result<Exit, Failure> {
    let heads = heads
        .iter()
        .map(|head| head.parse::<Head>().map_err(|error| Failure::because(Exit::Invalid, &error)))
        .collect::<Result<Vec<_>, _>>()?;
    let report = match file {
        Some(file) => verify_file(file, &heads)?,
        None => {
            let journal = setup::journal(&setup::site(config)?)?;
            journal::verify(journal.as_ref(), &heads).map_err(|error| setup::journal_failure(&error))?
        }
    };
    match format {
        Format::Json => output::json(&json!(report)),
        Format::Text => show(&report),
    }
    Ok(if report.is_sound() { Exit::Done } else { Exit::Unresolved })
}

fn verify_file(file: &Path, heads: &[Head]) -> Result<Report, Failure> {
    let opened = std::fs::File::open(file)
        .map_err(|error| Failure::new(Exit::Invalid, format!("cannot read {}: {error}", file.display())))?;
    verify_export(BufReader::new(opened), heads)
        .map_err(|error| Failure::because(Exit::Error, &error).help(error.help().to_owned()))
}

fn show(report: &Report) {
    let counted = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    for finding in &report.findings {
        output::line(&format!("✗ {}", escape_control(&finding.to_string())));
    }
    let read = format!("{} of {}", counted(report.entries, "entry", "entries"), counted(report.runs, "run", "runs"));
    if !report.is_sound() {
        return output::line(&format!(
            "The audit trail does not hold: {} in {read}.",
            counted(report.findings.len() as u64, "finding", "findings")
        ));
    }
    output::line(&format!("✓ The audit trail holds: {read}, each as it was written."));
    output::line(&format!("  Last entry: {}", report.head));
    if report.anchored < report.entries {
        output::line(
            "  Whoever can write the journal could have rewritten all of it since a last entry was kept elsewhere;",
        );
        output::line("  keep the line above outside of this machine, and give it with --head next time.");
    }
}

pub fn export(config: Option<&Path>) -> Result<Exit, Failure> {
    let journal = setup::journal(&setup::site(config)?)?;
    let exported = journal::export(journal.as_ref(), io::stdout().lock());
    drop(exported.map_err(|error| Failure::because(Exit::Error, &error).help(error.help().to_owned()))?);
    Ok(Exit::Done)
}
