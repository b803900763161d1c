//! `list`: which playbooks there are, and what one of them takes and does.

use std::path::Path;

use super::notice;
use super::output::{self, Failure};
use super::{Exit, setup};
use crate::base::value::show;
use crate::engine::event::Phase;
use crate::language::Declaration;
use crate::playbook::{Library, Playbook, library};

pub fn list(config: Option<&Path>, named: Option<&str>) -> Result<Exit, Failure> {
    let site = setup::site(config)?;
    notice::without_journal(&site);
    let library = Library::new(site.playbooks.clone());
    match named {
        Some(name) => {
            let playbook = library.find(name).map_err(|problems| Failure::diagnostics(&problems))?;
            output::text(&describe(&playbook));
        }
        None => list_all(&library),
    }
    Ok(Exit::Done)
}

fn list_all(library: &Library) {
    let row = |file: &std::path::PathBuf| match library::load(file) {
        Ok(playbook) => (playbook.header.name, playbook.header.title),
        Err(problems) => {
            (file.display().to_string(), format!("not valid: {} problems; see `runbook validate`", problems.len()))
        }
    };
    let rows: Vec<(String, String)> = library.files().iter().map(row).collect();
    if rows.is_empty() {
        output::line("there are no playbooks here; the folders are named by `playbooks:` in the site file");
    }
    columns(&rows).iter().for_each(|line| output::line(line));
}

fn columns(rows: &[(String, String)]) -> Vec<String> {
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(left, right)| format!("{left:width$}  {right}").trim_end().to_owned()).collect()
}

fn describe(playbook: &Playbook) -> String {
    let header = &playbook.header;
    let mut text = format!("{}: {}\n", header.name, header.title);
    let facts = [("code", &header.code), ("system", &header.system), ("owner", &header.owner)];
    for (name, value) in facts.into_iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value))) {
        text.push_str(&format!("  {name}: {value}\n"));
    }
    text.push_str(&format!("  file: {}\n", playbook.source.path.display()));
    if let Some(help) = &header.help {
        text.push_str(&format!("\n{}\n", help.trim_end()));
    }
    let inputs: Vec<(String, String)> =
        playbook.inputs.iter().map(|(name, input)| (format!("  {name}"), explain(input))).collect();
    section("Inputs", &inputs, &mut text);
    let causes: Vec<(String, String)> =
        playbook.causes.iter().map(|cause| (format!("  {}", cause.name), cause.title.clone())).collect();
    section("Causes it knows", &causes, &mut text);
    let fixes = playbook.steps.iter().filter(|step| step.phase == Phase::Remediate);
    let fixes: Vec<(String, String)> =
        fixes.map(|step| (format!("  {}", step.name), step.keys.help.clone().unwrap_or_default())).collect();
    section("What it can do", &fixes, &mut text);
    text
}

fn section(title: &str, rows: &[(String, String)], text: &mut String) {
    if !rows.is_empty() {
        text.push_str(&format!("\n{title}:\n{}\n", columns(rows).join("\n")));
    }
}

fn explain(input: &Declaration) -> String {
    let given = match &input.default {
        Some(default) => format!("default {}", show(default)),
        None => "required".to_owned(),
    };
    match input.help.as_ref().or(input.title.as_ref()) {
        Some(help) => format!("{help} ({}; {given})", input.value_type()),
        None => format!("{}; {given}", input.value_type()),
    }
}
