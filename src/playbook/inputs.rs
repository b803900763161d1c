//! Values for a playbook's inputs: typed, checked, and every mistake at once.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::model::{InputDeclaration, InputType, Playbook};
use crate::base::value::show;
use crate::base::{Type, suggestion, units};

/// A value as it was given.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// `--input name=text`.
    Text(String),
    /// From a file of inputs.
    Value(Value),
    /// From a step that calls the playbook: a duration that is a number is in seconds already.
    Passed(Value),
}

/// Inputs of a trigger or a request, as a playbook takes them.
pub fn given<'v>(inputs: impl IntoIterator<Item = (&'v String, &'v Value)>) -> BTreeMap<String, Given> {
    let form = |value: &Value| match value {
        Value::String(text) => Given::Text(text.clone()),
        other => Given::Value(other.clone()),
    };
    inputs.into_iter().map(|(name, value)| (name.clone(), form(value))).collect()
}

/// A missing, unknown or ill-typed input.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct InputProblem {
    pub name: String,
    pub message: String,
    pub help: Option<String>,
}

/// The values of a run: what was given, else defaults. Sizes become bytes, durations seconds.
pub fn resolve(playbook: &Playbook, given: &BTreeMap<String, Given>) -> Result<Value, Vec<InputProblem>> {
    let mut values = Map::new();
    let mut problems = Vec::new();
    for (name, declaration) in &playbook.inputs {
        let default = declaration.default.clone().map(Given::Value);
        match given.get(name).cloned().or(default) {
            Some(value) => match read(declaration, &value) {
                Ok(value) => drop(values.insert(name.clone(), value)),
                Err(message) => problems.push(problem(name, declaration, format!("input '{name}': {message}"))),
            },
            None => problems.push(problem(
                name,
                declaration,
                format!("input '{name}' is missing; it is {}", declared_type(declaration)),
            )),
        }
    }
    for name in given.keys().filter(|name| !playbook.inputs.iter().any(|(known, _)| known == *name)) {
        let help = suggestion::did_you_mean(name, playbook.inputs.iter().map(|(known, _)| known.as_str()));
        problems.push(InputProblem {
            name: name.clone(),
            message: format!("'{}' has no input '{name}'", playbook.header.name),
            help,
        });
    }
    if problems.is_empty() { Ok(Value::Object(values)) } else { Err(problems) }
}

fn problem(name: &str, declaration: &InputDeclaration, message: String) -> InputProblem {
    let mut help = format!("give it with --input {name}={}", example(declaration));
    if let Some(meaning) = &declaration.help {
        help.push_str(&format!("   ({meaning})"));
    }
    InputProblem { name: name.to_owned(), message, help: Some(help) }
}

fn example(declaration: &InputDeclaration) -> String {
    if let Some(example) = &declaration.example {
        return show(example);
    }
    match declaration.kind {
        InputType::Int => "3".into(),
        InputType::Float => "0.5".into(),
        InputType::Bool => "true".into(),
        InputType::Bytes => "'512 MiB'".into(),
        InputType::Duration => "15m".into(),
        InputType::Path => "some/folder".into(),
        InputType::Url => "http://127.0.0.1:8000".into(),
        InputType::Enum => declaration.values.first().cloned().unwrap_or_default(),
        InputType::List => "one,two".into(),
        InputType::String => "text".into(),
    }
}

/// The static type of an input.
pub fn declared_type(declaration: &InputDeclaration) -> Type {
    match declaration.kind {
        InputType::Enum => Type::Enum(declaration.values.clone()),
        InputType::List => Type::List(Box::new(simple_type(declaration.of.unwrap_or(InputType::String)))),
        simple => simple_type(simple),
    }
}

fn simple_type(kind: InputType) -> Type {
    match kind {
        InputType::Int => Type::Int,
        InputType::Float => Type::Float,
        InputType::Bool => Type::Bool,
        InputType::Bytes => Type::Bytes,
        InputType::Duration => Type::Duration,
        InputType::Path => Type::Path,
        InputType::Url => Type::Url,
        InputType::String | InputType::Enum | InputType::List => Type::String,
    }
}

/// Mistakes of a declaration itself: a bad pattern, an enum without choices, a default that does not fit.
pub fn check_declaration(name: &str, declaration: &InputDeclaration) -> Vec<String> {
    let mut problems = misplaced(name, declaration);
    problems.extend(broken(name, declaration));
    if !problems.is_empty() {
        return problems;
    }
    for (what, value) in [("default", &declaration.default), ("example", &declaration.example)] {
        let unfit = value.as_ref().and_then(|value| read(declaration, &Given::Value(value.clone())).err());
        problems.extend(unfit.map(|why| format!("the {what} of input '{name}' does not fit: {why}")));
    }
    problems
}

/// The type of one value: of a list that of its items.
fn item_kind(declaration: &InputDeclaration) -> InputType {
    match declaration.kind {
        InputType::List => declaration.of.unwrap_or(InputType::String),
        kind => kind,
    }
}

/// Keys that mean nothing for the type.
fn misplaced(name: &str, declaration: &InputDeclaration) -> Vec<String> {
    let kind = item_kind(declaration);
    let number = matches!(kind, InputType::Int | InputType::Float | InputType::Bytes | InputType::Duration);
    let text = matches!(kind, InputType::String | InputType::Path | InputType::Url | InputType::Enum);
    let keys = [
        ("min", declaration.min.is_some() && !number),
        ("max", declaration.max.is_some() && !number),
        ("pattern", declaration.pattern.is_some() && !text),
        ("values", !declaration.values.is_empty() && kind != InputType::Enum),
        ("of", declaration.of.is_some() && declaration.kind != InputType::List),
    ];
    let wrong = keys.into_iter().filter(|(_, wrong)| *wrong);
    wrong.map(|(key, _)| format!("'{key}' means nothing for input '{name}', which is {}", simple_type(kind))).collect()
}

