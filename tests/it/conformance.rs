//! What every kind and channel must keep, found by walking the registries: a new one is tested on arrival.

use std::collections::BTreeSet;
use std::path::Path;

use runbook::base::Source;
use runbook::base::picture::{Picture, Shape};
use runbook::engine::scope::STATUS_WORDS;
use runbook::kind::KindEntry;
use runbook::notify::CHANNELS;
use runbook::playbook::registry;
use runbook::{plan, playbook, yaml};
use serde_json::Value;

#[test]
fn every_example_is_a_valid_step() {
    for kind in registry::kinds() {
        let text = format!(
            "runbook: 1\nname: example\ntitle: Example\nremediate:\n  example:\n{}",
            kind.example.lines().map(|line| format!("    {line}\n")).collect::<String>()
        );
        let parsed = playbook::parse(&Source::new(Path::new("example.yaml"), text));
        let parsed = parsed.unwrap_or_else(|problems| panic!("{}: {}", kind.name, problems[0].render(false)));
        assert_eq!(parsed.steps[0].action.kind.name, kind.name, "the example is of another kind");
        // An example may speak of inputs and steps that a whole playbook would have.
        let wrong: Vec<String> = plan::check(&parsed)
            .iter()
            .filter(|problem| !problem.message.starts_with("there is no "))
            .map(|problem| problem.render(false))
            .collect();
        assert!(wrong.is_empty(), "{}:\n{}", kind.name, wrong.join("\n"));
    }
}

