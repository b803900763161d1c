//! Calls to the platform, as an operator would make them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::error::LabError;
use crate::folder::Folder;

/// Longer than a load of these small models takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);

pub struct Client<'a> {
    http: reqwest::Client,
    folder: &'a Folder,
}

impl<'a> Client<'a> {
    pub fn new(folder: &'a Folder) -> Result<Self, LabError> {
        // A proxy of the environment cannot reach the loopback address of this machine.
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().map_err(LabError::Client)?;
        Ok(Client { http, folder })
    }

    pub async fn health(&self) -> Result<Value, LabError> {
        let url = format!("{}/health", self.folder.api());
        Self::answer(&url, self.http.get(&url)).await
    }

    pub async fn metrics(&self) -> Result<String, LabError> {
        let url = format!("{}/metrics", self.folder.api());
        let failed = |source| LabError::Unreachable { url: url.clone(), source };
        self.http.get(&url).send().await.map_err(failed)?.text().await.map_err(failed)
    }

    /// Makes the platform load a provider's model again.
    pub async fn initialise(&self, provider: &str) -> Result<Value, LabError> {
        let url = format!("{}{}", self.folder.api(), self.folder.profile.routes.test);
        let body = json!({"provider": provider, "init_only": true});
        Self::answer(&url, self.http.post(&url).json(&body)).await
    }

    /// Makes the platform read its configuration again.
    pub async fn reload(&self) -> Result<Value, LabError> {
        let url = format!("{}{}", self.folder.api(), self.folder.profile.routes.reload);
        Self::answer(&url, self.http.post(&url)).await
    }

    async fn answer(url: &str, request: reqwest::RequestBuilder) -> Result<Value, LabError> {
        let failed = |source| LabError::Unreachable { url: url.to_owned(), source };
        request.send().await.map_err(failed)?.json().await.map_err(failed)
    }
}
