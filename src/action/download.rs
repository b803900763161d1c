//! `download`: fetches a file, proves its digest, and only then puts it in its place.
//!
//! ```text
//! digest known ─ already there? ─ fetch beside the target ─ digest equal? ─ keep old, rename
//!                    └ unchanged                               └ error, target untouched
//! ```
//!
//! There is no way to fetch without a digest: a mirror that serves a damaged or a foreign file must not
//! be able to replace a good one. A wrong digest is an error and not a failure, because nothing was done.

mod fetch;
mod manifest;

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::keep::{self, NewContent, Replaced, Replacement, StagedFile};
use crate::base::units::show_bytes;
use crate::http::{ClientSettings, Tls, parse_url, shown, until_cancelled};
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};
use crate::site::SecretReference;
use fetch::in_background;

pub struct Step;

/// One file. Exactly one of `url` and `from` is given.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["url"]}, {"required": ["from"]}]))]
pub struct Config {
    /// The address to fetch from.
    #[schemars(extend("x-encode" = "url"))]
    url: Option<String>,
    /// A file of this machine to copy from, such as one of a backup.
    #[schemars(extend("x-encode" = "path"))]
    from: Option<PathBuf>,
    /// The file to write. Its folder must exist; a symbolic link is followed.
    #[schemars(extend("x-encode" = "path"))]
    to: PathBuf,
    /// The digest the file must have: 64 hexadecimal digits, or `from_manifest`.
    sha256: String,
    /// With `from_manifest`: the address of a manifest as `sha256sum` writes it. Default: `SHA256SUMS`
    /// beside what is fetched.
    #[schemars(extend("x-encode" = "url"))]
    manifest: Option<String>,
    /// With `from_manifest`: a manifest on this machine, in place of `manifest`.
    #[schemars(extend("x-encode" = "path"))]
    manifest_file: Option<PathBuf>,
    /// The most bytes that are fetched. Default 2 GiB.
    #[serde(default = "default_size_limit")]
    #[schemars(extend("x-unit" = "bytes"))]
    size_limit: u64,
    /// How many copies of the old file stay beside the new one, as `.NAME.kept-RUN-STEP`. Default 1.
    /// Undoing needs at least one.
    #[serde(default = "default_keep")]
    keep: usize,
    /// The permissions of the file, such as `'0644'`. Default: those of the old file, else `0644`.
    mode: Option<String>,
    /// A token for `Authorization: Bearer`, by reference: `{env: NAME}` or `{file: path}`.
    bearer: Option<SecretReference>,
    /// How many redirects are followed, never from https to http and to another host only if `egress` of the site
    /// file lists it. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    redirects: u8,
    /// How the mirror's certificate is checked.
    tls: Option<Tls>,
}

fn default_size_limit() -> u64 {
    2 << 30
}

fn default_keep() -> usize {
    1
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    #[serde(flatten)]
    file: Replaced,
    /// The size of the file.
    bytes: u64,
    /// Where the file comes from: an address without its query, or a path.
    source: String,
    /// Whether anything was fetched; false when the file was already as wanted.
    fetched: bool,
}

impl Kind for Step {
    const NAME: &'static str = "download";
    const SUMMARY: &'static str =
        "Fetches a file, checks its digest, replaces the old file atomically and keeps it for undo.";
    const EXAMPLE: &'static str = "download: {url: 'http://127.0.0.1:8080/ocr/model.onnx', to: models/ocr/model.onnx, sha256: from_manifest, keep: 1}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Idempotent
    }

    /// Time for a model of a few gigabytes over a slow line.
    fn time_limit(_config: &Value) -> Duration {
        Duration::from_secs(1800)
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        until_cancelled(&context, install(config, &context)).await
    }
}

/// Where the content comes from.
#[derive(Debug, Clone)]
enum Source {
    Address(reqwest::Url),
    File(PathBuf),
}

impl Source {
    fn of(config: &Config) -> Result<Self, StepError> {
        match (&config.url, &config.from) {
            (Some(url), None) => parse_url(url).map(Source::Address),
            (None, Some(path)) => Ok(Source::File(path.clone())),
            _ => Err(StepError::new("the source is not clear").help("give exactly one of `url` and `from`")),
        }
    }

    /// The name of the file there.
    fn file_name(&self) -> Option<String> {
        let path = match self {
            Source::Address(url) => Path::new(url.path()),
            Source::File(path) => path,
        };
        path.file_name().map(|name| name.to_string_lossy().into_owned())
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Address(url) => formatter.write_str(&shown(url)),
            Source::File(path) => write!(formatter, "{}", path.display()),
        }
    }
}

async fn install(config: Config, context: &Context) -> StepResult<Output> {
    let source = Source::of(&config)?;
    let mode = config.mode.as_deref().map(parse_mode).transpose()?;
    let settings =
        ClientSettings { redirects: config.redirects, tls: config.tls.as_ref(), ..ClientSettings::default() };
    let client =
        fetch::Fetcher::new(settings.client(&context.services)?, config.bearer.as_ref(), &source, context).await?;
    let expected = manifest::expected_digest(&config, &source, &client).await?;
    let replacement = Replacement::new(&config.to, context)?.mode(mode).keep(config.keep);

    let (place, digest) = (replacement.clone(), expected.clone());
    if let Some(file) = in_background(move || keep::already_in_place(&place, &digest)).await? {
        return Ok(Outcome::passed(output(file, &source, false)?));
    }
    let staged = client.fetch(&source, &replacement, config.size_limit).await?;
    check(&staged, &expected, &source)?;
    let file = in_background(move || keep::replace_file(&replacement, NewContent::Staged(staged))).await?;
    Ok(Outcome::passed(output(file, &source, true)?))
}

fn check(staged: &StagedFile, expected: &str, source: &Source) -> Result<(), StepError> {
    let found = staged.sha256();
    if found == expected {
        return Ok(());
    }
    let size = show_bytes(staged.bytes());
    Err(StepError::new(format!("the file of {source} ({size}) has SHA-256 {found}, expected {expected}"))
        .help("nothing was replaced; the source serves another or a damaged file, or the digest is out of date"))
}

fn output(file: Replaced, source: &Source, fetched: bool) -> Result<Output, StepError> {
    let metadata = std::fs::metadata(&file.path)
        .map_err(|error| StepError::because(format!("cannot look at {}", file.path.display()), &error))?;
    Ok(Output { file, bytes: metadata.len(), source: source.to_string(), fetched })
}

/// Permission bits as `chmod` writes them.
fn parse_mode(text: &str) -> Result<u32, StepError> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777).ok_or_else(|| {
        StepError::new(format!("'{text}' is not a mode")).help("write octal digits in quotes, such as '0644'")
    })
}

#[cfg(test)]
mod tests;
