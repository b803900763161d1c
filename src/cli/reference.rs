//! `kinds`, `schema`, `explain` and `generate`: the documentation that the program itself holds.

mod pages;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::output::{self, Failure};
use super::{Exit, SchemaOf};
use crate::base::{Field, Type, suggestion};
use crate::kind::KindEntry;
use crate::playbook::{document, registry, site_schema};

pub fn schema(of: SchemaOf) -> Result<Exit, Failure> {
    output::json(&match of {
        SchemaOf::Playbook => document::published(),
        SchemaOf::Site => site_schema(),
    });
    Ok(Exit::Done)
}

/// Writes the generated files below the root of a repository.
pub fn generate(root: &Path) -> Result<Exit, Failure> {
    for (name, text) in pages::all() {
        let path = root.join(name);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        written.map_err(|error| Failure::new(Exit::Error, format!("cannot write {}: {error}", path.display())))?;
        output::line(name);
    }
    Ok(Exit::Done)
}

/// The page that has a section for every code.
const ERRORS: &str = include_str!("../../docs/errors.md");

/// Shows what a code means and what to do.
pub fn explain_code(code: &str) -> Result<Exit, Failure> {
    match sections().find(|(title, _)| *title == code) {
        Some((title, text)) => {
            output::text(&format!("{title}\n\n{}\n", text.trim()));
            Ok(Exit::Done)
        }
        None => {
            let help = suggestion::did_you_mean(code, sections().map(|(title, _)| title).collect::<Vec<_>>());
            Err(Failure::new(Exit::Invalid, format!("there is no code '{code}'")).help(help))
        }
    }
}

/// The codes of the page, each with its text.
fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    // A heading of a code is the only one with a backtick in it.
    ERRORS.split("\n### `").skip(1).filter_map(|section| {
        let (title, text) = section.split_once("`\n")?;
        Some((title, text.split("\n## ").next().unwrap_or(text)))
    })
}

pub fn kinds(named: Option<&str>) -> Result<Exit, Failure> {
    match named {
        None => {
            let width = registry::kinds().map(|kind| kind.name.len()).max().unwrap_or(0);
            registry::kinds().for_each(|kind| output::line(&format!("{:width$}  {}", kind.name, kind.summary)));
            Ok(Exit::Done)
        }
        Some(name) => match registry::find(name) {
            Some(kind) => {
                output::text(&explain(kind));
                Ok(Exit::Done)
            }
            None => {
                Err(Failure::new(Exit::Invalid, format!("there is no kind '{name}'")).help(registry::suggest(name)))
            }
        },
    }
}

/// What one kind takes and gives, in plain text.
fn explain(kind: &KindEntry) -> String {
    let mut text = format!("{}: {}\n\nExample:\n", kind.name, kind.summary);
    kind.example.lines().for_each(|line| text.push_str(&format!("  {line}\n")));
    text.push_str("\nTakes:\n");
    fields(&Field::of_schema(&(kind.config_schema)()), &mut text);
    text.push_str("\nGives:\n");
    fields(&kind.outputs(&serde_json::Value::Null), &mut text);
    text
}

fn fields(fields: &[Field], text: &mut String) {
    let width = fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
    for field in fields {
        let help = field.help.replace('\n', " ");
        let kind = if field.kind == Type::Any { String::new() } else { format!(" ({})", short(&field.kind)) };
        text.push_str(&format!("  {:width$}  {help}{kind}\n", field.name));
    }
}

fn short(kind: &Type) -> String {
    match kind {
        Type::Object(_) => "object".into(),
        Type::List(_) => "list".into(),
        other => other.to_string(),
    }
}
