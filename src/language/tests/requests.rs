//! A configuration is filled into exactly what will be done.

use serde_json::{Value, json};

use super::Values;
use crate::base::Route;
use crate::language::encoding::Encoding;
use crate::language::{Request, Slot, Template, Wanted};

fn values() -> Values {
    Values(json!({
        "name": "east", "count": 3, "share": 0.5, "flag": true, "list": [1, 2], "wait": 90.0, "size": 1024,
        "word": "three", "written": "15m", "big": "2 MiB", "digits": "42", "null": null,
    }))
}

fn slot(text: &str, wanted: Wanted) -> Result<Value, String> {
    let template = Template::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
    let route = Route::of(["field"]);
    let slots = vec![Slot { route, template, encoding: Encoding::Plain, wanted }];
    let request = Request { raw: json!({"field": text, "other": "{{name}}"}), slots };
    let rendered = request.render(&values()).map_err(|problem| problem.message)?;
    assert_eq!(rendered["other"], "{{name}}", "only slots are filled");
    Ok(rendered["field"].clone())
}

#[test]
fn a_place_gets_the_type_it_wants() {
    for (text, wanted, expected) in [
        ("{{name}}", Wanted::Text, json!("east")),
        ("{{count}}", Wanted::Text, json!("3")),
        ("{{count}}", Wanted::Number, json!(3)),
        ("{{digits}}", Wanted::Number, json!(42)),
        ("{{count}}.5", Wanted::Number, json!(3.5)),
        ("{{share}}", Wanted::Number, json!(0.5)),
        ("{{flag}}", Wanted::Bool, json!(true)),
        ("tr{{#if flag}}ue{{/if}}", Wanted::Bool, json!(true)),
        ("{{wait}}", Wanted::Duration, json!(90.0)),
        ("{{written}}", Wanted::Duration, json!(900.0)),
        ("{{count}}m", Wanted::Duration, json!(180.0)),
        ("{{size}}", Wanted::Bytes, json!(1024)),
        ("{{big}}", Wanted::Bytes, json!(2_097_152)),
        ("{{list}}", Wanted::Any, json!([1, 2])),
        ("{{count}}", Wanted::Any, json!(3)),
        ("{{name}}-{{count}}", Wanted::Any, json!("east-3")),
    ] {
        assert_eq!(slot(text, wanted), Ok(expected), "{text} as {wanted:?}");
    }
}

#[test]
fn what_does_not_fit_is_an_error_with_its_place() {
    for (text, wanted, message) in [
        ("{{word}}", Wanted::Number, "field: 'three' is not a number"),
        ("{{word}}", Wanted::Bool, "field: 'three' is not true or false"),
        ("{{word}}", Wanted::Duration, "field: 'three' is not a duration"),
        ("{{word}}", Wanted::Bytes, "field: 'three' is not a size"),
        ("{{null}}", Wanted::Text, "field: 'null' is null"),
        ("{{gone}}", Wanted::Any, "field: 'gone' has no value"),
    ] {
        let problem = slot(text, wanted).expect_err(text);
        assert!(problem.starts_with(message), "{text} as {wanted:?}: {problem}");
    }
}

#[test]
fn places_inside_lists_and_mappings_are_filled() {
    let slot = |route: Route, text: &str| Slot {
        route,
        template: Template::parse(text).expect(text),
        encoding: Encoding::Plain,
        wanted: Wanted::Text,
    };
    let request = Request {
        raw: json!({"argv": ["echo", "{{name}}; rm -rf /"], "env": {"NAME": "{{name}}"}}),
        slots: vec![
            slot(Route::of(["argv"]).index(1), "{{name}}; rm -rf /"),
            slot(Route::of(["env", "NAME"]), "{{name}}"),
        ],
    };
    let rendered = request.render(&values());
    assert_eq!(rendered, Ok(json!({"argv": ["echo", "east; rm -rf /"], "env": {"NAME": "east"}})));
    assert_eq!(request.references().collect::<Vec<_>>(), ["name", "name"]);
    assert_eq!(request.check(&super::known()).len(), 2);
}
