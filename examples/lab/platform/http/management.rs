//! Health, metrics, and what operators may do.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Problem, decode};
use crate::platform::loading::sample;
use crate::platform::{Caller, Platform, Refusal};

pub async fn health(State(platform): State<Arc<Platform>>) -> Json<Value> {
    Json(platform.health())
}

pub async fn metrics(State(platform): State<Arc<Platform>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], platform.metrics())
}

pub async fn providers(State(platform): State<Arc<Platform>>) -> Json<Value> {
    Json(platform.providers.iter().map(|provider| provider.describe()).collect())
}

#[derive(Deserialize)]
struct Test {
    provider: String,
    /// Only load the model; otherwise one inference follows.
    #[serde(default)]
    init_only: bool,
}

/// Initialises a provider anew. That this worked is told by `ok`, as the request itself was served.
pub async fn test(State(platform): State<Arc<Platform>>, body: Bytes) -> Result<Json<Value>, Problem> {
    let Test { provider: name, init_only } = decode(&body)?;
    let provider = platform.find(&name).ok_or_else(|| Problem::unknown(&name))?;
    if provider.settings().enabled {
        platform.initialise(provider).await;
    }
    let mut failure = None;
    if provider.is_loaded() && !init_only {
        let answer = platform.infer(provider, 1, vec![sample(provider.spec)], Caller::Platform).await;
        failure = answer.err().map(|refusal| refusal.message(&name));
    }
    let description = provider.describe();
    if !provider.settings().enabled {
        failure = Some(format!("the provider '{name}' is disabled"));
    }
    let error = failure.map_or_else(|| description["error"].clone(), Value::from);
    Ok(Json(json!({
        "ok": error.is_null(), "provider": name, "error": error,
        "model_loaded": description["model_loaded"], "sha256": description["sha256"],
    })))
}

pub async fn reload(State(platform): State<Arc<Platform>>) -> Result<Json<Value>, Problem> {
    platform.reload().await.map_err(Problem::bad_request)?;
    Ok(Json(json!({"ok": true, "providers": platform.providers.iter().map(|p| p.describe()).collect::<Value>()})))
}

impl Refusal {
    /// The refusal in words for a caller.
    pub fn message(&self, name: &str) -> String {
        use crate::platform::provider::Turned;
        match self {
            Refusal::Turned(Turned::Disabled) => format!("the provider '{name}' is disabled"),
            Refusal::Turned(Turned::NotLoaded | Turned::Stub) => format!("the provider '{name}' has no model loaded"),
            Refusal::Turned(Turned::TooMany) => format!("more requests than the rate limit of '{name}' allows"),
            Refusal::BadInput(what) | Refusal::Failed(what) => what.clone(),
        }
    }
}
