//! The `log_scan` kind: what log files or the journal say in a window of time.
//!
//! ```text
//! select  which files, oldest first     ┐
//! seek    where in a file to begin      ├─ lines ─ stamp ─ collect ─ Output
//! journal entries of the system journal ┘  bounded  when     what
//! ```

mod collect;
mod journal;
mod lines;
mod numbers;
mod scan;
mod seek;
mod select;
mod stamp;

use std::collections::BTreeMap;

use regex::bytes::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blocking::run_blocking;
use crate::base::Timestamp;
use crate::base::suggestion::did_you_mean;
use crate::kind::{Context, Effect, Kind, Outcome, StepError, StepResult};
use collect::Collector;
pub use journal::Journal;
pub use numbers::NumberSummary;

/// A pattern beyond this size, compiled, is a slip such as `.{1,9999}` repeated.
const PATTERN_BYTES: usize = 4 << 20;

/// Context lines on either side; more is reading the log, which an editor does better.
const MOST_CONTEXT: usize = 10;

/// Counts the lines that match a pattern. No match is an answer, not a failure: write
/// `expect: count == 0` to demand silence. Where to look is one of `file`, `files` and `journal`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["file"]}, {"required": ["files"]}, {"required": ["journal"]}]))]
pub struct Config {
    /// A log file or a pattern such as `/var/log/app/*.log`.
    #[serde(default)]
    pub file: Option<String>,
    /// Several of them.
    #[serde(default)]
    pub files: Vec<String>,
    /// The system journal instead of files.
    #[serde(default)]
    pub journal: Option<Journal>,
    /// The regular expression a line must match. Named groups, `(?P<provider>\w+)`, are counted by value
    /// in `groups`. Only the first 64 KiB of a line are looked at.
    #[schemars(extend("x-encode" = "regex"))]
    pub pattern: String,
    /// Lines that match this regular expression too are not counted.
    #[serde(default)]
    #[schemars(extend("x-encode" = "regex"))]
    pub exclude: Option<String>,
    /// Do not tell upper from lower case in `pattern` and `exclude`.
    #[serde(default)]
    pub ignore_case: bool,
    /// Count only lines of the last while, such as `10m`. Files need time stamps for it: RFC 3339,
    /// `2026-01-31 23:59:59,123`, `2026/01/31 23:59:59`, syslog, web server and Unix times are
    /// recognised; lines without a stamp belong to the line before them. Files above 8 MiB are taken to
    /// be in order of time, give or take a minute.
    #[serde(default)]
    #[schemars(extend("x-unit" = "duration"))]
    pub window: Option<f64>,
    /// Count only lines from this moment on: seconds since 1970, such as
    /// `{{diagnose.process.started_at}}`, or RFC 3339, such as `{{run.started_at}}`. Together with `window`
    /// the later one counts.
    #[serde(default)]
    pub since: Option<Moment>,
    /// Look only at this many last lines of each file, or of the journal.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub tail: Option<u64>,
    /// Lines to show before each sample, at most 10.
    #[serde(default)]
    #[schemars(range(max = 10))]
    pub before: usize,
    /// Lines to show after each sample, at most 10.
    #[serde(default)]
    #[schemars(range(max = 10))]
    pub after: usize,
    /// The named group of `pattern` that holds a number; `number` in the output sums it up.
    #[serde(default)]
    pub number: Option<String>,
    /// Follow rotation: with a `window` or `since` and without `tail`, also read `app.log.1`,
    /// `app.log-20260131` and so on as far back as needed. Compressed ones cannot be read; those that
    /// would have been needed are named in `skipped_files`.
    #[serde(default = "yes")]
    pub rotated: bool,
    /// A log that does not exist counts as an empty one instead of being an error.
    #[serde(default)]
    pub missing_ok: bool,
    /// The time zone of stamps that name none: `local` (of this machine) or `utc`.
    #[serde(default)]
    pub timezone: Timezone,
}

fn yes() -> bool {
    true
}

/// How to read a stamp without a time zone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Timezone {
    #[default]
    Local,
    Utc,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Output {
    /// Lines that match.
    pub count: u64,
    /// Time of the oldest match, in seconds since 1970; null when there is none or it has no stamp.
    pub first_at: Option<f64>,
    /// Time of the newest match.
    pub last_at: Option<f64>,
    /// The newest match itself; empty when there is none.
    pub last_line: String,
    /// False when a compressed file of the window could not be read.
    pub complete: bool,
    /// Lines read, those outside the window included.
    pub scanned_lines: u64,
    /// Bytes read.
    pub scanned_bytes: u64,
    /// Lines longer than 64 KiB, of which the rest was not looked at.
    pub cut_lines: u64,
    /// The sum-up of the group named in `number`; null when none is named.
    pub number: Option<NumberSummary>,
    /// Each named group with its twenty most frequent values. Of more than ten thousand different
    /// values the later ones are not counted.
    pub groups: BTreeMap<String, Vec<ValueCount>>,
    /// The newest matches, oldest first: at most twenty, at most 64 KiB.
    pub samples: Vec<Sample>,
    /// The files read, oldest first, at most a hundred.
    pub files: Vec<String>,
    /// Compressed files of the window, which were not read.
    pub skipped_files: Vec<String>,
}

/// How often a group had a value.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct ValueCount {
    /// What the group held.
    pub value: String,
    /// Matching lines in which it held that.
    pub count: u64,
}

