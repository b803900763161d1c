//! The download mirror: good copies of the models over HTTP. It lives in the process of `up`, so that
//! it goes on when the platform has crashed.

use std::path::{Component, Path as FilePath, PathBuf};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::error::LabError;

/// A listener on a free port, with the address to reach it.
pub async fn listen() -> Result<(TcpListener, String), LabError> {
    let failed = |source| LabError::Listen { port: 0, source };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, format!("http://{address}")))
}

/// Serves the files of `folder` until the process ends.
pub fn spawn(listener: TcpListener, folder: PathBuf) {
    let router = Router::new().route("/{provider}/{file}", get(file)).with_state(folder);
    // Its end is the end of the process; there is nobody to tell about an error.
    tokio::spawn(async move { axum::serve(listener, router).await });
}

async fn file(
    State(folder): State<PathBuf>,
    Path((provider, file)): Path<(String, String)>,
) -> Result<Vec<u8>, StatusCode> {
    let relative = FilePath::new(&provider).join(file);
    let inside = relative.components().count() == 2
        && relative.components().all(|component| matches!(component, Component::Normal(_)));
    if !inside {
        return Err(StatusCode::NOT_FOUND);
    }
    std::fs::read(folder.join(relative)).map_err(|_| StatusCode::NOT_FOUND)
}
