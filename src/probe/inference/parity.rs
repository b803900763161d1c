//! Whether the served model is the one on disk: by the hash that the server tells, and by what both answer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::answer::numbers;
use super::cases::Cases;
use super::config::Config;
use super::exchange::{Exchange, NoAnswer};
use super::local;
use super::protocol::Answer;
use super::route::Route;
use crate::http::parse_url;
use crate::kind::{Context, EngineName, StepError};
use crate::model::golden::{self, Case, CaseResult, Comparison, Tolerance, Values};
use crate::probe::blocking::run_blocking;
use crate::probe::checksum::Algorithm;
use crate::probe::files::{file_error, open_regular};
use crate::probe::json_path::JsonPathText;

/// The model file that should be served.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParityConfig {
    /// The model file, such as `models/ocr-text/model.onnx`.
    #[schemars(extend("x-encode" = "path"))]
    pub(super) model: PathBuf,
    /// Whether the file is run on the same inputs and its answers are compared with those of the server, by the rule of
    /// golden cases. Default true.
    #[serde(default = "default_answers")]
    pub(super) answers: bool,
    /// Where the server tells the SHA-256 of the model it serves, to be compared with that of the file.
    pub(super) served_hash: Option<ServedHash>,
    /// How far an answer of the server may be from that of the file, whatever its size. Default: as for the right
    /// answers. Another engine or float16 needs about 0.001.
    pub(super) absolute: Option<f64>,
    /// How far it may be in addition, as a share of what the file answers. Default: as for the right answers.
    pub(super) relative: Option<f64>,
    /// The outputs that are compared. Default: all that the file has.
    #[serde(default)]
    pub(super) outputs: Vec<String>,
    /// The engine that must run the file: `onnxruntime`, or `embedded`, the one that is built in. Without it, ONNX
    /// Runtime where it is installed, else the embedded one.
    pub(super) require_engine: Option<EngineName>,
}

/// Where a server tells which model it serves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServedHash {
    /// The address to read.
    #[schemars(extend("x-encode" = "url"))]
    pub(super) get: String,
    /// The place of the SHA-256 in the JSON answer, by a JSONPath.
    pub(super) path: JsonPathText,
}

fn default_answers() -> bool {
    true
}

/// What is known of both models before the server is asked.
#[derive(Debug, Default)]
pub(super) struct Parity {
    /// SHA-256 in lower case. Unknown when it was not asked for, or the server does not tell.
    pub served: Option<String>,
    pub file: Option<String>,
    pub local: Option<Local>,
}

/// What the file answers.
#[derive(Debug)]
pub(super) struct Local {
    answers: Vec<BTreeMap<String, Values>>,
    tolerance: Tolerance,
    /// Name and version of the engine that ran it.
    pub engine: String,
    pub warnings: Vec<String>,
}

impl Parity {
    pub(super) async fn of(
        config: &Config,
        cases: &Cases,
        exchange: &Exchange,
        context: &Context,
    ) -> Result<Self, StepError> {
        let Some(parity) = &config.parity else { return Ok(Parity::default()) };
        let local = if parity.answers { Some(Local::of(parity, cases, context).await?) } else { None };
        let file = Some(hash_file(parity.model.clone(), context).await?);
        let served = match &parity.served_hash {
            Some(hash) => served_hash(hash, exchange).await?,
            None => None,
        };
        Ok(Parity { served, file, local })
    }

    /// Whether both are the same, as far as something is known: the hashes, and what both answered.
    pub(super) fn holds(&self, answers: Option<&Comparison>) -> Option<bool> {
        let hashes = self.served.as_ref().zip(self.file.as_ref()).map(|(served, file)| served == file);
        let answers = answers.map(|answers| answers.verdict == golden::Verdict::Match);
        match (hashes, answers) {
            (Some(hashes), Some(answers)) => Some(hashes && answers),
            (known, None) | (None, known) => known,
        }
    }
}

impl Local {
    async fn of(parity: &ParityConfig, cases: &Cases, context: &Context) -> Result<Self, StepError> {
        let tolerance = Tolerance {
            absolute: parity.absolute.unwrap_or(cases.tolerance.absolute),
            relative: parity.relative.unwrap_or(cases.tolerance.relative),
        };
        tolerance.check().map_err(|what| StepError::new(what).help("write for example `absolute: 0.001`"))?;
        let local = local::answers(parity, &cases.cases, context).await?;
        let engine = format!("{} {}", local.engine.engine, local.engine.engine_version);
        Ok(Local { answers: local.answers, tolerance, engine, warnings: local.warnings })
    }

    /// The outputs that are compared for the case at `index`.
    pub(super) fn outputs(&self, index: usize) -> impl Iterator<Item = &str> {
        self.answers.get(index).into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// The server's answer to the case at `index`, judged by what the file answers.
    pub(super) fn judge(&self, index: usize, case: &str, answer: &Answer) -> CaseResult {
        let outputs = self.answers.get(index).cloned().unwrap_or_default();
        match numbers(case, outputs.keys(), answer) {
            Ok(values) => {
                let expected = Case { name: case.to_owned(), inputs: BTreeMap::new(), outputs };
                golden::compare(&expected, &values, self.tolerance)
            }
            Err(result) => result,
        }
    }
}

async fn served_hash(hash: &ServedHash, exchange: &Exchange) -> Result<Option<String>, StepError> {
    let path = hash.path.parse("parity.served_hash.path")?;
    let reply = exchange.ask(Route::get(parse_url(&hash.get)?)).await.map_err(NoAnswer::into_error)?;
    let document = reply.json().unwrap_or_default();
    let served = path.query(&document).at_most_one().ok().flatten().and_then(|value| value.as_str());
    Ok(served.and_then(sha256).map(str::to_ascii_lowercase))
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
                .help("check `parity: {model: …}`, or look for it first with the kind `file`")
        })?;
        Algorithm::Sha256.of_reader(file, stop, |error| file_error("read", &path, &error))
    })
    .await
}
