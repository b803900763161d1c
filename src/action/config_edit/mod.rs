//! Sets or removes one key of a configuration file and leaves everything else, comments included, as
//! it is.
//!
//! ```text
//! read ─ edit the text where the key is ─ parse the new text: did only that key change? ─ replace the file
//! ```
//!
//! The check in the middle is what makes editing text acceptable: a form of writing that the editor
//! does not understand ends in an error and an untouched file, never in a damaged one.

mod diff;
mod env;
mod error;
mod key;
mod render;
mod scan;
mod toml;
mod tree;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::error::EditError;
use self::key::Key;
use super::keep::{NewContent, Replaced, Replacement, already_in_place, replace_file};
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};

/// Larger than any file that people edit by hand.
const MAX_BYTES: u64 = 16 << 20;

pub struct Step;

/// Give exactly one of `set` and `remove`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["set"]}, {"required": ["remove"]}]))]
pub struct Config {
    /// The file. A symbolic link is followed.
    #[schemars(extend("x-encode" = "path"))]
    file: PathBuf,
    /// Where the value is: names with dots between them, such as `server.port`, or a list, such as
    /// `[hosts, api.example.org, 0]`, for names that contain dots. A number is a place in a list.
    key: Key,
    /// The value the key gets. Missing levels above it are made.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Value")]
    set: Option<Value>,
    /// With `true`, the key is removed.
    #[serde(default)]
    remove: bool,
    /// How the file is written; by default what its ending says.
    #[serde(default)]
    format: Option<Format>,
    /// Make the file when there is none. Its folder must exist.
    #[serde(default)]
    create: bool,
    /// The permission bits of the file, such as `'0640'`; by default those it has, or `0644`.
    #[serde(default)]
    #[schemars(regex(pattern = "^0?[0-7]{3}$"))]
    mode: Option<String>,
}

/// Tells `set: null` from no `set`.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Yaml,
    Toml,
    Json,
    Env,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The file, with symbolic links followed.
    pub path: PathBuf,
    /// The key, with dots between its parts.
    pub key: String,
    /// The value before; null when the key was not there.
    pub before: Value,
    /// The value now; null when the key is not there.
    pub after: Value,
    /// Whether this step changed the file.
    pub changed: bool,
    /// The changed lines as a unified diff; empty when there are none.
    pub diff: String,
    /// The copy of the old file; null when there is none.
    pub kept: Option<PathBuf>,
    /// Whether there was a file before.
    pub existed_before: bool,
    /// SHA-256 of the file now.
    pub sha256: String,
    /// SHA-256 of the file before; null when there was none.
    pub sha256_before: Option<String>,
}

/// What is to become of the key.
#[derive(Debug, Clone, PartialEq)]
enum Wish {
    Set(Value),
    Remove,
}

impl Kind for Step {
    const NAME: &'static str = "config_edit";
    const SUMMARY: &'static str =
        "Sets or removes one key of a YAML, TOML, JSON or env file and keeps the rest as it is.";
    const EXAMPLE: &'static str =
        "config_edit: {file: config/providers.yaml, key: providers.local.enabled, set: false}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Idempotent
    }

    async fn run(config: Config, context: Context) -> StepResult<Output> {
        // Reading, flushing and renaming block.
        let done = tokio::task::spawn_blocking(move || run_blocking(&config, &context)).await;
        done.map_err(|error| StepError::because("the edit was interrupted", &error))?.map(Outcome::passed)
    }
}

fn run_blocking(config: &Config, context: &Context) -> Result<Output, StepError> {
    let wish = wish(config)?;
    let format = format(config)?;
    let parts = config.key.parts(format == Format::Env);
    let replacement = Replacement::new(&config.file, context)?.mode(mode(config)?);
    let old = read(&config.file, config.create)?;
    let text = old.as_deref().unwrap_or_default();
    let place = |error: EditError| error.into_step_error(&config.file);
    let edited = edit(format, text, &parts, &wish).map_err(place)?;
    let replaced = write(&replacement, &edited.text)?;
    Ok(output(config.key.show(), edited, text, replaced))
}

