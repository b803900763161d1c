//! The client of a step: the shared one, or one of its own when it asks for other settings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::kind::{Services, StepError};

/// A browser's limit is 20; a service that needs more than five is going in circles.
const MAX_REDIRECTS: usize = 5;

/// How a TLS connection is checked.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// A PEM file with certificates of authorities that are trusted beside those of the system.
    pub ca_file: PathBuf,
}

/// What a step may ask of its client.
#[derive(Debug, Clone)]
pub struct ClientSettings<'a> {
    pub connect_timeout: Duration,
    pub follow_redirects: bool,
    pub tls: Option<&'a Tls>,
}

impl Default for ClientSettings<'_> {
    fn default() -> Self {
        ClientSettings { connect_timeout: Services::CONNECT_TIMEOUT, follow_redirects: false, tls: None }
    }
}

impl ClientSettings<'_> {
    /// The client for these settings. The shared one keeps connections between steps, so it is taken
    /// whenever it fits.
    pub fn client(&self, services: &Services) -> Result<Client, StepError> {
        let shared = services.http();
        if !self.follow_redirects && self.tls.is_none() && self.connect_timeout == Services::CONNECT_TIMEOUT {
            return Ok(shared.clone());
        }
        let redirects = if self.follow_redirects { Policy::custom(follow) } else { Policy::none() };
        let mut builder = Client::builder()
            .redirect(redirects)
            .connect_timeout(self.connect_timeout)
            .user_agent(concat!("runbook/", env!("CARGO_PKG_VERSION")));
        if let Some(tls) = self.tls {
            builder = builder.tls_certs_merge(certificates(&tls.ca_file, &tls.pem()?)?);
        }
        builder.build().map_err(|error| StepError::because("cannot prepare the HTTP client", &error))
    }
}

/// Follows, but never from an encrypted connection to a plain one.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let downgrade =
        attempt.previous().last().is_some_and(|last| last.scheme() == "https") && attempt.url().scheme() != "https";
    if downgrade {
        attempt.error("it redirects from https to http, which is not followed")
    } else if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error(format!("it redirects more than {MAX_REDIRECTS} times"))
    } else {
        attempt.follow()
    }
}

impl Tls {
    /// The text of `ca_file`, in which there is at least one certificate.
    pub fn pem(&self) -> Result<Vec<u8>, StepError> {
        let shown = self.ca_file.display();
        let pem = std::fs::read(&self.ca_file)
            .map_err(|error| StepError::because(format!("cannot read the certificates in {shown}"), &error))?;
        certificates(&self.ca_file, &pem)?;
        Ok(pem)
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<Certificate>, StepError> {
    let shown = path.display();
    let certificates = Certificate::from_pem_bundle(pem)
        .map_err(|error| StepError::because(format!("the certificates in {shown} are not valid PEM"), &error))?;
    if certificates.is_empty() {
        return Err(StepError::new(format!("there is no certificate in {shown}"))
            .help("`ca_file` takes PEM text, which begins with -----BEGIN CERTIFICATE-----"));
    }
    Ok(certificates)
}
