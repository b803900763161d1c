//! The client of a step: the shared one, or one of its own when it asks for other settings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::kind::{Services, StepError};
use crate::site::Egress;

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
    /// How many redirects are followed.
    pub redirects: u8,
    pub tls: Option<&'a Tls>,
}

impl Default for ClientSettings<'_> {
    fn default() -> Self {
        ClientSettings { connect_timeout: Services::CONNECT_TIMEOUT, redirects: 0, tls: None }
    }
}

impl ClientSettings<'_> {
    /// The client for these settings. The shared one keeps connections between steps, so it is taken
    /// whenever it fits.
    pub fn client(&self, services: &Services) -> Result<Client, StepError> {
        let shared = services.http();
        if self.redirects == 0 && self.tls.is_none() && self.connect_timeout == Services::CONNECT_TIMEOUT {
            return Ok(shared.clone());
        }
        let (most, egress) = (usize::from(self.redirects), services.site.egress.clone());
        let redirects = match most {
            0 => Policy::none(),
            _ => Policy::custom(move |attempt| follow(attempt, most, &egress)),
        };
        let mut builder = services.http_builder().redirect(redirects).connect_timeout(self.connect_timeout);
        if let Some(tls) = self.tls {
            builder = builder.tls_certs_merge(certificates(&tls.ca_file, &tls.pem()?)?);
        }
        builder.build().map_err(|error| StepError::because("cannot prepare the HTTP client", &error))
    }
}

/// Follows, but never from an encrypted connection to a plain one, and to another host only if data may choose it:
/// where a redirect leads is what the peer says.
fn follow(attempt: Attempt<'_>, most: usize, egress: &Egress) -> reqwest::redirect::Action {
    let host = attempt.url().host_str().unwrap_or_default();
    let same = attempt.previous().first().is_some_and(|first| first.host() == attempt.url().host());
    let refused = egress.check_host(host).and_then(|()| if same { Ok(()) } else { egress.check_chosen(host) });
    if let Err(refused) = refused {
        return attempt.error(refused);
    }
    let downgrade =
        attempt.previous().last().is_some_and(|last| last.scheme() == "https") && attempt.url().scheme() != "https";
    if downgrade {
        attempt.error("it redirects from https to http, which is not followed")
    } else if attempt.previous().len() > most {
        attempt.error(format!("it redirects more often than the {most} times that `redirects` allows"))
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
