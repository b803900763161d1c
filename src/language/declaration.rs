//! Typed values that people give: how they are declared, read and checked. Every mistake is told at once.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::value::show;
use crate::base::{Type, suggestion, units};

/// A typed value that a person gives: an input of a run, or an answer to a question.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// What kind of value it is.
    #[serde(rename = "type")]
    pub kind: DeclaredType,
    /// A regular expression that text must match as a whole.
    #[serde(default)]
    pub pattern: Option<String>,
    /// The least value of a number, size or duration.
    #[serde(default)]
    pub min: Option<Value>,
    /// The greatest value of a number, size or duration.
    #[serde(default)]
    pub max: Option<Value>,
    /// The choices of an enum.
    #[serde(default)]
    pub values: Vec<String>,
    /// The type of a list's items. Default: string.
    #[serde(default)]
    pub of: Option<DeclaredType>,
    /// The value when none is given; without one it must be given.
    #[serde(default)]
    pub default: Option<Value>,
    /// What it is called where people are asked for it.
    #[serde(default)]
    pub title: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub help: Option<String>,
    /// An example, shown when it is missing.
    #[serde(default)]
    pub example: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeclaredType {
    String,
    Int,
    Float,
    Bool,
    /// A size such as 512 MiB.
    Bytes,
    /// A duration such as 15m.
    Duration,
    Path,
    /// An http or https address.
    Url,
    /// One of `values`.
    Enum,
    /// A list of `of`.
    List,
}

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

/// A missing, unknown or ill-typed value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct GivenProblem {
    pub name: String,
    pub message: String,
    /// What would fit, in words; none for a value that nobody declared.
    pub expected: Option<String>,
    pub help: Option<String>,
}

/// What the declared values are, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Wording<'a> {
    /// `input` or `answer`; also the option of the command line that gives one.
    pub noun: &'static str,
    /// Who declares them: `restart`.
    pub owner: &'a str,
}

impl<'a> Wording<'a> {
    /// The values that a run of this playbook is started with.
    pub fn inputs(playbook: &'a str) -> Self {
        Wording { noun: "input", owner: playbook }
    }

    /// The values that whoever approves this step gives.
    pub fn answers(step: &'a str) -> Self {
        Wording { noun: "answer", owner: step }
    }
}