/// A line that matches.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Sample {
    /// The file, or `journal`.
    pub file: String,
    /// Its time in UTC; null when it has no stamp.
    pub at: Option<String>,
    /// The line, at most 2 KiB, with control characters as escapes.
    pub text: String,
    /// The lines before it, oldest first.
    pub before: Vec<String>,
    /// The lines after it.
    pub after: Vec<String>,
}

pub struct Step;

impl Kind for Step {
    const NAME: &'static str = "log_scan";
    const SUMMARY: &'static str =
        "Counts lines of log files or the journal that match a pattern, in a window of time, with samples.";
    const EXAMPLE: &'static str =
        "log_scan: {file: /app/logs/app.log, pattern: 'MODEL_LOAD_ERROR|Failed to load model', window: 10m}";
    type Config = Config;
    type Output = Output;

    fn effect(_config: &Value) -> Effect {
        Effect::Read
    }

    async fn run(mut config: Config, context: Context) -> StepResult<Output> {
        config.files.extend(config.file.take());
        let settings = Settings::of(&config, context.services.clock.now())?;
        let output = match (config.journal.take(), config.files.is_empty()) {
            (Some(journal), true) => journal::scan(&journal, settings, &context).await?,
            (None, false) => {
                run_blocking(&context, move |stop| scan::files(&config.files, config.missing_ok, settings, stop))
                    .await?
            }
            _ => {
                return Err(StepError::new("exactly one of `file`, `files` and `journal` is needed")
                    .help("say where to look, such as `file: /var/log/app.log`"));
            }
        };
        Ok(Outcome::passed(output))
    }
}

/// The checked configuration.
pub(super) struct Settings {
    pattern: Regex,
    exclude: Option<Regex>,
    number: Option<String>,
    /// The first moment that counts.
    since: Option<Timestamp>,
    tail: Option<u64>,
    before: usize,
    after: usize,
    rotated: bool,
    timezone: Timezone,
    now: Timestamp,
}

impl Settings {
    fn of(config: &Config, now: Timestamp) -> Result<Self, StepError> {
        let pattern = compile(&config.pattern, config.ignore_case)?;
        let exclude = config.exclude.as_deref().map(|text| compile(text, config.ignore_case)).transpose()?;
        if config.before > MOST_CONTEXT || config.after > MOST_CONTEXT {
            return Err(StepError::new(format!("more than {MOST_CONTEXT} lines of context are asked for"))
                .help("lower `before` and `after`"));
        }
        if let Some(group) = &config.number {
            check_group(group, &pattern)?;
        }
        Ok(Settings {
            pattern,
            exclude,
            number: config.number.clone(),
            since: since(config, now)?,
            tail: config.tail,
            before: config.before,
            after: config.after,
            rotated: config.rotated,
            timezone: config.timezone,
            now,
        })
    }

    fn collector(&self) -> Collector<'_> {
        Collector::new(self)
    }
}

fn compile(pattern: &str, ignore_case: bool) -> Result<Regex, StepError> {
    if pattern.is_empty() {
        return Err(StepError::new("the pattern is empty")
            .help("an empty pattern matches every line; write `.*` if that is meant"));
    }
    RegexBuilder::new(pattern).case_insensitive(ignore_case).size_limit(PATTERN_BYTES).build().map_err(|error| {
        StepError::because("the pattern is not a regular expression", &error)
            .help("write \\ before characters such as ( [ { . * + ? that mean themselves")
    })
}

fn check_group(group: &str, pattern: &Regex) -> Result<(), StepError> {
    let names: Vec<&str> = pattern.capture_names().flatten().collect();
    if names.contains(&group) {
        return Ok(());
    }
    let help = did_you_mean(group, names).unwrap_or_else(|| format!("write (?P<{group}>[0-9.]+) in the pattern"));
    Err(StepError::new(format!("the pattern has no group named '{group}'")).help(help))
}

/// A moment as it is written in a playbook.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Moment {
    // First, because a template takes the first form that may hold it.
    Text(String),
    Seconds(f64),
}

impl Moment {
    fn timestamp(&self) -> Result<Timestamp, StepError> {
        match self {
            Moment::Seconds(seconds) => Ok(Timestamp(milliseconds(*seconds))),
            Moment::Text(text) => match (text.parse::<jiff::Timestamp>(), text.parse::<f64>()) {
                (Ok(moment), _) => Ok(Timestamp(moment.as_millisecond())),
                (_, Ok(seconds)) if seconds.is_finite() => Ok(Timestamp(milliseconds(seconds))),
                _ => Err(StepError::new(format!("'{text}' is not a moment"))
                    .help("write seconds since 1970, or RFC 3339 such as 2026-01-31T23:59:59Z")),
            },
        }
    }
}

fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

fn since(config: &Config, now: Timestamp) -> Result<Option<Timestamp>, StepError> {
    let window = match config.window {
        Some(window) if window > 0.0 && window.is_finite() => {
            Some(Timestamp(now.0.saturating_sub(milliseconds(window))))
        }
        Some(_) => return Err(StepError::new("the window is not longer than nothing").help("write for example 10m")),
        None => None,
    };
    Ok(window.max(config.since.as_ref().map(Moment::timestamp).transpose()?))
}

#[cfg(test)]
mod tests;
