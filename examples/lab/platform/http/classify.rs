//! Classification of one column by its values, which needs no model: what is left in an emergency.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Problem, decode};
use crate::platform::Platform;

#[derive(Deserialize)]
struct Request {
    column: String,
    values: Vec<String>,
}

pub async fn classify(State(platform): State<Arc<Platform>>, body: Bytes) -> Result<Json<Value>, Problem> {
    let Request { column, values } = decode(&body)?;
    let guess = platform.classify_values(&values);
    let guess = guess.ok_or_else(|| Problem::bad_request(format!("the column '{column}' has no values")))?;
    let by = "rules";
    Ok(Json(json!({"column": column, "type": guess.column_type, "confidence": guess.confidence, "by": by})))
}
