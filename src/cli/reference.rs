//! `kinds` and `schema`: the language, from the program itself.

use super::output::{self, Failure};
use super::{Exit, SchemaOf};
use crate::base::{Field, Type};
use crate::kind::KindEntry;
use crate::playbook::{document, registry, site_schema};

pub fn schema(of: SchemaOf) -> Result<Exit, Failure> {
    output::json(&match of {
        SchemaOf::Playbook => document::published(),
        SchemaOf::Site => site_schema(),
    });
    Ok(Exit::Done)
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