#[test]
fn every_kind_has_a_name_of_its_own_and_says_what_it_does() {
    let mut names = BTreeSet::new();
    for kind in registry::kinds() {
        assert!(names.insert(kind.name), "{} is there twice", kind.name);
        assert!(kind.name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'), "{}", kind.name);
        assert!(kind.summary.split_whitespace().count() > 2, "{}: '{}' explains nothing", kind.name, kind.summary);
        assert!(!kind.summary.contains('\n'), "{}: the summary is one line", kind.name);
    }
}

#[test]
fn every_field_is_documented() {
    let mut silent = Vec::new();
    for kind in registry::kinds() {
        silent.extend(undocumented(&(kind.config_schema)()).map(|field| format!("{} takes {field}", kind.name)));
        silent.extend(undocumented(&(kind.output_schema)()).map(|field| format!("{} gives {field}", kind.name)));
    }
    for channel in CHANNELS {
        silent.extend(undocumented(&(channel.config_schema)()).map(|field| format!("{} takes {field}", channel.name)));
    }
    assert!(silent.is_empty(), "without a doc comment:\n{}", silent.join("\n"));
}

#[test]
fn every_configuration_refuses_unknown_keys() {
    let mut open = Vec::new();
    for (name, schema) in configurations() {
        for part in objects(&schema).filter(|part| part.get("properties").is_some()) {
            let title = part.get("title").and_then(Value::as_str).unwrap_or("a part");
            if part.get("additionalProperties") != Some(&Value::Bool(false)) {
                open.push(format!("{name}: {title}"));
            }
        }
    }
    assert!(open.is_empty(), "without deny_unknown_fields:\n{}", open.join("\n"));
}

fn configurations() -> impl Iterator<Item = (&'static str, Value)> {
    let kinds = registry::kinds().map(|kind| (kind.name, (kind.config_schema)()));
    kinds.chain(CHANNELS.iter().map(|channel| (channel.name, (channel.config_schema)())))
}

/// `diagnose.file.failed` is about the step; an output field of that name could not be reached.
#[test]
fn no_output_is_named_like_a_status() {
    for kind in registry::kinds() {
        for field in kind.outputs(&Value::Null) {
            assert!(!STATUS_WORDS.contains(&field.name.as_str()), "{} gives {}", kind.name, field.name);
        }
    }
}

/// A picture of a field that is not there would never be drawn, and nobody would notice.
#[test]
fn every_picture_is_of_fields_that_the_kind_gives() {
    let mut checked = 0;
    for kind in registry::kinds() {
        let schema = (kind.output_schema)();
        for picture in kind.pictures {
            for (place, field) in fields_of(picture) {
                let part = if place == Place::Beside { Some(&schema) } else { member(&schema, &schema, picture.field) };
                let found = part.and_then(|part| member(&schema, part, field));
                assert!(
                    found.is_some(),
                    "{}: the picture '{}' is of {field}, which is not there",
                    kind.name,
                    picture.title
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 0, "no kind has a picture");
}

#[derive(PartialEq)]
enum Place {
    Beside,
    Inside,
}

/// The fields that a picture names: beside the drawn one, and inside of it.
fn fields_of(picture: &Picture) -> Vec<(Place, &'static str)> {
    let inside = |names: &[&'static str]| names.iter().map(|name| (Place::Inside, *name)).collect::<Vec<_>>();
    let beside = |names: &[&'static str]| names.iter().map(|name| (Place::Beside, *name)).collect::<Vec<_>>();
    let (within, around) = match picture.shape {
        Shape::Histogram { marks, .. } => (inside(&["edges", "counts"]), beside(marks)),
        Shape::Reliability => (inside(&["lower", "upper", "rows", "confidence", "accuracy"]), Vec::new()),
        Shape::Bars { thing, value, limit, .. } => (inside(&[thing, value]), beside(limit.as_slice())),
        Shape::Series { over, values, slope, .. } => (inside(&[over, values]), beside(slope.as_slice())),
    };
    within.into_iter().chain(around).chain([(Place::Beside, picture.field)]).collect()
}

/// The schema of a member of this part: of an object, or of the items of a list.
fn member<'a>(schema: &'a Value, part: &'a Value, name: &str) -> Option<&'a Value> {
    let target = |part: &'a Value| {
        let reference = part.get("$ref").and_then(Value::as_str);
        reference.map_or(Some(part), |text| schema.pointer(text.strip_prefix('#')?))
    };
    let part = target(part)?;
    let part = part.get("items").map_or(Some(part), target)?;
    part.get("properties")?.get(name)
}

#[test]
fn every_kind_is_explained_by_the_program() {
    let runbook = crate::support::Runbook::new();
    let list = runbook.call("kinds").exits(0).stdout();
    for kind in registry::kinds() {
        assert!(list.contains(kind.summary), "{} is not listed", kind.name);
        let text = runbook.call(&format!("kinds {}", kind.name)).exits(0).stdout();
        check_explanation(kind, &text);
    }
    runbook.call("kinds htpp").exits(2).says("did you mean 'http'");
}

fn check_explanation(kind: &KindEntry, text: &str) {
    for line in kind.example.lines() {
        assert!(text.contains(line), "{}: the example is not shown:\n{text}", kind.name);
    }
    for field in kind.outputs(&Value::Null) {
        assert!(text.contains(&field.name), "{}: {} is not explained:\n{text}", kind.name, field.name);
    }
}

#[test]
fn every_channel_example_can_be_used() {
    for channel in CHANNELS {
        let source = Source::new(Path::new("example.yaml"), channel.example.to_owned());
        let example = yaml::parse(&source).unwrap_or_else(|problems| panic!("{}", problems[0].render(false)));
        (channel.check)(&example.to_json()).unwrap_or_else(|error| panic!("{}: {error}", channel.name));
    }
}

/// Every object of a schema: the whole, its definitions and what stands inside them.
fn objects(schema: &Value) -> Box<dyn Iterator<Item = &serde_json::Map<String, Value>> + '_> {
    match schema {
        Value::Object(entries) => Box::new([entries].into_iter().chain(entries.values().flat_map(objects))),
        Value::Array(items) => Box::new(items.iter().flat_map(objects)),
        _ => Box::new(std::iter::empty()),
    }
}

/// Properties without words, neither their own nor those of the definition they refer to.
fn undocumented(schema: &Value) -> impl Iterator<Item = String> + '_ {
    let documented = |field: &Value| {
        let target = field.get("$ref").and_then(Value::as_str).and_then(|text| schema.pointer(text.strip_prefix('#')?));
        [Some(field), target]
            .into_iter()
            .flatten()
            .any(|part| part.get("description").and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty()))
    };
    objects(schema)
        .filter(|part| part.get("type").is_some_and(|kind| kind == "object"))
        .filter(|part| !is_documented_choice(part))
        .filter_map(|part| part.get("properties")?.as_object())
        .flat_map(move |fields| fields.iter().filter(move |(_, field)| !documented(field)))
        .map(|(name, _)| name.clone())
}

/// One alternative of several, whose words stand on the alternative and not on its only key.
fn is_documented_choice(part: &serde_json::Map<String, Value>) -> bool {
    let keys = part.get("properties").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    keys == 1 && part.contains_key("description")
}
