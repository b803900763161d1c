//! TOML, edited by the crate that made an art of it.

use serde_json::{Map, Value};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value as Toml};

use super::Wish;
use super::error::EditError;

pub(super) fn parse(text: &str) -> Result<Value, EditError> {
    Ok(table_json(read(text)?.as_table()))
}

pub(super) fn change(text: &str, key: &[String], wish: &Wish) -> Result<String, EditError> {
    let mut document = read(text)?;
    let damaged = || EditError::WouldDamage { key: key.join(".") };
    let (last, above) = key.split_last().ok_or_else(damaged)?;
    let mut item = document.as_item_mut();
    for part in above {
        item = enter(item, part).ok_or_else(damaged)?;
    }
    match wish {
        Wish::Set(value) => {
            let value =
                toml_value(value).ok_or_else(|| EditError::Value { key: key.join("."), value: value.to_string() })?;
            set(item, last, value).ok_or_else(damaged)?;
        }
        Wish::Remove => drop(item.as_table_like_mut().and_then(|table| table.remove(last))),
    }
    Ok(document.to_string())
}

fn read(text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        EditError::Syntax(format!("line {line}: {}", error.message()))
    })
}

/// The part below an item; a table is made where it is missing.
fn enter<'a>(item: &'a mut Item, part: &str) -> Option<&'a mut Item> {
    if item.is_array_of_tables() || item.is_array() {
        return item.get_mut(part.parse::<usize>().ok()?);
    }
    let inline = item.is_inline_table();
    let table = item.as_table_like_mut()?;
    if table.get(part).is_none() {
        table.insert(part, if inline { Item::Value(InlineTable::new().into()) } else { Item::Table(made_table()) });
    }
    table.get_mut(part)
}

/// Without a header of its own as long as only tables are in it.
fn made_table() -> Table {
    let mut table = Table::new();
    table.set_implicit(true);
    table
}

fn set(item: &mut Item, last: &str, mut value: Toml) -> Option<()> {
    let old = match item.as_array_mut() {
        Some(array) => {
            let old = array.get_mut(last.parse::<usize>().ok()?)?;
            *value.decor_mut() = old.decor().clone();
            *old = value;
            return Some(());
        }
        None => item.as_table_like_mut()?,
    };
    match old.get_mut(last) {
        Some(Item::Value(before)) => {
            // A date is written without quotes; text that is a date takes the place of one as a date.
            if let (true, Some(text)) = (before.is_datetime(), value.as_str()) {
                value = text.parse::<toml_edit::Datetime>().map_or(value.clone(), Toml::from);
            }
            // The blanks and the comment around the old value.
            *value.decor_mut() = before.decor().clone();
            *before = value;
        }
        Some(other) => *other = Item::Value(value),
        None => drop(old.insert(last, Item::Value(value))),
    }
    Some(())
}

fn toml_value(value: &Value) -> Option<Toml> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some((*flag).into()),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Some(whole.into()),
            None if number.is_f64() => number.as_f64().map(Toml::from),
            None => None,
        },
        Value::String(text) => Some(text.as_str().into()),
        Value::Array(items) => items.iter().map(toml_value).collect::<Option<Array>>().map(Toml::Array),
        Value::Object(entries) => {
            let pairs = entries.iter().map(|(key, value)| Some((key.as_str(), toml_value(value)?)));
            pairs.collect::<Option<InlineTable>>().map(Toml::InlineTable)
        }
    }
}

fn table_json(table: &dyn TableLike) -> Value {
    let pairs = table.iter().filter(|(_, item)| !item.is_none());
    Value::Object(pairs.map(|(key, item)| (key.to_owned(), item_json(item))).collect::<Map<_, _>>())
}

fn item_json(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => value_json(value),
        Item::Table(table) => table_json(table),
        Item::ArrayOfTables(tables) => tables.iter().map(|table| table_json(table)).collect(),
    }
}

fn value_json(value: &Toml) -> Value {
    match value {
        Toml::String(text) => Value::from(text.value().as_str()),
        Toml::Integer(number) => Value::from(*number.value()),
        Toml::Float(number) => Value::from(*number.value()),
        Toml::Boolean(flag) => Value::from(*flag.value()),
        Toml::Datetime(moment) => Value::from(moment.value().to_string()),
        Toml::Array(items) => items.iter().map(value_json).collect(),
        Toml::InlineTable(table) => table_json(table),
    }
}
