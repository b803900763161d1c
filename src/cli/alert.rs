//! `alert`: what an alert would start, said without starting it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::output::{self, Failure};
use super::{Exit, Format, setup};
use crate::base::suggestion::did_you_mean;
use crate::base::value::show;
use crate::playbook::{Library, library};
use crate::report::escape_control;
use crate::server::{Fate, NoRehearsal, Rehearsal, Stage, Verdict};

#[derive(Debug, Args)]
pub struct AlertArguments {
    /// What a sender posts, or `-` for standard input: a payload of Alertmanager, for example.
    #[arg(required_unless_present = "labels", conflicts_with = "labels")]
    file: Option<PathBuf>,
    /// A label of an alert, in the place of a file; as often as there are labels.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// The hook of the site file that it comes in by; may be left out where there is only one.
    #[arg(long, value_name = "NAME")]
    hook: Option<String>,
    /// A header that the sender posts it with, such as `x-github-event=workflow_run`.
    #[arg(long = "header", value_name = "NAME=VALUE", conflicts_with = "labels")]
    headers: Vec<String>,
    /// For people, or as JSON for programs.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub fn alert(config: Option<&Path>, arguments: &AlertArguments) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    let playbooks = library::valid(&Library::new(site.playbooks.clone()));
    let stage = Stage::of(&site, &playbooks, arguments.hook.as_deref()).map_err(|error| failure(&error))?;
    let heard = match &arguments.file {
        Some(file) => {
            let headers = setup::pairs("header", &arguments.headers)?;
            let headers = headers.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
            stage.request(headers, read(file)?).map_err(|error| failure(&error))?
        }
        None => vec![stage.labelled(setup::pairs("label", &arguments.labels)?)],
    };
    match arguments.format {
        Format::Json => output::json(&json!(heard)),
        Format::Text => heard.iter().for_each(tell),
    }
    let starts = |verdict: &Verdict| matches!(verdict.fate, Fate::Starts { .. });
    let any = heard.iter().any(|heard| heard.triggers.iter().any(starts));
    Ok(if any { Exit::Done } else { Exit::Unresolved })
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().read_to_end(&mut body).map(drop),
        _ => std::fs::read(file).map(|bytes| body = bytes),
    };
    read.map_err(|error| Failure::new(Exit::Invalid, format!("{} cannot be read: {error}", file.display())))?;
    Ok(body)
}

fn failure(error: &NoRehearsal) -> Failure {
    let help = match error {
        NoRehearsal::NoHook { known, .. } if known.is_empty() => {
            Some("it has no hooks at all: see docs/serve.md".to_owned())
        }
        NoRehearsal::NoHook { name, known } if name.is_empty() => {
            Some(format!("say which one it comes in by: --hook {}", known.join(" or --hook ")))
        }
        NoRehearsal::NoHook { name, known } => did_you_mean(name, known.iter().map(String::as_str)),
        NoRehearsal::Site(error) => error.help(),
        NoRehearsal::Refused(_) => None,
    };
    Failure::because(Exit::Invalid, error).help(help)
}

/// A report, then what starts, what is refused, and what is for something else.
fn tell(heard: &Rehearsal) {
    let labels: Vec<String> = heard.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let state = if heard.firing { "firing" } else { "resolved" };
    output::line(&escape_control(&format!("{state}: {}", labels.join(", "))));
    if heard.triggers.is_empty() {
        output::line("  - no trigger waits for what comes in by this hook");
    }
    for Verdict { playbook, fate } in &heard.triggers {
        let said = match fate {
            Fate::Starts { inputs, policy } => {
                let hold = if policy.hold_ms > 0 { ", if it lasts" } else { "" };
                format!("✓ {playbook} starts{hold}{}", with(inputs))
            }
            Fate::Refused { why } => format!("✗ {playbook} does not start: {why}"),
            Fate::Resolves => format!("· {playbook}: what waits for it is taken back"),
            Fate::Missed { why } => format!("- {playbook}: {why}"),
        };
        output::line(&escape_control(&format!("  {said}")));
    }
}

fn with(inputs: &BTreeMap<String, Value>) -> String {
    let inputs: Vec<String> = inputs.iter().map(|(name, value)| format!("{name}={}", show(value))).collect();
    if inputs.is_empty() { String::new() } else { format!(" with {}", inputs.join(", ")) }
}