/// What no value could ever fit.
fn broken(name: &str, declaration: &InputDeclaration) -> Vec<String> {
    let kind = item_kind(declaration);
    let mut problems = Vec::new();
    if let Some(Err(error)) = declaration.pattern.as_deref().map(regex::Regex::new) {
        problems.push(format!("the pattern of input '{name}' is not a regular expression: {error}"));
    }
    if kind == InputType::Enum && declaration.values.is_empty() {
        problems.push(format!("input '{name}' is an enum without `values`"));
    }
    if declaration.kind == InputType::List && kind == InputType::List {
        problems.push(format!("input '{name}' is a list of lists, which is not supported"));
    }
    for (key, bound) in [("min", &declaration.min), ("max", &declaration.max)] {
        let unfit = bound.as_ref().and_then(|bound| convert(kind, &Given::Value(bound.clone())).err());
        problems.extend(unfit.map(|why| format!("'{key}' of input '{name}' does not fit: {why}")));
    }
    let (least, most) = (bound(kind, &declaration.min), bound(kind, &declaration.max));
    if least.zip(most).is_some_and(|(least, most)| least > most) {
        problems.push(format!("'min' of input '{name}' is more than its 'max'"));
    }
    problems
}

/// A bound as a number: bytes or seconds.
fn bound(kind: InputType, bound: &Option<Value>) -> Option<f64> {
    convert(kind, &Given::Value(bound.clone()?)).ok()?.as_f64()
}

fn read(declaration: &InputDeclaration, given: &Given) -> Result<Value, String> {
    if declaration.kind != InputType::List {
        return single(declaration, declaration.kind, given);
    }
    let of = declaration.of.unwrap_or(InputType::String);
    let items: Vec<Given> = match given {
        Given::Text(text) if text.is_empty() => Vec::new(),
        Given::Text(text) => text.split(',').map(|part| Given::Text(part.trim().to_owned())).collect(),
        Given::Value(Value::Array(items)) => items.iter().cloned().map(Given::Value).collect(),
        Given::Passed(Value::Array(items)) => items.iter().cloned().map(Given::Passed).collect(),
        Given::Value(other) | Given::Passed(other) => return Err(format!("'{}' is not a list", show(other))),
    };
    items.iter().map(|item| single(declaration, of, item)).collect()
}

fn single(declaration: &InputDeclaration, kind: InputType, given: &Given) -> Result<Value, String> {
    let value = convert(kind, given)?;
    if let (Some(pattern), Value::String(text)) = (&declaration.pattern, &value) {
        let whole = regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|error| error.to_string())?;
        if !whole.is_match(text) {
            return Err(format!("'{text}' does not match {pattern}"));
        }
    }
    if kind == InputType::Enum && !declaration.values.iter().any(|choice| choice.as_str() == value) {
        return Err(format!("'{}' is not one of {}", show(&value), declaration.values.join(", ")));
    }
    within_range(declaration, kind, &value)?;
    Ok(value)
}

fn within_range(declaration: &InputDeclaration, kind: InputType, value: &Value) -> Result<(), String> {
    let Some(number) = value.as_f64() else { return Ok(()) };
    if bound(kind, &declaration.min).is_some_and(|least| number < least) {
        return Err(format!("it is less than {}", show(declaration.min.as_ref().unwrap_or(&Value::Null))));
    }
    if bound(kind, &declaration.max).is_some_and(|most| number > most) {
        return Err(format!("it is more than {}", show(declaration.max.as_ref().unwrap_or(&Value::Null))));
    }
    Ok(())
}

fn convert(kind: InputType, given: &Given) -> Result<Value, String> {
    let text = match given {
        Given::Text(text) => text.clone(),
        Given::Value(Value::Array(_) | Value::Object(_) | Value::Null)
        | Given::Passed(Value::Array(_) | Value::Object(_) | Value::Null) => {
            return Err(format!("it is not {}", simple_type(kind)));
        }
        Given::Passed(Value::Number(seconds)) if kind == InputType::Duration => {
            return Ok(seconds.as_f64().unwrap_or_default().into());
        }
        Given::Value(value) | Given::Passed(value) => show(value),
    };
    let wrong = || format!("'{text}' is not {}", simple_type(kind));
    match kind {
        InputType::String | InputType::Enum => Ok(text.into()),
        InputType::Int => text.parse::<i64>().map(Value::from).map_err(|_| wrong()),
        InputType::Float => {
            text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from).ok_or_else(wrong)
        }
        InputType::Bool => text.parse::<bool>().map(Value::from).map_err(|_| wrong()),
        InputType::Bytes => units::parse_bytes(&text).map(Value::from),
        InputType::Duration => units::parse_duration(&text).map(|duration| duration.as_secs_f64().into()),
        InputType::Path if text.is_empty() || text.contains('\0') => Err(wrong()),
        InputType::Path => Ok(text.into()),
        InputType::Url => reqwest::Url::parse(&text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .map(|_| Value::from(text.trim_end_matches('/')))
            .ok_or_else(wrong),
        InputType::List => Err("lists of lists are not supported".into()),
    }
}
