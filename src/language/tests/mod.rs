//! Tests of the two languages, by what a playbook's author writes.

mod expressions;
mod requests;
mod shapes;
mod templates;
mod types;

use serde_json::Value;

use super::{LanguageError, Lookup, Names, Scope};
use crate::base::{Field, Type};

/// Values by name; what is not in it did not answer.
struct Values(Value);

impl Scope for Values {
    fn lookup(&self, name: &str) -> Lookup {
        match name.strip_prefix("silent") {
            Some(_) => Lookup::Missing("it did not answer".into()),
            None => at(&self.0, name),
        }
    }
}

/// The part of a value that a dotted name leads to.
fn at(value: &Value, name: &str) -> Lookup {
    let mut place = value;
    for part in name.split('.') {
        let next = match place {
            Value::Array(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
            other => other.get(part),
        };
        match next {
            Some(found) => place = found,
            None => return Lookup::Missing(format!("it has no '{part}'")),
        }
    }
    Lookup::Value(place.clone())
}

/// Types by name.
struct Known(Vec<Field>);

impl Names for Known {
    fn type_of(&self, name: &str) -> Result<Type, LanguageError> {
        let field = self.0.iter().find(|field| field.name == name);
        field.map(|field| field.kind.clone()).ok_or_else(|| LanguageError::new(format!("'{name}' is not known")))
    }
}

fn known() -> Known {
    let field = |name: &str, kind| Field::new(name, kind, "");
    Known(vec![
        field("flag", Type::Bool),
        field("text", Type::String),
        field("path", Type::Path),
        field("count", Type::Int),
        field("share", Type::Float),
        field("size", Type::Bytes),
        field("wait", Type::Duration),
        field("state", Type::Enum(vec!["open".into(), "closed".into()])),
        field("items", Type::List(Box::new(Type::Int))),
        field("body", Type::Any),
    ])
}
