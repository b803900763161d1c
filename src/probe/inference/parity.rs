//! Whether the served model is the one on disk.

use std::path::PathBuf;

use super::config::Config;
use super::exchange::{Exchange, NoAnswer};
use crate::http::parse_url;
use crate::kind::{Context, StepError};
use crate::probe::blocking::run_blocking;
use crate::probe::checksum::Algorithm;
use crate::probe::files::{file_error, open_regular};

/// The two SHA-256, in lower case.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parity {
    /// Unknown when it was not asked for, or the server does not tell.
    pub served: Option<String>,
    pub file: Option<String>,
}

impl Parity {
    /// Whether they are the same, if both are known.
    pub(super) fn holds(&self) -> Option<bool> {
        Some(self.served.as_ref()? == self.file.as_ref()?)
    }
}

pub(super) async fn compare(config: &Config, exchange: &Exchange, context: &Context) -> Result<Parity, StepError> {
    let Some(hash) = &config.served_hash else { return Ok(Parity::default()) };
    let path = hash.path.parse("served_hash.path")?;
    let reply = exchange.get(&parse_url(&hash.get)?).await.map_err(NoAnswer::into_error)?;
    let document = reply.json().ok().filter(|_| reply.status.is_success()).unwrap_or_default();
    let served = path.query(&document).at_most_one().ok().flatten().and_then(|value| value.as_str());
    let served = served.and_then(sha256).map(str::to_ascii_lowercase);
    let file = match &config.model_file {
        Some(path) => Some(hash_file(path.clone(), context).await?),
        None => None,
    };
    Ok(Parity { served, file })
}

/// The digits of a SHA-256, with or without the prefix that registries write.
fn sha256(text: &str) -> Option<&str> {
    let digits = text.trim().strip_prefix("sha256:").unwrap_or(text.trim());
    (digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(digits)
}

async fn hash_file(path: PathBuf, context: &Context) -> Result<String, StepError> {
    run_blocking(context, move |stop| {
        let file = open_regular(&path)?.ok_or_else(|| {
            StepError::new(format!("there is no model file {}", path.display()))
                .help("check `model_file`, or look for it first with the kind `file`")
        })?;
        Algorithm::Sha256.of_reader(file, stop, |error| file_error("read", &path, &error))
    })
    .await
}
