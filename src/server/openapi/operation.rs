//! What is said of one route: what it takes and what it answers.

use axum::http::Method;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// A type that is read or answered, and those it is made of.
type Collect = fn(&mut Schemas);

pub(super) struct Operation {
    pub method: Method,
    pub path: &'static str,
    name: &'static str,
    pub summary: &'static str,
    /// More than fits in one line.
    pub about: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    responses: Map<String, Value>,
    types: Vec<Collect>,
}

/// Refers to the schema of a type.
pub(super) fn reference<T: ToSchema>() -> Value {
    json!({"$ref": format!("#/components/schemas/{}", T::name())})
}

/// Adds a type and those it is made of, each once.
pub(super) fn collect<T: ToSchema>(schemas: &mut Schemas) {
    let mut found = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut found);
    for (name, schema) in found {
        if !schemas.iter().any(|(known, _)| *known == name) {
            schemas.push((name, schema));
        }
    }
}

/// Begins to describe a route. `name` is the name that generated clients give it.
pub(super) fn operation(method: Method, path: &'static str, name: &'static str, summary: &'static str) -> Operation {
    Operation {
        method,
        path,
        name,
        summary,
        about: "",
        parameters: Vec::new(),
        body: None,
        responses: Map::new(),
        types: Vec::new(),
    }
}

impl Operation {
    pub fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// A value of the query that may be left out.
    pub fn takes(self, name: &str, schema: Value, about: &str) -> Self {
        self.parameter("query", name, false, schema, about)
    }

    /// A value of the query that has to be given.
    pub fn needs(self, name: &str, schema: Value, about: &str) -> Self {
        self.parameter("query", name, true, schema, about)
    }

    pub fn header(self, name: &str, schema: Value, about: &str) -> Self {
        self.parameter("header", name, false, schema, about)
    }

    fn parameter(mut self, place: &str, name: &str, required: bool, schema: Value, about: &str) -> Self {
        self.parameters
            .push(json!({"name": name, "in": place, "required": required, "description": about, "schema": schema}));
        self
    }

    pub fn reads<T: ToSchema>(mut self, required: bool) -> Self {
        self.types.push(collect::<T>);
        self.body = Some(json!({"required": required, "content": {"application/json": {"schema": reference::<T>()}}}));
        self
    }

    /// A body that this document says nothing more of.
    pub fn reads_any(mut self, about: &str) -> Self {
        self.body =
            Some(json!({"required": true, "description": about, "content": {"application/json": {"schema": {}}}}));
        self
    }

    pub fn answers<T: ToSchema>(mut self, status: u16, about: &str) -> Self {
        self.types.push(collect::<T>);
        self.answer(status, about, "application/json", reference::<T>())
    }

    pub fn answers_text(self, kind: &str, about: &str) -> Self {
        self.answer(200, about, kind, json!({"type": "string"}))
    }

    pub fn answer(mut self, status: u16, about: &str, kind: &str, schema: Value) -> Self {
        let answer = self.responses.entry(status.to_string()).or_insert_with(|| json!({"content": {}}));
        answer["description"] = about.into();
        answer["content"][kind] = json!({"schema": schema});
        self
    }

    pub fn refuses(mut self, status: u16, why: &str) -> Self {
        self.responses.insert(status.to_string(), super::problem(why));
        self
    }

    pub fn collect(&self, schemas: &mut Schemas) {
        self.types.iter().for_each(|collect| collect(schemas));
    }

    pub fn to_json(&self) -> Value {
        let mut described = json!({
            "operationId": self.name,
            "summary": self.summary,
            "parameters": self.parameters,
            "responses": self.responses,
        });
        if !self.about.is_empty() {
            described["description"] = self.about.into();
        }
        if let Some(body) = &self.body {
            described["requestBody"] = body.clone();
        }
        described
    }

    /// What it takes beside the path, for the documentation.
    pub fn parameters_page(&self) -> Option<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let row = |one: &Value| format!("| `{}` | {} |\n", text(&one["name"]), text(&one["description"]));
        let rows: String = self.parameters.iter().map(row).collect();
        (!rows.is_empty()).then(|| format!("\n`{} {}` takes:\n\n| | |\n|---|---|\n{rows}", self.method, self.path))
    }
}
