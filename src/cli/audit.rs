//! `audit verify`, `audit prove`, `audit key` and `audit export`.

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::output::{self, Failure};
use super::{Exit, Format, setup};
use crate::audit::export::verify_export;
use crate::audit::{Head, KeyFile, PublicKey, Report, Trust};
use crate::base::{Clock, Timestamp};
use crate::journal::{self, JournalError};
use crate::report::escape_control;

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// An exported file to check instead of the journal; needs no database.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The public key that signed the trail, as `runbook audit key` printed it, or a file that holds it;
    /// several after a change of the key.
    #[arg(long, value_name = "PUB")]
    key: Vec<String>,
    /// A file of an anchor: checkpoints that were kept where the writer of the journal cannot change them.
    #[arg(long, value_name = "FILE", requires = "key")]
    anchor: Vec<PathBuf>,
    /// The number and hash of a last entry that was written down elsewhere, as `verify` prints them.
    #[arg(long, value_name = "NUMBER:HASH")]
    head: Vec<String>,
    /// For people, or as JSON for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub fn verify(config: Option<&Path>, arguments: &VerifyArguments) -> Result<Exit, Failure> {
    let trust = trust(arguments)?;
    let report = match &arguments.file {
        Some(file) => verify_file(file, &trust)?,
        None => {
            let journal = setup::open_journal(&setup::site(config)?)?;
            journal::verify(journal.as_ref(), &trust).map_err(|error| setup::journal_failure(&error))?
        }
    };
    let now = Clock::start().now();
    match arguments.format {
        Format::Json => output::json(&as_json(&report, now)),
        Format::Text => {
            let lines = report.lines(!arguments.key.is_empty(), now);
            lines.iter().for_each(|line| output::line(&escape_control(line)));
        }
    }
    Ok(if report.is_sound() { Exit::Done } else { Exit::Unresolved })
}

/// What the reader brought along.
fn trust(arguments: &VerifyArguments) -> Result<Trust, Failure> {
    let heads =
        arguments.head.iter().map(|head| head.parse::<Head>().map_err(|error| Failure::because(Exit::Invalid, &error)));
    let keys = arguments.key.iter().map(|key| public_key(key));
    let heads = heads.collect::<Result<Vec<_>, _>>()?;
    let mut trust = Trust::default().heads(heads).keys(keys.collect::<Result<Vec<_>, _>>()?);
    for path in &arguments.anchor {
        let bytes = std::fs::read(path)
            .map_err(|error| Failure::new(Exit::Invalid, format!("cannot read {}: {error}", path.display())))?;
        let anchored = trust.anchor(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
        let help = "give the file that the anchor keeps, and the key that was in use when it was kept";
        anchored.map_err(|error| Failure::because(Exit::Invalid, &error).help(help.to_owned()))?;
    }
    Ok(trust)
}

fn public_key(given: &str) -> Result<PublicKey, Failure> {
    let text = std::fs::read_to_string(given).unwrap_or_else(|_| given.to_owned());
    let help = "give what `runbook audit key` printed, such as runbook/web-1/5f0c9a12+c74f20a3+ARpc2QcU…";
    text.parse().map_err(|error| Failure::because(Exit::Invalid, &error).help(help.to_owned()))
}

fn verify_file(file: &Path, trust: &Trust) -> Result<Report, Failure> {
    let opened = std::fs::File::open(file)
        .map_err(|error| Failure::new(Exit::Invalid, format!("cannot read {}: {error}", file.display())))?;
    verify_export(BufReader::new(opened), trust)
        .map_err(|error| Failure::because(Exit::Error, &error).help(error.help().to_owned()))
}

fn as_json(report: &Report, now: Timestamp) -> serde_json::Value {
    let mut shown = json!(report);
    shown["intact"] = report.is_intact().into();
    shown["window"] = json!({
        "entries": report.head.count.saturating_sub(report.anchored),
        "seconds": report.window(now).map(|passed| passed.as_secs()),
    });
    shown
}

/// Prints the public key; makes the key if there is none yet.
pub fn key(config: Option<&Path>) -> Result<Exit, Failure> {
    let file = KeyFile(setup::site(config)?.audit_key_file());
    let key = file.load_or_create();
    let key = key.map_err(|error| Failure::because(Exit::Error, &error).help(error.help().to_owned()))?;
    output::line(&key.public().to_string());
    Ok(Exit::Done)
}

/// Writes the proof that an entry is in the trail (C2SP tlog-proof), with the entry itself.
pub fn prove(config: Option<&Path>, number: u64, file: Option<&Path>) -> Result<Exit, Failure> {
    let journal = setup::open_journal(&setup::site(config)?)?;
    let failed = |error: JournalError| setup::journal_failure(&error);
    let head = journal.head().map_err(failed)?;
    if number == 0 || number > head.count {
        let help = format!("entries are numbered from 1 to {}", head.count);
        return Err(Failure::new(Exit::Invalid, format!("there is no entry {number}")).help(help));
    }
    let proofs = journal.proofs().ok_or_else(|| Failure::new(Exit::Error, "bug: the journal keeps no tree"))?;
    // An entry that nothing signed covers yet is signed now.
    let newest = || journal::newest_checkpoint(proofs).map_err(failed);
    if newest()?.is_none_or(|(checkpoint, _)| checkpoint.size < number) {
        journal.checkpoint().wait().map_err(failed)?;
    }
    let signed = newest()?.ok_or_else(|| Failure::new(Exit::Error, "the trail cannot be signed"))?;
    let text = journal::proof_text(proofs, number, &signed).map_err(failed)?.ok_or_else(|| {
        Failure::new(Exit::Error, format!("entry {number} is missing"))
            .help("`runbook audit verify` says more".to_owned())
    })?;
    match file {
        None => output::line(text.trim_end()),
        Some(file) => std::fs::write(file, text)
            .map_err(|error| Failure::new(Exit::Error, format!("cannot write {}: {error}", file.display())))?,
    }
    Ok(Exit::Done)
}

pub fn export(config: Option<&Path>) -> Result<Exit, Failure> {
    let journal = setup::open_journal(&setup::site(config)?)?;
    let exported = journal::export(journal.as_ref(), io::stdout().lock());
    drop(exported.map_err(|error| Failure::because(Exit::Error, &error).help(error.help().to_owned()))?);
    Ok(Exit::Done)
}