/// The value of every declaration: what was given, else its default. Sizes become bytes, durations seconds.
pub fn resolve(
    declared: &[(String, Declaration)],
    given: &BTreeMap<String, Given>,
    wording: Wording<'_>,
) -> Result<Map<String, Value>, Vec<GivenProblem>> {
    let noun = wording.noun;
    let mut values = Map::new();
    let mut problems = Vec::new();
    for (name, declaration) in declared {
        let default = declaration.default.clone().map(Given::Value);
        match given.get(name).cloned().or(default) {
            Some(value) => match declaration.read(&value) {
                Ok(value) => drop(values.insert(name.clone(), value)),
                Err(message) => problems.push(problem(name, declaration, noun, format!("{noun} '{name}': {message}"))),
            },
            None => problems.push(problem(
                name,
                declaration,
                noun,
                format!("{noun} '{name}' is missing; it is {}", declaration.expected()),
            )),
        }
    }
    for name in given.keys().filter(|name| !declared.iter().any(|(known, _)| known == *name)) {
        let help = suggestion::did_you_mean(name, declared.iter().map(|(known, _)| known.as_str()));
        let message = format!("'{}' has no {noun} '{name}'", wording.owner);
        problems.push(GivenProblem { name: name.clone(), message, expected: None, help });
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

fn problem(name: &str, declaration: &Declaration, noun: &str, message: String) -> GivenProblem {
    let mut help = format!("give it with --{noun} {name}={}", example(declaration));
    if let Some(meaning) = declaration.title.as_ref().or(declaration.help.as_ref()) {
        help.push_str(&format!("   ({meaning})"));
    }
    GivenProblem { name: name.to_owned(), message, expected: Some(declaration.expected()), help: Some(help) }
}

fn example(declaration: &Declaration) -> String {
    if let Some(example) = &declaration.example {
        return show(example);
    }
    match declaration.kind {
        DeclaredType::Int => "3".into(),
        DeclaredType::Float => "0.5".into(),
        DeclaredType::Bool => "true".into(),
        DeclaredType::Bytes => "'512 MiB'".into(),
        DeclaredType::Duration => "15m".into(),
        DeclaredType::Path => "some/folder".into(),
        DeclaredType::Url => "http://127.0.0.1:8000".into(),
        DeclaredType::Enum => declaration.values.first().cloned().unwrap_or_default(),
        DeclaredType::List => "one,two".into(),
        DeclaredType::String => "text".into(),
    }
}

impl Declaration {
    /// The static type of its value.
    pub fn value_type(&self) -> Type {
        match self.kind {
            DeclaredType::Enum => Type::Enum(self.values.clone()),
            DeclaredType::List => Type::List(Box::new(simple_type(self.of.unwrap_or(DeclaredType::String)))),
            simple => simple_type(simple),
        }
    }

    /// What fits, in words: `a whole number, from 1 to 10`.
    pub fn expected(&self) -> String {
        let mut text = self.value_type().to_string();
        text.push_str(&match (&self.min, &self.max) {
            (Some(least), Some(most)) => format!(", from {} to {}", show(least), show(most)),
            (Some(least), None) => format!(", at least {}", show(least)),
            (None, Some(most)) => format!(", at most {}", show(most)),
            (None, None) => String::new(),
        });
        if let Some(pattern) = &self.pattern {
            text.push_str(&format!(", matching {pattern}"));
        }
        text
    }

    /// The value that was meant, or why what was given does not fit.
    pub fn read(&self, given: &Given) -> Result<Value, String> {
        if self.kind != DeclaredType::List {
            return single(self, self.kind, given);
        }
        let of = self.of.unwrap_or(DeclaredType::String);
        let items: Vec<Given> = match given {
            Given::Text(text) if text.is_empty() => Vec::new(),
            Given::Text(text) => text.split(',').map(|part| Given::Text(part.trim().to_owned())).collect(),
            Given::Value(Value::Array(items)) => items.iter().cloned().map(Given::Value).collect(),
            Given::Passed(Value::Array(items)) => items.iter().cloned().map(Given::Passed).collect(),
            Given::Value(other) | Given::Passed(other) => return Err(format!("'{}' is not a list", show(other))),
        };
        items.iter().map(|item| single(self, of, item)).collect()
    }

    /// Mistakes of the declaration itself: a bad pattern, an enum without choices, a default that does not fit.
    /// `noun` is what the value is: `input` or `answer`.
    pub fn problems(&self, noun: &str, name: &str) -> Vec<String> {
        let mut problems = misplaced(noun, name, self);
        problems.extend(broken(noun, name, self));
        if !problems.is_empty() {
            return problems;
        }
        for (what, value) in [("default", &self.default), ("example", &self.example)] {
            let unfit = value.as_ref().and_then(|value| self.read(&Given::Value(value.clone())).err());
            problems.extend(unfit.map(|why| format!("the {what} of {noun} '{name}' does not fit: {why}")));
        }
        problems
    }
}

fn simple_type(kind: DeclaredType) -> Type {
    match kind {
        DeclaredType::Int => Type::Int,
        DeclaredType::Float => Type::Float,
        DeclaredType::Bool => Type::Bool,
        DeclaredType::Bytes => Type::Bytes,
        DeclaredType::Duration => Type::Duration,
        DeclaredType::Path => Type::Path,
        DeclaredType::Url => Type::Url,
        DeclaredType::String | DeclaredType::Enum | DeclaredType::List => Type::String,
    }
}

/// The type of one value: of a list that of its items.
fn item_kind(declaration: &Declaration) -> DeclaredType {
    match declaration.kind {
        DeclaredType::List => declaration.of.unwrap_or(DeclaredType::String),
        kind => kind,
    }
}

/// Keys that mean nothing for the type.
fn misplaced(noun: &str, name: &str, declaration: &Declaration) -> Vec<String> {
    let kind = item_kind(declaration);
    let number = matches!(kind, DeclaredType::Int | DeclaredType::Float | DeclaredType::Bytes | DeclaredType::Duration);
    let text = matches!(kind, DeclaredType::String | DeclaredType::Path | DeclaredType::Url | DeclaredType::Enum);
    let keys = [
        ("min", declaration.min.is_some() && !number),
        ("max", declaration.max.is_some() && !number),
        ("pattern", declaration.pattern.is_some() && !text),
        ("values", !declaration.values.is_empty() && kind != DeclaredType::Enum),
        ("of", declaration.of.is_some() && declaration.kind != DeclaredType::List),
    ];
    let wrong = keys.into_iter().filter(|(_, wrong)| *wrong);
    wrong.map(|(key, _)| format!("'{key}' means nothing for {noun} '{name}', which is {}", simple_type(kind))).collect()
}

/// What no value could ever fit.
fn broken(noun: &str, name: &str, declaration: &Declaration) -> Vec<String> {
    let kind = item_kind(declaration);
    let mut problems = Vec::new();
    if let Some(Err(error)) = declaration.pattern.as_deref().map(regex::Regex::new) {
        problems.push(format!("the pattern of {noun} '{name}' is not a regular expression: {error}"));
    }
    if kind == DeclaredType::Enum && declaration.values.is_empty() {
        problems.push(format!("{noun} '{name}' is an enum without `values`"));
    }
    if declaration.kind == DeclaredType::List && kind == DeclaredType::List {
        problems.push(format!("{noun} '{name}' is a list of lists, which is not supported"));
    }
    for (key, bound) in [("min", &declaration.min), ("max", &declaration.max)] {
        let unfit = bound.as_ref().and_then(|bound| convert(kind, &Given::Value(bound.clone())).err());
        problems.extend(unfit.map(|why| format!("'{key}' of {noun} '{name}' does not fit: {why}")));
    }
    let (least, most) = (bound(kind, &declaration.min), bound(kind, &declaration.max));
    if least.zip(most).is_some_and(|(least, most)| least > most) {
        problems.push(format!("'min' of {noun} '{name}' is more than its 'max'"));
    }
    problems
}

/// A bound as a number: bytes or seconds.
fn bound(kind: DeclaredType, bound: &Option<Value>) -> Option<f64> {
    convert(kind, &Given::Value(bound.clone()?)).ok()?.as_f64()
}

fn single(declaration: &Declaration, kind: DeclaredType, given: &Given) -> Result<Value, String> {
    let value = convert(kind, given)?;
    if let (Some(pattern), Value::String(text)) = (&declaration.pattern, &value) {
        let whole = regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|error| error.to_string())?;
        if !whole.is_match(text) {
            return Err(format!("'{text}' does not match {pattern}"));
        }
    }
    if kind == DeclaredType::Enum && !declaration.values.iter().any(|choice| choice.as_str() == value) {
        return Err(format!("'{}' is not one of {}", show(&value), declaration.values.join(", ")));
    }
    within_range(declaration, kind, &value)?;
    Ok(value)
}

fn within_range(declaration: &Declaration, kind: DeclaredType, value: &Value) -> Result<(), String> {
    let Some(number) = value.as_f64() else { return Ok(()) };
    if bound(kind, &declaration.min).is_some_and(|least| number < least) {
        return Err(format!("it is less than {}", show(declaration.min.as_ref().unwrap_or(&Value::Null))));
    }
    if bound(kind, &declaration.max).is_some_and(|most| number > most) {
        return Err(format!("it is more than {}", show(declaration.max.as_ref().unwrap_or(&Value::Null))));
    }
    Ok(())
}

fn convert(kind: DeclaredType, given: &Given) -> Result<Value, String> {
    let text = match given {
        Given::Text(text) => text.clone(),
        Given::Value(Value::Array(_) | Value::Object(_) | Value::Null)
        | Given::Passed(Value::Array(_) | Value::Object(_) | Value::Null) => {
            return Err(format!("it is not {}", simple_type(kind)));
        }
        Given::Passed(Value::Number(seconds)) if kind == DeclaredType::Duration => {
            return Ok(seconds.as_f64().unwrap_or_default().into());
        }
        Given::Value(value) | Given::Passed(value) => show(value),
    };
    let wrong = || format!("'{text}' is not {}", simple_type(kind));
    match kind {
        DeclaredType::String | DeclaredType::Enum => Ok(text.into()),
        DeclaredType::Int => text.parse::<i64>().map(Value::from).map_err(|_| wrong()),
        DeclaredType::Float => {
            text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from).ok_or_else(wrong)
        }
        DeclaredType::Bool => text.parse::<bool>().map(Value::from).map_err(|_| wrong()),
        DeclaredType::Bytes => units::parse_bytes(&text).map(Value::from),
        DeclaredType::Duration => units::parse_duration(&text).map(|duration| duration.as_secs_f64().into()),
        DeclaredType::Path if text.is_empty() || text.contains('\0') => Err(wrong()),
        DeclaredType::Path => Ok(text.into()),
        DeclaredType::Url => reqwest::Url::parse(&text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .map(|_| Value::from(text.trim_end_matches('/')))
            .ok_or_else(wrong),
        DeclaredType::List => Err("lists of lists are not supported".into()),
    }
}
