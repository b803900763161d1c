//! A step's configuration with its templates: rendered once per attempt into exactly what will be done.

use serde_json::Value;

use super::encoding::Encoding;
use super::{LanguageError, Names, Scope, Tainted, Template};
use crate::base::source::Part;
use crate::base::{Route, units};

/// A configuration and the places in it that are filled when the step starts.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The configuration with units already turned into numbers; templates stand in it as text.
    pub raw: Value,
    pub slots: Vec<Slot>,
}

/// A templated place of a configuration.
#[derive(Debug, Clone)]
pub struct Slot {
    pub route: Route,
    pub template: Template,
    pub encoding: Encoding,
    pub wanted: Wanted,
}

/// What a filled place must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Text,
    Number,
    Bool,
    Duration,
    Bytes,
    /// Whatever the value is; text that only consists of one name keeps that value's type.
    Any,
}

impl Request {
    /// What will be done, with every value in its place.
    pub fn render(&self, scope: &dyn Scope) -> Result<Value, LanguageError> {
        let mut config = self.raw.clone();
        for slot in &self.slots {
            let value = slot.render(scope, self.encoding(slot)).map_err(|problem| {
                LanguageError::new(format!("{}: {}", slot.route, problem.message)).help(problem.help)
            })?;
            if let Some(place) = navigate(&mut config, &slot.route) {
                *place = value;
            }
        }
        Ok(config)
    }

    /// How the values of a slot are encoded. After `--`, programs take nothing for an option.
    fn encoding(&self, slot: &Slot) -> Encoding {
        let parts = slot.route.parts();
        if slot.encoding != Encoding::Argument || !matches!(parts.last(), Some(Part::Index(_))) {
            return slot.encoding;
        }
        let list = parts[..parts.len() - 1].iter().try_fold(&self.raw, |place, part| match part {
            Part::Key(key) => place.get(key.as_str()),
            Part::Index(index) => place.get(*index),
        });
        let Some(Part::Index(position)) = parts.last() else { return slot.encoding };
        let mut before = list.and_then(Value::as_array).into_iter().flatten().take(*position);
        if before.any(|element| element == "--") { Encoding::Plain } else { slot.encoding }
    }

    /// The dotted names that the templates insert.
    pub fn references(&self) -> impl Iterator<Item = &String> {
        self.slots.iter().flat_map(|slot| slot.template.references())
    }

    /// Every name in the templates that does not exist, with its place in the configuration.
    pub fn check(&self, names: &dyn Names) -> Vec<(Route, LanguageError)> {
        let problems = |slot: &Slot| {
            slot.template.check(names).into_iter().map(|problem| (slot.route.clone(), problem)).collect::<Vec<_>>()
        };
        self.slots.iter().flat_map(problems).collect()
    }
}

impl Slot {
    fn render(&self, scope: &dyn Scope, encoding: Encoding) -> Result<Value, LanguageError> {
        if self.wanted != Wanted::Text
            && let Some(name) = self.template.whole()
            && let super::Lookup::Value(value) = scope.lookup(name)
            && let value = Tainted::new(value)
            && !value.is_text()
        {
            return Ok(value.into_json());
        }
        let text = self.template.render(scope, encoding)?;
        if self.template.references().iter().any(|name| scope.is_open(name)) {
            return Ok(Value::String(text));
        }
        self.wanted.read(text)
    }
}

impl Wanted {
    fn read(self, text: String) -> Result<Value, LanguageError> {
        let wrong = |what: &str| LanguageError::new(format!("'{text}' is not {what}"));
        match self {
            Wanted::Text | Wanted::Any => Ok(Value::String(text)),
            Wanted::Number => match (text.trim().parse::<i64>(), text.trim().parse::<f64>()) {
                (Ok(number), _) => Ok(number.into()),
                (_, Ok(number)) if number.is_finite() => Ok(number.into()),
                _ => Err(wrong("a number")),
            },
            Wanted::Bool => text.trim().parse::<bool>().map(Value::Bool).map_err(|_| wrong("true or false")),
            Wanted::Duration => {
                units::parse_duration(&text).map(|duration| duration.as_secs_f64().into()).map_err(LanguageError::new)
            }
            Wanted::Bytes => units::parse_bytes(&text).map(Value::from).map_err(LanguageError::new),
        }
    }
}

fn navigate<'a>(config: &'a mut Value, route: &Route) -> Option<&'a mut Value> {
    route.parts().iter().try_fold(config, |place, part| match part {
        Part::Key(key) => place.get_mut(key.as_str()),
        Part::Index(index) => place.get_mut(*index),
    })
}
