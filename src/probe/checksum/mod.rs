//! The `checksum` kind: whether files are what a list of digests says they are.

pub(super) mod digest;
mod manifest;
mod release;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blocking::{Stop, run_blocking};
use super::files::{file_error, open_regular, read_small};
use crate::base::suggestion::did_you_mean;
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};
pub use digest::Algorithm;
use digest::check_digest;
use manifest::Item;
pub use release::released;

/// A manifest of 100 000 files fits; more is not a manifest.
const MANIFEST_BYTES: u64 = 16 << 20;

/// Files listed one by one in the output.
const LISTED: usize = 50;

/// Digests listed by name in the output.
const LISTED_DIGESTS: usize = 1000;

/// Compares files with their digests: all files of a `manifest`, or one `file` with its digest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["manifest"]}, {"required": ["file"]}]))]
pub struct Config {
    /// A file as `sha256sum` or `md5sum` write it. Its names are relative to its folder and may not
    /// lead out of it. A line for the manifest itself is left out, since it cannot match.
    #[serde(default)]
    #[schemars(extend("x-encode" = "path"))]
    pub manifest: Option<PathBuf>,
    /// The algorithm of the manifest; without it the length of each digest tells.
    #[serde(default)]
    pub algorithm: Option<Algorithm>,
    /// Check only these names of the manifest.
    #[serde(default)]
    pub files: Vec<String>,
    /// One file, instead of a manifest.
    #[serde(default)]
    #[schemars(extend("x-encode" = "path"))]
    pub file: Option<PathBuf>,
    /// The SHA-256 digest `file` should have, 64 hexadecimal digits.
    #[serde(default)]
    pub sha256: Option<String>,
    /// The SHA-512 digest `file` should have, 128 hexadecimal digits.
    #[serde(default)]
    pub sha512: Option<String>,
    /// The MD5 digest `file` should have, 32 hexadecimal digits. MD5 finds accidents, not forgeries.
    #[serde(default)]
    pub md5: Option<String>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Output {
    /// Files checked.
    pub total: usize,
    /// Files that are as they should be.
    pub matched: usize,
    /// Files with another digest.
    pub mismatched: usize,
    /// Files that do not exist.
    pub missing: usize,
    /// True when a digest is MD5: it finds accidents, but a forger can make two files with the same one.
    pub weak: bool,
    /// The first fifty files with another digest.
    pub mismatches: Vec<Mismatch>,
    /// The names of the first fifty files that do not exist.
    pub missing_files: Vec<String>,
    /// Name to digest of the files checked, the first thousand by name. Where a file has several
    /// digests, the longest.
    pub expected: BTreeMap<String, String>,
}

/// A file with another digest.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Mismatch {
    /// The file as the manifest names it.
    pub file: String,
    /// The digest it should have, in hexadecimal digits.
    pub expected: String,
    /// The digest it has.
    pub actual: String,
}

pub struct Step;

impl Kind for Step {
    const NAME: &'static str = "checksum";
    const SUMMARY: &'static str =
        "Compares files with the digests of a manifest; fails when one differs or is missing.";
    const EXAMPLE: &'static str = "checksum: {manifest: models/cad/SHA256SUMS}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        let output = run_blocking(&context, move |stop| {
            let (folder, items) = items_of(config)?;
            compare(&folder, items, stop)
        });
        let output = output.await?;
        let failure = failure_of(&output);
        Ok(Outcome::judged(output, failure))
    }
}

/// What is to be checked, and the folder its names are relative to.
fn items_of(config: Config) -> Result<(PathBuf, Vec<Item>), StepError> {
    let has_digest = config.sha256.is_some() || config.sha512.is_some() || config.md5.is_some();
    match (&config.manifest, &config.file) {
        (Some(_), None) if has_digest => Err(StepError::new("a digest is given beside a manifest")
            .help("a digest belongs to `file`; a manifest has its own")),
        (Some(path), None) => Ok((folder_of(path), manifest_items(path, config.algorithm, &config.files)?)),
        (None, Some(_)) if config.algorithm.is_some() || !config.files.is_empty() => {
            Err(StepError::new("`algorithm` and `files` belong to a manifest").help("leave them out beside `file`"))
        }
        (None, Some(path)) => Ok((PathBuf::new(), vec![single_item(path, &config)?])),
        _ => Err(StepError::new("exactly one of `manifest` and `file` is needed")
            .help("give `manifest`, or `file` with `sha256`")),
    }
}

