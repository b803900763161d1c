//! The document and the table of routes say the same.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let all = operations::all();
    let routes: Vec<&Route> = ROUTES.iter().filter(|route| route.is_for_programs()).collect();
    for route in &routes {
        let count = all.iter().filter(|operation| is_of(operation, route)).count();
        assert_eq!(count, 1, "describe {} {} in src/server/openapi/operations.rs", route.method, route.path);
    }
    for operation in &all {
        let known = ROUTES.iter().any(|route| is_of(operation, route));
        assert!(known, "{} {} is described, and not in the table of routes", operation.method, operation.path);
    }
    let document = document();
    let count: usize =
        document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(count, routes.len());
}

#[test]
fn no_reference_leads_nowhere_and_no_name_stands_for_two_types() {
    let document = document();
    let text = document.to_string();
    let named = text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
    for name in named.collect::<BTreeSet<_>>() {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    let mut all = Vec::new();
    for operation in operations::all() {
        let mut own = Vec::new();
        operation.collect(&mut own);
        all.extend(own.into_iter().map(|(name, schema)| (name, json!(schema).to_string())));
    }
    for (name, schema) in &all {
        assert!(all.iter().all(|(other, another)| other != name || another == schema), "two types are called {name}");
    }
}