fn wish(config: &Config) -> Result<Wish, StepError> {
    match (&config.set, config.remove) {
        (Some(value), false) => Ok(Wish::Set(value.clone())),
        (None, true) => Ok(Wish::Remove),
        _ => {
            Err(StepError::new("an edit needs exactly one of 'set' and 'remove'")
                .help("write set: VALUE or remove: true"))
        }
    }
}

fn format(config: &Config) -> Result<Format, StepError> {
    if let Some(format) = config.format {
        return Ok(format);
    }
    let name = config.file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    match name.rsplit('.').next().unwrap_or_default() {
        "yaml" | "yml" => Ok(Format::Yaml),
        "toml" => Ok(Format::Toml),
        "json" => Ok(Format::Json),
        "env" => Ok(Format::Env),
        _ => Err(StepError::new(format!("the ending of {} does not say how it is written", config.file.display()))
            .help("add format: yaml, toml, json or env")),
    }
}

fn mode(config: &Config) -> Result<Option<u32>, StepError> {
    let Some(text) = &config.mode else { return Ok(None) };
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(Some(mode)),
        _ => Err(StepError::new(format!("'{text}' is not a file mode")).help("write it in octal, such as '0640'")),
    }
}

/// The text of the file; `None` when there is none and it may be made.
fn read(path: &Path, create: bool) -> Result<Option<String>, StepError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            let message = format!("{} has {} bytes; the limit is {MAX_BYTES}", path.display(), metadata.len());
            return Err(StepError::new(message).help("is it really a configuration file?"));
        }
        Err(error) if error.kind() == ErrorKind::NotFound && create => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(StepError::new(format!("{} does not exist", path.display()))
                .help("correct the path, or write create: true"));
        }
        _ => {}
    }
    std::fs::read_to_string(path).map(Some).map_err(|error| {
        StepError::because(format!("cannot read {}", path.display()), &error)
            .help("the file must be text in UTF-8 that the engine may read")
    })
}

fn write(replacement: &Replacement, text: &str) -> Result<Replaced, StepError> {
    let sha256 = hex::encode(Sha256::digest(text));
    // A file that is as wanted is not written again, not even with the same content.
    match already_in_place(replacement, &sha256)? {
        Some(replaced) => Ok(replaced),
        None => Ok(replace_file(replacement, NewContent::Bytes(text.as_bytes().to_vec()))?),
    }
}

fn output(key: String, edited: Edited, old: &str, replaced: Replaced) -> Output {
    Output {
        key,
        diff: diff::unified(old, &edited.text),
        before: edited.before.unwrap_or(Value::Null),
        after: edited.after.unwrap_or(Value::Null),
        path: replaced.path,
        changed: replaced.changed,
        kept: replaced.kept,
        existed_before: replaced.existed_before,
        sha256: replaced.sha256,
        sha256_before: replaced.sha256_before,
    }
}

/// A new text in which nothing but the key differs.
#[derive(Debug)]
struct Edited {
    text: String,
    before: Option<Value>,
    after: Option<Value>,
}

fn edit(format: Format, text: &str, key: &[String], wish: &Wish) -> Result<Edited, EditError> {
    let (parse, change): (Parse, Change) = match format {
        Format::Yaml => (tree::parse_yaml, tree::change_yaml),
        Format::Json => (tree::parse_json, tree::change_json),
        Format::Toml => (toml::parse, toml::change),
        Format::Env => (env::parse, env::change),
    };
    let wish = &if format == Format::Env { env::as_text(wish) } else { wish.clone() };
    let old = parse(text)?;
    let before = key::get(&old, key).cloned();
    let wanted = key::apply(old.clone(), key, wish)?;
    let text = if wanted == old { text.to_owned() } else { change(text, key, wish)? };
    // The new text is believed only when it says what was wanted and nothing else.
    match parse(&text) {
        Ok(new) if new == wanted => Ok(Edited { text, before, after: key::get(&new, key).cloned() }),
        _ => Err(EditError::WouldDamage { key: key.join(".") }),
    }
}

type Parse = fn(&str) -> Result<Value, EditError>;
type Change = fn(&str, &[String], &Wish) -> Result<String, EditError>;

#[cfg(test)]
mod tests;