fn folder_of(manifest: &Path) -> PathBuf {
    manifest.parent().map(Path::to_owned).unwrap_or_default()
}

fn manifest_items(path: &Path, algorithm: Option<Algorithm>, files: &[String]) -> Result<Vec<Item>, StepError> {
    let text = read_small(path, MANIFEST_BYTES)?;
    let mut items = manifest::parse(&text, algorithm).map_err(|fault| {
        StepError::because(format!("cannot read the manifest {}", path.display()), &fault)
            .help("each line is a digest, two spaces and a name, as sha256sum writes it")
    })?;
    let own_name = path.file_name().and_then(|name| name.to_str());
    items.retain(|item| Some(item.name.as_str()) != own_name);
    if items.is_empty() {
        return Err(StepError::new(format!("the manifest {} names no file", path.display()))
            .help("an empty manifest proves nothing; make it anew from a good copy"));
    }
    if !files.is_empty() {
        check_named(files, &items)?;
        items.retain(|item| files.contains(&item.name));
    }
    Ok(items)
}

fn check_named(files: &[String], items: &[Item]) -> Result<(), StepError> {
    let Some(absent) = files.iter().find(|file| items.iter().all(|item| item.name != **file)) else { return Ok(()) };
    let error = StepError::new(format!("the manifest does not name '{absent}'"));
    match did_you_mean(absent, items.iter().map(|item| item.name.as_str())) {
        Some(help) => Err(error.help(help)),
        None => Err(error),
    }
}

fn single_item(path: &Path, config: &Config) -> Result<Item, StepError> {
    let given =
        [(Algorithm::Sha256, &config.sha256), (Algorithm::Sha512, &config.sha512), (Algorithm::Md5, &config.md5)];
    let mut digests = given.into_iter().filter_map(|(algorithm, digest)| Some((algorithm, digest.as_ref()?)));
    let (Some((algorithm, digest)), None) = (digests.next(), digests.next()) else {
        return Err(StepError::new("`file` needs exactly one digest").help("give `sha256`, `sha512` or `md5`"));
    };
    let digest = check_digest(algorithm, digest.trim()).map_err(|fault| {
        StepError::because("cannot use the digest", &fault)
            .help("copy the digest from a source you trust; a placeholder proves nothing")
    })?;
    Ok(Item { name: path.to_string_lossy().into_owned(), path: path.to_owned(), algorithm, digest })
}

fn compare(folder: &Path, items: Vec<Item>, stop: &Stop) -> Result<Output, StepError> {
    let mut output = Output { total: items.len(), ..Output::default() };
    for item in items {
        compare_one(&mut output, folder, &item, stop)?;
        output.weak |= item.algorithm.is_weak();
        expect(&mut output.expected, item);
    }
    Ok(output)
}

fn compare_one(output: &mut Output, folder: &Path, item: &Item, stop: &Stop) -> Result<(), StepError> {
    let path = folder.join(&item.path);
    let Some(file) = open_regular(&path)? else {
        output.missing += 1;
        if output.missing_files.len() < LISTED {
            output.missing_files.push(item.name.clone());
        }
        return Ok(());
    };
    let actual = item.algorithm.of_reader(file, stop, |error| file_error("read", &path, &error))?;
    if actual == item.digest {
        output.matched += 1;
        return Ok(());
    }
    output.mismatched += 1;
    if output.mismatches.len() < LISTED {
        output.mismatches.push(Mismatch { file: item.name.clone(), expected: item.digest.clone(), actual });
    }
    Ok(())
}

fn expect(expected: &mut BTreeMap<String, String>, item: Item) {
    let has_room = expected.len() < LISTED_DIGESTS;
    match expected.entry(item.name) {
        Entry::Occupied(mut earlier) if earlier.get().len() < item.digest.len() => {
            earlier.insert(item.digest);
        }
        Entry::Vacant(place) if has_room => {
            place.insert(item.digest);
        }
        _ => {}
    }
}

/// "a.onnx has another digest; b.onnx and 2 more of 9 files are missing".
fn failure_of(output: &Output) -> Option<String> {
    let differ = output.mismatches.first().map(|first| match output.mismatched {
        1 => format!("{} has another digest", first.file),
        many => format!("{} and {} more of {} files have another digest", first.file, many - 1, output.total),
    });
    let absent = output.missing_files.first().map(|first| match output.missing {
        1 => format!("{first} is missing"),
        many => format!("{first} and {} more of {} files are missing", many - 1, output.total),
    });
    let parts: Vec<String> = [differ, absent].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests;
