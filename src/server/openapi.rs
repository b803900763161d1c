//! The document of the API (OpenAPI 3.1). Which routes there are and who may call them is in the table of routes alone;
//! what each takes and answers is said in `operations`, in terms of the very types that are read and answered.

mod operation;
mod operations;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use self::operation::{Operation, reference};
use super::access::Access;
use super::reply::Problem;
use super::route::{ROUTES, Route};

const ABOUT: &str = "Every answer that is no success is a `Problem`. Times in milliseconds since 1970 are numbers; times \
    as text are RFC 3339 in UTC. A token that is limited to some playbooks finds nothing of the others: 404.";

/// What any route answers before it looks at anything: the body and the query are read first.
const OF_EVERY_REQUEST: [(u16, &str); 5] = [
    (400, "The query or the body cannot be understood."),
    (408, "The body comes too slowly."),
    (413, "The body has more than 1 MiB."),
    (415, "The body is not JSON, or it is packed."),
    (503, "Not now; `Retry-After` says when."),
];

/// The document, as JSON.
pub fn document() -> Value {
    let mut schemas = Vec::new();
    let mut paths = serde_json::Map::new();
    for route in ROUTES {
        let Some(operation) = operation_of(route) else { continue };
        operation.collect(&mut schemas);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = described(route, &operation);
    }
    operation::collect::<Problem>(&mut schemas);
    schemas.sort_by(|(one, _), (other, _)| one.cmp(other));
    let schemas: serde_json::Map<String, Value> =
        schemas.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "runbook serve",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE")},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer", "description": "A token of `serve.tokens` of the site file."},
            "hook": {
                "type": "http",
                "scheme": "bearer",
                "description": "What the source of the hook asks for: a token, or a signature in headers of its own.",
            },
        }},
    })
}

fn operation_of(route: &Route) -> Option<Operation> {
    operations::all().into_iter().find(|operation| is_of(operation, route))
}

fn is_of(operation: &Operation, route: &Route) -> bool {
    route.method == operation.method && route.path == operation.path
}

/// What is said of a route: what `operations` says, and what follows from the table.
fn described(route: &Route, operation: &Operation) -> Value {
    let mut described = operation.to_json();
    let mut parameters: Vec<Value> = parameters_of(route.path);
    parameters.extend(described["parameters"].as_array().into_iter().flatten().cloned());
    described["parameters"] = parameters.into();
    let problems = OF_EVERY_REQUEST.into_iter().chain(refusals(route.access));
    for (status, why) in problems {
        let answer = &mut described["responses"][status.to_string()];
        if answer.is_null() {
            *answer = problem(why);
        }
    }
    described["responses"].sort_all_objects();
    described["security"] = security(route.access);
    if let Access::Role(role) | Access::RoleOrLoopback(role) = route.access {
        described["x-role"] = json!(role);
    }
    described
}

fn refusals(access: Access) -> Vec<(u16, &'static str)> {
    let unknown = (401, "Nobody is known by the token or signature, or there is none.");
    match access {
        Access::Anybody => Vec::new(),
        Access::Hook => vec![unknown],
        Access::Role(_) | Access::RoleOrLoopback(_) => vec![unknown, (403, "The token's role is below `x-role`.")],
        // Pages are not described.
        Access::Page(_) | Access::Link => Vec::new(),
    }
}

fn security(access: Access) -> Value {
    match access {
        Access::Anybody => json!([]),
        Access::Hook => json!([{"hook": []}]),
        Access::Role(_) | Access::RoleOrLoopback(_) => json!([{"token": []}]),
        Access::Page(_) | Access::Link => json!([]),
    }
}

fn problem(why: &str) -> Value {
    json!({"description": why, "content": {"application/json": {"schema": reference::<Problem>()}}})
}

/// The parts of a path that stand for something.
fn parameters_of(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name| {
        let (about, schema) = match name {
            "run" => {
                ("The name of a run, or a beginning or end of it that no other has. `/` is written `%2F`.", "string")
            }
            "ticket" => ("The number of a ticket.", "integer"),
            "silence" => ("The number of a silence.", "integer"),
            "playbook" => ("The name of a playbook.", "string"),
            "hook" => ("The name of a hook of the site file.", "string"),
            _ => ("", "string"),
        };
        json!({"name": name, "in": "path", "required": true, "description": about, "schema": {"type": schema}})
    };
    names.map(parameter).collect()
}

/// The routes as a table of Markdown, for the documentation.
pub fn routes_page() -> String {
    let mut text = "| Route | Role | |\n|---|---|---|\n".to_owned();
    for route in ROUTES {
        let Some(operation) = operation_of(route) else { continue };
        let who = match route.access {
            Access::Anybody => "nobody".to_owned(),
            Access::Hook => "the hook's own".to_owned(),
            Access::Role(role) | Access::RoleOrLoopback(role) => json!(role).as_str().unwrap_or_default().to_owned(),
            Access::Page(_) | Access::Link => continue,
        };
        let about = [operation.summary, operation.about].join(" ");
        text.push_str(&format!("| `{} {}` | {who} | {} |\n", route.method, route.path, about.trim()));
    }
    let takes: Vec<String> = ROUTES.iter().filter_map(operation_of).filter_map(|one| one.parameters_page()).collect();
    text + &takes.concat()
}
